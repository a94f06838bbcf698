"""What several units climb together, for all tasks that ask about them."""

from typing import Sequence

from thinc.api import Model

from ..engine.joint import Joint
from ..engine.loop import CALLS_PER_PASS, TaskRun, plan_passes, run_exits
from ..model import get_exit_layers, get_runner, get_settings
from ..runtimes.threads import single_torch_thread


def climb_together(model: Model, runs: Sequence[TaskRun], joint: Joint) -> None:
    """Answer what is asked, as many windows at a time as fit into memory.

    model (Model): The model.
    runs (Sequence[TaskRun]): The tasks, with room for their answers.
    joint (str): "all" or "any", see `run_exits`.
    """
    stepper, layers, wordpieces = get_runner(model), get_exit_layers(model), get_settings(model).max_wordpieces
    with single_torch_thread(stepper):
        for rows in plan_passes([run.items for run in runs], wordpieces * CALLS_PER_PASS):
            run_exits(stepper, list(runs), rows, exit_layers=layers, wordpieces=wordpieces, joint=joint)
