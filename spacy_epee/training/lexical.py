"""Learning the linear model over n-grams, in seconds, before the network is trained."""

from typing import Any, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

import numpy
from scipy.sparse import csr_matrix

STRENGTHS = (10.0, 3.0, 1.0)
"""How little weights are held back (the inverse of the penalty, `C` of scikit-learn). The first where nothing else is known."""

FOLDS, FOLDS_OF_MANY = 5, 2
"""In how many parts documents are put, each of which is answered by a model of the others. Of many documents half are enough to
learn from, and all parts together take as long as the model of all documents."""

MANY = 20_000
"""How many documents are many."""

Linear = Tuple[numpy.ndarray, numpy.ndarray]
"""Weights (V, K) and biases (K,), float32."""


class Way(NamedTuple):
    """How weights are learned.

    strengths (ndarray): How little those of each label are held back, (K,).
    weighed (bool): Whether n-grams weigh by how much they tell of the label (Wang and Manning, ACL 2012): that lifts long texts
        by points, and costs some on sentences.
    """

    strengths: numpy.ndarray
    weighed: bool = False


def learn_linear(
    rows: csr_matrix, targets: numpy.ndarray, label_mask: numpy.ndarray, texts: Sequence[Any], *, exclusive: bool
) -> Tuple[Linear, numpy.ndarray]:
    """Learn logits, in the way that is best on what is held out.

    rows (csr_matrix): The n-grams of documents, (N, V).
    targets (ndarray): 1 for true labels, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    texts (Sequence[Any]): What is the same for those that are held out together, as texts that are there more than once.
    exclusive (bool): Whether one label of a document is true, or each by itself.
    RETURNS (Tuple[Tuple[ndarray, ndarray], ndarray]): The weights and biases, and logits of models that have not learned from a
        document, as new ones will have them, (N, K) float32.
    """
    known = targets, label_mask
    way = choose_way(rows, *known, texts, exclusive=exclusive)
    linear = fit_linear(rows, *known, exclusive=exclusive, way=way)
    return linear, held_out_logits(rows, *known, texts, exclusive=exclusive, way=way)


def choose_way(
    rows: csr_matrix, targets: numpy.ndarray, label_mask: numpy.ndarray, texts: Sequence[Any], *, exclusive: bool
) -> Way:
    """Find out how weights are to be learned, on one of the parts that documents are put in: whether n-grams are to be weighed,
    with the strength in the middle, and then with which strength.

    rows, targets, label_mask, texts, exclusive: As for `learn_linear`.
    RETURNS (Way): The way. Labels that are exclusive have the same strength.
    """
    labels = targets.shape[1]
    parts = next(folds(texts, 0), None)
    if parts is None:
        return Way(numpy.full(labels, STRENGTHS[0]))
    rest, part = parts

    def losses(way: Way) -> numpy.ndarray:
        weights, bias = fit_linear(rows[rest], targets[rest], label_mask[rest], exclusive=exclusive, way=way)
        return _balanced_losses(rows[part] @ weights + bias, targets[part], label_mask[part], exclusive)

    ways = [[Way(numpy.full(labels, strength), weighed) for strength in STRENGTHS] for weighed in (False, True)]
    middle = len(STRENGTHS) // 2
    tried = [losses(own[middle]) for own in ways]
    weighed = bool(tried[1].sum() < tried[0].sum())
    found = numpy.array([tried[weighed] if number == middle else losses(way) for number, way in enumerate(ways[weighed])])
    if exclusive:
        found[:] = found.sum(axis=1, keepdims=True)
    return Way(numpy.array(STRENGTHS)[found.argmin(axis=0)], weighed)


def fit_linear(
    rows: csr_matrix, targets: numpy.ndarray, label_mask: numpy.ndarray, *, exclusive: bool, way: Optional[Way] = None
) -> Linear:
    """Learn logits by logistic regression, of each label against all others. Rare labels count as much as frequent ones.

    rows (csr_matrix): The n-grams of documents, (N, V).
    targets (ndarray): 1 for true labels, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    exclusive (bool): Whether one label of a document is true, or each by itself.
    way (Optional[Way]): How; None for the first of `STRENGTHS`, and n-grams as they are.
    RETURNS (Tuple[ndarray, ndarray]): The weights, in the precision in which they are saved, and the biases.
    """
    labels = targets.shape[1]
    strengths, weighed = way or Way(numpy.full(labels, STRENGTHS[0]))
    one = exclusive and labels == 2  # a model of one tells of the other
    with_class = _with_class(targets, label_mask)
    columns = []
    for label in range(1 if one else labels):
        known = with_class if exclusive else label_mask[:, label] > 0
        columns.append(_regress(rows[known], targets[known, label].astype(int), strengths[label], weighed))
    weights, bias = (numpy.stack(parts, axis=-1) for parts in zip(*columns))
    if one:
        weights, bias = weights * [0.5, -0.5], bias * [0.5, -0.5]
    elif exclusive and (there := targets[with_class].any(axis=0)).any():
        # A label that no document has is less likely than the mean of the others, whatever the text.
        weights[:, ~there] = weights[:, there].mean(axis=1, keepdims=True)
        bias[~there] += bias[there].mean()
    return weights.astype("float16").astype("float32"), bias.astype("float32")


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
    for rest, part in folds(texts, seed):
        weights, bias = fit_linear(rows[rest], targets[rest], label_mask[rest], **settings)
        logits[part] = rows[part] @ weights + bias
    return logits


def _balanced_losses(logits: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray, exclusive: bool) -> numpy.ndarray:
    """RETURNS (ndarray): How improbable is what is true, for each label, (K,), as if it were true of half of the documents:
    weights are learned by that, too."""
    logits = logits.astype("float64") * (2 if exclusive and logits.shape[1] == 2 else 1)  # both have a half of one
    losses = numpy.logaddexp(0, numpy.where(targets > 0, -logits, logits))
    masks = numpy.tile(_with_class(targets, label_mask), (targets.shape[1], 1)) if exclusive else (label_mask > 0).T
    return numpy.array([_mean_of_classes(losses[mask, label], targets[mask, label] > 0) for label, mask in enumerate(masks)])


def _with_class(targets: numpy.ndarray, label_mask: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): The documents of which it is known which of exclusive labels is true, (N,) bool."""
    known: numpy.ndarray = numpy.logical_and((label_mask > 0).any(axis=1), (targets > 0).any(axis=1))
    return known


def _mean_of_classes(losses: numpy.ndarray, classes: numpy.ndarray) -> float:
    _, numbers = numpy.unique(classes, return_inverse=True)
    return float((numpy.bincount(numbers, losses) / numpy.bincount(numbers)).mean()) if len(losses) else 0.0


def folds(texts: Sequence[Any], seed: int) -> Iterator[Tuple[numpy.ndarray, numpy.ndarray]]:
    """Put documents in parts, each of which is held out once.

    texts (Sequence[Any]): What is the same for those that are held out together.
    seed (int): Of the parts.
    YIELDS (Tuple[ndarray, ndarray]): The places of the others, and of those that are held out. There are no others if all are
        the same.
    """
    numbers: Dict[Any, int] = {}
    groups = numpy.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype="int64")
    parts = FOLDS if len(texts) < MANY else FOLDS_OF_MANY
    fold = numpy.random.default_rng(seed).permutation(len(numbers)) % parts
    for number in range(min(parts, len(numbers))):
        held_out = fold[groups] == number
        yield numpy.flatnonzero(~held_out), numpy.flatnonzero(held_out)


def _regress(rows: csr_matrix, truth: numpy.ndarray, strength: float, weighed: bool) -> Tuple[numpy.ndarray, float]:
    """RETURNS (Tuple[ndarray, float]): Weights (V,) and bias of the logit of what is true, (N,) of 0 and 1."""
    from sklearn.linear_model import LogisticRegression

    if len(numpy.unique(truth)) < 2 or not rows.shape[1]:
        # As if there were half a document more with the label, and half a one without.
        return numpy.zeros(rows.shape[1], dtype="float32"), float(numpy.log((truth.sum() + 0.5) / ((1 - truth).sum() + 0.5)))
    ratios = _log_ratios(rows, truth) if weighed else numpy.ones(rows.shape[1], dtype="float32")
    rows = csr_matrix((rows.data * ratios[rows.indices], rows.indices, rows.indptr), shape=rows.shape)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=300).fit(rows, truth)
    return model.coef_[0] * ratios, float(model.intercept_[0])


def _log_ratios(rows: csr_matrix, truth: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): How much more often, or more seldom, an n-gram is in documents with the label than in others: the size
    of the logarithm of the ratio of its shares, with one document more of each, (V,) float32."""
    of_true = numpy.repeat(truth, numpy.diff(rows.indptr)) > 0
    shares = [1.0 + numpy.bincount(rows.indices[part], minlength=rows.shape[1]) for part in (of_true, ~of_true)]
    with_label, without = (numpy.log(share / share.sum()) for share in shares)
    return numpy.abs(with_label - without).astype("float32")
