"""What is annotated and cannot be an answer: labels that a task does not know, and no label where one of several must be true."""

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Collection, Dict, List, Sequence

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..annotation import copy_doc, exits_of
from ..training.checks import may_be_label, name_labels

if TYPE_CHECKING:
    from ..component import EarlyExitTransformer


@dataclass
class Unknown:
    """What counts as missed or wrong, whatever a task answers.

    documents (int): How many documents were looked at.
    labels (List[str]): The labels, in order.
    with_labels (List[int]): The documents that have one of them.
    without (List[int]): Those in which one of several labels must be true, and none is.
    """

    documents: int = 0
    labels: List[str] = field(default_factory=list)
    with_labels: List[int] = field(default_factory=list)
    without: List[int] = field(default_factory=list)

    def of(self, docs: numpy.ndarray) -> "Unknown":
        """RETURNS (Unknown): The same of some of the documents, (D,) bool."""
        places = numpy.cumsum(docs) - 1
        own = [[int(places[doc]) for doc in found if docs[doc]] for found in (self.with_labels, self.without)]
        return Unknown(int(docs.sum()), self.labels, *own)

    def warn(self, called: str) -> None:
        """Say so, once for all.

        called (str): What to call the task.
        """
        parts = []
        if self.labels:
            parts.append(
                f"{len(self.with_labels)} of {self.documents} documents are annotated with labels that {called} does not know "
                f"({name_labels(self.labels)}). They count as missed: train it with data that have them, or correct the "
                "annotation."
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
            found.with_labels.append(number)
        elif one and not set(labels).isdisjoint(eg.reference.cats):
            found.without.append(number)
    found.labels = list(names)
    return found


def labels_elsewhere(nlp: Language, component: "EarlyExitTransformer", task: str) -> List[str]:
    """RETURNS (List[str]): The labels that other components of a pipeline answer in the place of a task."""
    from ..component import EarlyExitTransformer

    place = component.parts[task].task.assigns
    found: List[str] = []
    for name, pipe in nlp.pipeline:
        if pipe is component:
            continue
        if isinstance(pipe, EarlyExitTransformer):
            rivals = [other for other, part in pipe.parts.items() if part.task.assigns == place]
            found += [label for other in rivals for label in pipe.task_labels(other)]
        elif place in nlp.get_pipe_meta(name).assigns:
            found += getattr(pipe, "labels", ())
    return found


def without_labels(eg: Example, labels: Collection[str]) -> Example:
    """RETURNS (Example): An example in which nothing is said of some labels. spaCy's scorer takes the first of several for the
    true one if none is."""
    reference: Doc = copy_doc(eg.reference)
    reference.cats = {label: value for label, value in eg.reference.cats.items() if label not in labels}
    return Example(eg.predicted, reference)


def showable(scores: Any) -> Any:
    """RETURNS (Any): Figures whose names can be shown and saved: a label that may be text has none."""
    if not isinstance(scores, dict):
        return scores
    return {name if may_be_label(name) else "(no label)": showable(value) for name, value in scores.items()}


def has_rivals(examples: Sequence[Example], component: str, task: str) -> bool:
    """Whether another early-exiting component that has run may answer in the same place, of which nothing is known.

    examples (Sequence[Example]): The examples.
    component (str): The name of the component.
    task (str): The kind of the task.
    RETURNS (bool): Whether there is one.
    """
    entries = (entry for eg in examples for name, entry in exits_of(eg.predicted).items() if name != component)
    return any(task in entry or not KINDS.issuperset(entry) for entry in entries)


KINDS = {"textcat", "imagecat", "relations", "events"}
"""What tasks are called whose component has no others."""
