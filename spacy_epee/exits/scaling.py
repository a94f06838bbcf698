"""Logits as probabilities are made of them: divided by a temperature."""

from typing import Union

import numpy
from scipy.special import logit

Threshold = Union[float, numpy.ndarray]
"""The probability from which a label counts as given, or one for each label (K,)."""


def scale(logits: numpy.ndarray, temperature: float, *, exclusive: bool, threshold: Threshold = 0.5) -> numpy.ndarray:
    """Divide logits by a temperature. Those of labels that are not exclusive are divided around the logit of the threshold, so
    that a label that is given without it is given with it, also by whoever compares its probability with the threshold.

    logits (ndarray): The logits, labels along the last axis.
    temperature (float): The temperature; 1 changes nothing.
    exclusive (bool): One label is true, or any number.
    threshold (Union[float, ndarray]): The probability from which a label counts as given, if not exclusive.
    RETURNS (ndarray): The logits to make probabilities of.
    """
    if temperature == 1:
        return logits
    around = 0.0 if exclusive else pivot(threshold)
    return around + (logits - around) / temperature


def pivot(threshold: Threshold) -> Threshold:
    """RETURNS (Union[float, ndarray]): The logit around which labels are scaled; 0 for a threshold that gives all, or none."""
    if isinstance(threshold, numpy.ndarray):
        return numpy.array([pivot(own) for own in threshold.tolist()])
    return float(logit(threshold)) if 0 < threshold < 1 else 0.0
