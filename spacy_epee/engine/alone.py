"""A unit that climbs alone, such as a note that is answered at once. It is looked at as in `run_exits`, by the same rules,
without what only batches need."""

from contextlib import nullcontext
from typing import Optional, Sequence, Tuple

import numpy
import torch
from scipy.special import expit

from ..exits.evidence import Evidence
from ..exits.rules.base import step
from ..inputs.instances import Instances
from ..inputs.packing import pack
from ..trunk.arrays import embed_arrays, final_array, takes_arrays
from ..trunk.base import Runner, State
from ..trunk.batch import CALL, climb
from ..trunk.looks import can_look, climb_until
from .looks import Single, make_looks

UNIT = numpy.zeros(1, dtype="int64")

NEVER = 0
"""The code of a unit that no rule has let go."""


def climbs_alone(items: Instances, wordpieces: int) -> bool:
    """Whether all that is asked is one thing about one unit, whose windows run in one call.

    items (Instances): What is asked.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    RETURNS (bool): Whether `climb_alone` can answer.
    """
    units = items.window_units.tolist()
    if len(items) != 1 or items.n_units != 1 or not units or any(units):  # the last: nothing is asked about some windows
        return False
    return len(units) == 1 or len(pack(items.windows.lengths, wordpieces, CALL)) == 1


def climb_alone(stepper: Runner, unit: Single, *, exit_layers: Sequence[int]) -> Tuple[Evidence, int]:
    """Climb to the first exit at which the rule finds a unit settled: in one call of the trunk if that can look at what the rule
    asks for, and otherwise by turns.

    stepper (Runner): The trunk.
    unit (Single): What is asked.
    exit_layers (Sequence[int]): The layers with an exit, the last one among them.
    RETURNS (Tuple[Evidence, int]): What it leaves with, and the rule's reason, from 1; `NEVER` if there is none.
    """
    windows = unit.items.windows
    with nullcontext() if takes_arrays(stepper) else torch.inference_mode():
        rows = UNIT if len(windows) == 1 else numpy.arange(len(windows))
        state = embed_arrays(stepper, *windows.batch(rows, stepper.padding))
        weights = unit.heads.weigh(windows.lengths)
        looks = make_looks(unit, weights, exit_layers, stepper.depth) if can_look(stepper) else None
        reached = None if looks is None else climb_until(stepper, state, looks)
        if reached is None:
            return _climb_by_turns(stepper, unit, state, weights, exit_layers)
    labels, fired = unit.heads.n_labels, reached.fired.tolist()
    evidence = _evidence(unit, reached.layer, reached.found[:, :labels], reached.found[0, labels:], None)
    return evidence, fired.index(True) + 1 if True in fired else NEVER


def _climb_by_turns(
    stepper: Runner, unit: Single, state: State, weights: numpy.ndarray, exit_layers: Sequence[int]
) -> Tuple[Evidence, int]:
    """Climb, and look between layers."""
    words = None if unit.items.lexical is None else unit.items.lexical.logits
    previous = None if unit.look is None else unit.look.evidence
    for exit, layer in enumerate(exit_layers):
        last = layer == stepper.depth
        if not last and (unit.rule is None or not unit.rule.looks_at(layer)):
            previous = None  # only neighbouring exits are compared
            continue
        climb(stepper, state, layer - state.layer)
        hidden = final_array(stepper, state)
        vector = weights @ hidden.reshape(-1, hidden.shape[-1])
        evidence = _evidence(unit, layer, *unit.heads.classify(exit, vector[None], words), previous)
        code = NEVER if unit.rule is None else int(step(unit.rule, evidence, unit.counters)[0])
        if last or code:
            break
        evidence.previous = None
        previous = evidence
    return evidence, code


def _evidence(unit: Single, layer: int, logits: numpy.ndarray, doubt: numpy.ndarray, previous: Optional[Evidence]) -> Evidence:
    """RETURNS (Evidence): What an exit says."""
    found: Evidence = unit.reading.evidence(
        logits, asked=unit.items, layer=layer, units=UNIT, previous=previous, doubt=expit(doubt) if len(doubt) else None
    )
    return found
