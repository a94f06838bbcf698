"""The main figure of a task, on all of some documents or a part of them, and how two of them compare."""

import warnings
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

import numpy
from spacy.language import Language
from spacy.training import Example

from ..component.scoring import find_unknown_labels, run_scorer, write_answers
from ..engine.results import Predictions
from ..model import get_settings
from ..tasks.unknown import UNKNOWN, known_names, rename_unknown
from .sample import count_labels
from .spread import spread

if TYPE_CHECKING:
    from ..component.pipe import EarlyExitTransformer

Answered = List[Example]
"""Annotated documents with answers written on them."""


def describe_main(component: "EarlyExitTransformer", task: str) -> str:
    """RETURNS (str): What the main figure of a task is, before there is one."""
    slot = component.slots[task]
    return slot.task.describe_main(slot.cfg)


class Scoring:
    """Scores of the answers of a task to some documents.

    unknown (Unknown): What no answer can be.
    counts (Dict[str, int]): In how many documents each label is annotated.
    annotated (bool): Whether there is anything to score against.
    known (Set[str]): The labels that the task knows. The others are not shown.
    counted (List[str]): The labels that count in a mean over labels.
    left_out (List[str]): Those that are in too few documents for that.
    absent (List[str]): Those that count in it as 0: no document has them, or all have, where these are told from the others.
    """

    def __init__(
        self,
        component: "EarlyExitTransformer",
        examples: Sequence[Example],
        task: Optional[str] = None,
        fewest: int = 0,
        nlp: Optional[Language] = None,
    ):
        """
        component (EarlyExitTransformer): The component.
        examples (Sequence[Example]): The documents, as they come to the component.
        task (Optional[str]): The task; None if there is only one.
        fewest (int): In how many of the documents a label must be to count in a mean over labels. 0: the figures are the
            scorer's own.
        nlp (Optional[Language]): The pipeline, to know the labels of its other components.
        """
        self.component = component
        self.examples = list(examples)
        self.slot = component.slot(task)
        self.name, self.task = self.slot.name, self.slot.task
        self.unknown = find_unknown_labels(component.slots, self.name, self.examples, nlp)
        self.unknown.warn(self.slot.called)
        labels = [*self.slot.labels, *self.unknown.labels]
        self.counts = count_labels(self.examples, self.task, labels)
        self.annotated = any(self.task.is_annotated(eg.reference) for eg in self.examples)
        macro = self.task.averages_labels(self.slot.cfg)
        # Where labels do not exclude each other, documents with a label are told from those without it.
        enough = self.counts if self.task.exclusive else {x: min(n, self.n_docs - n) for x, n in self.counts.items()}
        few = [label for label, count in enough.items() if macro and count < fewest]
        self.counted = [label for label in self.counts if label not in few]
        self.known = known_names(self.slot.cfg)
        self.left_out = [label if label in self.known else UNKNOWN for label in few]
        self.absent = [label for label, count in enough.items() if macro and not count and not fewest and self.annotated]

    @property
    def unit(self) -> str:
        """RETURNS (str): What leaves on its own: "document", "window" or "sentence"."""
        return self.task.unit if self.task.unit == "document" else get_settings(self.component.model).unit

    @property
    def n_docs(self) -> int:
        """RETURNS (int): The number of documents."""
        return len(self.examples)

    def answered(self, answers: Predictions) -> Answered:
        """RETURNS (Answered): The documents with answers."""
        return write_answers(self.slot, self.examples, answers)

    def scores(self, answered: Answered) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The figures of the scorer. None for all numbers if nothing is annotated; of labels that are
        in no document there are none."""
        scores = run_scorer(self.slot, answered, self.unknown)
        if not self.annotated:
            return {name: None if isinstance(score, float) else score for name, score in scores.items()}
        return scores

    def main(self, answered: Answered, docs: Optional[numpy.ndarray] = None) -> Optional[float]:
        """Find the main figure.

        answered (Answered): The documents with answers.
        docs (Optional[ndarray]): Which of them to look at, (D,) bool; None for all.
        RETURNS (Optional[float]): The figure; None where nothing is annotated.
        """
        some = answered if docs is None else [eg for eg, kept in zip(answered, docs) if kept]
        if not self.annotated or not any(self.task.is_annotated(eg.reference) for eg in some):
            return None
        return self.main_of(run_scorer(self.slot, some, self.unknown if docs is None else self.unknown.of(docs)))

    def main_of(self, scores: Dict[str, Any]) -> Optional[float]:
        """RETURNS (Optional[float]): The main one of the scorer's figures."""
        if not self.annotated:
            return None
        if not self.left_out:
            return scores.get(self.task.main)
        return self.task.mean_over(scores, self.counted)

    def describe(self, scores: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is."""
        return self.describe_counted(self.task.describe(scores))

    def describe_counted(self, name: str) -> str:
        """RETURNS (str): The name of a figure, with the labels that count in it if these are not all."""
        return f"{name} of {len(self.counted)} of {len(self.counts)} labels" if self.left_out else name

    def per_label(self, scores: Dict[str, Any]) -> Dict[str, Dict[str, Optional[float]]]:
        """RETURNS (Dict[str, Dict[str, Optional[float]]]): "p", "r" and "f" of each label, None where no document has it."""
        scored = (scores.get(self.task.per_label) or {}) if self.annotated else {}
        figures = {
            label: dict(label_figures) if self.counts.get(label, 1) else dict.fromkeys(label_figures)
            for label, label_figures in scored.items()
        }
        return rename_unknown(figures, self.known)

    def parts(self, scores: Dict[str, Any]) -> Dict[str, Dict[str, Optional[float]]]:
        """RETURNS (Dict[str, Dict[str, Optional[float]]]): "p", "r" and "f" of the parts that the task tells of, by their titles.
        None for what is neither annotated nor answered."""
        parts = self.task.parts.items()
        return {title: {key: scores.get(f"{name}_{key}") for key in "prf"} for name, title in parts}

    def spread(self, one: Answered, other: Answered) -> Optional[float]:
        """How far the difference of the main figures of two answers may be luck.

        one (Answered): The documents with answers.
        other (Answered): The same with other answers.
        RETURNS (Optional[float]): See `evaluation.spread`.
        """

        def difference(docs: numpy.ndarray) -> Optional[float]:
            first, second = self.main(one, docs), self.main(other, docs)
            return None if first is None or second is None else second - first

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with the data was said of all documents
            return spread(difference, self.n_docs)


def differing_docs(one: Predictions, other: Predictions) -> numpy.ndarray:
    """Compare two answers to the same documents.

    one (Predictions): The answers.
    other (Predictions): Others.
    RETURNS (ndarray): Whether anything about a document is answered otherwise, (D,) bool.
    """
    items = one.items
    differs = numpy.zeros(items.windows.n_docs, dtype=bool)
    if one.graphs is not None or other.graphs is not None:
        nothing = [None] * items.n_units
        pairs = zip(one.graphs or nothing, other.graphs or nothing)
        units = [b is not None if a is None else b is None or not a.same(b) for a, b in pairs]
        differs[items.unit_docs[numpy.array(units, dtype=bool)]] = True
        return differs
    first, second = one.given, other.given
    if len(first) != len(second):  # cut into other windows
        counts = [numpy.bincount(each.items.unit_docs[each.items.units], minlength=len(differs)) for each in (one, other)]
        parts = [numpy.split(each, numpy.cumsum(own)[:-1]) for each, own in zip((first, second), counts)]
        return numpy.array([not numpy.array_equal(a, b) for a, b in zip(*parts)], dtype=bool)
    rows = first != second
    rows = rows if rows.ndim == 1 else rows.any(axis=1)
    differs[items.unit_docs[items.units[rows]]] = True
    return differs
