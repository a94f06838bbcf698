"""What a rule would do, from the logits of all exits, without running the model."""

from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Union

import numpy

from ..exits.evidence import Evidence
from ..exits.rules import ExitRule
from ..exits.structure import Graph, StructureEvidence
from ..items import Items
from ..loop import Links, Reading


@dataclass
class Simulation:
    """The exits that a rule takes.

    exits (ndarray): The index of the exit of each unit, from 0, (U,).
    layers (ndarray): Its layer, (U,).
    codes (ndarray): The number of the reason, from 1; 0 for the full depth, (U,).
    logits (ndarray): The logits of the items there, (N, K).
    graphs (List[Optional[Graph]]): Where the answer is a structure, what each unit says there.
    """

    exits: numpy.ndarray
    layers: numpy.ndarray
    codes: numpy.ndarray
    logits: numpy.ndarray
    graphs: List[Optional[Graph]]


def simulate(
    logits: numpy.ndarray,
    rule: Optional[ExitRule],
    *,
    exit_layers: Sequence[int],
    reading: Union[Reading, Any],
    doubt: Optional[numpy.ndarray] = None,
    counts: Optional[numpy.ndarray] = None,
    asked: Optional[Items] = None,
    links: Optional[Sequence[Links]] = None,
) -> Simulation:
    """Run an exit rule over stored logits.

    logits (ndarray): The logits of all exits, (E, N, K).
    rule (Optional[ExitRule]): The rule; None takes the full depth.
    exit_layers (Sequence[int]): The layer of each exit.
    reading (Reading): How the logits are to be read.
    doubt (Optional[ndarray]): The learned estimates of being wrong, in [0, 1], (E, N).
    counts (Optional[ndarray]): How many items each unit has, at least one, (U,). None if each has one.
    asked (Optional[Items]): What was asked, where the answer is a structure.
    links (Optional[Sequence[Links]]): The stored links of each exit, E of them.
    RETURNS (Simulation): The exits taken.
    """
    n_exits, n_items, _ = logits.shape
    n_units = n_items if counts is None else len(counts)
    taken = numpy.full(n_units, n_exits - 1)
    codes = numpy.zeros(n_units, dtype=int)
    graphs: List[Optional[Graph]] = [None] * n_units
    live = numpy.ones(n_units, dtype=bool)
    counters = None if rule is None else rule.start(n_units, 0.0)
    previous: Optional[Evidence] = None
    for exit in range(n_exits):
        last = exit == n_exits - 1
        if rule is None and not last:
            continue
        rows = live if counts is None else numpy.repeat(live, counts)
        units = numpy.flatnonzero(live)
        evidence = reading.evidence(
            logits[exit, rows],
            asked=asked,
            link=None if not links else links[exit],
            layer=exit_layers[exit],
            units=units,
            previous=previous,
            doubt=None if doubt is None else doubt[exit, rows],
            items=None if counts is None else numpy.flatnonzero(rows),
            counts=None if counts is None else counts[live],
        )
        found = numpy.zeros(len(units), dtype=int) if rule is None else rule.step(evidence, counters)
        done = numpy.ones(len(units), dtype=bool) if last else found > 0
        taken[units[done]] = exit
        codes[units[done]] = found[done]
        if isinstance(evidence, StructureEvidence):
            for place in numpy.flatnonzero(done):
                graphs[units[place]] = evidence.graphs[place]
        live[units[done]] = False
        if not live.any():
            break
        previous = evidence.keep(~done)
    chosen = taken if counts is None else numpy.repeat(taken, counts)
    layers = numpy.array(exit_layers)[taken]
    return Simulation(taken, layers, codes, logits[chosen, numpy.arange(n_items)], graphs)
