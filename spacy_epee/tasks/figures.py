"""What answers can be scored by."""

from typing import Optional

from .slot import TaskSlot


def check_figure(slot: TaskSlot, figure: Optional[str]) -> None:
    """Refuse a figure that a task does not have.

    slot (TaskSlot): The task.
    figure (Optional[str]): What its answers are to be tuned by; None for its main figure.
    RAISES ValueError: It has none of that name.
    """
    known = slot.task.figures
    if figure is not None and figure not in known:
        main = slot.task.describe_main(slot.cfg)
        raise ValueError(
            f"Answers of the task '{slot.name}' cannot be tuned by {figure!r}. Without `--score` it is by {main}"
            + (f", and with it by one of {', '.join(map(repr, known))}." if known else ", and by nothing else.")
        )
