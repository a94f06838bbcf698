"""Temperatures that make the probabilities of exits mean what they say, and figures of how well they do."""

import math
from typing import Any, Dict, List, Literal, Optional, Sequence, Tuple

import numpy
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import roc_auc_score

from .evidence import Evidence, Reduction
from .scaling import Threshold, pivot, scale

COLDEST, HOTTEST = 0.01, 100.0
"""The range of temperatures."""


def fit_temperatures(
    logits: numpy.ndarray,
    targets: numpy.ndarray,
    label_mask: numpy.ndarray,
    *,
    exclusive: bool,
    group: Optional[int] = None,
    threshold: Threshold = 0.5,
) -> numpy.ndarray:
    """Fit a temperature for each exit: the one that gives the truth the largest likelihood (Guo et al. 2017, "On Calibration
    of Modern Neural Networks", section 4.2; one for each exit as in Schwartz et al. 2020, "The Right Tool for the Job").

    Dividing by it changes no order of logits, so the best label stays the best one. A label that is not exclusive stays on its
    side of the threshold (see `evidence.scale`). Fit it on documents that were not trained on.

    logits (ndarray): The logits of all exits, (E, N, K).
    targets (ndarray): 1 for the labels that are true, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    exclusive (bool): One label of K is true, or any number.
    group (Optional[int]): One label of each so many in a row is true. None if that is not so.
    threshold (Union[float, ndarray]): The probability from which a label counts as given, or one for each label (K,), if not
        exclusive.
    RETURNS (ndarray): The temperatures, from 0.01 to 100, (E,). 1 where nothing can be fitted: nothing is known, or all
        answers are right, so that the likelihood grows on to a temperature of 0.
    """
    size = _size(logits.shape[2], exclusive, group)
    # As the choices: of each label that is known.
    around = numpy.broadcast_to(pivot(threshold), label_mask.shape)[_known(targets, label_mask, size)] if size is None else 0.0
    return numpy.array([_fit(*_choices(exit, targets, label_mask, size), around) for exit in logits])


def negative_log_likelihood(
    choices: numpy.ndarray, right: numpy.ndarray, temperature: float = 1.0, around: Threshold = 0.0
) -> float:
    """The mean negative log-likelihood of choices.

    choices (ndarray): The logits of what there is to choose from, (M, C).
    right (ndarray): The index of the right one, (M,).
    temperature (float): What the logits are divided by.
    around (Union[float, ndarray]): Around which value those of the second choice are, which is "yes" where it is not 0, or one
        for each (M,).
    RETURNS (float): In nats; NaN without choices.
    """
    if not len(choices):
        return math.nan
    if numpy.any(around):
        choices = numpy.column_stack((choices[:, 0], around * temperature + choices[:, 1] - around))
    return float(_surprise(choices / temperature, right).mean())


def total_loss(
    logits: numpy.ndarray, wanted: numpy.ndarray, known: numpy.ndarray, exclusive: bool
) -> Tuple[float, numpy.ndarray]:
    """The negative log-likelihood of labels, to be made small.

    logits (ndarray): The logits, (N, K).
    wanted (ndarray): How true labels are, from 0 to 1, (N, K).
    known (ndarray): Where that is known, (N, K) bool.
    exclusive (bool): One label of K is true, or any number.
    RETURNS (Tuple[float, ndarray]): Its sum, in nats, and the gradient by logits, (N, K).
    """
    if exclusive:
        losses, said = -wanted * log_softmax(logits, axis=1), softmax(logits, axis=1)
    else:
        losses, said = numpy.logaddexp(0, logits) - wanted * logits, expit(logits)
    return float(losses[known].sum()), numpy.where(known, said - wanted, 0)


def item_losses(
    logits: numpy.ndarray,
    targets: numpy.ndarray,
    label_mask: numpy.ndarray,
    temperatures: Sequence[float],
    *,
    exclusive: bool,
    group: Optional[int] = None,
    threshold: Threshold = 0.5,
) -> numpy.ndarray:
    """The negative log-likelihood of each item at each exit, summed over its choices.

    logits (ndarray): The logits of all exits, (E, N, K).
    targets (ndarray): 1 for the labels that are true, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    temperatures (Sequence[float]): What the logits of each exit are divided by, (E,).
    exclusive (bool): One label of K is true, or any number.
    group (Optional[int]): One label of each so many in a row is true. None if that is not so.
    threshold (Union[float, ndarray]): The probability from which a label counts as given, or one for each label (K,), if not
        exclusive.
    RETURNS (ndarray): The losses in nats, 0 where nothing is known, (E, N).
    """
    size = _size(logits.shape[2], exclusive, group)
    items = numpy.nonzero(_known(targets, label_mask, size))[0]
    losses = numpy.zeros(logits.shape[:2])
    for exit, (of_exit, temperature) in enumerate(zip(logits, temperatures)):
        scaled = scale(of_exit, temperature, exclusive=size is not None, threshold=threshold)
        choices, right = _choices(scaled, targets, label_mask, size)
        losses[exit] = numpy.bincount(items, _surprise(choices, right), minlength=logits.shape[1])
    return losses


def expected_calibration_error(
    probabilities: numpy.ndarray, hits: numpy.ndarray, bins: int = 15, binning: Literal["mass", "width"] = "mass"
) -> float:
    """How far probabilities are from how often they are right: the mean over bins of |mean probability - share of hits|,
    weighted by their sizes (Guo et al. 2017, section 2, with bins of equal width).

    probabilities (ndarray): What was said, (M,).
    hits (ndarray): Whether it was so, (M,) bool.
    bins (int): How many bins.
    binning (str): "mass" for bins with equally many probabilities (Nixon et al. 2019, "Measuring Calibration in Deep
        Learning"), as most of a good classifier's are near 1; equal ones are never put apart, so there may be fewer bins.
        "width" for bins of equal width.
    RETURNS (float): The error, from 0 to 1; NaN without probabilities.
    """
    if not len(probabilities):
        return math.nan
    shares = numpy.linspace(0, 1, bins + 1)
    edges = numpy.quantile(probabilities, shares, method="inverted_cdf") if binning == "mass" else shares
    gaps = numpy.bincount(numpy.searchsorted(edges[1:-1], probabilities), probabilities - hits)
    return float(numpy.abs(gaps).sum() / len(probabilities))


def confidences_and_hits(
    logits: numpy.ndarray,
    targets: numpy.ndarray,
    label_mask: numpy.ndarray,
    temperature: float = 1.0,
    *,
    exclusive: bool,
    group: Optional[int] = None,
    threshold: Threshold = 0.5,
) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """What an exit says about what is known, and whether it is so.

    logits (ndarray): The logits of one exit, (N, K).
    targets (ndarray): 1 for the labels that are true, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    temperature (float): What the logits are divided by.
    exclusive (bool): One label of K is true, or any number.
    group (Optional[int]): One label of each so many in a row is true. None if that is not so.
    threshold (Union[float, ndarray]): The probability from which a label counts as given, or one for each label (K,), if not
        exclusive.
    RETURNS (Tuple[ndarray, ndarray]): The probability of the best label, or of each label if they are not exclusive (M,), and
        whether it is true (M,) bool.
    """
    size = _size(logits.shape[1], exclusive, group)
    scaled = scale(logits, temperature, exclusive=size is not None, threshold=threshold)
    choices, truth = _choices(scaled, targets, label_mask, size)
    p = softmax(choices, axis=1)
    return (p[:, 1], truth == 1) if size is None else (p.max(axis=1), p.argmax(axis=1) == truth)


def reliability(probabilities: numpy.ndarray, hits: numpy.ndarray, bins: int = 10) -> List[Tuple[float, float, int]]:
    """A calibration curve: bins with equally many probabilities, equal ones never put apart.

    probabilities (ndarray): What was said, (M,).
    hits (ndarray): Whether it was so, (M,) bool.
    bins (int): How many bins at most.
    RETURNS (List[Tuple[float, float, int]]): Of each bin the mean probability, the share of hits and the size.
    """
    if not len(probabilities):
        return []
    edges = numpy.quantile(probabilities, numpy.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf")
    places = numpy.searchsorted(edges, probabilities)
    return [
        (float(probabilities[places == place].mean()), float(hits[places == place].mean()), int((places == place).sum()))
        for place in numpy.unique(places)
    ]


def failure_auroc(uncertainty: numpy.ndarray, failed: numpy.ndarray) -> Optional[float]:
    """Whether uncertain answers are those that fail: the chance that a failure is less certain than a success. This follows
    the trade-off of exits more closely than calibration does (Kubaty et al. 2025, arXiv 2508.21495).

    uncertainty (ndarray): How uncertain each answer is, (N,).
    failed (ndarray): Which are not the right ones, or not those of the full depth, (N,) bool.
    RETURNS (Optional[float]): The area under the ROC curve; None if all or none fail.
    """
    failed = numpy.asarray(failed, dtype=bool)
    return None if failed.all() or not failed.any() else float(roc_auc_score(failed, uncertainty))


def calibration_report(
    logits: numpy.ndarray,
    targets: numpy.ndarray,
    label_mask: numpy.ndarray,
    temperatures: Sequence[float],
    *,
    exclusive: bool,
    group: Optional[int] = None,
    threshold: Threshold = 0.5,
    reduce: Reduction = "mean",
    bins: int = 15,
) -> List[Dict[str, Any]]:
    """What temperatures do to each exit. Optimistic on the documents that they were fitted on.

    logits (ndarray): The logits of all exits, (E, N, K).
    targets (ndarray): 1 for the labels that are true, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    temperatures (Sequence[float]): What the logits of each exit are divided by, E of them.
    exclusive (bool): One label of K is true, or any number.
    group (Optional[int]): One label of each so many in a row is true. None if that is not so.
    threshold (Union[float, ndarray]): The probability from which a label counts as given, or one for each label (K,), if not
        exclusive.
    reduce (str): How the labels' uncertainties are joined, if not exclusive: "mean" or "max".
    bins (int): How many bins the calibration error has.
    RETURNS (List[Dict[str, Any]]): For each exit its `temperature`, and as pairs of before and after: `nll`, `ece`,
        `failure_auroc` (answers that the annotation says are wrong) and `depth_auroc` (answers that are not those of the last
        exit). The calibration error is that of the best label's probability, or of each label's if they are not exclusive.
    RAISES ValueError: There is not one temperature for each exit.
    """
    if len(temperatures) != len(logits):
        raise ValueError(f"There are {len(temperatures)} temperatures for {len(logits)} exits; give one for each exit.")
    size = _size(logits.shape[2], exclusive, group)

    def answers(exit: numpy.ndarray) -> numpy.ndarray:
        return expit(exit) >= threshold if size is None else _best(exit, size)

    right = numpy.asarray(targets) > 0 if size is None else _best(targets, size)
    known = _known(targets, label_mask, size)
    annotated = known.any(axis=1)
    report = []
    for exit, temperature in zip(logits, temperatures):
        wrong = ((answers(exit) != right) & known).any(axis=1)
        moved = (answers(exit) != answers(logits[-1])).any(axis=1)
        figures: Dict[str, Any] = {"nll": [], "ece": [], "failure_auroc": [], "depth_auroc": []}
        for heat in (1.0, temperature):
            scaled = scale(exit, heat, exclusive=size is not None, threshold=threshold)
            figures["nll"].append(negative_log_likelihood(*_choices(scaled, targets, label_mask, size)))
            said, hits = confidences_and_hits(scaled, targets, label_mask, exclusive=exclusive, group=group)
            figures["ece"].append(expected_calibration_error(said, hits, bins))
            uncertainty = _uncertainty(scaled, size, reduce)
            figures["failure_auroc"].append(failure_auroc(uncertainty[annotated], wrong[annotated]))
            figures["depth_auroc"].append(failure_auroc(uncertainty, moved))
        report.append({"temperature": float(temperature), **figures})
    return report


def _surprise(choices: numpy.ndarray, right: numpy.ndarray) -> numpy.ndarray:
    """The negative log-likelihood of each choice, (M,)."""
    return -log_softmax(choices, axis=1)[numpy.arange(len(right)), right]


def _fit(choices: numpy.ndarray, right: numpy.ndarray, around: Threshold = 0.0) -> float:
    sides = choices
    if numpy.any(around):
        sides = numpy.column_stack((choices[:, 0], choices[:, 1] - around))
    if not len(choices) or (sides[numpy.arange(len(right)), right] >= sides.max(axis=1)).all():
        return 1.0
    # The likelihood is concave in 1 / temperature, so it has one peak on any scale.
    found = minimize_scalar(
        lambda log: negative_log_likelihood(choices, right, math.exp(log), around),
        bounds=(math.log(COLDEST), math.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return math.exp(found.x) if found.fun < negative_log_likelihood(choices, right) else 1.0


def _size(labels: int, exclusive: bool, group: Optional[int]) -> Optional[int]:
    """How many logits in a row one is chosen from; None if each stands for itself."""
    return group or (labels if exclusive else None)


def _known(targets: numpy.ndarray, label_mask: numpy.ndarray, size: Optional[int]) -> numpy.ndarray:
    """Which choices are known, (N, choices) bool."""
    targets, label_mask = numpy.asarray(targets) > 0, numpy.asarray(label_mask) > 0
    if size is None:
        return label_mask
    shape = (len(targets), targets.shape[1] // size, size)
    return numpy.any(label_mask.reshape(shape), axis=2) & numpy.any(targets.reshape(shape), axis=2)


def _choices(
    logits: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray, size: Optional[int]
) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """What is known, as logits of choices (M, C) and the index of the right ones (M,). A label that is not exclusive is a
    choice between no and yes, with 0 as the logit of no."""
    known = _known(targets, label_mask, size)
    if size is None:
        yes = numpy.asarray(logits, dtype="float64")[known]
        return numpy.column_stack((numpy.zeros_like(yes), yes)), numpy.asarray(targets)[known].astype(int)
    rows = known.ravel()
    return numpy.reshape(logits, (-1, size))[rows].astype("float64"), numpy.reshape(targets, (-1, size))[rows].argmax(axis=1)


def _best(values: numpy.ndarray, size: int) -> numpy.ndarray:
    """The index of the largest in each choice, (N, choices)."""
    return numpy.reshape(values, (len(values), values.shape[1] // size, size)).argmax(axis=2)


def _uncertainty(logits: numpy.ndarray, size: Optional[int], reduce: Reduction) -> numpy.ndarray:
    """The normalised entropy of each row: of several choices the mean, (N,)."""
    rows = logits if size is None else logits.reshape(-1, size)
    evidence = Evidence(rows, layer=0, units=numpy.arange(len(rows)), exclusive=size is not None, reduce=reduce)
    return evidence.entropy if size is None else evidence.entropy.reshape(len(logits), logits.shape[1] // size).mean(axis=1)
