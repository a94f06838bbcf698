"""What a rule would do, from the logits of all exits, without running the model."""

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy

from ..exits.evidence import Evidence
from ..exits.rules import ExitRule
from ..loop import Reading


@dataclass
class Simulation:
    """The exits that a rule takes.

    exits (ndarray): The index of the exit of each unit, from 0, (U,).
    layers (ndarray): Its layer, (U,).
    codes (ndarray): The number of the reason, from 1; 0 for the full depth, (U,).
    logits (ndarray): The logits of the items there, (N, K).
    """

    exits: numpy.ndarray
    layers: numpy.ndarray
    codes: numpy.ndarray
    logits: numpy.ndarray


def simulate(
    logits: numpy.ndarray,
    rule: Optional[ExitRule],
    *,
    exit_layers: Sequence[int],
    reading: Reading,
    doubt: Optional[numpy.ndarray] = None,
    counts: Optional[numpy.ndarray] = None,
) -> Simulation:
    """Find where a rule would leave.

    logits (ndarray): The logits of all exits, (E, N, K).
    rule (Optional[ExitRule]): The rule; None for the full depth. A deadline cannot be simulated.
    exit_layers (Sequence[int]): The layers of the exits.
    reading (Reading): How the logits are to be read.
    doubt (Optional[ndarray]): The learned estimates of being wrong, in [0, 1], (E, N).
    counts (Optional[ndarray]): How many items each unit has, at least one, (U,). None if each has one.
    RETURNS (Simulation): The exits taken.
    """
    n_exits, n_items, _ = logits.shape
    n_units = n_items if counts is None else len(counts)
    taken = numpy.full(n_units, n_exits - 1)
    codes = numpy.zeros(n_units, dtype=int)
    live = numpy.ones(n_units, dtype=bool)
    counters = None if rule is None else rule.start(n_units, 0.0)
    previous: Optional[Evidence] = None
    for exit in range(n_exits if rule is not None else 0):
        rows = live if counts is None else numpy.repeat(live, counts)
        units = numpy.flatnonzero(live)
        evidence = reading.evidence(
            logits[exit, rows],
            layer=exit_layers[exit],
            units=units,
            previous=previous,
            doubt=None if doubt is None else doubt[exit, rows],
            items=None if counts is None else numpy.flatnonzero(rows),
            counts=None if counts is None else counts[live],
        )
        found = rule.step(evidence, counters)  # type: ignore[union-attr]
        done = found > 0
        taken[units[done]] = exit
        codes[units[done]] = found[done]
        live[units[done]] = False
        if not live.any():
            break
        previous = evidence.keep(~done)
    chosen = taken if counts is None else numpy.repeat(taken, counts)
    layers = numpy.array(exit_layers)[taken]
    return Simulation(exits=taken, layers=layers, codes=codes, logits=logits[chosen, numpy.arange(n_items)])
