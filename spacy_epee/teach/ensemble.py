"""Several teachers that answer together."""

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set

import numpy
import tqdm
from spacy.language import Language
from spacy.util import minibatch

from .documents import Document, gold, read_documents, writing
from .teachers import TOGETHER, LinearTeacher, PipelineTeacher, Teacher, are_exclusive
from .weights import fit_weights, likelihoods, log_loss

PROBED = 8
"""How many documents show which labels teachers have."""


@dataclass
class Ensemble:
    """Teachers with their weights.

    teachers (List[Teacher]): The teachers.
    labels (List[str]): The labels that each of them has.
    exclusive (bool): Whether one of them is true.
    weights (ndarray): How much each teacher counts; they sum to 1.
    losses (List[float]): The log loss of each on dev, and then of all together, with equal weights and with these. Empty without.
    """

    teachers: List[Teacher]
    labels: List[str]
    exclusive: bool
    weights: numpy.ndarray
    losses: List[float] = field(default_factory=list)

    def answers(self, documents: Sequence[Document]) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities of labels by each teacher, (M, N, K)."""
        return numpy.stack([teacher.answer(documents, self.labels) for teacher in self.teachers])

    def answer(self, documents: Sequence[Document]) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities of labels by all together, (N, K)."""
        asked = [(teacher, weight) for teacher, weight in zip(self.teachers, self.weights) if weight]
        return sum(weight * teacher.answer(documents, self.labels) for teacher, weight in asked)

    def fit(self, path: Path, cats: str) -> None:
        """Fit the weights.

        path (Path): Labelled documents.
        cats (str): The field with the labels, in JSONL.
        RAISES ValueError: None of them has a label that the teachers know.
        """
        parts = []
        for batch in minibatch(_with_text(read_documents(path, cats)), TOGETHER):
            parts.append(likelihoods(self.answers(batch), *gold(batch, self.labels, self.exclusive), self.exclusive))
        found = numpy.concatenate(parts, axis=1) if parts else numpy.zeros((len(self.teachers), 0))
        if not found.shape[1]:
            raise ValueError(f"None of the documents in {path} has a label that the teachers know")
        single, equal = numpy.eye(len(self.teachers)), numpy.full(len(self.teachers), 1 / len(self.teachers))
        self.weights = fit_weights(found)
        self.losses = [log_loss(found, weights) for weights in (*single, equal, self.weights)]


def gather(names: Sequence[str], pipelines: Sequence[Language], path: Path, cats: str, linear: bool) -> Ensemble:
    """Make an ensemble, with equal weights.

    names (Sequence[str]): What to call the pipelines.
    pipelines (Sequence[Language]): The pipelines.
    path (Path): The documents that are to be answered.
    cats (str): The field with the labels, in JSONL.
    linear (bool): Whether a linear model of words learns from them, and is in the ensemble.
    RETURNS (Ensemble): The ensemble.
    RAISES ValueError: There are no documents, or teachers have different labels.
    """
    some = list(islice(_with_text(read_documents(path, cats)), PROBED))
    if not some:
        raise ValueError(f"There are no documents with text in {path}")
    teachers: List[Teacher] = []
    labels: Optional[List[str]] = None
    answers = []
    for name, nlp in zip(names, pipelines):
        teacher = PipelineTeacher(name, nlp)
        own = teacher.labels(some)
        labels = own if labels is None else labels
        if set(own) != set(labels):
            missing, more = (_shown(part, pipelines) for part in (set(labels) - set(own), set(own) - set(labels)))
            raise ValueError(
                f"The pipeline '{name}' has other labels than '{names[0]}': it lacks {missing}, and has {more} beside. Teachers "
                "that answer together need the same"
            )
        answers.append(teacher.answer(some, labels))
        teachers.append(teacher)
    exclusive = are_exclusive(answers)
    if linear:
        teachers.append(LinearTeacher(pipelines[0], lambda: read_documents(path, cats), labels or [], exclusive))
    return Ensemble(teachers, labels or [], exclusive, numpy.full(len(teachers), 1 / len(teachers)))


def teach(ensemble: Ensemble, source: Path, target: Path, cats: str, field: str, progress: bool = False) -> Dict[str, Any]:
    """Write documents with what teachers say of them. They are read and written some at a time.

    ensemble (Ensemble): The teachers.
    source (Path): The documents.
    target (Path): The file to write, of the same format.
    cats (str): The field with the labels, in JSONL.
    field (str): The field for what the teachers say, in JSONL.
    progress (bool): Whether to show a progress bar.
    RETURNS (Dict[str, Any]): How many "documents" there are, and how many of them have true "labels", have no text ("empty"), or
        have true labels that the teachers do not know ("unknown").
    """
    counts = {"documents": 0, "labels": 0, "empty": 0, "unknown": 0}
    known = set(ensemble.labels)
    bar = tqdm.tqdm(desc="Answering", unit=" documents", disable=not progress, leave=False)
    with writing(source, target, field) as write, bar:
        for batch in minibatch(read_documents(source, cats), TOGETHER):
            asked = list(_with_text(batch))
            said = iter(ensemble.answer(asked).tolist() if asked else [])
            for document in batch:
                row = next(said) if _has_text(document) else None
                write(document, None if row is None else {label: _short(p) for label, p in zip(ensemble.labels, row)})
                true = {label for label, value in document.labels.items() if value}
                counts["labels"] += bool(true)
                counts["empty"] += row is None
                counts["unknown"] += not true <= known
            counts["documents"] += len(batch)
            bar.update(len(batch))
    return counts


def _shown(labels: Set[str], pipelines: Sequence[Language]) -> str:
    """Labels as a message shows them. Those that no component says it has may be text, and are counted."""
    known = {label for nlp in pipelines for _, pipe in nlp.pipeline for label in getattr(pipe, "labels", ())}
    others = len(labels - known)
    return f"{sorted(labels & known)}" + (f" and {others} more" if others else "")


def _short(probability: float) -> float:
    """As many digits as anybody needs."""
    return float(f"{probability:.6g}")


def _has_text(document: Document) -> bool:
    return bool(document.text.strip())


def _with_text(documents) -> Iterator[Document]:
    return filter(_has_text, documents)
