"""What is annotated and cannot be an answer: labels that a task does not know, and no label where one of several must be true.
And answers that are no label."""

import warnings
from dataclasses import dataclass, field
from typing import Any, Collection, Dict, List, Sequence, Set

import numpy
from spacy.tokens import Doc
from spacy.training import Example

from ..doc_attributes import copy_doc, in_place

UNKNOWN = "(unknown)"
"""What labels are called that a task does not know."""


@dataclass
class Unknown:
    """What counts as missed or wrong, whatever a task answers.

    documents (int): How many documents were looked at.
    labels (List[str]): The labels, in order.
    with_labels (List[int]): The documents that have one of them.
    without (List[int]): Those in which one of several labels must be true, and none is.
    first (str): Where the first document with one of the labels is from, as `in_place` says it.
    """

    documents: int = 0
    labels: List[str] = field(default_factory=list)
    with_labels: List[int] = field(default_factory=list)
    without: List[int] = field(default_factory=list)
    first: str = ""

    def of(self, docs: numpy.ndarray) -> "Unknown":
        """RETURNS (Unknown): The same of some of the documents, (D,) bool."""
        places = numpy.cumsum(docs) - 1
        with_labels, without = ([int(places[doc]) for doc in own if docs[doc]] for own in (self.with_labels, self.without))
        return Unknown(int(docs.sum()), self.labels, with_labels, without, self.first)

    def warn(self, called: str) -> None:
        """Say so, once for all, without the labels: they are not known to be any, and may be text.

        called (str): What to call the task.
        """
        parts = []
        if self.labels:
            parts.append(
                f"{len(self.with_labels)} of {self.documents} documents are annotated with labels that {called} does not know "
                f"({len(self.labels)}, the first{self.first or ' in document ' + str(self.with_labels[0] + 1)}). They count as "
                "missed: train it with data that have them, or correct the annotation."
            )
        if self.without:
            parts.append(
                f"In {len(self.without)} of {self.documents} documents none of the exclusive labels of {called} is true. Any "
                "answer counts as wrong there: annotate one, or leave the labels out."
            )
        if parts:
            warnings.warn(" ".join(parts))


def find_unknown(task: Any, labels: Collection[str], examples: Sequence[Example], elsewhere: Collection[str]) -> Unknown:
    """Look through the annotation.

    task (Task): The task.
    labels (Collection[str]): The labels that it knows.
    examples (Sequence[Example]): The examples.
    elsewhere (Collection[str]): The labels that others answer in the same place.
    RETURNS (Unknown): What it cannot answer.
    """
    found = Unknown(len(examples))
    names: Dict[str, None] = {}
    one = task.assigns == "doc.cats" and task.exclusive
    for number, eg in enumerate(examples):
        true = task.true_labels(eg.reference)
        if one and not true.isdisjoint(labels):
            continue
        strange = true.difference(labels, elsewhere)
        if strange:
            names.update(dict.fromkeys(sorted(strange)))
            found.first = found.first if found.with_labels else in_place(eg.reference)
            found.with_labels.append(number)
        elif one and not set(labels).isdisjoint(eg.reference.cats):
            found.without.append(number)
    found.labels = list(names)
    return found


def without_labels(eg: Example, labels: Collection[str]) -> Example:
    """RETURNS (Example): An example in which nothing is said of some labels. spaCy's scorer takes the first of several for the
    true one if none is."""
    reference: Doc = copy_doc(eg.reference)
    reference.cats = {label: value for label, value in eg.reference.cats.items() if label not in labels}
    return Example(eg.predicted, reference)


def known_names(cfg: Dict[str, Any]) -> Set[str]:
    """RETURNS (Set[str]): The labels that a task knows, and the roles of events, by what is saved of it."""
    return {*cfg["labels"], *(name for _, name, _ in cfg.get("schema", {}).get("outputs", ()))}


def showable(scores: Dict[str, Any], known: Collection[str]) -> Dict[str, Any]:
    """Give labels that a task does not know one name, for they may be text, and figures are shown and saved. All of them are
    missed.

    scores (Dict[str, Any]): The figures of a scorer.
    known (Collection[str]): What `known_names` returned.
    RETURNS (Dict[str, Any]): The figures.
    """
    return {name: rename_unknown(value, known) if name.endswith("_per_type") else value for name, value in scores.items()}


def rename_unknown(figures: Any, known: Collection[str]) -> Any:
    """RETURNS (Any): The figures of labels, with one name for all that are not known."""
    return {name if name in known else UNKNOWN: own for name, own in figures.items()} if isinstance(figures, dict) else figures


def unknown_threshold(task: Any) -> float:
    """RETURNS (float): The probability that the best of exclusive labels must have to be given; 0 where it is given anyway."""
    return getattr(task, "unknown_threshold", 0.0)


def given_none(task: Any, doc: Doc, labels: Sequence[str]) -> Dict[str, bool]:
    """RETURNS (Dict[str, bool]): Whether a Doc is given no label of a task ("unknown"), if there is a threshold for that."""
    return {"unknown": not task.given_labels(doc, labels, 0.0)} if unknown_threshold(task) else {}
