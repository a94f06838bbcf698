"""A unit that climbs alone, such as a note that is answered at once. It is looked at as in `run_exits`, by the same rules,
without what only batches need."""

from contextlib import nullcontext
from typing import Optional, Sequence

import numpy
import torch
from scipy.special import expit

from ..exits.evidence import Evidence
from ..exits.rules.base import step
from ..inputs.packing import pack
from ..trunk.arrays import embed_arrays, final_array, takes_arrays
from ..trunk.base import Runner, State
from ..trunk.batch import CALL, climb
from ..trunk.looks import can_look, climb_until
from .looks import make_looks
from .loop import TaskRun
from .results import DEPTH, JOINT

UNIT = numpy.zeros(1, dtype="int64")
LEAVES = numpy.ones(1, dtype=bool)


def climbs_alone(stepper: Runner, runs: Sequence[TaskRun], wordpieces: int) -> bool:
    """Whether all that is asked is one thing about one unit, whose windows run in one call.

    stepper (Runner): The trunk.
    runs (Sequence[TaskRun]): The tasks.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    RETURNS (bool): Whether `climb_alone` can answer.
    """
    if len(runs) != 1 or stepper.device.type != "cpu":
        return False
    items = runs[0].items
    if not runs[0].heads.sums_states or len(items) != 1 or items.n_units != 1 or items.settled is not None:
        return False
    units = items.window_units.tolist()
    if not units or any(units):  # nothing is asked about some
        return False
    return len(units) == 1 or len(pack(items.windows.lengths, wordpieces, CALL)) == 1


def climb_alone(stepper: Runner, run: TaskRun, *, exit_layers: Sequence[int]) -> None:
    """Answer what is asked about a unit, from the first exit at which the rule finds it settled: in one call of the trunk if that
    can look at what the rule asks for, and otherwise by turns.

    stepper (Runner): The trunk.
    run (TaskRun): The task.
    exit_layers (Sequence[int]): The layers with an exit, the last one among them.
    """
    windows = run.items.windows
    with nullcontext() if takes_arrays(stepper) else torch.inference_mode():
        state = embed_arrays(stepper, *windows.batch(numpy.arange(len(windows)), stepper.padding))
        weights = run.heads.weigh(windows.lengths)
        looks = make_looks(run, weights, exit_layers, stepper.depth) if can_look(stepper) else None
        reached = None if looks is None else climb_until(stepper, state, looks)
        if reached is None:
            _climb_by_turns(stepper, run, state, weights, exit_layers)
            return
    labels = run.heads.n_labels
    evidence = _evidence(run, reached.layer, reached.found[:, :labels], reached.found[0, labels:], None)
    codes = numpy.array([reached.fired.argmax() + 1 if reached.fired.any() else 0])
    run.write(evidence, LEAVES, codes, DEPTH if reached.layer == stepper.depth else JOINT)


def _climb_by_turns(stepper: Runner, run: TaskRun, state: State, weights: numpy.ndarray, exit_layers: Sequence[int]) -> None:
    """Climb, and look between layers."""
    items = run.items
    words = None if items.lexical is None else items.lexical.logits
    previous = None if run.look is None else run.look.evidence
    for exit, layer in enumerate(exit_layers):
        last = layer == stepper.depth
        if not (last or run.checks_layer(layer)):
            previous = None  # only neighbouring exits are compared
            continue
        climb(stepper, state, layer - state.layer)
        hidden = final_array(stepper, state)
        vector = weights @ hidden.reshape(-1, hidden.shape[-1])
        evidence = _evidence(run, layer, *run.heads.classify(exit, vector[None], words), previous)
        codes = numpy.zeros(1, dtype=int) if run.rule is None else step(run.rule, evidence, run.counters)
        if last or codes[0]:
            run.write(evidence, LEAVES, codes, DEPTH if last else JOINT)
            return
        evidence.previous = None
        previous = evidence


def _evidence(run: TaskRun, layer: int, logits: numpy.ndarray, doubt: numpy.ndarray, previous: Optional[Evidence]) -> Evidence:
    """RETURNS (Evidence): What an exit says."""
    return run.answers.reading.evidence(
        logits, asked=run.items, layer=layer, units=UNIT, previous=previous, doubt=expit(doubt) if len(doubt) else None
    )
