"""A unit that climbs alone, such as a note that is answered at once. It is looked at as in `run_exits`, by the same rules,
without what only batches need."""

from typing import Sequence

import numpy
import torch
from scipy.special import expit

from ..exits.rules.base import step
from ..inputs.packing import pack
from ..trunk.base import Runner
from ..trunk.batch import CALL, climb
from .loop import TaskRun
from .results import DEPTH, JOINT

UNIT = numpy.zeros(1, dtype="int64")
LEAVES = numpy.ones(1, dtype=bool)


def climbs_alone(stepper: Runner, runs: Sequence[TaskRun], rows: numpy.ndarray, wordpieces: int) -> bool:
    """Whether all that is asked is one thing about one unit, whose windows run in one call.

    stepper (Runner): The trunk.
    runs (Sequence[TaskRun]): The tasks.
    rows (ndarray): The windows.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    RETURNS (bool): Whether `climb_alone` can answer.
    """
    if len(runs) != 1 or stepper.device.type != "cpu":
        return False
    items = runs[0].items
    if len(items) != 1 or items.n_units != 1 or len(rows) != len(items.windows):
        return False
    lengths = items.windows.lengths
    return (len(rows) == 1 or len(pack(lengths, wordpieces, CALL)) == 1) and runs[0].heads.weigh(lengths[:1]) is not None


@torch.inference_mode()
def climb_alone(stepper: Runner, run: TaskRun, *, exit_layers: Sequence[int]) -> None:
    """Answer what is asked about a unit, from the first exit at which the rule finds it settled.

    stepper (Runner): The trunk.
    run (TaskRun): The task.
    exit_layers (Sequence[int]): The layers with an exit, the last one among them.
    """
    items, heads = run.items, run.heads
    windows = items.windows
    state = stepper.embed(*map(torch.from_numpy, windows.batch(numpy.arange(len(windows)), stepper.padding)))
    weights = heads.weigh(windows.lengths)
    words = None if items.lexical is None else items.lexical.logits
    previous = None if run.look is None else run.look.evidence
    for exit, layer in enumerate(exit_layers):
        last = layer == stepper.depth
        if not (last or run.checks_layer(layer)):
            continue
        climb(stepper, state, layer - state.layer)
        hidden = stepper.final_hidden(state).numpy()
        vector = weights @ hidden.reshape(-1, hidden.shape[-1])
        logits, doubt = heads.classify(exit, vector[None], words)
        evidence = run.answers.reading.evidence(
            logits, asked=items, layer=layer, units=UNIT, previous=previous, doubt=expit(doubt) if len(doubt) else None
        )
        codes = numpy.zeros(1, dtype=int) if run.rule is None else step(run.rule, evidence, run.counters)
        if last or codes[0]:
            run.write(evidence, LEAVES, codes, DEPTH if last else JOINT)
            return
        evidence.previous = None  # only neighbouring exits are compared
        previous = evidence
