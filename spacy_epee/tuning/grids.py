"""Settings of all exit rules to try, with thresholds where the evidence lies."""

from typing import Callable, Dict, List, Optional, Tuple

import numpy
from scipy.special import expit

from ..engine.replay import Replay
from ..exits.evidence import Evidence
from ..exits.rules.base import ExitRule, complete
from ..exits.rules.config import registered_rules
from ..threads import cached_property
from .structures import Weights, fit_structures

ORDER = (
    "fixed depth",
    "entropy",
    "confidence",
    "margin",
    "energy",
    "patience (PABEE)",
    "entropy or patience (EPEE)",
    "confident patience (PCEE)",
    "confident patience or entropy",
    "voting",
    "flexible patience (F-PABEE, JSKD)",
    "flexible patience (F-PABEE, KD)",
    "flexible patience (F-PABEE, ReKD)",
    "flexible patience (F-PABEE, SymKD)",
    "learned",
    "entropy by exit",
    "entropy by exit or patience",
)
"""Which grids come first: of settings that do the same the first one is taken. Those of other packages come behind these."""

SIMPLE = ("entropy", "confidence", "margin", "energy", "entropy or patience (EPEE)")
"""The kinds from which a choice holds on other documents. With thresholds by exit, more leave early and more is lost there."""

WAVER = 0.5
"""What a saving is weighed against if it costs no agreement, in units."""


def is_simple(name: str) -> bool:
    """RETURNS (bool): Whether a kind of rules is one of `SIMPLE`, or of another package."""
    return name in SIMPLE or name not in ORDER


class ReplayLevels:
    """Where the evidence of a replay lies.

    layers (List[int]): The layers with an exit.
    learned (bool): Whether there is a learned exit.
    """

    def __init__(
        self, replay: Replay, units: Optional[numpy.ndarray] = None, steps: int = 16, wordpieces: Optional[numpy.ndarray] = None
    ):
        """
        replay (Replay): The evidence.
        units (Optional[ndarray]): Which of its units to look at, (U,) bool; None for all.
        steps (int): How many values of each threshold.
        wordpieces (Optional[ndarray]): What a layer costs each unit, (U,); None if all the same.
        """
        self.replay, self.steps, self.wordpieces = replay, steps, wordpieces
        self.units = ~replay.left if units is None else units & ~replay.left  # no rule sees what the gate lets go
        self.layers: List[int] = replay.layers.tolist()
        self.learned = all(evidence.doubt is not None for evidence in replay.evidence)

    def of(self, read: Callable[[Evidence], numpy.ndarray], settled: bool = False) -> List[float]:
        """Find thresholds: quantiles of what they are compared with, over all exits but the last. So they lie densely where a
        change has an effect, whatever the task and however sharp the model.

        read (Callable[[Evidence], ndarray]): From the evidence of an exit to what is compared with the threshold, (U,).
        settled (bool): Whether that is the larger, up to 1, the more settled a unit is.
        RETURNS (List[float]): The thresholds, in order, without equal ones.
        """
        chosen = numpy.flatnonzero(self.units)
        values = numpy.array([read(stored.of(chosen)) for stored in self.replay.views[:-1]]).ravel()
        values = values[numpy.isfinite(values)]  # the divergence at the first exit is not
        thresholds = _quantiles(1 - values if settled else values, self.steps)
        return [round(1 - value, 9) for value in thresholds] if settled else thresholds

    def by_exit(self, other: Optional[ExitRule] = None) -> List[List[float]]:
        """RETURNS (List[List[float]]): Thresholds on the entropy for all exits, where units may leave by another rule, too."""
        return entropies_by_exit(self.replay, self.units, self.steps, self.wordpieces, other)

    @cached_property
    def _structures(self) -> Dict[str, Tuple[List[int], Weights]]:
        return fit_structures(self.replay, self.units)

    def structures(self) -> Dict[str, Tuple[List[int], Weights]]:
        """RETURNS (Dict[str, Tuple[List[int], Weights]]): Layers to look at and fitted weights, see `fit_structures`."""
        return self._structures


def rule_grids(
    replay: Replay, units: Optional[numpy.ndarray] = None, steps: int = 16, wordpieces: Optional[numpy.ndarray] = None
) -> Dict[str, List[ExitRule]]:
    """Ask all registered rules for settings to try.

    replay (Replay): The evidence.
    units (Optional[ndarray]): Which of its units to look at, (U,) bool; None for all. What is promised by testing on some
        documents must not depend on them.
    steps (int): How many values of each threshold.
    wordpieces (Optional[ndarray]): What a layer costs each unit, (U,); None if all the same.
    RETURNS (Dict[str, List[ExitRule]]): The settings by what they are called, each of which may fire before the last exit.
    RAISES ValueError: Settings that could not be written into a config.
    """
    levels = ReplayLevels(replay, units, steps, wordpieces)
    grids: Dict[str, List[ExitRule]] = {}
    makers = {maker: name for name, maker in registered_rules().items() if hasattr(maker, "grid")}  # each once
    # Ours first: a grid of another package that is called like one of these is named in full.
    for maker, registered in sorted(makers.items(), key=lambda item: not item[1].startswith("spacy-epee.")):
        for name, grid in maker.grid(levels).items():
            grids[f"{name} ({registered})" if name in grids else name] = _checked(grid, registered, levels.layers)
    places = {name: place for place, name in enumerate(ORDER)}
    return dict(sorted(grids.items(), key=lambda grid: places.get(grid[0], len(ORDER))))


def _checked(grid: List[ExitRule], registered: str, layers: List[int]) -> List[ExitRule]:
    """The rules of a grid that may fire."""
    for rule in grid:
        if not isinstance(rule, ExitRule) or complete(rule).to_config() is None:
            raise ValueError(
                f"The grid of the exit rule '{registered}' has a {type(rule).__name__} that is no rule with `to_config`, so that "
                "it could not be written into the pipeline. Give the rule that method."
            )
    return [rule for rule in grid if rule.can_fire(layers)]


def entropies_by_exit(
    replay: Replay,
    units: numpy.ndarray,
    steps: int = 16,
    wordpieces: Optional[numpy.ndarray] = None,
    other: Optional[ExitRule] = None,
) -> List[List[float]]:
    """Search thresholds on the entropy for each exit. From never leaving, again and again the threshold of one exit is raised to
    the quantile that saves most layers for each unit whose answer is then no longer that of the full depth (a greedy search,
    one coordinate at a time).

    replay (Replay): The evidence.
    units (ndarray): Which of its units to look at, (U,) bool.
    steps (int): How many values of each threshold; up to four times as many vectors are given.
    wordpieces (Optional[ndarray]): What a layer costs each unit, (U,); None if all the same.
    other (Optional[ExitRule]): Another rule by which units leave too.
    RETURNS (List[List[float]]): Thresholds of all exits, from careful to bold: (V, E).
    """
    entropies = list(replay.looked_entropies[:-1, units])
    differs = replay.looked_differs[:, units].astype(int)
    costs = numpy.ones(replay.n_units) if wordpieces is None else wordpieces
    costs = costs[units] / max(costs[units].mean(), 1e-9)
    exits = replay.run(other).exits[units]
    columns = numpy.arange(len(exits))
    ladders = [_quantiles(values, steps) for values in entropies]
    # The rung from which on each unit leaves; there is none for the most uncertain ones.
    levels = [numpy.searchsorted(ladder, values, side="right") for ladder, values in zip(ladders, entropies)]
    rungs = [0] * len(ladders)
    vectors: List[List[float]] = []
    while True:
        best, move = 0.0, None
        for exit, (ladder, level) in enumerate(zip(ladders, levels)):
            higher = columns[(exits > exit) & (level < len(ladder))]
            if not len(higher):
                continue
            now = exits[higher]
            by_layer = costs[higher] * (replay.layers[now] - replay.layers[exit])
            saved = numpy.bincount(level[higher], by_layer, len(ladder)).cumsum()
            harm = numpy.bincount(level[higher], differs[exit, higher] - differs[now, higher], len(ladder)).cumsum()
            gains = saved / (numpy.maximum(harm, 0) + WAVER)
            rung = int(gains.argmax())
            if gains[rung] > best:
                best, move = gains[rung], (exit, rung)
        if move is None:
            break
        exit, rung = move
        exits[(exits > exit) & (levels[exit] <= rung)] = exit
        for step in range(rungs[exit], rung + 1):  # what lies between is worth a try too
            rungs[exit] = step + 1
            vectors.append([ladder[rung - 1] if rung else 0.0 for ladder, rung in zip(ladders, rungs)] + [0.0])
    if not vectors:
        return []
    picked = numpy.unique(numpy.linspace(0, len(vectors) - 1, 4 * steps).round().astype(int))
    return [vectors[place] for place in picked]


def _quantiles(values: numpy.ndarray, steps: int) -> List[float]:
    """Quantiles to three digits, without those that are equal or from 0 down. They are denser at the ends, from the most settled
    0.2 % on: who wants to lose next to nothing may let few leave at each exit."""
    if not len(values):
        return []
    shares = expit(numpy.linspace(-6, 3, steps))
    return sorted({rounded for rounded in (float(f"{value:.3g}") for value in numpy.quantile(values, shares)) if rounded > 0})
