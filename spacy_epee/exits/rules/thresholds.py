"""Rules that compare one exit's evidence with a threshold."""

from dataclasses import dataclass
from typing import Any, ClassVar, List, Optional, Sequence, Tuple, Union

import numpy

from ..evidence import Evidence
from .base import NEEDS_DOUBT, Grid, Levels, Rule, check_within


@dataclass(frozen=True)
class _PerExit(Rule):
    """What rules share whose threshold may be a list of one number for each exit."""

    setting: ClassVar[str] = ""

    def __post_init__(self) -> None:
        value = getattr(self, self.setting)
        if numpy.ndim(value):
            object.__setattr__(self, self.setting, tuple(map(float, value)))  # so that nobody changes it later
        super().__post_init__()

    def start(self, units: int, began: float) -> Optional[numpy.ndarray]:
        """RETURNS (Optional[ndarray]): How many exits each unit has seen, if they have thresholds of their own."""
        return numpy.zeros(units, dtype=int) if isinstance(getattr(self, self.setting), tuple) else None

    def now(self, evidence: Evidence, counters: Optional[numpy.ndarray]) -> Any:
        """RETURNS (float or ndarray): The threshold of this exit."""
        threshold = getattr(self, self.setting)
        if counters is None:
            return threshold
        exits = counters[evidence.units]
        if exits.max(initial=0) >= len(threshold):
            self._refuse(f"more exits than these {len(threshold)}")
        counters[evidence.units] += 1
        return numpy.array(threshold)[exits]

    def before_last(self, layers: Sequence[int]) -> Tuple[float, ...]:
        """RETURNS (Tuple[float, ...]): The thresholds of all exits but the last."""
        threshold = getattr(self, self.setting)
        if not isinstance(threshold, tuple):
            return (threshold,) * (len(layers) - 1)
        if len(threshold) != len(layers):
            self._refuse(f"{len(layers)} exits, which are after the layers {list(layers)}")
        return threshold[:-1]

    def _refuse(self, found: str) -> None:
        numbers = list(getattr(self, self.setting))
        raise ValueError(
            f"The exit rule {self.registered} has {self.setting} = {numbers}, but the model has {found}. Give one number for all "
            "exits, or one for each; that of the last exit has no effect, as all leave there."
        )


@dataclass(frozen=True)
class Entropy(_PerExit):
    """Leave when the normalised entropy is below a threshold (DeeBERT, Xin et al. 2020; normalised as in FastBERT, Liu et
    al. 2020).

    entropy (Union[float, List[float]]): The threshold, or one for each exit (as in DeeBERT; that of the last exit has no
        effect). From 0 down it never fires, above 1 all leave there.
    """

    entropy: Union[float, List[float]] = 0.1
    registered: ClassVar[str] = "spacy-epee.Entropy.v1"
    reason: ClassVar[str] = "entropy"
    setting: ClassVar[str] = "entropy"

    def step(self, evidence: Evidence, counters: Optional[numpy.ndarray]) -> numpy.ndarray:
        return evidence.entropy_below(self.now(evidence, counters)).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return any(threshold > 0 for threshold in self.before_last(layers))

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        grid: Grid = {"entropy": [cls(threshold) for threshold in levels.of(lambda evidence: evidence.entropy)]}
        if len(levels.layers) > 2:
            grid["entropy by exit"] = [cls(vector) for vector in levels.by_exit()]
        return grid


@dataclass(frozen=True)
class Confidence(_PerExit):
    """Leave when the largest probability is above a threshold (Schwartz et al. 2020, "The Right Tool for the Job").

    confidence (Union[float, List[float]]): The threshold, from 0 to 1, or one for each exit (that of the last exit has no
        effect).
    """

    confidence: Union[float, List[float]] = 0.9
    registered: ClassVar[str] = "spacy-epee.Confidence.v1"
    reason: ClassVar[str] = "confidence"
    setting: ClassVar[str] = "confidence"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_within(self, "confidence", 0.0, 1.0)

    def step(self, evidence: Evidence, counters: Optional[numpy.ndarray]) -> numpy.ndarray:
        return (evidence.confidence > self.now(evidence, counters)).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return any(threshold < 1 for threshold in self.before_last(layers))

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        return {"confidence": [cls(threshold) for threshold in levels.of(lambda evidence: evidence.confidence, settled=True)]}


@dataclass(frozen=True)
class Margin(Rule):
    """Leave when the best label is ahead of the second best by more than a threshold.

    margin (float): The threshold, a difference of probabilities from 0 to 1.
    """

    margin: float = 0.8
    registered: ClassVar[str] = "spacy-epee.Margin.v1"
    reason: ClassVar[str] = "margin"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_within(self, "margin", 0.0, 1.0)

    def step(self, evidence: Evidence, counters: Any) -> numpy.ndarray:
        return (evidence.margin > self.margin).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.margin < 1 and len(layers) > 1

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        return {"margin": [cls(threshold) for threshold in levels.of(lambda evidence: evidence.margin, settled=True)]}


@dataclass(frozen=True)
class Energy(_PerExit):
    """Leave when the energy of the logits is below a threshold (CAP, IJCAI 2025). It sees the size of logits, which entropy,
    confidence and margin do not: these are the same for logits that are all larger by one number.

    The energy is 1 / (1 + sum(exp(z))), over the logits of the labels. One of labels that are not exclusive has a logit of its
    own, whose size is that of yes or no: its energy is 1 / (1 + exp(|z|)), with z counted from the logit of its threshold, so
    that it is 1/2 where the answer turns. Labels, and the items of a unit, are joined as their entropies are (`reduce`).

    energy (Union[float, List[float]]): The threshold, or one for each exit (that of the last exit has no effect). From 0 down
        it never fires, above 1 all leave there.
    """

    energy: Union[float, List[float]] = 0.01
    registered: ClassVar[str] = "spacy-epee.Energy.v1"
    reason: ClassVar[str] = "energy"
    setting: ClassVar[str] = "energy"

    def step(self, evidence: Evidence, counters: Optional[numpy.ndarray]) -> numpy.ndarray:
        return (evidence.energy < self.now(evidence, counters)).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return any(threshold > 0 for threshold in self.before_last(layers))

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        return {"energy": [cls(threshold) for threshold in levels.of(lambda evidence: evidence.energy)]}


@dataclass(frozen=True)
class Learned(Rule):
    """Leave when a small learned head thinks the answer is right (learning to exit, BERxiT, Xin et al. 2021).

    doubt (float): The threshold on the head's estimate of the answer being wrong, in [0, 1]. Needs a model trained with
        `learned_exit = true`.
    """

    doubt: float = 0.1
    registered: ClassVar[str] = "spacy-epee.Learned.v1"
    reason: ClassVar[str] = "learned"

    @property
    def learned(self) -> bool:
        return True

    def step(self, evidence: Evidence, counters: Any) -> numpy.ndarray:
        if evidence.doubt is None:
            raise ValueError(f"The exit rule {self.registered} {NEEDS_DOUBT}")
        return (evidence.doubt < self.doubt).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.doubt > 0 and len(layers) > 1

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        if not levels.learned:
            return {}
        return {"learned": [cls(threshold) for threshold in levels.of(lambda evidence: evidence.doubt)]}  # type: ignore
