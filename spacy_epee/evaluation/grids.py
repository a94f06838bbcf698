"""Settings of all exit rules to try, with thresholds where the evidence lies."""

from typing import Callable, Dict, List, Optional

import numpy

from ..exits.rules import (
    AnyOf,
    Confidence,
    ConfidentPatience,
    Entropy,
    EntropyPatience,
    ExitRule,
    FixedDepth,
    FlexiblePatience,
    Learned,
    Margin,
    Patience,
    Voting,
)
from .simulate import Replay, Stored

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

    def levels(read: Callable[[Stored], numpy.ndarray], settled: bool = False) -> List[float]:
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
    """Search thresholds on the entropy for each exit: from never leaving, again and again the one threshold is raised, to the
    next quantile at its exit, that saves most layers for each unit whose answer is no longer that of the full depth (a greedy
    search, one coordinate at a time).

    replay (Replay): The evidence.
    units (ndarray): Which of its units to look at, (U,) bool.
    steps (int): How many values of each threshold; twice as many vectors are given.
    wordpieces (Optional[ndarray]): What a layer costs each unit, (U,); None if all the same.
    other (Optional[ExitRule]): Another rule by which units leave too.
    RETURNS (List[List[float]]): Thresholds of all exits, from careful to bold: (V, E).
    """
    entropies = numpy.array([evidence.entropy[units] for evidence in replay.evidence])
    differs = replay.differs[:, units].astype(int)
    costs = numpy.ones(replay.n_units) if wordpieces is None else wordpieces
    costs = costs[units] / max(costs[units].mean(), 1e-9)
    exits = replay.run(other).exits[units]
    columns = numpy.arange(len(exits))
    ladders = [_quantiles(values, steps) for values in entropies[:-1]]
    rungs = [0] * len(ladders)
    found: List[List[float]] = []
    while True:
        best, moved = 0.0, None
        for exit, (ladder, rung) in enumerate(zip(ladders, rungs)):
            if rung == len(ladder):
                continue
            leaving = columns[(exits > exit) & (entropies[exit] < ladder[rung])]
            now = exits[leaving]
            saved = costs[leaving] @ (replay.layers[now] - replay.layers[exit])
            harm = (differs[exit, leaving] - differs[now, leaving]).sum()
            gain = saved / (max(harm, 0) + WAVER)
            if moved is None or gain > best:
                best, moved, leavers = gain, exit, leaving
        if moved is None:
            break
        exits[leavers] = numpy.minimum(exits[leavers], moved)
        rungs[moved] += 1
        if len(leavers):
            found.append([ladder[rung - 1] if rung else 0.0 for ladder, rung in zip(ladders, rungs)] + [0.0])
    picked = numpy.unique(numpy.linspace(0, len(found) - 1, 2 * steps).round().astype(int)) if found else []
    return [found[place] for place in picked]


def _quantiles(values: numpy.ndarray, steps: int) -> List[float]:
    """Quantiles to three digits, without those that are equal, from 0 down or infinite."""
    if not len(values):
        return []
    shares = numpy.linspace(0, 1, steps + 2)[1:-1]
    return sorted({found for found in (float(f"{value:.3g}") for value in numpy.quantile(values, shares)) if found > 0})
