"""A Doc that is answered alone, for one task. What `predict` does with batches without what only these need: behind a layer
caches are cold, and what counts is how many different things are done."""

from typing import Optional, Sequence

from spacy.tokens import Doc
from thinc.api import Model

from ..engine.alone import NEVER, climb_alone, climbs_alone
from ..engine.before import first_look
from ..engine.looks import Single
from ..engine.loop import TaskRun
from ..engine.results import Predictions
from ..exits.reasons import DEPTH
from ..exits.rules.base import ExitRule, complete
from ..inputs.windows import no_windows
from ..model import as_read, get_exit_layers, get_runner, get_settings, get_windows
from ..runtimes.threads import single_torch_thread
from ..tasks.slot import TaskSlot
from .climb import climb_together


def answer_alone(
    model: Model, slot: TaskSlot, docs: Sequence[Doc], rule: Optional[ExitRule], began: float
) -> Optional[Predictions]:
    """Answer a Doc.

    model (Model): The model.
    slot (TaskSlot): The task.
    docs (Sequence[Doc]): The Doc.
    rule (Optional[ExitRule]): Its rule; None runs the full depth.
    began (float): When work on it began, by `time.perf_counter`.
    RETURNS (Optional[Predictions]): The answer; None, before anything is read, if the task asks about more than sums of states.
    """
    stepper, heads = get_runner(model), slot.heads(model)
    if not heads.sums_states or heads.gate is not None or stepper.device.type != "cpu":
        return None
    asked = None if rule is None else complete(rule)
    reading = slot.reading(model)
    words = None if heads.lexical is None else heads.lexical.look(as_read(model, docs))
    look = None
    if words is not None and asked is not None and asked.first_layer == 0:
        look = first_look(words, asked, reading, began, heads.doubt is not None)
    left = look is not None and look.done[0]
    windows = no_windows(1) if left else get_windows(model, docs, slot.task.has_instances(docs))
    items = slot.make_instances(docs, windows, words)
    if left:
        evidence, code = look.evidence, int(look.codes[0])  # type: ignore[union-attr]
    elif climbs_alone(items, get_settings(model).max_wordpieces):
        counters = None if asked is None else asked.start(1, began) if look is None else look.counters
        unit = Single(items, heads, reading, asked, counters, look)
        with single_torch_thread(stepper):
            evidence, code = climb_alone(stepper, unit, exit_layers=get_exit_layers(model))
    else:
        answers = Predictions.empty(items, heads.n_labels, stepper.depth, reading)
        run = TaskRun(heads, answers, rule, began, device=stepper.device, priority=slot.priority, look=look)
        climb_together(model, [run], "all")
        return answers
    reason = DEPTH if code == NEVER else asked.reasons[code - 1]  # type: ignore[union-attr]
    return Predictions.of_one(items, evidence, reason, stepper.depth, reading)
