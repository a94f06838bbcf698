"""A linear model over the n-grams of a whole document: what can be said before the first layer."""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Sequence, Tuple

import numpy
from scipy.sparse import csr_matrix
from scipy.special import logit
from spacy.tokens import Doc

from ..inputs.ngrams import Counted, NGrams, count_ngrams

STRENGTH = 10.0
"""How little the weights are held back (the inverse of the penalty, `C` of scikit-learn)."""

FOLDS = 5
"""In how many parts documents are put, each of which is answered by a model of the others."""


@dataclass(frozen=True)
class LexicalModel:
    """Logits of documents by their n-grams.

    ngrams (NGrams): The n-grams that it knows.
    weights (ndarray): What each adds to each logit, (V, K) float32.
    bias (ndarray): What a document without any has, (K,) float32.
    """

    ngrams: NGrams
    weights: numpy.ndarray
    bias: numpy.ndarray

    def __call__(self, docs: Sequence[Doc]) -> numpy.ndarray:
        """RETURNS (ndarray): The logits of some Docs, (N, K) float32."""
        return self.logits([count_ngrams(doc) for doc in docs])

    def logits(self, counted: Sequence[Counted]) -> numpy.ndarray:
        """RETURNS (ndarray): The logits of documents of which the n-grams are counted, (N, K) float32."""
        return numpy.asarray(self.ngrams.rows(counted) @ self.weights + self.bias, dtype="float32")

    def to_message(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): Plain values to save: numbers alone, none of the words. Weights in half precision."""
        shape = list(self.weights.shape)
        return {
            "keys": self.ngrams.keys.astype("<u8").tobytes(),
            "rarity": self.ngrams.weights.astype("<f2").tobytes(),
            "weights": self.weights.astype("<f2").tobytes(),
            "bias": self.bias.astype("<f4").tobytes(),
            "shape": shape,
        }

    @classmethod
    def from_message(cls, message: Dict[str, Any]) -> "LexicalModel":
        """RETURNS (LexicalModel): What was saved."""
        keys = numpy.frombuffer(message["keys"], dtype="<u8").astype("uint64")
        rarity = numpy.frombuffer(message["rarity"], dtype="<f2").astype("float32")
        weights = numpy.frombuffer(message["weights"], dtype="<f2").astype("float32").reshape(message["shape"])
        bias = numpy.frombuffer(message["bias"], dtype="<f4").astype("float32")
        if not len(keys) == len(rarity) == len(weights) or weights.shape[1] != len(bias):
            raise ValueError("The lexical model does not fit together.")
        return cls(NGrams(keys, rarity), weights, bias)


def fit_lexical(
    counted: Sequence[Counted],
    targets: numpy.ndarray,
    label_mask: numpy.ndarray,
    *,
    exclusive: bool,
    most: int = 50_000,
    balanced: bool = True,
) -> LexicalModel:
    """Learn logits by logistic regression.

    counted (Sequence[Counted]): The n-grams of documents.
    targets (ndarray): 1 for true labels, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    exclusive (bool): Whether one label of a document is true, or each by itself.
    most (int): The most n-grams.
    balanced (bool): Whether rare labels count as much as frequent ones.
    RETURNS (LexicalModel): The model, in the precision in which it is saved.
    """
    ngrams = NGrams.of(counted, most)
    rows = ngrams.rows(counted)
    labels = targets.shape[1]
    if exclusive:
        known = (label_mask > 0).any(axis=1) & (targets > 0).any(axis=1)
        weights, bias = _regress(rows[known], targets[known].argmax(axis=1), labels, balanced)
    else:
        columns = [
            _regress(rows[label_mask[:, k] > 0], targets[label_mask[:, k] > 0, k].astype(int), 1, balanced) for k in range(labels)
        ]
        weights, bias = (numpy.concatenate(parts, axis=-1) for parts in zip(*columns))
    return LexicalModel.from_message(LexicalModel(ngrams, weights, bias).to_message())


def out_of_fold(
    counted: Sequence[Counted], targets: numpy.ndarray, label_mask: numpy.ndarray, *, seed: int = 0, **settings: Any
) -> numpy.ndarray:
    """Logits of documents by models that have not learned from them, as new documents will have them.

    counted (Sequence[Counted]): The n-grams of documents.
    targets (ndarray): 1 for true labels, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    seed (int): Of the parts.
    settings: Those of `fit_lexical`.
    RETURNS (ndarray): The logits, (N, K) float32.
    """
    found = numpy.zeros(targets.shape, dtype="float32")
    for rest, part in _folds(len(counted), seed):
        model = fit_lexical([counted[i] for i in rest], targets[rest], label_mask[rest], **settings)
        found[part] = model.logits([counted[i] for i in part])
    return found


def _folds(count: int, seed: int) -> Iterator[Tuple[numpy.ndarray, numpy.ndarray]]:
    order = numpy.random.default_rng(seed).permutation(count)
    for part in numpy.array_split(order, min(FOLDS, count)):
        yield numpy.setdiff1d(order, part), part


def _regress(rows: csr_matrix, classes: numpy.ndarray, outputs: int, balanced: bool) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Weights (V, outputs) and bias (outputs,) for classes from 0 on; with one output, for 1 against 0."""
    from sklearn.linear_model import LogisticRegression

    there = numpy.unique(classes)
    every = max(outputs, 2)
    # As if each class had half a document more: what a class without any can be.
    prior = (numpy.bincount(classes, minlength=every) + 0.5) / (len(classes) + every / 2)
    weights, bias = numpy.zeros((rows.shape[1], every), dtype="float32"), logit(prior).astype("float32")
    if len(there) > 1 and rows.shape[1]:
        weight = "balanced" if balanced else None
        found = LogisticRegression(C=STRENGTH, class_weight=weight, max_iter=300, solver="lbfgs").fit(rows, classes)
        if len(there) == 2:  # scikit-learn has one row of weights then
            weights[:, there], bias[there] = found.coef_.T * [-0.5, 0.5], found.intercept_[0] * numpy.array([-0.5, 0.5])
        else:
            weights[:, there], bias[there] = found.coef_.T, found.intercept_
    if outputs == 1:
        return weights[:, 1:] - weights[:, :1], bias[1:] - bias[:1]
    return weights, bias
