"""Classification of documents as a task of a component."""

from typing import Callable, Dict, Optional, Union

from ...exits.rules.base import ExitRule
from ..slot import TaskSlot
from .task import TextCat


def TextCatTask(
    exit: Optional[ExitRule],
    scorer: Optional[Callable],
    exclusive: bool = True,
    threshold: float = 0.5,
    reduce: str = "max",
    label_weights: Union[str, Dict[str, float]] = {},  # noqa: B006 - copied
    unknown_threshold: float = 0.0,
    weight: float = 1.0,
    priority: int = 0,
) -> TaskSlot:
    """Make a task of the component `epee` that classifies documents. The settings are those of `epee_textcat` and
    `epee_textcat_multilabel`, with `weight` and `priority`.

    exclusive (bool): Whether exactly one label is true, as for `epee_textcat`; if not, any number, from `threshold` on.
    RETURNS (TaskSlot): The task.
    """
    reduce = "mean" if exclusive else reduce
    task = TextCat(exclusive=exclusive, label_weights=label_weights, reduce=reduce, unknown_threshold=unknown_threshold)
    return TaskSlot(task, exit, scorer, threshold, weight, priority)
