"""Rules made of rules."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple

import numpy

from ..evidence import Evidence
from .base import ExitRule, Grid, Levels, Rule, complete
from .patience import RUN, ConfidentPatience, Patience
from .thresholds import Entropy


@dataclass(frozen=True)
class _Joined(Rule):
    rules: Dict[str, Any] = field(default_factory=dict)

    @property
    def first_layer(self) -> int:
        return min(complete(rule).first_layer for rule in self.rules.values())

    @property
    def timed(self) -> bool:
        return any(complete(rule).timed for rule in self.rules.values())

    @property
    def learned(self) -> bool:
        return any(complete(rule).learned for rule in self.rules.values())

    @property
    def structured(self) -> bool:
        return any(complete(rule).structured for rule in self.rules.values())

    @property
    def reads_words(self) -> bool:
        return any(complete(rule).reads_words for rule in self.rules.values())

    @property
    def gated(self) -> bool:
        return any(complete(rule).gated for rule in self.rules.values())

    def looks_at(self, layer: int) -> bool:
        return any(complete(rule).looks_at(layer) for rule in self.rules.values())

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.rules:
            raise ValueError(f"The exit rule {self.registered} joins no rules; name at least one under `exit.rules`.")
        if not all(isinstance(rule, ExitRule) for rule in self.rules.values()):
            raise ValueError(f"The exit rule {self.registered} joins something else than rules; give rules under `exit.rules`.")

    def start(self, units: int, began: float) -> List[Any]:
        return [complete(rule).start(units, began) for rule in self.rules.values()]

    def _steps(self, evidence: Evidence, counters: List[Any]) -> List[numpy.ndarray]:
        # Every rule is stepped at every exit: its counters must see all of them.
        return [complete(rule).step(evidence, count) for rule, count in zip(self.rules.values(), counters)]

    def to_config(self) -> Optional[Dict[str, Any]]:
        blocks = {name: complete(rule).to_config() for name, rule in self.rules.items()}
        return None if None in blocks.values() else {"@misc": self.registered, "rules": blocks}


@dataclass(frozen=True)
class AnyOf(_Joined):
    """Leave when one of several rules says so; the first that does is the reason.

    rules (Dict[str, ExitRule]): The rules, under names of your own.
    """

    registered: ClassVar[str] = "spacy-epee.AnyOf.v1"

    @property
    def reasons(self) -> Tuple[str, ...]:
        return tuple(reason for rule in self.rules.values() for reason in rule.reasons)

    def step(self, evidence: Evidence, counters: List[Any]) -> numpy.ndarray:
        codes: numpy.ndarray = numpy.zeros(len(evidence), dtype=int)
        offset = 0
        for rule, found in zip(self.rules.values(), self._steps(evidence, counters)):
            codes = numpy.where((codes == 0) & (found > 0), found + offset, codes)
            offset += len(rule.reasons)
        return codes

    def can_fire(self, layers: Sequence[int]) -> bool:
        return any([rule.can_fire(layers) for rule in self.rules.values()])  # a list, so that each checks its settings

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        entropies, exits = levels.of(lambda evidence: evidence.entropy), len(levels.layers)
        grid: Grid = {
            # "V2" of the EPEE code.
            "confident patience or entropy": [
                cls({"run": ConfidentPatience(entropy, patience), "sure": Entropy(float(f"{entropy / 4:.3g}"))})
                for patience in range(2, min(RUN, exits) + 1)
                for entropy in entropies
            ]
        }
        if exits > 2:
            grid["entropy by exit or patience"] = [
                cls({"entropy": Entropy(vector), "patience": Patience(patience)})
                for patience in range(1, min(RUN, exits - 2) + 1)
                for vector in levels.by_exit(Patience(patience))
            ]
        return grid


@dataclass(frozen=True)
class AllOf(_Joined):
    """Leave when all of several rules say so at the same exit.

    rules (Dict[str, ExitRule]): The rules, under names of your own.
    """

    registered: ClassVar[str] = "spacy-epee.AllOf.v1"

    @property
    def reasons(self) -> Tuple[str, ...]:
        return (" and ".join("/".join(rule.reasons) for rule in self.rules.values()),)

    def step(self, evidence: Evidence, counters: List[Any]) -> numpy.ndarray:
        return numpy.all([found > 0 for found in self._steps(evidence, counters)], axis=0).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return all([rule.can_fire(layers) for rule in self.rules.values()])
