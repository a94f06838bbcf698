"""Timing pipelines in turns."""

import time
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy
import tqdm
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..component.pipe import EarlyExitTransformer
from ..data.docs import copy_entities
from ..exits.rules.base import ExitRule
from ..inputs.images import get_image, set_image


def sources_of(examples: Sequence[Example]) -> List["Source"]:
    """RETURNS (List[Source]): What a pipeline is given of some examples."""
    # If the reader gave entities, then a Doc without any has none, whatever the pipeline finds in it.
    given = any(eg.predicted.ents or any(eg.predicted.spans.values()) for eg in examples)
    return [(eg.predicted.text, eg.predicted if given else None, get_image(eg.predicted)) for eg in examples]


def prepare(nlp: Language, component: EarlyExitTransformer, examples: Sequence[Example]) -> List[Example]:
    """Run what is before a component in the pipeline.

    nlp (Language): The pipeline.
    component (EarlyExitTransformer): The component.
    examples (Sequence[Example]): Annotated documents.
    RETURNS (List[Example]): The same, as they come to the component.
    RAISES ValueError: What is before it has left some out.
    """
    docs = _run(nlp, component, sources_of(examples), 64, after=False)
    return [Example(doc, eg.reference) for doc, eg in zip(docs, examples)]


def milliseconds(
    nlp: Language,
    examples: Sequence[Example],
    component: EarlyExitTransformer,
    rules: Sequence["Rules"],
    batch_size: int,
    rounds: int = 3,
    progress: bool = False,
) -> List[float]:
    """Time the whole pipeline with several rules, in turns.

    nlp (Language): The pipeline.
    examples (Sequence[Example]): The documents.
    component (EarlyExitTransformer): The component.
    rules (Sequence[Rules]): The rules to compare.
    batch_size (int): The batch size; 1 calls the pipeline on each text.
    rounds (int): How often each is timed.
    progress (bool): Whether to show a progress bar.
    RETURNS (List[float]): Milliseconds a document of each, the medians.
    """
    sources = sources_of(examples)
    for setting in rules:  # the first call pays for things that are made only once
        time_run(nlp, component, setting, sources[:batch_size], batch_size)
    turns = tqdm.tqdm([*rules] * rounds, desc=f"Timing, batch {batch_size}", disable=not progress, leave=False)
    seconds = numpy.array([time_run(nlp, component, setting, sources, batch_size) for setting in turns]).reshape(
        rounds, len(rules)
    )
    return (1000 * numpy.median(seconds, axis=0) / len(sources)).tolist()


Rules = Dict[str, Optional[ExitRule]]
"""The exit rule of each task."""

Source = Tuple[str, Optional[Doc], Any]
"""A text; the Doc with the entities that the reader gave, if it gave any; and the image, if there is one."""


def _fresh(nlp: Language, source: Source) -> Doc:
    """Make an unprocessed Doc, with the tokens that the entities have."""
    text, given, image = source
    doc = nlp.make_doc(text)
    if given is not None and [token.idx for token in doc] != [token.idx for token in given]:
        doc = Doc(nlp.vocab, words=[token.text for token in given], spaces=[bool(token.whitespace_) for token in given])
    if image is not None:
        set_image(doc, image)
    return doc


def _run(nlp: Language, component: EarlyExitTransformer, sources: Iterable[Source], size: int, after: bool = True) -> List[Doc]:
    """Run a pipeline. Given entities take the place of what it finds itself, just before the component.

    nlp (Language): The pipeline.
    component (EarlyExitTransformer): The component.
    sources (Iterable[Source]): The texts.
    size (int): The batch size; 1 calls the pipeline on each text.
    after (bool): Whether to run the component and what comes behind it.
    RETURNS (List[Doc]): The Docs.
    """
    names = nlp.pipe_names
    place = names.index(component.name)
    before, behind = names[:place], names[place:]

    def enter(source: Source, doc: Doc) -> Doc:
        if source[1] is not None:
            copy_entities(source[1], doc)
        return doc

    processed: List[Doc] = []
    sources = list(sources)
    if size == 1:
        for source in sources:
            doc = enter(source, nlp(_fresh(nlp, source), disable=behind))
            processed.append(nlp(doc, disable=before) if after else doc)
        return processed
    docs = answer_all_of(nlp, [_fresh(nlp, source) for source in sources], size, behind)
    docs = [enter(source, doc) for source, doc in zip(sources, docs)]
    return answer_all_of(nlp, docs, size, before) if after else docs


def answer_all_of(nlp: Language, docs: Sequence[Union[str, Doc]], size: int, disable: Sequence[str] = ()) -> List[Doc]:
    """Run a pipeline on what is compared with something afterwards, one by one.

    nlp (Language): The pipeline.
    docs (Sequence[Union[str, Doc]]): The texts or Docs.
    size (int): The batch size.
    disable (Sequence[str]): The components that are not run.
    RETURNS (List[Doc]): A Doc for each.
    RAISES ValueError: A component has left some out, as error handlers let it.
    """
    found = list(nlp.pipe(docs, batch_size=size, disable=disable))
    if len(found) != len(docs):
        raise ValueError(
            f"The pipeline has left out {len(docs) - len(found)} of {len(docs)} documents: a component failed, and its error "
            "handler went on. Scores of the others cannot be told apart from theirs. Find the documents with an error handler "
            "that raises (`nlp.set_error_handler(spacy.util.raise_error)`), and correct them or leave them out."
        )
    return found


def time_run(nlp: Language, component: EarlyExitTransformer, rules: Rules, sources: Sequence[Source], size: int) -> float:
    """Seconds of the whole pipeline on some texts by rules, tokenization included."""
    before = component.exits
    for task, rule in rules.items():
        component.set_exit(rule, task)
    try:
        started = time.perf_counter()
        _run(nlp, component, sources, size)
        return time.perf_counter() - started
    finally:
        for task, rule in before.items():
            component.set_exit(rule, task)
