"""Classification of images as a task of a component."""

from typing import Callable, Dict, Optional, Union

from ...exits.rules.base import ExitRule
from ..slot import TaskSlot
from .task import ImageCat


def ImageCatTask(
    exit: Optional[ExitRule],
    scorer: Optional[Callable],
    exclusive: bool = True,
    threshold: float = 0.5,
    reduce: str = "max",
    label_weights: Union[str, Dict[str, float]] = {},  # noqa: B006 - copied
    unknown_threshold: float = 0.0,
) -> TaskSlot:
    """Make the task of `epee_imagecat`, with its settings.

    RETURNS (TaskSlot): The task.
    """
    task = ImageCat(exclusive=exclusive, label_weights=label_weights, reduce=reduce, unknown_threshold=unknown_threshold)
    return TaskSlot(task, exit, scorer, threshold)
