"""How far what an exit says is from what another one says."""

import math
from typing import Literal

import numpy

Divergence = Literal["KD", "ReKD", "SymKD", "JSKD"]


def divergence_of(log_p: numpy.ndarray, log_q: numpy.ndarray, kind: Divergence) -> numpy.ndarray:
    """The divergence of distributions along the last axis, from logarithms: a probability may be too small for a float."""
    p, q = numpy.exp(log_p), numpy.exp(log_q)
    if kind == "KD":
        terms = p * (log_p - log_q)
    elif kind == "ReKD":
        terms = q * (log_q - log_p)
    elif kind == "SymKD":
        terms = (p - q) * (log_p - log_q)
    else:
        # log(p / m) = ln 2 - ln(1 + q / p)
        gap = log_q - log_p
        terms = (p * (math.log(2) - numpy.logaddexp(0, gap)) + q * (math.log(2) - numpy.logaddexp(0, -gap))) / (2 * math.log(2))
    # Rounding can leave a sum just below 0, or a JSKD just above 1.
    total = numpy.maximum(terms.sum(axis=-1), 0.0)
    return numpy.minimum(total, 1.0) if kind == "JSKD" else total
