"""Docs become windows and instances, these climb, and answers come back. Functions of a model and its tasks."""

import time
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

import numpy
from spacy.tokens import Doc
from thinc.api import Model, to_numpy

from ..engine.before import FirstLook, first_look, leave_jointly, needed, with_first_exit
from ..engine.gate import write_settled
from ..engine.joint import Joint
from ..engine.loop import TaskRun
from ..engine.results import ExitOutputs, Predictions
from ..exits.coverage import flag
from ..exits.evidence import EvidenceMaker
from ..exits.reasons import UNSETTLED
from ..exits.rules.base import ExitRule, complete
from ..inputs.instances import Instances, Lexical
from ..inputs.windows import NotFinite, Windows
from ..model import as_read, get_runner, get_settings, get_windows, set_training
from ..tasks.gate import nothing_of, settle
from ..tasks.slot import TaskSlot
from ..threads import no_fork
from .alone import answer_alone
from .climb import climb_together

Slots = Mapping[str, TaskSlot]
"""The tasks of a component, by name."""

Words = Mapping[str, Optional[Lexical]]
"""What the words of documents say for each task; None for those that do not ask."""


def cut_windows(model: Model, slots: Slots, docs: Sequence[Doc], climbing: Optional[Sequence[bool]] = None) -> Windows:
    """Cut Docs into windows.

    model (Model): The model.
    slots (Mapping[str, TaskSlot]): The tasks.
    docs (Sequence[Doc]): The Docs.
    climbing (Optional[Sequence[bool]]): Which have not left before the first layer; None for all.
    RETURNS (Windows): The windows of those that any task asks about.
    """
    wanted = [slot.task.has_instances(docs) for slot in slots.values()]
    every = None if any(docs_wanted is None for docs_wanted in wanted) else [any(of_doc) for of_doc in zip(*wanted)]
    if climbing is not None:
        every = list(climbing) if every is None else [asked and climbs for asked, climbs in zip(every, climbing)]
    return get_windows(model, docs, every)


def read_words(model: Model, slots: Slots, docs: Sequence[Doc], unseen: bool = False) -> Dict[str, Optional[Lexical]]:
    """Look at the words of some Docs.

    model (Model): The model.
    slots (Mapping[str, TaskSlot]): The tasks.
    docs (Sequence[Doc]): The Docs.
    unseen (bool): Whether to say what models say that have not seen them, to learn from.
    RETURNS (Dict[str, Optional[Lexical]]): What they say for each task; None for those that do not ask.
    """
    heads = {name: slot.heads(model).lexical for name, slot in slots.items()}
    docs = as_read(model, docs) if any(own is not None for own in heads.values()) else docs
    return {name: None if own is None else own.look_unseen(docs) if unseen else own.look(docs) for name, own in heads.items()}


def make_instances(
    model: Model,
    slots: Slots,
    docs: Sequence[Doc],
    words: Optional[Words] = None,
    climbing: Optional[Sequence[bool]] = None,
) -> Dict[str, Instances]:
    """Say what there is to answer about some Docs for each task, about the same windows.

    model (Model): The model.
    slots (Mapping[str, TaskSlot]): The tasks.
    docs (Sequence[Doc]): The Docs.
    words (Optional[Mapping[str, Optional[Lexical]]]): What their words say, if that is known.
    climbing (Optional[Sequence[bool]]): Which have not left before the first layer; None for all.
    RETURNS (Dict[str, Instances]): The items and units of each task.
    """
    windows = cut_windows(model, slots, docs, climbing)
    words = read_words(model, slots, docs) if words is None else words
    return {name: slot.make_instances(docs, windows, words[name]) for name, slot in slots.items()}


def look_first(
    model: Model,
    slots: Slots,
    docs: Sequence[Doc],
    rules: Mapping[str, Optional[ExitRule]],
    joint: Joint,
    words: Words,
    readings: Mapping[str, EvidenceMaker],
    began: float,
) -> Dict[str, Optional[FirstLook]]:
    """Ask the rules who leaves before the first layer.

    model (Model): The model.
    slots (Mapping[str, TaskSlot]): The tasks.
    docs (Sequence[Doc]): The Docs.
    rules (Mapping[str, Optional[ExitRule]]): The tasks to answer and their rules.
    joint (str): "all" or "any", see `run_exits`.
    words (Mapping[str, Optional[Lexical]]): What the words of the Docs say.
    readings (Mapping[str, EvidenceMaker]): How the logits of each task are to be read.
    began (float): When work on them began.
    RETURNS (Dict[str, Optional[FirstLook]]): What each task says; None for those that have no exit there, or do not look.
    """
    looks: Dict[str, Optional[FirstLook]] = {}
    priorities = [slots[name].priority for name in rules]
    forced = len(rules) > 1 and (joint == "any" or len(set(priorities)) > 1)
    for name, rule in rules.items():
        lexical, whole = words[name], None if rule is None else complete(rule)
        learned = slots[name].heads(model).doubt is not None
        wanted = forced or (whole is not None and whole.first_layer == 0)
        looks[name] = None if lexical is None or not wanted else first_look(lexical, whole, readings[name], began, learned)
    if forced and any(look is not None for look in looks.values()):
        asked = [slots[name].task.has_instances(docs) for name in rules]
        asks = numpy.array([numpy.ones(len(docs), dtype=bool) if own is None else own for own in asked], dtype=bool)
        leave_jointly(list(looks.values()), asks, priorities, joint)
    return looks


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
    if len(docs) == 1 and len(rules) == 1:
        [(name, rule)] = rules.items()
        alone = answer_alone(model, slots[name], docs, rule, began)
        if alone is not None:
            refuse_nan(slots[name], alone.items.unit_docs[alone.broken], 1)
            return {name: alone}
    runs: Dict[str, TaskRun] = {}
    asked = {name: slots[name] for name in rules}
    words: Dict[str, Optional[Lexical]] = {**dict.fromkeys(slots), **read_words(model, asked, docs)}
    readings = {name: slot.reading(model) for name, slot in asked.items()}
    looks = look_first(model, slots, docs, rules, joint, words, readings, began)
    climbing = needed(list(looks.values()))
    for name, instances in make_instances(model, slots, docs, words, climbing).items():
        if name in rules:
            slot = slots[name]
            heads = slot.heads(model)
            settle(slot, model, docs, instances, rules[name])
            answers = Predictions.empty(instances, heads.n_labels, stepper.depth, readings[name])
            if instances.settled is not None:
                write_settled(answers, nothing_of(slot))
            runs[name] = TaskRun(
                heads, answers, rules[name], began, device=stepper.device, priority=slot.priority, look=looks[name]
            )
    climb_together(model, list(runs.values()), joint)
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
            behind = ExitOutputs(to_numpy(scores.logits), to_numpy(scores.doubt), scores.items, links)
            outputs[name] = with_first_exit(behind, slots[name].reading(model))
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


def exit_entries(model: Model, slots: Slots, docs: Sequence[Doc], answers: Mapping[str, Predictions]) -> List[Dict[str, Any]]:
    """Say where and why the units of Docs left, and whether they have the sections that are read.

    model (Model): The model.
    slots (Mapping[str, TaskSlot]): The tasks.
    docs (Sequence[Doc]): The Docs.
    answers (Mapping[str, Predictions]): The answers of each task.
    RETURNS (List[Dict[str, Any]]): What `doc._.exits` has of each Doc under the component's name.
    """
    entries: List[Dict[str, Any]] = [{} for _ in docs]
    sections = get_settings(model).sections
    read = [{} if sections is None else {"sections": bool(sections.find(doc))} for doc in docs]
    for name, predictions in answers.items():
        threshold, depth = slots[name].cfg.get("uncertain", 1.0), predictions.depth
        # Plain numbers: one of an array takes as long as some dozen of a list.
        layers, entropy, left = (part.tolist() for part in (predictions.layers, predictions.entropy, predictions.ran))
        for entry, more, units in zip(entries, read, predictions.items.by_doc()):
            ran = [unit for unit in units if left[unit]]
            entry[name] = {
                "layer": sum(layers[unit] for unit in ran) / len(ran) if ran else 0.0,
                "depth": depth,
                "uncertain": any(
                    flag(entropy[unit], layers[unit] == depth or predictions.reasons[unit] in UNSETTLED, threshold)
                    for unit in ran
                ),
                "units": [{"layer": layers[unit], "reason": predictions.reasons[unit], "entropy": entropy[unit]} for unit in ran],
                **more,
            }
    return entries
