"""Where sentences begin, as a component before ours has found them."""

from typing import Iterable, List, Sequence

import numpy
from spacy.tokens import Doc, Span

FIX = (
    "Add a component that sets them, such as 'sentencizer', 'senter' or 'parser', before this one, and in training list it in "
    "`training.annotating_components`: boundaries of the annotation are not those of the documents that are answered. Or set the "
    "unit to 'window'."
)
"""What to do where there are none."""


def lacking_sentences(docs: Sequence[Doc], wanted: Iterable[bool]) -> List[int]:
    """Find the Docs that do not say where their sentences begin.

    docs (Sequence[Doc]): The Docs.
    wanted (Iterable[bool]): Those that are looked at.
    RETURNS (List[int]): Which of these have more than a token and no boundary.
    """
    asked = (number for number, (doc, want) in enumerate(zip(docs, wanted)) if want and len(doc) > 1)
    return [number for number in asked if not docs[number].has_annotation("SENT_START")]


def find_sentences(doc: Doc, parts: Sequence[Span] = ()) -> numpy.ndarray:
    """Find where the sentences of a Doc begin.

    doc (Doc): The Doc.
    parts (Sequence[Span]): What of it is read, if not all: a sentence ends where a part does.
    RETURNS (ndarray): First characters, in rising order, (S,).
    """
    begins = doc.to_array("SENT_START") == 1
    begins[:1] = True
    starts = doc.to_array("IDX").astype("int64")
    begins[[part.start for part in parts]] = True
    return starts[begins]
