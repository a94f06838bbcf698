"""What an exit rule is."""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Dict, Optional, Protocol, Sequence, Tuple, runtime_checkable

import numpy

from ..evidence import Evidence

NEEDS_DOUBT = "needs a model with a learned exit. Train with the setting `model.head.learned_exit = true`, or take another rule."


@runtime_checkable
class ExitRule(Protocol):
    """What the loop asks of a rule."""

    @property
    def reasons(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The names under which units leave."""

    def start(self, units: int, began: float) -> Any:
        """Make the counters of a new batch.

        units (int): How many units it has.
        began (float): When work on the batch began, by `time.perf_counter`.
        RETURNS (Any): Whatever `step` wants to remember from exit to exit.
        """

    def step(self, evidence: Evidence, counters: Any) -> numpy.ndarray:
        """Decide after one exit, moving the counters in place.

        evidence (Evidence): The units still climbing; `evidence.units` are their places in the counters.
        counters (Any): What `start` made.
        RETURNS (ndarray): 0 to go on, i to leave for the reason `reasons[i - 1]`, (U,) int.
        """

    def can_fire(self, layers: Sequence[int]) -> bool:
        """Whether any unit could ever leave before the last exit.

        layers (Sequence[int]): The layers with an exit, in order.
        RETURNS (bool): Whether one could.
        """


@dataclass(frozen=True)
class Rule:
    """Shared parts of the rules in this file. Rules of other packages need only follow `ExitRule`."""

    registered: ClassVar[str] = ""
    reason: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, (int, float)) and not math.isfinite(number):
                    raise ValueError(
                        f"The exit rule {self.registered} has {setting.name} = {number}; give a number. To run the full depth, "
                        "set `exit = null`."
                    )

    @property
    def first_layer(self) -> int:
        """RETURNS (int): The layer from which on the rule wants to look. The loop asks for it where a rule has it, and saves the
        checks below."""
        return 1

    @property
    def timed(self) -> bool:
        """RETURNS (bool): Whether the rule looks at the time spent on a batch. No more are read ahead then."""
        return False

    @property
    def learned(self) -> bool:
        """RETURNS (bool): Whether the rule needs a model with a learned exit."""
        return False

    @property
    def reasons(self) -> Tuple[str, ...]:
        return (self.reason,)

    def start(self, units: int, began: float) -> Any:
        return None

    def to_config(self) -> Optional[Dict[str, Any]]:
        """RETURNS (Optional[Dict[str, Any]]): The config block that makes this rule; None if a rule in it does not tell."""
        block: Dict[str, Any] = {"@misc": self.registered}
        values = {setting.name: getattr(self, setting.name) for setting in fields(self) if setting.init}
        block.update({name: list(value) if isinstance(value, tuple) else value for name, value in values.items()})
        return block


def check_within(rule: Rule, setting: str, low: float, high: float) -> None:
    value = getattr(rule, setting)
    for number in value if isinstance(value, tuple) else (value,):
        if not low <= number <= high:
            raise ValueError(f"The exit rule {rule.registered} has {setting} = {number}; give a number from {low} to {high}.")


def check_patience(rule: Rule, value: Optional[int]) -> None:
    if value is None or value != int(value) or value < 1:
        raise ValueError(
            f"The exit rule {rule.registered} has patience = {value}; give a whole number from 1 on. To run the full depth, set "
            "`exit = null`."
        )


def count_runs(counters: numpy.ndarray, evidence: Evidence, goes_on: numpy.ndarray) -> numpy.ndarray:
    """Lengthen or break the run of each unit."""
    runs = numpy.where(goes_on, counters[evidence.units] + 1, 0)
    counters[evidence.units] = runs
    return runs
