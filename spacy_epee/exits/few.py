"""Softmax in plain numbers: of so few that arrays cost more, those of a document alone."""

import math
from typing import List, Tuple

FEW = 16
"""How many logits are few."""


def exponentials(logits: List[float]) -> Tuple[List[float], List[float], float]:
    """RETURNS (Tuple[List[float], List[float], float]): What a softmax is made of: logits up to 0, their exponentials, and the
    sum of these."""
    most = max(logits)
    shifted = [value - most for value in logits]
    shares = [math.exp(value) for value in shifted]
    return shifted, shares, sum(shares)


def softmax(logits: List[float]) -> List[float]:
    """RETURNS (List[float]): The probabilities."""
    _, shares, total = exponentials(logits)
    return [share / total for share in shares]


def entropy(logits: List[float]) -> float:
    """RETURNS (float): The entropy of a softmax as a share of the largest one possible."""
    shifted, shares, total = exponentials(logits)
    mean = sum(share * value for share, value in zip(shares, shifted)) / total
    return min(max((math.log(total) - mean) / math.log(len(logits)), 0.0), 1.0)
