"""Docs become windows and instances, these climb, and answers come back. Functions of a model and its tasks."""

import time
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

import numpy
from spacy.tokens import Doc
from thinc.api import Model, to_numpy

from ..engine.loop import CALLS_PER_PASS, Joint, TaskRun, plan_passes, run_exits
from ..engine.results import ExitOutputs, Predictions
from ..exits.coverage import flag
from ..exits.rules.base import ExitRule
from ..inputs.instances import Instances
from ..inputs.windows import NotFinite, Windows
from ..model import get_exit_layers, get_runner, get_settings, get_windows, set_training
from ..runtimes.threads import single_torch_thread
from ..tasks.slot import TaskSlot
from ..threads import no_fork

Slots = Mapping[str, TaskSlot]
"""The tasks of a component, by name."""


def cut_windows(model: Model, slots: Slots, docs: Sequence[Doc]) -> Windows:
    """RETURNS (Windows): The windows of some Docs, of those that any task asks about."""
    wanted = [slot.task.has_instances(docs) for slot in slots.values()]
    every = None if any(docs_wanted is None for docs_wanted in wanted) else [any(of_doc) for of_doc in zip(*wanted)]
    return get_windows(model, docs, every)


def make_instances(model: Model, slots: Slots, docs: Sequence[Doc]) -> Dict[str, Instances]:
    """RETURNS (Dict[str, Instances]): What there is to answer about some Docs for each task, about the same windows."""
    windows = cut_windows(model, slots, docs)
    return {name: slot.make_instances(docs, windows) for name, slot in slots.items()}


@no_fork
def predict(
    model: Model, slots: Slots, docs: Sequence[Doc], rules: Mapping[str, Optional[ExitRule]], joint: Joint
) -> Dict[str, Predictions]:
    """Answer some Docs for some of the tasks, together.

    model (Model): The model.
    slots (Mapping[str, TaskSlot]): All tasks.
    docs (Sequence[Doc]): The Docs.
    rules (Mapping[str, Optional[ExitRule]]): The tasks to answer and their rules; None runs the full depth.
    joint (str): "all" or "any", see `run_exits`.
    RETURNS (Dict[str, Predictions]): The answers of each of these tasks, of Docs in order.
    RAISES NotFinite: Some are no numbers.
    """
    began = time.perf_counter()
    stepper = get_runner(model)
    set_training(model, False)
    runs: Dict[str, TaskRun] = {}
    for name, instances in make_instances(model, slots, docs).items():
        if name in rules:
            slot = slots[name]
            heads = slot.heads(model)
            answers = Predictions.empty(instances, heads.n_labels, stepper.depth, slot.reading(model))
            runs[name] = TaskRun(heads, answers, rules[name], began, device=stepper.device, priority=slot.priority)
    wordpieces = get_settings(model).max_wordpieces
    layers = get_exit_layers(model)
    with single_torch_thread(stepper):
        for rows in plan_passes([run.items for run in runs.values()], wordpieces * CALLS_PER_PASS):
            run_exits(stepper, list(runs.values()), rows, exit_layers=layers, wordpieces=wordpieces, joint=joint)
    for name, run in runs.items():
        refuse_nan(slots[name], run.items.unit_docs[run.answers.broken], len(docs))
    return {name: run.answers for name, run in runs.items()}


def all_exits(model: Model, slots: Slots, docs: Sequence[Doc], batch_size: int) -> Iterator[Dict[str, ExitOutputs]]:
    """Run the full depth and keep what every exit says.

    model (Model): The model.
    slots (Mapping[str, TaskSlot]): The tasks.
    docs (Sequence[Doc]): The Docs. Items of a Doc without wordpieces get zeros.
    batch_size (int): How many run together.
    YIELDS (Dict[str, ExitOutputs]): The outputs of each task for a batch, in numpy arrays.
    RAISES NotFinite: Some are no numbers.
    """
    for start in range(0, len(docs), batch_size):
        batch = docs[start : start + batch_size]
        instances = make_instances(model, slots, batch)
        outputs = {}
        for name, scores in zip(instances, model.predict(list(instances.values()))):
            refuse_nan(slots[name], _not_finite(scores), len(batch))
            links = [replace(part, logits=to_numpy(part.logits)) for part in scores.links]
            outputs[name] = ExitOutputs(to_numpy(scores.logits), to_numpy(scores.doubt), scores.items, links)
        yield outputs


def refuse_nan(slot: TaskSlot, docs: numpy.ndarray, of: int) -> None:
    """Refuse answers that are no numbers: they would read as "none found", or as settled.

    slot (TaskSlot): The task.
    docs (ndarray): The Docs with such answers.
    of (int): How many Docs there are.
    RAISES NotFinite: There are some.
    """
    if len(docs):
        failed = numpy.unique(docs).tolist()
        raise NotFinite(
            f"{slot.called.capitalize()} gives NaN or infinity for {len(failed)} of {of} documents: its weights are "
            "damaged or were spoilt in training, or numbers get too large in a lower precision. Load an intact copy, train "
            "again with a lower learning rate, or set `model.trunk.precision` to 'fp32'.",
            failed,
        )


def _not_finite(outputs: ExitOutputs) -> numpy.ndarray:
    """The Docs of which an exit says something that is no number."""
    items = outputs.items
    rows = ~numpy.isfinite(to_numpy(outputs.logits)).all(axis=(0, 2))
    units = [items.units[rows]]
    units += [links.heads[~numpy.isfinite(to_numpy(links.logits)).all(axis=1), 0] for links in outputs.links]
    return items.unit_docs[numpy.concatenate(units)]


def exit_entries(slots: Slots, docs: Sequence[Doc], answers: Mapping[str, Predictions]) -> List[Dict[str, Any]]:
    """Say where and why the units of Docs left.

    slots (Mapping[str, TaskSlot]): The tasks.
    docs (Sequence[Doc]): The Docs.
    answers (Mapping[str, Predictions]): The answers of each task.
    RETURNS (List[Dict[str, Any]]): What `doc._.exits` has of each Doc under the component's name.
    """
    entries: List[Dict[str, Any]] = [{} for _ in docs]
    for name, predictions in answers.items():
        flagged = flag(predictions.entropy, predictions.layers == predictions.depth, slots[name].cfg.get("uncertain", 1.0))
        for entry, units in zip(entries, predictions.items.by_doc()):
            ran = [unit for unit in units if predictions.layers[unit]]
            entry[name] = {
                "layer": float(predictions.layers[ran].mean()) if ran else 0.0,
                "depth": predictions.depth,
                "uncertain": bool(flagged[ran].any()),
                "units": [
                    {
                        "layer": int(predictions.layers[unit]),
                        "reason": predictions.reasons[unit],
                        "entropy": float(predictions.entropy[unit]),
                    }
                    for unit in ran
                ],
            }
    return entries
