"""Rules by layer and by time."""

import time
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Optional, Sequence, Tuple

import numpy

from ..evidence import Evidence
from ..reasons import DEADLINE, FIXED_DEPTH
from .base import ExitRule, Grid, Levels, Rule, complete, start_later, step_from


def _layer(rule: Rule, value: int) -> None:
    if value != int(value) or value < 0:
        raise ValueError(f"The exit rule {rule.registered} has layer = {value}; give a layer from 0 on.")


@dataclass(frozen=True)
class FixedDepth(Rule):
    """Leave at a fixed layer, or at the first exit above it.

    layer (int): The layer, from 1; 0 for the exit before the first one, if there is one.
    """

    layer: int
    registered: ClassVar[str] = "spacy-epee.FixedDepth.v1"
    reason: ClassVar[str] = FIXED_DEPTH

    def __post_init__(self) -> None:
        super().__post_init__()
        _layer(self, self.layer)

    @property
    def first_layer(self) -> int:
        return self.layer

    @property
    def gated(self) -> bool:
        return False

    def step(self, evidence: Evidence, counters: Any) -> numpy.ndarray:
        return numpy.full(len(evidence), int(evidence.layer >= self.layer))

    def can_fire(self, layers: Sequence[int]) -> bool:
        return len(layers) > 1 and self.layer <= layers[-2]

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        return {"fixed depth": [cls(layer) for layer in levels.layers[:-1]]}


@dataclass(frozen=True)
class Deadline(Rule):
    """Answer from where one is when the time would be spent before the next exit.

    deadline_ms (float): Milliseconds for a batch (for `nlp.pipe` its `batch_size`), tokenization included. Every document
        gets to the first exit, and the next exit is taken to be as far away as the last one was. What it gives depends on the
        machine.
    """

    deadline_ms: float
    registered: ClassVar[str] = "spacy-epee.Deadline.v1"
    reason: ClassVar[str] = DEADLINE

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.deadline_ms < 0:
            raise ValueError(
                f"The exit rule {self.registered} has deadline_ms = {self.deadline_ms}; give milliseconds from 0 on."
            )

    @property
    def timed(self) -> bool:
        return True

    def start(self, units: int, began: float) -> "Clock":
        return Clock(began)

    def step(self, evidence: Evidence, counters: "Clock") -> numpy.ndarray:
        spent = 1000 * counters.by_next_exit(evidence.layer) >= self.deadline_ms
        return numpy.full(len(evidence), int(spent))

    def can_fire(self, layers: Sequence[int]) -> bool:
        return len(layers) > 1


@dataclass
class Clock:
    """The time that a batch takes.

    began (float): When work on it began, by `time.perf_counter`.
    layer (int): The layer that was looked at last, and
    looked (float): when that was.
    """

    began: float
    layer: int = 0
    looked: float = 0.0

    def by_next_exit(self, layer: int) -> float:
        """Look at the time at an exit.

        layer (int): Its layer.
        RETURNS (float): The seconds that will be spent at the next exit, if that is as far away as the last one was; those spent
            now at the first exit that some documents of the batch get to.
        """
        now = time.perf_counter()
        ahead = now - self.looked if layer > self.layer > 0 else 0.0
        self.layer, self.looked = layer, now
        return now - self.began + ahead


@dataclass(frozen=True)
class FromLayer(Rule):
    """Ask another rule, but only from a layer on. Where hardly anything leaves below, this saves the checks there.

    layer (int): The layer, from 0. Exits below it are not looked at: patience counts from here, and so do thresholds by exit.
    rule (ExitRule): The rule.
    """

    layer: int
    rule: Any
    registered: ClassVar[str] = "spacy-epee.FromLayer.v1"

    def __post_init__(self) -> None:
        super().__post_init__()
        _layer(self, self.layer)
        if not isinstance(self.rule, ExitRule):
            raise ValueError(f"The exit rule {self.registered} needs another rule; give one in the block `exit.rule`.")

    @property
    def first_layer(self) -> int:
        return max(self.layer, complete(self.rule).first_layer)

    @property
    def timed(self) -> bool:
        return complete(self.rule).timed

    @property
    def learned(self) -> bool:
        return complete(self.rule).learned

    @property
    def structured(self) -> bool:
        return complete(self.rule).structured

    @property
    def reads_words(self) -> bool:
        return complete(self.rule).reads_words

    @property
    def gated(self) -> bool:
        return complete(self.rule).gated

    def looks_at(self, layer: int) -> bool:
        return layer >= self.layer and complete(self.rule).looks_at(layer)

    @property
    def reasons(self) -> Tuple[str, ...]:
        return self.rule.reasons

    def start(self, units: int, began: float) -> Dict[str, Any]:
        return start_later(complete(self.rule), units, began)

    def step(self, evidence: Evidence, counters: Dict[str, Any]) -> numpy.ndarray:
        return step_from(self.layer, complete(self.rule), evidence, counters)

    def can_fire(self, layers: Sequence[int]) -> bool:
        seen = [layer for layer in layers if layer >= self.layer]
        return len(seen) > 1 and self.rule.can_fire(seen)

    def to_config(self) -> Optional[Dict[str, Any]]:
        block = complete(self.rule).to_config()
        return None if block is None else {"@misc": self.registered, "layer": self.layer, "rule": block}
