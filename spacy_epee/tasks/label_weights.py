"""How much labels count in the loss, by how often they are true in the training data."""

from typing import Dict, Sequence

import numpy

BALANCED = "balanced"
"""The value of the setting `label_weights` that has the weights worked out."""

MOST = 20.0
"""The largest weight of the positives of a label, and one over the smallest: a label in one of ten thousand documents would else
shake everything whenever it comes."""


def balanced_weights(
    labels: Sequence[str], positives: numpy.ndarray, negatives: numpy.ndarray, *, exclusive: bool
) -> Dict[str, float]:
    """Find weights by which rare labels count as much as others.

    Exclusive labels count the same in all, and documents 1 in the mean (as `compute_class_weight("balanced")` of scikit-learn).
    The positives of one that is not exclusive count as much as its negatives in all. Both within `MOST`.

    labels (Sequence[str]): The labels.
    positives (ndarray): Of how many documents each is true, (K,).
    negatives (ndarray): Of how many it is not, (K,).
    exclusive (bool): One label is true, or any number.
    RETURNS (Dict[str, float]): Their weights; 1 for those without an example, or without one of the other kind.
    """
    known = positives > 0 if exclusive else (positives > 0) & (negatives > 0)
    weights = numpy.ones(len(labels))
    if exclusive:
        weights[known] = positives.sum() / (known.sum() * positives[known])
    else:
        weights[known] = negatives[known] / positives[known]
    weights = numpy.clip(weights, 1 / MOST, MOST)
    return {label: float(f"{weight:.6g}") for label, weight in zip(labels, weights)}
