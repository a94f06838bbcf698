"""Learning the linear model over n-grams, in seconds, before the network is trained."""

from itertools import islice
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import numpy
from scipy.sparse import csr_matrix
from scipy.special import log_softmax

STRENGTHS = (10.0, 3.0, 1.0)
"""How little weights are held back (the inverse of the penalty, `C` of scikit-learn). The first where nothing else is known."""

FOLDS, FOLDS_OF_MANY = 5, 2
"""In how many parts documents are put, each of which is answered by a model of the others. Of many documents half are enough to
learn from, and all parts together take as long as the model of all documents."""

MANY = 20_000
"""How many documents are many."""

Linear = Tuple[numpy.ndarray, numpy.ndarray]
"""Weights (V, K) and biases (K,), float32."""


def learn_linear(
    rows: csr_matrix, targets: numpy.ndarray, label_mask: numpy.ndarray, texts: Sequence[Any], *, exclusive: bool
) -> Tuple[Linear, numpy.ndarray]:
    """Learn logits, with the strength that is best on what is held out.

    rows (csr_matrix): The n-grams of documents, (N, V).
    targets (ndarray): 1 for true labels, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    texts (Sequence[Any]): What is the same for those that are held out together, as texts that are there more than once.
    exclusive (bool): Whether one label of a document is true, or each by itself.
    RETURNS (Tuple[Tuple[ndarray, ndarray], ndarray]): The weights and biases, and logits of models that have not learned from a
        document, as new ones will have them, (N, K) float32.
    """
    known = targets, label_mask
    strengths = choose_strengths(rows, *known, texts, exclusive=exclusive)
    linear = fit_linear(rows, *known, exclusive=exclusive, strengths=strengths)
    return linear, held_out_logits(rows, *known, texts, exclusive=exclusive, strengths=strengths)


def choose_strengths(
    rows: csr_matrix, targets: numpy.ndarray, label_mask: numpy.ndarray, texts: Sequence[Any], *, exclusive: bool
) -> numpy.ndarray:
    """Find out how little weights are to be held back, on one of the parts that documents are put in.

    rows, targets, label_mask, texts, exclusive: As for `learn_linear`.
    RETURNS (ndarray): One of `STRENGTHS` for each label, (K,); the same for all if they are exclusive.
    """
    labels = targets.shape[1]
    best = numpy.zeros(labels, dtype="int64")
    for rest, part in islice(_folds(texts, 0), 1):
        losses = []
        for strength in STRENGTHS:
            own = numpy.full(labels, strength)
            weights, bias = fit_linear(rows[rest], targets[rest], label_mask[rest], exclusive=exclusive, strengths=own)
            losses.append(_balanced_losses(rows[part] @ weights + bias, targets[part], label_mask[part], exclusive))
        best = numpy.argmin(losses, axis=0)
    return numpy.array(STRENGTHS)[best]


def fit_linear(
    rows: csr_matrix,
    targets: numpy.ndarray,
    label_mask: numpy.ndarray,
    *,
    exclusive: bool,
    strengths: Optional[numpy.ndarray] = None,
) -> Linear:
    """Learn logits by logistic regression. Rare labels count as much as frequent ones.

    rows (csr_matrix): The n-grams of documents, (N, V).
    targets (ndarray): 1 for true labels, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    exclusive (bool): Whether one label of a document is true, or each by itself.
    strengths (Optional[ndarray]): How little the weights of each label are held back, (K,); those of exclusive labels alike. None
        for the first of `STRENGTHS`.
    RETURNS (Tuple[ndarray, ndarray]): The weights, in the precision in which they are saved, and the biases.
    """
    labels = targets.shape[1]
    strengths = numpy.full(labels, STRENGTHS[0]) if strengths is None else strengths
    if exclusive:
        known = _with_class(targets, label_mask)
        weights, bias = _regress(rows[known], targets[known].argmax(axis=1), labels, strengths[0])
    else:
        masks = [label_mask[:, label] > 0 for label in range(labels)]
        columns = [
            _regress(rows[mask], targets[mask, label].astype(int), 1, strengths[label]) for label, mask in enumerate(masks)
        ]
        weights, bias = (numpy.concatenate(parts, axis=-1) for parts in zip(*columns))
    return weights.astype("float16").astype("float32"), bias


def held_out_logits(
    rows: csr_matrix, targets: numpy.ndarray, label_mask: numpy.ndarray, texts: Sequence[Any], *, seed: int = 0, **settings: Any
) -> numpy.ndarray:
    """Logits of documents by models that have not learned from them.

    rows (csr_matrix): The n-grams of documents, (N, V).
    targets (ndarray): 1 for true labels, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    texts (Sequence[Any]): What is the same for those that are held out together.
    seed (int): Of the parts.
    settings (Any): Those of `fit_linear`.
    RETURNS (ndarray): The logits, (N, K) float32.
    """
    logits = numpy.zeros(targets.shape, dtype="float32")
    for rest, part in _folds(texts, seed):
        weights, bias = fit_linear(rows[rest], targets[rest], label_mask[rest], **settings)
        logits[part] = rows[part] @ weights + bias
    return logits


def _balanced_losses(logits: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray, exclusive: bool) -> numpy.ndarray:
    """RETURNS (ndarray): How improbable is what is true, for each label, (K,), as if all classes were as frequent: weights are
    learned by that, too. Exclusive labels have one sum."""
    if exclusive:
        known = _with_class(targets, label_mask)
        classes = targets[known].argmax(axis=1)
        losses = -log_softmax(logits[known].astype("float64"), axis=1)[numpy.arange(len(classes)), classes]
        return numpy.full(targets.shape[1], _mean_of_classes(losses, classes))
    losses = numpy.logaddexp(0, numpy.where(targets > 0, -logits, logits).astype("float64"))
    masks = label_mask > 0
    return numpy.array([_mean_of_classes(losses[mask, n], targets[mask, n] > 0) for n, mask in enumerate(masks.T)])


def _with_class(targets: numpy.ndarray, label_mask: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): The documents of which it is known which of exclusive labels is true, (N,) bool."""
    known: numpy.ndarray = numpy.logical_and((label_mask > 0).any(axis=1), (targets > 0).any(axis=1))
    return known


def _mean_of_classes(losses: numpy.ndarray, classes: numpy.ndarray) -> float:
    _, numbers = numpy.unique(classes, return_inverse=True)
    return float((numpy.bincount(numbers, losses) / numpy.bincount(numbers)).mean()) if len(losses) else 0.0


def _folds(texts: Sequence[Any], seed: int) -> Iterator[Tuple[numpy.ndarray, numpy.ndarray]]:
    numbers: Dict[Any, int] = {}
    groups = numpy.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype="int64")
    parts = FOLDS if len(texts) < MANY else FOLDS_OF_MANY
    fold = numpy.random.default_rng(seed).permutation(len(numbers)) % parts
    for number in range(min(parts, len(numbers))):
        held_out = fold[groups] == number
        yield numpy.flatnonzero(~held_out), numpy.flatnonzero(held_out)


def _regress(rows: csr_matrix, classes: numpy.ndarray, outputs: int, strength: float) -> Linear:
    """Weights (V, outputs) and bias (outputs,) for classes from 0 on; with one output, for 1 against 0."""
    from sklearn.linear_model import LogisticRegression

    there = numpy.unique(classes)
    every = max(outputs, 2)
    # As if each class had half a document more: what a class without any can be.
    prior = (numpy.bincount(classes, minlength=every) + 0.5) / (len(classes) + every / 2)
    weights, bias = numpy.zeros((rows.shape[1], every), dtype="float32"), numpy.log(prior).astype("float32")
    if len(there) > 1 and rows.shape[1]:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=300).fit(rows, classes)
        if len(there) == 2:  # scikit-learn has one row of weights then
            weights[:, there], bias[there] = model.coef_.T * [-0.5, 0.5], model.intercept_[0] * numpy.array([-0.5, 0.5])
        else:
            weights[:, there], bias[there] = model.coef_.T, model.intercept_
    if outputs == 1:
        return weights[:, 1:] - weights[:, :1], bias[1:] - bias[:1]
    return weights, bias
