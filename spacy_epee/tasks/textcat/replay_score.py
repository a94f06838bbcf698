"""Figures of labels of documents, of simulated answers."""

from typing import Any, Optional, Tuple

import numpy
from scipy.special import expit
from scipy.stats import rankdata

from ...engine.replay import ReplayResult, Score
from ...exits.label_thresholds import f_scores, held_out_score
from ..replay_score import StoredAnnotation


def choice_score(stored: StoredAnnotation, *, always_answers: bool, positive: Optional[str] = None) -> Score:
    """Make what finds macro F of exclusive labels, or the F of one.

    stored (StoredAnnotation): The documents.
    always_answers (bool): Whether documents that never run have an answer, which is the first of the labels.
    positive (Optional[str]): The label whose F it is; None for the mean over labels.
    RETURNS (Score): The figure.
    """
    labels, n_docs = stored.all_labels, len(stored.examples)
    targets, label_mask = _annotation(stored)
    known = label_mask.sum(axis=1) > 0
    counted = _counted(stored)
    gold = targets.argmax(axis=1)
    gold[~targets.any(axis=1)] = len(labels)  # none of them, so that every answer is wrong

    def score(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        # Of a document that never runs the first label is the answer, or a wrong one stands for none.
        answers = numpy.zeros(n_docs, dtype=int) if always_answers else targets.argmin(axis=1)
        answers[stored.docs] = simulation.logits.argmax(axis=1)
        counts = numpy.zeros((len(labels) + 1, len(labels)))
        rows = known if docs is None else known & docs
        numpy.add.at(counts, (gold[rows], answers[rows]), 1)
        scores = 2 * counts.diagonal() / numpy.maximum(counts.sum(axis=0) + counts[:-1].sum(axis=1), 1)
        return float(scores[counted].mean() if positive is None else scores[labels.index(positive)])

    return score


def rank_score(stored: StoredAnnotation, *, exclusive: bool) -> Score:
    """Make what finds the macro AUC: of each label how well documents with it are told from those without it, by its probability.

    stored (StoredAnnotation): The documents.
    exclusive (bool): Whether one label is true of each document, so that only those of which it is known are looked at.
    RETURNS (Score): The figure.
    """
    targets, label_mask = _annotation(stored)
    if exclusive:
        label_mask[:] = (targets.sum(axis=1) > 0)[:, None]
    probabilities = numpy.zeros(targets.shape, dtype="float32")  # labels that are not known have none
    counted = _counted(stored)

    def score(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        probabilities[stored.docs, : len(stored.labels)] = simulation.probabilities
        total = 0.0
        for column in counted:
            rows = label_mask[:, column] if docs is None else label_mask[:, column] & docs
            true = targets[rows, column]
            if true.any() and not true.all():
                ranks = rankdata(probabilities[rows, column])
                total += (ranks[true].sum() / true.sum() - (true.sum() + 1) / 2) / (~true).sum()
        return total / len(counted)

    return score


def threshold_score(stored: StoredAnnotation, *, refit: bool) -> Score:
    """Make what finds macro F of labels that do not exclude each other.

    stored (StoredAnnotation): The documents.
    refit (bool): Whether labels may get thresholds of their own for what is answered. Then it is what those are worth where they
        were not fitted, see `held_out_score`, or that of the setting for all, whichever is better. Otherwise thresholds are those
        that there are.
    RETURNS (Score): The figure.
    """
    targets, label_mask = _annotation(stored)
    counted, known = _counted(stored), len(stored.labels)
    logits = numpy.full(targets.shape, -numpy.inf)  # what never runs, and labels that are not known
    thresholds = stored.cfg["threshold"] if refit else stored.thresholds

    def score(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        logits[stored.docs, :known] = simulation.logits
        rows = numpy.ones(len(logits), dtype=bool) if docs is None else docs
        mask, true, said = label_mask[rows], targets[rows] & label_mask[rows], logits[rows, :known]

        def figure(own: numpy.ndarray) -> Any:
            given = numpy.zeros(true.shape, dtype=bool)
            given[:, :known] = own
            return f_scores(given & mask, true)[counted].mean()

        found = figure(expit(said) >= thresholds)
        if refit:
            setting, places = stored.cfg["threshold"], numpy.flatnonzero(rows)
            own = held_out_score(said, true[:, :known], mask[:, :known], setting, places, len(logits), figure)
            found = found if own is None else max(found, own)
        return float(found)

    return score


def _annotation(stored: StoredAnnotation) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """RETURNS (Tuple[ndarray, ndarray]): Which labels are true of each document, and of which that is known, (D, labels) bool."""
    cats = [eg.reference.cats for eg in stored.examples]
    true = [[own.get(label, 0) > 0 for label in stored.all_labels] for own in cats]
    known = [[label in own for label in stored.all_labels] for own in cats]
    return numpy.array(true, dtype=bool), numpy.array(known, dtype=bool)


def _counted(stored: StoredAnnotation) -> numpy.ndarray:
    """The columns of the labels that count in a mean."""
    return numpy.array([stored.all_labels.index(label) for label in stored.counted], dtype=int)
