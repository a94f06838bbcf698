"""Relations between entities as a task of a component."""

from typing import Any, Callable, Dict, Optional

from ...exits.rules.base import ExitRule
from ..slot import TaskSlot
from .task import Relations


def RelationsTask(
    exit: Optional[ExitRule],
    scorer: Optional[Callable],
    candidates: Any,
    exclusive: bool = True,
    hide_entities: float = 0.0,
    threshold: float = 0.5,
    reduce: str = "max",
    label_weights: Dict[str, float] = {},  # noqa: B006 - copied
    weight: float = 1.0,
    priority: int = 0,
) -> TaskSlot:
    """Make a task of the component `epee` that finds relations between entities. The settings are those of `epee_relations`,
    with `weight` and `priority`. Entities that are hidden are so for all tasks.

    RETURNS (TaskSlot): The task.
    """
    task = Relations(
        candidates=candidates,
        exclusive=exclusive,
        label_weights=label_weights,
        reduce=reduce,
        hide_entities=hide_entities,
    )
    return TaskSlot(task, exit, scorer, threshold, weight, priority)
