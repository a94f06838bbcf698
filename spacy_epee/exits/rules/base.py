"""What an exit rule is."""

import math
from dataclasses import dataclass, fields
from typing import Any, Callable, ClassVar, Dict, List, Optional, Protocol, Sequence, Tuple, runtime_checkable

import numpy

from ..divergence import Divergence
from ..evidence import Evidence

NEEDS_DOUBT = "needs a model with a learned exit. Train with the setting `model.head.learned_exit = true`, or take another rule."


@runtime_checkable
class ExitRule(Protocol):
    """What a rule must have. It can have more: see `CompleteRule`, and `complete` for who has not."""

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


class CompleteRule(ExitRule, Protocol):
    """What the loop and the component ask of a rule."""

    @property
    def first_layer(self) -> int:
        """RETURNS (int): The layer from which on the rule wants to look, 0 for that before the first one. The loop saves the
        checks below."""

    def looks_at(self, layer: int) -> bool:
        """RETURNS (bool): Whether it wants to look at the exit after a layer, from the first one on."""

    @property
    def timed(self) -> bool:
        """RETURNS (bool): Whether the rule looks at the time spent on a batch. No more are read ahead then."""

    @property
    def learned(self) -> bool:
        """RETURNS (bool): Whether the rule needs a model with a learned exit."""

    @property
    def structured(self) -> bool:
        """RETURNS (bool): Whether the rule needs a task whose answers are structures, see `exits.features`."""

    @property
    def reads_words(self) -> bool:
        """RETURNS (bool): Whether the rule asks how likely there is anything to find by words alone, which needs a model with a
        gate."""

    @property
    def gated(self) -> bool:
        """RETURNS (bool): Whether the gate may answer where there is nothing to find. Where all are to climb to a layer it may
        not."""

    def to_config(self) -> Optional[Dict[str, Any]]:
        """RETURNS (Optional[Dict[str, Any]]): The config block that makes this rule; None if it does not tell."""


class Levels(Protocol):
    """Where the evidence of some documents lies: what a rule makes settings to try of, in its class method `grid`.

    layers (List[int]): The layers with an exit.
    learned (bool): Whether there is a learned exit.
    """

    layers: List[int]
    learned: bool

    def of(self, read: Callable[[Evidence], numpy.ndarray], settled: bool = False) -> List[float]:
        """Find thresholds where a change has an effect: quantiles over all exits but the last.

        read (Callable[[Evidence], ndarray]): From the evidence of an exit to what is compared with the threshold, (U,).
        settled (bool): Whether that is the larger, up to 1, the more settled a unit is.
        RETURNS (List[float]): The thresholds, in order, without equal ones.
        """

    def by_exit(self, other: Optional[ExitRule] = None) -> List[List[float]]:
        """RETURNS (List[List[float]]): Thresholds on the entropy for all exits, where units may leave by another rule, too."""

    def structures(self) -> Dict[str, Tuple[List[int], Dict[str, List[List[float]]]]]:
        """RETURNS (Dict[str, Tuple[List[int], Dict[str, List[List[float]]]]]): Layers to look at, and the weights of
        `SettledStructure` that are fitted there, by what that is called; nothing where answers are no structures."""


Grid = Dict[str, List[Any]]
"""Rules to try, by what they are called in tables."""


@dataclass(frozen=True)
class Rule:
    """What our rules share, with defaults for what `CompleteRule` asks. Rules of other packages need only follow `ExitRule`."""

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
        return 0

    @property
    def timed(self) -> bool:
        return False

    @property
    def learned(self) -> bool:
        return False

    @property
    def structured(self) -> bool:
        return False

    @property
    def reads_words(self) -> bool:
        return False

    @property
    def gated(self) -> bool:
        return True

    def looks_at(self, layer: int) -> bool:
        return layer >= self.first_layer

    @property
    def reasons(self) -> Tuple[str, ...]:
        return (self.reason,)

    def start(self, units: int, began: float) -> Any:
        return None

    def to_config(self) -> Optional[Dict[str, Any]]:
        block: Dict[str, Any] = {"@misc": self.registered}
        values = {setting.name: getattr(self, setting.name) for setting in fields(self) if setting.init}
        block.update({name: list(value) if isinstance(value, tuple) else value for name, value in values.items()})
        return block

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        """Make settings to try. `epee tune` asks all registered rules that have this method, those of other packages too.

        levels (Levels): Where the evidence lies.
        RETURNS (Dict[str, List[ExitRule]]): The rules by what they are called; none of those that take no part.
        """
        return {}


class ForeignRule:
    """A rule of another package, with defaults for what it lacks. It is asked nothing below its first layer."""

    def __init__(self, rule: ExitRule):
        self.rule = rule
        self.reasons, self.can_fire = rule.reasons, rule.can_fire
        self.first_layer: int = getattr(rule, "first_layer", 0)
        self.timed: bool = getattr(rule, "timed", False)
        self.learned: bool = getattr(rule, "learned", False)
        self.structured: bool = getattr(rule, "structured", False)
        self.reads_words: bool = getattr(rule, "reads_words", False)
        self.gated: bool = getattr(rule, "gated", True)
        self.looks_at: Callable[[int], bool] = getattr(rule, "looks_at", lambda layer: layer >= self.first_layer)
        self.to_config: Callable[[], Optional[Dict[str, Any]]] = getattr(rule, "to_config", lambda: None)

    def start(self, units: int, began: float) -> Dict[str, Any]:
        return start_later(self.rule, units, began)

    def step(self, evidence: Evidence, counters: Dict[str, Any]) -> numpy.ndarray:
        before = getattr(evidence, "previous", None)
        if before is not None and before.layer > 0 and not self.looks_at(before.layer):  # that was looked at for somebody else
            evidence = FirstEvidence(evidence)  # type: ignore[assignment]
        return step_from(self.first_layer, self.rule, evidence, counters)


def start_later(rule: ExitRule, units: int, began: float) -> Dict[str, Any]:
    """Make the counters of a rule that looks from a layer on.

    rule (ExitRule): The rule.
    units (int): How many units a batch has.
    began (float): When work on it began.
    RETURNS (Dict[str, Any]): The counters, for `step_from`.
    """
    return {"rule": rule.start(units, began), "first": None}


def step_from(layer: int, rule: ExitRule, evidence: Evidence, counters: Dict[str, Any]) -> numpy.ndarray:
    """Step a rule that looks from a layer on. The first exit that it sees has none before it, whether that one was looked at for
    somebody else or not.

    layer (int): The layer.
    rule (ExitRule): The rule.
    evidence (Evidence): The units still climbing.
    counters (Dict[str, Any]): What `start_later` made.
    RETURNS (ndarray): What the rule says, 0 below the layer, (U,) int.
    """
    if evidence.layer < layer:
        return numpy.zeros(len(evidence), dtype=int)
    if counters["first"] is None:
        counters["first"] = evidence.layer
    first = layer > 0 and evidence.layer == counters["first"]
    return rule.step(FirstEvidence(evidence) if first else evidence, counters["rule"])  # type: ignore[arg-type]


class FirstEvidence:
    """Evidence without a previous one, for a rule that has not looked before."""

    def __init__(self, evidence: Evidence):
        self.evidence = evidence

    def __len__(self) -> int:
        return len(self.evidence)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.evidence, name)

    @property
    def agrees(self) -> numpy.ndarray:
        self.evidence.remember()
        return numpy.zeros(len(self.evidence), dtype=bool)

    def divergence(self, kind: Divergence) -> numpy.ndarray:
        self.evidence.remember()
        return numpy.full(len(self.evidence), numpy.inf)


def complete(rule: ExitRule) -> CompleteRule:
    """RETURNS (CompleteRule): A rule with all that can be asked of one."""
    return rule if isinstance(rule, Rule) else ForeignRule(rule)


def step(rule: ExitRule, evidence: Evidence, counters: Any) -> numpy.ndarray:
    """Step a rule. Before the first layer nothing leaves of which nothing is known there.

    rule (ExitRule): The rule.
    evidence (Evidence): The units still climbing.
    counters (Any): What its `start` made.
    RETURNS (ndarray): 0 to go on, i to leave for the reason `reasons[i - 1]`, (U,) int.
    """
    codes = rule.step(evidence, counters)
    return codes if evidence.blind is None else numpy.where(evidence.blind, 0, codes)


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
