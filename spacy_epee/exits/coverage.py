"""Which answers carry a flag because they are uncertain where no rule has found them settled."""

import math
from typing import Any

import numpy


def flag(entropy: Any, unsettled: Any, threshold: float) -> Any:
    """Flag the answers that no rule has found settled, see `UNSETTLED`, and that are uncertain.

    entropy (Union[float, ndarray]): The normalised entropy of each answer at the exit that it took, (U,), or that of one.
    unsettled (Union[bool, ndarray]): Which of them left unsettled, or from the last exit, (U,) bool, or whether that one did.
    threshold (float): The largest entropy without a flag.
    RETURNS (Union[bool, ndarray]): Which carry the flag, (U,) bool, or whether that one does.
    """
    return unsettled & (entropy > threshold)


def flag_threshold(entropy: numpy.ndarray, unsettled: numpy.ndarray, coverage: float) -> float:
    """Find the threshold at which a stated share of answers is kept without a flag: selective classification (Geifman and
    El-Yaniv 2017), with the quantile of split conformal prediction (Lei et al. 2018, "Distribution-Free Predictive Inference
    for Regression", section 2.2).

    That quantile is the ceil((U + 1) * coverage)-th smallest, one in U + 1 more than the plain one: a new document like these
    is then kept with at least the stated chance, and of these at least the stated share is. Equal entropies are kept
    together, so it may be more. With fewer than coverage / (1 - coverage) answers nothing can be flagged.

    entropy (ndarray): The normalised entropy of each answer at the exit that it took, in [0, 1], (U,).
    unsettled (ndarray): Which of them left unsettled, or from the last exit, (U,) bool.
    coverage (float): The share of answers to be kept, from 0 to 1.
    RETURNS (float): The largest entropy without a flag. 1 if nothing is to be flagged.
    RAISES ValueError: The coverage is out of range.
    """
    if not 0 <= coverage <= 1:
        raise ValueError(f"The coverage is {coverage}; give the share of answers to keep without a flag, from 0 to 1.")
    # Answers that a rule has found settled are kept at any threshold.
    values = numpy.sort(numpy.where(unsettled, entropy, 0.0))
    rank = math.ceil(round((len(values) + 1) * coverage, 9))  # 100 * 0.07 is 7.000000000000001
    if rank > len(values):
        return 1.0
    return float(values[rank - 1]) if rank else 0.0


def precise_threshold(confidence: numpy.ndarray, right: numpy.ndarray, precision: float) -> float:
    """Find from which confidence on answers are to be given so that enough of them are right: the lowest one.

    confidence (ndarray): The probability of each answer, (N,).
    right (ndarray): Which of them are right, (N,) bool.
    precision (float): The share of those given that is to be right, from 0 to 1.
    RETURNS (float): The threshold. 0 if all can be given, and 1 if none can.
    RAISES ValueError: The precision is out of range.
    """
    if not 0 <= precision <= 1:
        raise ValueError(f"The precision is {precision}; give the share of labels given that is to be right, from 0 to 1.")
    order = numpy.argsort(-confidence, kind="stable")
    values, counts = confidence[order], numpy.arange(1, len(order) + 1)
    ends = numpy.append(values[1:] < values[:-1], True)[: len(values)]  # equal ones are given together
    enough = numpy.flatnonzero(ends & (numpy.cumsum(right[order]) >= precision * counts - 1e-9))
    if not len(enough):
        return 1.0
    last = enough[-1]
    # Downwards: what is read back from a file must not be above the probability that it came from.
    return 0.0 if last == len(values) - 1 else float(numpy.floor(values[last] * 1e6) / 1e6)
