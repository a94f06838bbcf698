"""The gate before the first layer: what is said of items in which there is nothing to find, by words alone."""

from typing import Optional

import numpy

from ..exits.rules.base import ExitRule, complete
from .results import Predictions

NOTHING = "nothing"
"""The reason of a unit that leaves before the first layer as there is nothing to find in it."""

SURE = 30.0
"""The logit of nothing, and less that of anything else."""


def has_gate(rule: Optional[ExitRule]) -> bool:
    """RETURNS (bool): Whether anything may leave by the gate. At full depth, or any other fixed one, nothing does."""
    return rule is not None and complete(rule).gated


def logits_of_nothing(labels: int, *, exclusive: bool, group: Optional[int]) -> numpy.ndarray:
    """Say that there is nothing.

    labels (int): The number of logits, K.
    exclusive (bool): Whether one of them is true; the first one stands for nothing then.
    group (Optional[int]): If one of each so many logits in a row is true, how many; the first one of each stands for nothing.
    RETURNS (ndarray): The logits, (K,).
    """
    if not exclusive and group is None:
        return numpy.full(labels, -SURE)
    return numpy.where(numpy.arange(labels) % (group or labels), 0.0, SURE)


def columns_of_something(logits: int, labels: int, group: Optional[int]) -> numpy.ndarray:
    """Find what says that there is something.

    logits (int): The number of logits, K.
    labels (int): The number of labels.
    group (Optional[int]): As for `logits_of_nothing`. The second one of each group says that something begins.
    RETURNS (ndarray): The logits of the labels, by number, (labels,).
    """
    return numpy.arange(labels) * group + 1 if group else numpy.arange(logits - labels, logits)


def write_settled(answers: Predictions, nothing: numpy.ndarray) -> None:
    """Write down the items that are settled, at least one, and the units that leave as nothing else is in them.

    answers (Predictions): The answers of a batch.
    nothing (ndarray): The logits that say that there is nothing, (K,).
    """
    items = answers.items
    rows = numpy.flatnonzero(items.settled)  # type: ignore[arg-type]  # there are some
    units, counts = numpy.unique(items.units[rows], return_counts=True)
    evidence = answers.reading.evidence(
        numpy.tile(nothing, (len(rows), 1)), asked=items, layer=0, units=units, items=rows, counts=counts
    )
    evidence.write_to(answers, numpy.ones(len(units), dtype=bool))
    left = units[items.counts[units] == 0]
    answers.ran[left] = True
    for unit in left.tolist():
        answers.reasons[unit] = NOTHING
