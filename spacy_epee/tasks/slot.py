"""One task of a component, with how it is answered, trained and scored."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Union

from ..exits.rules.base import ExitRule
from ..settings import check_number
from .base import Task
from .events.task import Events
from .relations.task import Relations
from .textcat.task import TextCat


@dataclass
class TaskSlot:
    """A task of a component.

    task (Task): What is predicted.
    exit (Optional[ExitRule]): When it is settled; None runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    threshold (float): The probability from which a label counts as given, if labels are not exclusive.
    weight (float): How much its loss counts beside that of other tasks.
    priority (int): Of the tasks that ask about a text, those with the highest say when it leaves; the others answer then with
        what they have, unless they are settled before.
    """

    task: Task
    exit: Optional[ExitRule]
    scorer: Optional[Callable]
    threshold: float = 0.5
    weight: float = 1.0
    priority: int = 0

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, 0, 1)
        check_number("weight", self.weight, 0)


def TextCatTask(
    exit: Optional[ExitRule],
    scorer: Optional[Callable],
    exclusive: bool = True,
    threshold: float = 0.5,
    reduce: str = "max",
    label_weights: Dict[str, float] = {},
    weight: float = 1.0,
    priority: int = 0,
) -> TaskSlot:
    """Make a task of the component `epee` that classifies documents. The settings are those of `epee_textcat` and
    `epee_textcat_multilabel`, with `weight` and `priority`.

    exclusive (bool): Whether exactly one label is true, as for `epee_textcat`; if not, any number, from `threshold` on.
    RETURNS (TaskSlot): The task.
    """
    task = TextCat(exclusive=exclusive, label_weights=label_weights, reduce="mean" if exclusive else reduce)
    return TaskSlot(task, exit, scorer, threshold, weight, priority)


def RelationsTask(
    exit: Optional[ExitRule],
    scorer: Optional[Callable],
    candidates: Any,
    exclusive: bool = True,
    hide_entities: float = 0.0,
    threshold: float = 0.5,
    reduce: str = "max",
    label_weights: Dict[str, float] = {},
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


def EventsTask(
    exit: Optional[ExitRule],
    scorer: Optional[Callable],
    arguments: str = "free",
    spans_key: Optional[str] = None,
    triggers_key: Optional[str] = None,
    max_pairs: int = 5000,
    threshold: float = 0.5,
    reduce: Union[str, float] = "max",
    label_weights: Dict[str, float] = {},
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
    )
    return TaskSlot(task, exit, scorer, threshold, weight, priority)
