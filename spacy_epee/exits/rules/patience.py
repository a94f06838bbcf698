"""Rules that count exits which agree."""

from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Optional, Sequence, Tuple

import numpy

from ..divergence import Divergence
from ..evidence import Evidence
from .base import Grid, Levels, Rule, check_patience, check_within, count_runs

RUN = 6
"""The longest run of exits that a grid asks for, where a threshold has to hold in a row."""


@dataclass(frozen=True)
class Patience(Rule):
    """Leave when a number of exits in a row have repeated the decision of the one before (PABEE, Zhou et al. 2020).

    patience (int): How many. The earliest exit is patience + 1.
    """

    patience: int = 3
    registered: ClassVar[str] = "spacy-epee.Patience.v1"
    reason: ClassVar[str] = "patience"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_patience(self, self.patience)

    def start(self, units: int, began: float) -> numpy.ndarray:
        return numpy.zeros(units, dtype=int)

    def step(self, evidence: Evidence, counters: numpy.ndarray) -> numpy.ndarray:
        return (count_runs(counters, evidence, evidence.agrees) >= self.patience).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.patience + 1 < len(layers)

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        return {"patience (PABEE)": [cls(patience) for patience in range(1, len(levels.layers) - 1)]}


@dataclass(frozen=True)
class FlexiblePatience(Rule):
    """Leave when the distribution has hardly moved for a number of exits in a row (F-PABEE, Gao et al. 2023).

    divergence (float): How far is hardly: the threshold that the divergence from the previous exit must be below.
    patience (int): How many exits in a row.
    measure (str): "JSKD" (in [0, 1]), "KD", "ReKD" or "SymKD" (in nats).
    """

    divergence: float = 0.01
    patience: int = 2
    measure: Divergence = "JSKD"
    registered: ClassVar[str] = "spacy-epee.FlexiblePatience.v1"
    reason: ClassVar[str] = "flexible_patience"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_patience(self, self.patience)
        if self.measure not in ("KD", "ReKD", "SymKD", "JSKD"):
            raise ValueError(
                f"The exit rule {self.registered} has measure = '{self.measure}'; give 'KD', 'ReKD', 'SymKD' or 'JSKD'."
            )

    def start(self, units: int, began: float) -> numpy.ndarray:
        return numpy.zeros(units, dtype=int)

    def step(self, evidence: Evidence, counters: numpy.ndarray) -> numpy.ndarray:
        still = evidence.divergence(self.measure) < self.divergence
        return (count_runs(counters, evidence, still) >= self.patience).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.divergence > 0 and self.patience + 1 < len(layers)

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        grid: Grid = {}
        for measure in ("JSKD", "KD", "ReKD", "SymKD"):
            moves = levels.of(lambda evidence: evidence.divergence(measure))
            runs = range(1, min(RUN, len(levels.layers)) + 1)
            grid[f"flexible patience (F-PABEE, {measure})"] = [cls(move, run, measure) for run in runs for move in moves]
        return grid


@dataclass(frozen=True)
class ConfidentPatience(Rule):
    """Leave when a number of exits in a row had an entropy below a threshold (PCEE-BERT, Zhang et al. 2022).

    entropy (float): The threshold on the normalised entropy.
    patience (int): How many exits in a row.
    """

    entropy: float = 0.2
    patience: int = 2
    registered: ClassVar[str] = "spacy-epee.ConfidentPatience.v1"
    reason: ClassVar[str] = "confident_patience"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_patience(self, self.patience)

    def start(self, units: int, began: float) -> numpy.ndarray:
        return numpy.zeros(units, dtype=int)

    def step(self, evidence: Evidence, counters: numpy.ndarray) -> numpy.ndarray:
        return (count_runs(counters, evidence, evidence.entropy_below(self.entropy)) >= self.patience).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.entropy > 0 and self.patience < len(layers)

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        entropies, runs = levels.of(lambda evidence: evidence.entropy), range(2, min(RUN, len(levels.layers)) + 1)
        return {"confident patience (PCEE)": [cls(entropy, patience) for patience in runs for entropy in entropies]}


@dataclass(frozen=True)
class EntropyPatience(Rule):
    """Leave when the entropy is low or the decision has been stable, whichever comes first (EPEE, Zhan et al. 2025).

    entropy (float): The threshold on the normalised entropy. From 0 down this rule is patience alone.
    patience (int): How many exits in a row must repeat the decision; null, or as many as there are layers, is entropy alone.
    """

    entropy: float = 0.1
    patience: Optional[int] = 4
    registered: ClassVar[str] = "spacy-epee.EntropyPatience.v1"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience is not None:
            check_patience(self, self.patience)

    @property
    def reasons(self) -> Tuple[str, ...]:
        return ("entropy", "patience")

    def start(self, units: int, began: float) -> numpy.ndarray:
        return numpy.zeros(units, dtype=int)

    def step(self, evidence: Evidence, counters: numpy.ndarray) -> numpy.ndarray:
        if self.patience is None:
            return evidence.entropy_below(self.entropy).astype(int)
        codes = (evidence.entropy < self.entropy).astype(int)
        stable = count_runs(counters, evidence, evidence.agrees) >= self.patience
        return numpy.where((codes == 0) & stable, 2, codes)

    def can_fire(self, layers: Sequence[int]) -> bool:
        counts = self.patience is not None and self.patience + 1 < len(layers)
        return len(layers) > 1 and (self.entropy > 0 or counts)

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        entropies, counts = levels.of(lambda evidence: evidence.entropy), range(1, len(levels.layers) - 1)
        return {"entropy or patience (EPEE)": [cls(entropy, patience) for patience in counts for entropy in entropies]}


@dataclass(frozen=True)
class Voting(Rule):
    """Leave when the exits so far agree by a large enough vote (after Sun et al. 2021, "Early Exiting with Ensemble
    Internal Classifiers"; the answer is the last exit's, as with every rule here).

    votes (float): The threshold on the votes for the leading decision, over (exits so far) ** power. For labels that are
        not exclusive each label is voted on, and the label with the narrowest vote counts; of several items in a unit, the
        narrowest too.
    power (float): 0 counts votes; the nearer to 1, the more votes are asked for the later it gets.
    """

    votes: float = 3.0
    power: float = 0.0
    registered: ClassVar[str] = "spacy-epee.Voting.v1"
    reason: ClassVar[str] = "voting"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_within(self, "power", 0.0, 1.0)

    def start(self, units: int, began: float) -> Dict[str, Any]:
        return {"exits": numpy.zeros(units, dtype=int), "votes": numpy.zeros((0, 0))}

    def step(self, evidence: Evidence, counters: Dict[str, Any]) -> numpy.ndarray:
        items, labels = evidence.items, evidence.logits.shape[1]
        missing = int(items.max(initial=-1)) + 1 - len(counters["votes"])
        if missing > 0:  # only the evidence knows how many items there are
            counters["votes"] = numpy.vstack((counters["votes"].reshape(-1, labels), numpy.zeros((missing, labels))))
        counters["exits"][evidence.units] += 1
        exits = counters["exits"][evidence.units]
        counters["votes"][items] += evidence.decision
        votes = counters["votes"][items]
        if evidence.exclusive:
            leading = votes.max(axis=1)
        else:
            so_far = exits if evidence.counts is None else numpy.repeat(exits, evidence.counts)
            leading = numpy.maximum(votes, so_far[:, None] - votes).min(axis=1)
        return (evidence.least(leading) / exits**self.power >= self.votes).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return any(exit ** (1 - self.power) >= self.votes for exit in range(1, len(layers)))

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        return {"voting": [cls(float(votes)) for votes in range(2, len(levels.layers))]}
