"""Probabilities that mean what they say. Teachers that were trained with balanced labels find rare ones far too probable, however
well they rank documents."""

from dataclasses import dataclass
from typing import Any, Sequence, Tuple

import numpy
from scipy.optimize import minimize
from scipy.special import expit, softmax

from ..exits.calibration import total_loss
from ..training.lexical import folds

LEAST = 1e-7
"""The smallest probability that is told from 0, or from 1: about what float32 does."""

ENOUGH = 10
"""How many documents with a label, and how many without it, are enough to fit a scale to that label alone."""


@dataclass
class Calibration:
    """Scales and shifts the logits of probabilities (Platt 1999; for exclusive labels the vector scaling of Guo et al. 2017, with
    one scale).

    exclusive (bool): Whether one of the labels is true.
    scale (ndarray): What the logits of labels are multiplied by, none below 0, (K,).
    shift (ndarray): What is added to them then, (K,).
    """

    exclusive: bool
    scale: numpy.ndarray
    shift: numpy.ndarray

    def __call__(self, answers: numpy.ndarray) -> numpy.ndarray:
        """RETURNS (ndarray): What probabilities (N, K) become."""
        logits = self.scale * _to_logits(answers, self.exclusive) + self.shift
        found: numpy.ndarray = softmax(logits, axis=1) if self.exclusive else expit(logits)
        return found


def fit_calibration(answers: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray, exclusive: bool) -> Calibration:
    """Find the calibration with the least log loss. Each label has a shift. Labels share a scale; where they are not exclusive,
    those of which there is enough have their own.

    answers (ndarray): The probabilities of labels, (N, K).
    targets (ndarray): 1 for true labels, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    exclusive (bool): Whether one label of a document is true, or each by itself.
    RETURNS (Calibration): The calibration. It undoes whatever scale and shifts the logits of the answers had before.
    """
    known, logits = label_mask > 0, _to_logits(answers, exclusive)
    docs, labels = known.shape
    counts, positives = known.sum(axis=0), numpy.where(known, targets, 0).sum(axis=0)
    mean = numpy.where(known, logits, 0).sum(axis=0) / counts.clip(1)
    spread = float(numpy.sqrt(numpy.square(logits - mean)[known].mean())) if known.any() else 0.0
    spread = spread if spread > LEAST else 1.0
    logits = (logits - mean) / spread
    wanted = _soften(targets, positives, counts, exclusive)
    own = (numpy.minimum(positives, counts - positives) >= ENOUGH) & (not exclusive)
    scales = numpy.where(own, numpy.arange(1, labels + 1), 0)  # which scale each label has

    def loss(parameters: numpy.ndarray) -> Tuple[float, numpy.ndarray]:
        moved = parameters[scales] * logits + parameters[-labels:]
        value, errors = total_loss(moved, wanted, known, exclusive)
        slopes = numpy.bincount(scales, (errors * logits).sum(axis=0), labels + 1)
        return value / docs, numpy.concatenate([slopes, errors.sum(axis=0)]) / docs

    often = (positives + 0.5) / (counts + 1)
    start = numpy.concatenate([numpy.ones(labels + 1), numpy.log(often) - (0 if exclusive else numpy.log(1 - often))])
    bounds = [(0, None)] * (labels + 1) + [(None, None)] * labels
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-10}).x
    scale, shift = found[scales] / spread, found[-labels:]
    there = counts > 0  # the others stay as they are
    return Calibration(exclusive, numpy.where(there, scale, 1), numpy.where(there, shift - scale * mean, 0))


def hold_out(
    answers: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray, exclusive: bool, texts: Sequence[Any]
) -> numpy.ndarray:
    """Calibrate answers as new documents would have them.

    answers, targets, label_mask, exclusive: As for `fit_calibration`.
    texts (Sequence[Any]): What is the same for documents that are held out together.
    RETURNS (ndarray): The answers, each calibrated by other documents; as they are if there are no others, (N, K).
    """
    found = answers.copy()
    for rest, part in folds(texts, seed=0):
        if len(rest):
            found[part] = fit_calibration(answers[rest], targets[rest], label_mask[rest], exclusive)(answers[part])
    return found


def is_better(found: numpy.ndarray, before: numpy.ndarray, docs: numpy.ndarray) -> bool:
    """Tell whether answers are better than others by more than chance.

    found (ndarray): How probable they find what is true, (C,).
    before (ndarray): How probable the others find it, (C,).
    docs (ndarray): Which document each is of, (C,).
    RETURNS (bool): Whether the mean of what documents gain is above its standard error.
    """
    gains = numpy.bincount(docs, numpy.log(found) - numpy.log(before))
    return bool(gains.mean() > gains.std() / numpy.sqrt(max(len(gains) - 1, 1)))


def _to_logits(answers: numpy.ndarray, exclusive: bool) -> numpy.ndarray:
    """RETURNS (ndarray): The logits of probabilities, (N, K)."""
    if exclusive:
        logits: numpy.ndarray = numpy.log(answers.clip(LEAST))
        return logits - logits.mean(axis=1, keepdims=True)
    within = answers.clip(LEAST, 1 - LEAST)
    return numpy.log(within) - numpy.log1p(-within)


def _soften(targets: numpy.ndarray, positives: numpy.ndarray, counts: numpy.ndarray, exclusive: bool) -> numpy.ndarray:
    """RETURNS (ndarray): Targets not quite 0 and 1 (N, K), the less so the fewer documents there are, so that no logit grows
    without end (Platt 1999)."""
    true, false = (positives + 1) / (positives + 2), 1 / (counts - positives + 2)
    if exclusive:  # what the true one lacks is shared by the others
        false = ((1 - true) * targets).sum(axis=1, keepdims=True) / (targets.shape[1] - 1)
    return numpy.where(targets > 0, true, false)
