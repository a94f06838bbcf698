"""A budget of time for a call, whatever the rules of the pipeline are."""

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Dict, Iterator, Mapping, Optional

from .base import ExitRule
from .composite import AnyOf
from .depth import Deadline


@dataclass(frozen=True)
class Budget(Deadline):
    """What is left of a budget. Until it is spent, texts are answered as without one."""

    @property
    def gated(self) -> bool:
        return False


_end: ContextVar[Optional[float]] = ContextVar("spacy_epee_end", default=None)
"""When the time is spent, by `time.perf_counter`. Each thread, and each task of asyncio, has its own."""


@contextmanager
def time_budget(milliseconds: float) -> Iterator[None]:
    """Answer within a budget, in this thread alone: whatever is still climbing when it is spent leaves from where it is, for the
    reason "deadline". Documents get to the first exit at the least. Within another budget the one that ends first holds.

    milliseconds (float): The budget, from now on.
    RAISES ValueError: It is less than 0, or no number.
    """
    end = time.perf_counter() + Deadline(milliseconds).deadline_ms / 1000
    before = _end.get()
    token = _end.set(end if before is None else min(end, before))
    try:
        yield
    finally:
        _end.reset(token)


def within_budget(rules: Mapping[str, Optional[ExitRule]]) -> Dict[str, Optional[ExitRule]]:
    """Add what is left of the budget of a call to the rules of a component.

    rules (Mapping[str, Optional[ExitRule]]): The rules by task; None runs the full depth.
    RETURNS (Dict[str, Optional[ExitRule]]): The same if there is no budget; otherwise others, that look at the time, too.
    """
    end = _end.get()
    if end is None:
        return dict(rules)
    rest = Budget(max(0.0, (end - time.perf_counter()) * 1000))
    return {task: rest if rule is None else AnyOf({"rule": rule, "budget": rest}) for task, rule in rules.items()}
