"""Events as a task of a component."""

from typing import Callable, Dict, List, Optional, Union

from ...exits.rules.base import ExitRule
from ..slot import TaskSlot
from .task import Events


def EventsTask(
    exit: Optional[ExitRule],
    scorer: Optional[Callable],
    arguments: str = "free",
    spans_key: Optional[str] = None,
    triggers_key: Optional[str] = None,
    max_pairs: int = 5000,
    threshold: float = 0.5,
    reduce: Union[str, float] = "max",
    label_weights: Dict[str, float] = {},  # noqa: B006 - copied
    leave_out: Optional[List[str]] = None,
    weight: float = 1.0,
    priority: int = 0,
) -> TaskSlot:
    """Make a task of the component `epee` that finds events. The settings are those of `epee_events`, with `weight` and
    `priority`.

    RETURNS (TaskSlot): The task.
    """
    task = Events(
        arguments=arguments,
        spans_key=spans_key,
        triggers_key=triggers_key,
        max_pairs=max_pairs,
        label_weights=label_weights,
        reduce=reduce,
        leave_out=leave_out,
    )
    return TaskSlot(task, exit, scorer, threshold, weight, priority)
