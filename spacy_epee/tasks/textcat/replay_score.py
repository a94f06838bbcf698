"""The main figure of labels of documents, of simulated answers."""

from typing import TYPE_CHECKING, Optional

import numpy
from scipy.stats import rankdata

from ...engine.replay import ReplayResult, Score

if TYPE_CHECKING:
    from ...evaluation.stored_outputs import StoredOutputs


def label_score(stored: "StoredOutputs") -> Score:
    """For the labels of documents: the F-score of the positive label if there is one, macro F of exclusive labels, macro AUC of
    others."""
    labels, cfg = stored.labels, stored.slot.cfg
    every = [*labels, *stored.unknown.labels]
    truths, given = (numpy.zeros((stored.n_docs, len(every)), dtype="float32") for _ in range(2))
    for doc, eg in enumerate(stored.examples):
        cats = eg.reference.cats
        for column, label in enumerate(every):
            truths[doc, column] = cats.get(label, 0) > 0
            given[doc, column] = label in cats
    known = given.any(axis=1)
    probabilities = numpy.zeros_like(truths)  # labels that are not known have none
    counted = [every.index(label) for label in stored.scoring.counted]
    gold = truths.argmax(axis=1)
    gold[~truths.any(axis=1)] = len(every)  # none of them, so that every answer is wrong

    def of_exclusive(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        # Without an image all scores are 0, and no label is right; without a wordpiece the first one is the answer.
        said = (truths > 0).argmin(axis=1) if stored.task.name == "imagecat" else numpy.zeros(stored.n_docs, dtype=int)
        said[stored.docs] = simulation.logits.argmax(axis=1)
        counts = numpy.zeros((len(every) + 1, len(every)))
        rows = known if docs is None else known & docs
        numpy.add.at(counts, (gold[rows], said[rows]), 1)
        hits = counts.diagonal()
        scores = 2 * hits / numpy.maximum(counts.sum(axis=0) + counts[:-1].sum(axis=1), 1)
        positive = cfg.get("positive_label")
        return float(scores[counted].mean() if positive is None else scores[labels.index(positive)])

    def of_others(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        probabilities[stored.docs, : len(labels)] = simulation.probabilities
        total = 0.0
        for column in counted:
            rows = given[:, column] > 0 if docs is None else (given[:, column] > 0) & docs
            true = truths[rows, column] > 0
            if true.any() and not true.all():
                ranks = rankdata(probabilities[rows, column])
                total += (ranks[true].sum() / true.sum() - (true.sum() + 1) / 2) / (~true).sum()
        return total / len(counted)

    return of_exclusive if stored.task.exclusive else of_others
