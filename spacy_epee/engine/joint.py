"""When several tasks leave together."""

from typing import Literal, Sequence

import numpy

Joint = Literal["all", "any"]
"""Whether a text climbs until all tasks are settled that decide, or until any is."""


def ended_groups(asks: numpy.ndarray, climbs: numpy.ndarray, priorities: Sequence[int], joint: Joint) -> numpy.ndarray:
    """Tell what is settled: of the tasks that ask about something, those decide that have the highest priority.

    asks (ndarray): Whether each task asks about each group, (tasks, G) bool.
    climbs (ndarray): Whether it is not settled there, (tasks, G) bool.
    priorities (Sequence[int]): The priority of each task.
    joint (str): "all" or "any" of those that decide must be settled.
    RETURNS (ndarray): Which groups end, (G,) bool.
    """
    ranks = numpy.array(priorities)[:, None]
    decides = asks & (ranks == numpy.where(asks, ranks, ranks.min()).max(axis=0))
    settled = decides & ~climbs
    return settled.any(axis=0) if joint == "any" else (settled == decides).all(axis=0)
