"""Settings of all exit rules to try, with thresholds where the evidence lies."""

from typing import Callable, Dict, List, Optional

import numpy
from scipy.special import expit

from ..engine.replay import CachedEvidence, Replay
from ..exits.rules.base import ExitRule
from ..exits.rules.composite import AnyOf
from ..exits.rules.depth import FixedDepth
from ..exits.rules.patience import ConfidentPatience, EntropyPatience, FlexiblePatience, Patience, Voting
from ..exits.rules.thresholds import Confidence, Entropy, Learned, Margin

RUN = 6
"""The longest run of exits that is asked for, where a threshold has to hold in a row."""

WAVER = 0.5
"""What a saving is weighed against if it costs no agreement, in units."""


def rule_grids(
    replay: Replay, units: Optional[numpy.ndarray] = None, steps: int = 16, wordpieces: Optional[numpy.ndarray] = None
) -> Dict[str, List[ExitRule]]:
    """Make settings of all rules. Thresholds are quantiles of what they are compared with, over all exits but the last: so they
    lie densely where a change has an effect, whatever the task and however sharp the model.

    replay (Replay): The evidence.
    units (Optional[ndarray]): Which of its units to look at, (U,) bool; None for all. What is promised by testing on some
        documents must not depend on them.
    steps (int): How many values of each threshold.
    wordpieces (Optional[ndarray]): What a layer costs each unit, (U,); None if all the same.
    RETURNS (Dict[str, List[ExitRule]]): The settings by name of the rule, each of which may fire before the last exit.
    """
    chosen = numpy.ones(replay.n_units, dtype=bool) if units is None else units
    exits = len(replay.evidence)

    def levels(read: Callable[[CachedEvidence], numpy.ndarray], settled: bool = False) -> List[float]:
        values = numpy.array([read(stored)[chosen] for stored in replay.views[:-1]]).ravel()
        values = values[numpy.isfinite(values)]  # the divergence at the first exit is not
        found = _quantiles(1 - values if settled else values, steps)
        return [round(1 - value, 9) for value in found] if settled else found

    taus = levels(lambda stored: stored.evidence.entropy)
    runs = range(1, min(RUN, exits) + 1)
    counts = range(1, exits - 1)
    grids: Dict[str, List[ExitRule]] = {
        "fixed depth": [FixedDepth(int(layer)) for layer in replay.layers[:-1]],
        "entropy": [Entropy(t) for t in taus],
        "confidence": [Confidence(c) for c in levels(lambda stored: stored.evidence.confidence, settled=True)],
        "margin": [Margin(m) for m in levels(lambda stored: stored.evidence.margin, settled=True)],
        "patience (PABEE)": [Patience(p) for p in counts],
        "entropy or patience (EPEE)": [EntropyPatience(t, p) for p in counts for t in taus],
        "confident patience (PCEE)": [ConfidentPatience(t, p) for p in runs[1:] for t in taus],
        # "V2" of the EPEE code.
        "confident patience or entropy": [
            AnyOf({"run": ConfidentPatience(t, p), "sure": Entropy(float(f"{t / 4:.3g}"))}) for p in runs[1:] for t in taus
        ],
        "voting": [Voting(float(v)) for v in range(2, exits)],
    }
    for measure in ("JSKD", "KD", "ReKD", "SymKD"):
        moves = levels(lambda stored: stored.divergence(measure))
        grids[f"flexible patience (F-PABEE, {measure})"] = [FlexiblePatience(d, p, measure) for p in runs for d in moves]
    if all(evidence.doubt is not None for evidence in replay.evidence):
        grids["learned"] = [Learned(d) for d in levels(lambda stored: stored.evidence.doubt)]  # type: ignore[return-value,arg-type]
    if exits > 2:
        grids["entropy by exit"] = [Entropy(vector) for vector in entropies_by_exit(replay, chosen, steps, wordpieces)]
        grids["entropy by exit or patience"] = [
            AnyOf({"entropy": Entropy(vector), "patience": Patience(patience)})
            for patience in counts[:RUN]
            for vector in entropies_by_exit(replay, chosen, steps, wordpieces, Patience(patience))
        ]
    layers = replay.layers.tolist()
    return {name: [rule for rule in grid if rule.can_fire(layers)] for name, grid in grids.items()}


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
    entropies = [evidence.entropy[units] for evidence in replay.evidence[:-1]]
    differs = replay.differs[:, units].astype(int)
    costs = numpy.ones(replay.n_units) if wordpieces is None else wordpieces
    costs = costs[units] / max(costs[units].mean(), 1e-9)
    exits = replay.run(other).exits[units]
    columns = numpy.arange(len(exits))
    ladders = [_quantiles(values, steps) for values in entropies]
    # The rung from which on each unit leaves; there is none for the most uncertain ones.
    levels = [numpy.searchsorted(ladder, values, side="right") for ladder, values in zip(ladders, entropies)]
    rungs = [0] * len(ladders)
    found: List[List[float]] = []
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
            found.append([ladder[rung - 1] if rung else 0.0 for ladder, rung in zip(ladders, rungs)] + [0.0])
    picked = numpy.unique(numpy.linspace(0, len(found) - 1, 4 * steps).round().astype(int)) if found else []
    return [found[place] for place in picked]


def _quantiles(values: numpy.ndarray, steps: int) -> List[float]:
    """Quantiles to three digits, without those that are equal or from 0 down. They are denser at the ends, from the most settled
    0.2 % on: who wants to lose next to nothing may let few leave at each exit."""
    if not len(values):
        return []
    shares = expit(numpy.linspace(-6, 3, steps))
    return sorted({found for found in (float(f"{value:.3g}") for value in numpy.quantile(values, shares)) if found > 0})
