"""Labels that are answered together: those of one task, or of one component."""

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy
from spacy.language import Language
from spacy.pipeline import MultiLabel_TextCategorizer, TextCategorizer

from ..component.pipe import EarlyExitTransformer
from .calibration import Calibration, fit_calibration, hold_out, is_better
from .documents import Document
from .weights import fit_weights, likelihoods, log_loss

ROUNDED = 1e-4
"""How far probabilities may be from 0, 1, and their sum from 1, by rounding."""


@dataclass
class Group:
    """Labels that teachers answer together, and how much each teacher counts for them.

    labels (List[str]): The labels.
    exclusive (bool): Whether one of them is true.
    weights (ndarray): How much each teacher counts; they sum to 1.
    fields (Set[str]): The fields of JSONL that name them.
    calibrations (Dict[int, Calibration]): Those of teachers whose answers are better calibrated.
    losses (List[Tuple[Optional[float], Optional[float]]]): The log loss of each teacher on dev, as it is and calibrated by other
        documents, None where that is not better; then of all together with equal weights; then with these. Empty without dev.
    """

    labels: List[str]
    exclusive: bool
    weights: numpy.ndarray
    fields: Set[str]
    calibrations: Dict[int, Calibration] = field(default_factory=dict)
    losses: List[Tuple[Optional[float], Optional[float]]] = field(default_factory=list)

    def join(self, answers: Sequence[Any]) -> numpy.ndarray:
        """Join what teachers say.

        answers (Sequence[Optional[ndarray]]): Of each the probabilities of the labels, (N, K). None if it counts nothing.
        RETURNS (ndarray): The probabilities of all together, (N, K).
        """
        found: numpy.ndarray = numpy.sum(
            [
                weight * (self.calibrations[place](own) if place in self.calibrations else own)
                for place, (weight, own) in enumerate(zip(self.weights, answers))
                if weight
            ],
            axis=0,
        )
        return found

    def fit(self, answers: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray, texts: Sequence[Any]) -> None:
        """Calibrate teachers where that is better, and fit the weights. Both go by answers that were calibrated by other
        documents, so that calibrated teachers are not favoured.

        answers (ndarray): The probabilities of the labels on dev, (M, N, K).
        targets (ndarray): 1 for true labels, (N, K).
        label_mask (ndarray): 0 where nothing is known, (N, K).
        texts (Sequence[Any]): What is the same for documents with the same text.
        """
        rows = numpy.flatnonzero(label_mask.any(axis=1))
        answers, known = answers[:, rows], (targets[rows], label_mask[rows], self.exclusive)
        held_out = numpy.stack([hold_out(own, *known, [texts[row] for row in rows.tolist()]) for own in answers])
        before, after = likelihoods(answers, *known), likelihoods(held_out, *known)
        docs = numpy.nonzero(known[0] * known[1] if self.exclusive else known[1])[0]
        better = numpy.array([is_better(*own, docs) for own in zip(after, before)])
        self.calibrations = {place: fit_calibration(answers[place], *known) for place in numpy.flatnonzero(better).tolist()}
        found = numpy.where(better[:, None], after, before)
        self.weights, teachers = fit_weights(found), len(answers)
        single, equal = numpy.eye(teachers), numpy.full(teachers, 1 / teachers)
        self.losses = [(log_loss(before, one), log_loss(after, one) if own else None) for one, own in zip(single, better)]
        self.losses += [(log_loss(before, equal), log_loss(found, equal)), (None, log_loss(found, self.weights))]


def divide(nlp: Language, labels: Sequence[str]) -> List[List[str]]:
    """Divide labels by what answers with them.

    nlp (Language): A pipeline of which components may have several tasks.
    labels (Sequence[str]): The labels that it writes.
    RETURNS (List[List[str]]): Those of each task or component, in this order; all together if that does not tell.
    """
    parts: List[Iterable[str]] = []
    for _, pipe in nlp.pipeline:
        ours = isinstance(pipe, EarlyExitTransformer)  # some of its labels may be of relations, or events
        parts += [own for own, _ in _kinds(pipe)] if ours else [getattr(pipe, "labels", ())]
    groups = [[label for label in labels if label in set(part)] for part in parts if set(part) & set(labels)]
    named = [label for group in groups for label in group]
    return groups if sorted(named) == sorted(labels) else [list(labels)]


def by_group(groups: Sequence[Group], answers: numpy.ndarray) -> List[numpy.ndarray]:
    """RETURNS (List[ndarray]): The part of some answers (..., K) that is of each group."""
    return numpy.split(answers, numpy.cumsum([len(group.labels) for group in groups])[:-1], axis=-1)


def find_fields(groups: Sequence[Group], fields: Sequence[str], documents: Iterable[Document]) -> None:
    """Find out in which fields labels are named: where a field names all that are true, no other one of its group is.

    groups (Sequence[Group]): The groups, whose fields are set.
    fields (Sequence[str]): The fields.
    documents (Iterable[Document]): The documents. They are looked at only where there is something to find out.
    """
    if len(groups) == 1 or len(fields) == 1:
        for group in groups:
            group.fields.update(fields)
        return
    for document in documents:
        for name, named in document.named.items():
            for group in groups:
                if name not in group.fields and not named.isdisjoint(group.labels):
                    group.fields.add(name)


def are_exclusive(nlp: Language, labels: Sequence[str], answers: numpy.ndarray) -> bool:
    """Tell whether one of some labels is true for a pipeline, or each by itself.

    nlp (Language): The pipeline.
    labels (Sequence[str]): The labels.
    answers (ndarray): Its probabilities of them for some documents, (N, K).
    RETURNS (bool): What its component says; where that is none that tells, whether the probabilities sum to 1: those of a sure
        pipeline do so on a few documents in either case.
    """
    for _, pipe in nlp.pipeline:
        for own, exclusive in _kinds(pipe):
            if own == set(labels) or (own & set(labels) and not exclusive):
                return exclusive and len(labels) > 1
    return len(labels) > 1 and bool((abs(answers.sum(axis=1) - 1) < ROUNDED * len(labels)).all())


def _kinds(pipe: Any) -> List[Tuple[Set[str], bool]]:
    """The labels that a component writes to `doc.cats`, and whether they are exclusive; nothing if it does not tell."""
    if isinstance(pipe, EarlyExitTransformer):
        slots = [slot for slot in pipe.slots.values() if slot.task.assigns == "doc.cats"]
        return [(set(slot.labels), slot.task.exclusive) for slot in slots]
    if isinstance(pipe, TextCategorizer):
        return [(set(pipe.labels), not isinstance(pipe, MultiLabel_TextCategorizer))]
    return []
