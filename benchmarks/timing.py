"""Seconds of pipelines that are given entities."""

import time
from typing import List, Sequence

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_epee.data.docs import copy_entities


def evenly(examples: Sequence[Example], count: int) -> List[Example]:
    """RETURNS (List[Example]): So many of some documents, from all over: files may be sorted by label."""
    return list(examples[:: max(len(examples) // count, 1)][:count])


def seconds(nlp: Language, examples: Sequence[Example], size: int) -> float:
    """Time a pipeline on texts with their annotated entities, tokenization included.

    nlp (Language): The pipeline.
    examples (Sequence[Example]): The documents.
    size (int): The batch size; 1 calls the pipeline on each.
    RETURNS (float): Seconds.
    """
    started = time.perf_counter()
    docs = [_given(nlp, eg) for eg in examples]
    for _ in map(nlp, docs) if size == 1 else nlp.pipe(docs, batch_size=size):
        pass
    return time.perf_counter() - started


def _given(nlp: Language, eg: Example) -> Doc:
    doc = nlp.make_doc(eg.predicted.text)
    copy_entities(eg.predicted, doc)
    return doc
