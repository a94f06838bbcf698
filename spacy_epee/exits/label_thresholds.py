"""A threshold for each label that is not exclusive, fitted to annotated documents."""

from typing import Any, Callable, Tuple

import numpy
from scipy.special import expit, logit

FEWEST = 5
"""Of how many items a label must be true, and of how many false, to be fitted to."""

PRIOR = 60.0
"""As much as so many positives a label's threshold is drawn to the one that suits all labels best. On documents that were not
fitted to, ten labels with 10 to 40 positives each, thresholds of their own alone lose two to three points of macro F."""

SPLITS = 5
"""How often documents are put in two halves, to try thresholds on the half that they were not fitted to."""

LARGEST = 10.0
"""The largest logit of a threshold, and the least below 0. Probabilities beyond are hardly told apart when they are written."""


def fit_label_thresholds(
    logits: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray, threshold: float = 0.5
) -> numpy.ndarray:
    """Fit thresholds that give a large macro F: first one for all labels, then that of each, which is drawn to the common one the
    more, the fewer positives it has. Fit them on documents that were not trained on.

    logits (ndarray): The logits of one exit, (N, K); -infinity for what no threshold gives.
    targets (ndarray): 1 for the labels that are true, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    threshold (float): The threshold that there is, a probability.
    RETURNS (ndarray): The thresholds, as probabilities, (K,). The common one for labels with too few examples to be fitted
        to, and that which there is if all are such.
    """
    logits, true, known = _checked(logits, targets, label_mask)
    positives = (true & known).sum(axis=0)
    enough = (positives >= FEWEST) & ((~true & known).sum(axis=0) >= FEWEST)
    if not enough.any():
        return numpy.full(logits.shape[1], float(threshold))
    common = _common(logits[:, enough], true[:, enough], known[:, enough], threshold)
    fitted = numpy.full(logits.shape[1], common)
    for label in numpy.flatnonzero(enough):
        rows = known[:, label]
        own = _largest_f(logits[rows, label], true[rows, label])
        weight = positives[label] / (positives[label] + PRIOR)
        fitted[label] = weight * own + (1 - weight) * common
    return expit(numpy.clip(fitted, -LARGEST, LARGEST))


def can_fit(targets: numpy.ndarray, label_mask: numpy.ndarray) -> bool:
    """RETURNS (bool): Whether any label has enough examples to be fitted to."""
    true, known = numpy.asarray(targets) > 0, numpy.asarray(label_mask) > 0
    return bool((((true & known).sum(axis=0) >= FEWEST) & ((~true & known).sum(axis=0) >= FEWEST)).any())


def held_out_score(
    logits: numpy.ndarray,
    targets: numpy.ndarray,
    label_mask: numpy.ndarray,
    threshold: float,
    docs: numpy.ndarray,
    n_docs: int,
    score: Callable[[numpy.ndarray], Any],
    seed: int = 0,
) -> Any:
    """Find what fitted thresholds are worth where they were not fitted: each of two halves of the documents is answered by those
    of the other one. Of one split that is chance where precision and recall weigh each other up, so it is the mean of several.

    logits (ndarray): The logits of one exit, (N, K); -infinity for what no threshold gives.
    targets (ndarray): 1 for the labels that are true, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    threshold (float): The threshold that there is, a probability.
    docs (ndarray): The document of each item, (N,).
    n_docs (int): The number of documents.
    score (Callable[[ndarray], Any]): One figure of the labels that are given, (N, K) bool, or several.
    seed (int): The seed of the first split.
    RETURNS (Any): The mean of each figure over the splits whose halves have enough examples to fit to; None without any.
    """
    figures = []
    for number in range(seed, seed + SPLITS):
        one = one_half(n_docs, number)[docs]
        if all(can_fit(targets[half], label_mask[half]) for half in (one, ~one)):
            given = numpy.zeros(logits.shape, dtype=bool)
            for fitted, tried in ((one, ~one), (~one, one)):
                own = fit_label_thresholds(logits[fitted], targets[fitted], label_mask[fitted], threshold)
                given[tried] = expit(logits[tried]) >= own
            figures.append(score(given))
    return numpy.mean(figures, axis=0) if figures else None


def one_half(n_docs: int, seed: int = 0) -> numpy.ndarray:
    """RETURNS (ndarray): The documents of one of two halves; each is tried with what is fitted to the other, (D,) bool."""
    return numpy.random.default_rng(seed).permutation(n_docs) % 2 == 0


def macro_f(logits: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray, thresholds: numpy.ndarray) -> float:
    """RETURNS (float): The mean F1 over labels of the logits of one exit, (N, K), at thresholds, (K,) or one for all."""
    logits, true, known = _checked(logits, targets, label_mask)
    return float(f_scores((expit(logits) >= thresholds) & known, true & known).mean())


def _checked(
    logits: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray
) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    return numpy.asarray(logits, dtype="float64"), numpy.asarray(targets) > 0, numpy.asarray(label_mask) > 0


def f_scores(given: numpy.ndarray, true: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): The F1 of each label, by what is given and what is true, (N, K) bool; 0 without either, (K,)."""
    return 2 * (given & true).sum(axis=0) / numpy.maximum(given.sum(axis=0) + true.sum(axis=0), 1)


def _common(logits: numpy.ndarray, true: numpy.ndarray, known: numpy.ndarray, threshold: float) -> float:
    """The logit of the threshold that suits all labels best: of equals the one that is there, or the lowest."""
    now = [float(logit(threshold))] if 0 < threshold < 1 else []
    tried = numpy.array([*now, *numpy.quantile(logits[known & numpy.isfinite(logits)], numpy.linspace(0.5, 0.99, 60))])
    return float(tried[int(numpy.argmax([f_scores((logits >= value) & known, true & known).mean() for value in tried]))])


def _largest_f(logits: numpy.ndarray, true: numpy.ndarray) -> float:
    """The logit of the threshold that gives a label its largest F1: half-way between those that it parts."""
    wanted, finite = true.sum(), numpy.isfinite(logits)
    logits, true = logits[finite], true[finite]
    order = numpy.argsort(-logits, kind="stable")
    values = numpy.append(logits[order], logits[order[-1]])  # to give all is to give from the smallest on
    scores = 2 * numpy.cumsum(true[order]) / (numpy.arange(1, len(logits) + 1) + wanted)
    scores[:-1][values[:-2] == values[1:-1]] = 0.0  # equal ones are not parted
    best = int(scores.argmax())
    return float((values[best] + values[best + 1]) / 2)
