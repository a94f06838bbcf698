"""The main figure of labels of documents, of simulated answers."""

from typing import Optional

import numpy
from scipy.stats import rankdata

from ...engine.replay import ReplayResult, Score
from ..replay_score import StoredAnnotation


def label_score(stored: StoredAnnotation, *, exclusive: bool, always_answers: bool) -> Score:
    """Make what finds the F-score of the positive label if there is one, macro F of exclusive labels, macro AUC of others.

    stored (StoredAnnotation): The documents.
    exclusive (bool): Whether one label is true.
    always_answers (bool): Whether documents that never run have an answer, which is the first of exclusive labels.
    RETURNS (Score): The figure.
    """
    labels, every, n_docs = stored.labels, stored.all_labels, len(stored.examples)
    targets, label_mask = (numpy.zeros((n_docs, len(every)), dtype="float32") for _ in range(2))
    for doc, eg in enumerate(stored.examples):
        cats = eg.reference.cats
        for column, label in enumerate(every):
            targets[doc, column] = cats.get(label, 0) > 0
            label_mask[doc, column] = label in cats
    known = label_mask.any(axis=1)
    probabilities = numpy.zeros_like(targets)  # labels that are not known have none
    counted = [every.index(label) for label in stored.counted]
    gold = targets.argmax(axis=1)
    gold[~targets.any(axis=1)] = len(every)  # none of them, so that every answer is wrong

    def of_exclusive(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        # Of a document that never runs the first label is the answer, or a wrong one stands for none.
        answers = numpy.zeros(n_docs, dtype=int) if always_answers else (targets > 0).argmin(axis=1)
        answers[stored.docs] = simulation.logits.argmax(axis=1)
        counts = numpy.zeros((len(every) + 1, len(every)))
        rows = known if docs is None else known & docs
        numpy.add.at(counts, (gold[rows], answers[rows]), 1)
        hits = counts.diagonal()
        scores = 2 * hits / numpy.maximum(counts.sum(axis=0) + counts[:-1].sum(axis=1), 1)
        positive = stored.cfg.get("positive_label")
        return float(scores[counted].mean() if positive is None else scores[labels.index(positive)])

    def of_others(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        probabilities[stored.docs, : len(labels)] = simulation.probabilities
        total = 0.0
        for column in counted:
            rows = label_mask[:, column] > 0 if docs is None else (label_mask[:, column] > 0) & docs
            true = targets[rows, column] > 0
            if true.any() and not true.all():
                ranks = rankdata(probabilities[rows, column])
                total += (ranks[true].sum() / true.sum() - (true.sum() + 1) / 2) / (~true).sum()
        return total / len(counted)

    return of_exclusive if exclusive else of_others
