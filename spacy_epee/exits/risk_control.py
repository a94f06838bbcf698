"""Settings that keep a promise: the expected loss is at most alpha, and with the stated confidence this is true."""

import math
from dataclasses import dataclass
from typing import Optional

import numpy
from scipy.special import rel_entr
from scipy.stats import binom


@dataclass
class Certificate:
    """The outcome of testing settings in order.

    chosen (Optional[int]): The last setting in order that keeps the promise, as do all before it. None if no setting can.
    p_values (ndarray): Of each setting the chance of losses as low as these if it broke the promise, (S,).
    risks (ndarray): The mean losses observed, (S,).
    alpha (float): The expected loss that was promised.
    confidence (float): How surely.
    units (int): How many units were looked at.
    """

    chosen: Optional[int]
    p_values: numpy.ndarray
    risks: numpy.ndarray
    alpha: float
    confidence: float
    units: int


def certify(losses: numpy.ndarray, alpha: float, confidence: float = 0.9, binary: bool = True) -> Certificate:
    """Find the boldest setting whose expected loss is at most alpha, by testing one after another and stopping at the first
    that fails (Learn-then-Test with fixed-sequence testing, Angelopoulos et al. 2021, arXiv 2110.01052; for early exits Schuster
    et al. 2022, "Confident Adaptive Language Modeling").

    The chance that any of the settings up to the chosen one breaks the promise is at most 1 - confidence, however many there
    are, so one may take any of them. That holds if

    - the order, from careful to bold, and the settings themselves come from elsewhere than these losses: from the values of
      the thresholds, or from other data;
    - the units are independent draws of what the promise is about: documents, or patients if one has several documents;
      never windows;
    - the units served neither in training nor in choosing a checkpoint, and it is done once: to go on with more units until
      it works undoes it.

    It is about the mean over documents like these, not about each label or group of patients.

    losses (ndarray): The loss of each unit under each setting, from 0 to 1, settings in order, (S, U).
    alpha (float): The expected loss that is promised, from 0 to 1.
    confidence (float): How surely, above 0 and below 1.
    binary (bool): Whether a loss can only be 0 or 1. This is about what could be observed and not about what was.
    RETURNS (Certificate): The chosen setting and why.
    RAISES ValueError: Numbers out of range.
    """
    _check(alpha, confidence)
    losses = numpy.asarray(losses, dtype="float64")
    if losses.ndim != 2 or not ((losses >= 0) & (losses <= 1)).all():
        raise ValueError("The losses must be numbers from 0 to 1, a row for each setting and a column for each document.")
    if binary and not numpy.isin(losses, (0, 1)).all():
        raise ValueError("Some of the losses are neither 0 nor 1; give `binary=False`.")
    units = losses.shape[1]
    totals = losses.sum(axis=1)
    p_values = (binomial_p_values if binary else bounded_p_values)(totals, units, alpha)
    passed = p_values <= 1 - confidence
    first = len(passed) if passed.all() else int(passed.argmin())
    risks = totals / units if units else numpy.full(len(losses), math.nan)
    return Certificate(first - 1 if first else None, p_values, risks, alpha, confidence, units)


def binomial_p_values(totals: numpy.ndarray, units: int, alpha: float) -> numpy.ndarray:
    """The chance of so few losses, each 0 or 1, if the expected loss were above alpha: the lower tail of the binomial, as in
    the exact bound of Clopper and Pearson (1934).

    totals (ndarray): How many losses each setting had, (S,).
    units (int): Among how many units.
    alpha (float): The expected loss.
    RETURNS (ndarray): The p-values, (S,).
    """
    if alpha >= 1:  # no expected loss is above that
        return numpy.zeros(numpy.shape(totals))
    return binom.cdf(totals, units, alpha)


def bounded_p_values(totals: numpy.ndarray, units: int, alpha: float) -> numpy.ndarray:
    """A bound on the chance of losses so low, each from 0 to 1, if the expected loss were above alpha (Hoeffding-Bentkus;
    Bates et al. 2021, "Distribution-Free, Risk-Controlling Prediction Sets"; Angelopoulos et al. 2021, arXiv 2110.01052).

    totals (ndarray): The sum of the losses of each setting, (S,).
    units (int): Of how many units.
    alpha (float): The expected loss.
    RETURNS (ndarray): The p-values, (S,).
    """
    totals = numpy.asarray(totals, dtype="float64")
    if alpha >= 1:
        return numpy.zeros(totals.shape)
    if not units:
        return numpy.ones(totals.shape)
    risks = numpy.minimum(totals / units, alpha)
    hoeffding = numpy.exp(-units * (rel_entr(risks, alpha) + rel_entr(1 - risks, 1 - alpha)))
    # Sums of floats like 7.000000000000001 are 7.
    bentkus = math.e * binom.cdf(numpy.ceil(totals.round(9)), units, alpha)
    return numpy.minimum(numpy.minimum(hoeffding, bentkus), 1.0)


def tolerance_threshold(values: numpy.ndarray, alpha: float, confidence: float = 0.95) -> Optional[float]:
    """Find the highest threshold below which at most a share of new values lies, with the stated confidence: a one-sided
    tolerance limit (Wilks 1941, "Determination of Sample Sizes for Setting Tolerance Limits"). With so many values below that few
    would be by chance if more than the share were, the next one is the threshold. It is exact and needs no order of tests, as the
    threshold is one of the values.

    values (ndarray): The values, each an independent draw, (N,).
    alpha (float): The share that may lie below, from 0 to 1.
    confidence (float): How surely, above 0 and below 1.
    RETURNS (Optional[float]): The threshold; None if there are too few values, see `documents_needed`.
    RAISES ValueError: Numbers out of range.
    """
    _check(alpha, confidence)
    allowed = numpy.flatnonzero(binomial_p_values(numpy.arange(len(values)), len(values), alpha) <= 1 - confidence)
    return float(numpy.sort(values)[allowed[-1]]) if len(allowed) else None


def documents_needed(alpha: float, confidence: float = 0.9) -> int:
    """How many documents it takes at the least to certify anything: with fewer even a setting without any loss fails. That is
    ln(1 - confidence) / ln(1 - alpha), for losses of both kinds.

    alpha (float): The expected loss that is promised, above 0.
    confidence (float): How surely, above 0 and below 1.
    RETURNS (int): The number of documents.
    RAISES ValueError: Numbers out of range; among them an alpha of 0, for which no number is enough.
    """
    _check(alpha, confidence)
    if alpha <= 0:
        raise ValueError("No number of documents shows that there is never a loss; allow one above 0.")
    if alpha >= 1:
        return 0
    needed = max(int(math.log(1 - confidence) / math.log1p(-alpha)) - 1, 0)
    while binomial_p_values(numpy.zeros(1), needed, alpha)[0] > 1 - confidence:  # rounds as the test itself does
        needed += 1
    return needed


def _check(alpha: float, confidence: float) -> None:
    if not 0 <= alpha <= 1:
        raise ValueError(f"The promised loss is {alpha}; give a share from 0 to 1.")
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence is {confidence}; give a share above 0 and below 1, such as 0.9.")
