"""What stands beside the exits is joined with what they say by the likelihood of documents that were not trained on."""

from typing import Callable, Optional, Sequence, Tuple

import numpy
from scipy.optimize import minimize

from .calibration import total_loss

WIDTH = 2.0
"""How far each number may be from where it starts, as the deviation of a normal distribution, so that there is a best one,
however few documents. Narrower ones hold the words back where they know nearly all (40 labels, 242 documents)."""

FEWEST = 0.1
"""What the states count at the least. Where they know nothing beside the words these then count ten times as much."""


def stack(
    first: numpy.ndarray,
    lowest: Sequence[Optional[float]],
    join: Callable[[numpy.ndarray], numpy.ndarray],
    back: Callable[[numpy.ndarray], numpy.ndarray],
    true: numpy.ndarray,
    known: numpy.ndarray,
    exclusive: bool,
) -> numpy.ndarray:
    """Find the numbers that give the truth the largest likelihood (the maximum a posteriori, Wolpert 1992).

    first (ndarray): Where they start, (P,).
    lowest (Sequence[Optional[float]]): What each is at the least; None for anything.
    join (Callable[[ndarray], ndarray]): From the numbers to logits, (N, K).
    back (Callable[[ndarray], ndarray]): From a gradient by logits to that by the numbers.
    true (ndarray): 1 for the labels that are true, (N, K).
    known (ndarray): Where that is known, (N, K) bool.
    exclusive (bool): One label of K is true, or any number.
    RETURNS (ndarray): The numbers, (P,).
    """

    def loss(numbers: numpy.ndarray) -> Tuple[float, numpy.ndarray]:
        value, wrong = total_loss(join(numbers), true, known, exclusive)
        away = (numbers - first) / WIDTH
        return (value + away @ away / 2) / len(true), (back(wrong) + away / WIDTH) / len(true)

    found: numpy.ndarray = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=[(low, None) for low in lowest]).x
    return found
