"""What a batch of examples teaches a component: its instances, their loss, and the gradient."""

from dataclasses import dataclass, replace
from typing import Iterator, List, NoReturn, Optional, Sequence, Tuple

import numpy
import torch
from spacy.training import Example
from thinc.api import Model, torch2xp, xp2torch

from ..engine.results import ExitOutputs
from ..inference.predict import Slots, cut_windows, read_words
from ..inputs.instances import Instances
from ..inputs.packing import pack
from ..model import get_heads, get_settings, get_stepper
from ..tasks.base import Targets
from ..tasks.mix import trained_mix
from ..tasks.slot import TaskSlot
from ..training.losses import JointLoss, exit_weights, link_gradient
from .rivals import allow_strange, tell_others

WEIGHTING = {"joint": None, "trunk": "last", "exits": "equal"}
"""How exits are weighted in each stage of training; None for as the loss says."""


@dataclass
class Lesson:
    """A part of a batch that is learned from in one call.

    examples (List[Example]): The examples.
    instances (List[Instances]): What each task asks about them.
    shares (ndarray): Which part of the annotation of the batch they have, for each task, (T,).
    wordpieces (int): How many they have, windows and special ones included.
    """

    examples: List[Example]
    instances: List[Instances]
    shares: numpy.ndarray
    wordpieces: int


def plan_lessons(model: Model, slots: Slots, loss: JointLoss, examples: Sequence[Example]) -> Iterator[Lesson]:
    """Cut a batch into parts that fit into memory. Examples without an annotation, or soft labels, are left out.

    model (Model): The model.
    slots (Mapping[str, TaskSlot]): The tasks.
    loss (JointLoss): How the exits are trained.
    examples (Sequence[Example]): The batch.
    YIELDS (Lesson): The parts.
    """
    wordpieces = get_settings(model).max_wordpieces
    docs = [eg.predicted for eg in examples]
    tell_others(slots)
    allow_strange(slots, examples)
    windows = cut_windows(model, slots, docs).sample(wordpieces)
    words = list(read_words(model, slots, docs, unseen=True).values())
    instances = [slot.make_instances(docs, windows, lexical) for slot, lexical in zip(slots.values(), words)]
    known = numpy.stack([_count_known(slot, loss, examples, items) for slot, items in zip(slots.values(), instances)])
    _leave_out(instances, known)
    climbing = numpy.logical_or.reduce([items.windows_of(items.live) for items in instances])
    lengths = numpy.bincount(windows.docs, windows.lengths * climbing, minlength=len(docs))
    useful = numpy.flatnonzero(known.any(axis=0) & (lengths > 0))
    totals = numpy.maximum(known[:, useful].sum(axis=1), 1)
    sizes = (lengths + known.sum(axis=0))[useful].astype(int)  # an item counts as a wordpiece
    for rows in pack(sizes, wordpieces, call=wordpieces):  # only the size matters here
        part = useful[rows]
        if len(part) == len(docs):
            part, asked = numpy.arange(len(docs)), instances
        else:
            some, cut = [docs[i] for i in part], windows.select(part)
            some_words = [None if lexical is None else lexical.select(part) for lexical in words]
            asked = [slot.make_instances(some, cut, lexical) for slot, lexical in zip(slots.values(), some_words)]
            _leave_out(asked, known[:, part])
        taught = [examples[i] for i in part]
        for slot, items in zip(slots.values(), asked):
            slot.task.add_gold(taught, items)
        yield Lesson(taught, asked, known[:, part].sum(axis=1) / totals, int(lengths[part].sum()))


def _soft_labels(slot: TaskSlot, loss: JointLoss, examples: Sequence[Example], items: Instances) -> Optional[Targets]:
    """What teachers say, see `Task.soft_targets`. None if that is not learned from."""
    return slot.soft_targets(examples, items) if loss.teacher_share else None


def _count_known(slot: TaskSlot, loss: JointLoss, examples: Sequence[Example], items: Instances) -> numpy.ndarray:
    """How many items of a task have an annotation, or soft labels, in each example."""
    _, label_mask = slot.targets(examples, items)
    taught = _soft_labels(slot, loss, examples, items)
    if taught is not None:
        label_mask = numpy.maximum(label_mask, taught[1])
    return numpy.bincount(items.unit_docs[items.units[label_mask.any(axis=1)]], minlength=len(examples))


def _leave_out(instances: Sequence[Instances], known: numpy.ndarray) -> None:
    """Do not run for a task what it can learn nothing from.

    instances (Sequence[Instances]): What each task asks.
    known (ndarray): How many of its items are annotated in each Doc, (tasks, docs).
    """
    for items, counts in zip(instances, known):
        items.wanted = counts[items.unit_docs] > 0


def find_loss(
    slots: Slots,
    loss: JointLoss,
    stage: str,
    examples: Sequence[Example],
    scores: Sequence[ExitOutputs],
    shares: Optional[Sequence[float]] = None,
) -> Tuple[float, List[ExitOutputs]]:
    """Find the loss of some examples and its gradient: the sum of those of the tasks, by their weights.

    slots (Mapping[str, TaskSlot]): The tasks.
    loss (JointLoss): How the exits are trained.
    stage (str): The stage of training.
    examples (Sequence[Example]): The examples.
    scores (Sequence[ExitOutputs]): What the exits say about them, for each task.
    shares (Optional[Sequence[float]]): Which part of the annotation of a batch these are, for each task; None for all.
    RETURNS (Tuple[float, List[ExitOutputs]]): The loss and its gradient.
    """
    total, gradients = 0.0, []
    for number, (slot, outputs) in enumerate(zip(slots.values(), scores)):
        share = slot.weight * (1.0 if shares is None else float(shares[number]))
        value, gradient = _task_loss(slot, loss, WEIGHTING[stage], examples, outputs)
        links = [replace(part, logits=part.logits * share) for part in gradient.links]
        gradients.append(ExitOutputs(gradient.logits * share, gradient.doubt * share, outputs.items, links))
        total += share * value
    return total, gradients


def _task_loss(
    slot: TaskSlot, loss: JointLoss, weighting: Optional[str], examples: Sequence[Example], scores: ExitOutputs
) -> Tuple[float, ExitOutputs]:
    """The loss of a task and its gradient."""
    targets, label_mask = slot.targets(examples, scores.items)
    logits, doubt = xp2torch(scores.logits), xp2torch(scores.doubt)
    weights = slot.task.weights(slot.cfg["labels"], slot.cfg)
    taught = _soft_labels(slot, loss, examples, scores.items)
    soft, soft_mask = (None, None) if taught is None else (torch.from_numpy(part).to(logits.device) for part in taught)
    value, d_logits, d_doubt = loss.gradient(
        logits,
        doubt,
        targets=torch.from_numpy(targets).to(logits.device),
        label_mask=torch.from_numpy(label_mask).to(logits.device),
        exclusive=slot.task.exclusive,
        label_weights=torch.tensor(weights, device=logits.device),
        group=slot.task.group,
        threshold=slot.cfg["threshold"],
        weighting=weighting,
        soft=soft,
        soft_mask=soft_mask,
    )
    gradient = ExitOutputs(torch2xp(d_logits), torch2xp(d_doubt), scores.items)
    shares = exit_weights(len(logits), weighting or loss.weighting).tolist()
    for share, links in zip(shares, scores.links):
        link_truths, possible = slot.task.link_targets(scores.items, links)
        more, d_links = link_gradient(xp2torch(links.logits), link_truths, possible)
        value += share * more
        gradient.links.append(replace(links, logits=torch2xp(share * d_links)))
    return value, gradient


def learn_mix(model: Model, slots: Slots, lesson: Lesson, scores: Sequence[ExitOutputs], stage: str) -> None:
    """Learn how much words count at each exit. Trunk and classifiers learn without them: trained on the sum they leave to the
    words what they could know better (health_advice, minilm-l6: macro F of the last layer 91.3 in place of 92.9).

    model (Model): The model. The gradient is added where its optimizer looks for it.
    slots (Mapping[str, TaskSlot]): The tasks.
    lesson (Lesson): The examples.
    scores (Sequence[ExitOutputs]): What the exits say about them without the words, for each task.
    stage (str): The stage of training. Where the last exit is trained no more, it stays as it is.
    """
    for slot, outputs, share in zip(slots.values(), scores, lesson.shares):
        lexical, words = slot.heads(model).lexical, outputs.items.lexical
        if lexical is None or words is None or not lexical.mix.requires_grad or not words.known.any():
            continue
        targets, label_mask = slot.targets(lesson.examples, outputs.items)
        device = lexical.mix.device
        weights = slot.task.weights(slot.cfg["labels"], slot.cfg)
        with torch.enable_grad():
            trained = torch.from_numpy(trained_mix(slot, model)).to(lexical.mix)
            mix = trained + (lexical.mix - lexical.mix.detach())  # also where another one was fitted since
            mix = mix if stage != "exits" else torch.cat((mix[:-1], mix[-1:].detach()))
            mixed = xp2torch(outputs.logits).detach() + mix[:, None, None] * torch.from_numpy(words.logits).to(device)
            value = JointLoss("equal")(
                mixed,
                torch.from_numpy(targets).to(device),
                torch.from_numpy(label_mask * words.known[:, None]).to(device),
                exclusive=slot.task.exclusive,
                label_weights=torch.tensor(weights, device=device),
            )
            (value * float(share) * slot.weight).backward()


def parameters_of(model: Model) -> Iterator[torch.nn.Parameter]:
    """YIELDS (Parameter): The weights of backbone and classifiers."""
    for module in (get_stepper(model).model, *get_heads(model)):
        yield from module.parameters()


def check_gradients(model: Model, name: str) -> None:
    """Refuse gradients that are NaN or infinite.

    model (Model): The model.
    name (str): The component.
    """
    gradients = [parameter.grad for parameter in parameters_of(model) if parameter.grad is not None]
    if gradients and not torch.isfinite(torch.stack(torch._foreach_norm(gradients))).all():
        stop_training(model, name, "gradient")


def stop_training(model: Model, name: str, what: str) -> NoReturn:
    """Stop before NaN or infinity gets into the weights.

    model (Model): The model.
    name (str): The component.
    what (str): What of it is so.
    """
    for parameter in parameters_of(model):
        parameter.grad = None
    raise ValueError(
        f"The {what} of the component '{name}' is NaN or infinite, so training stops; the weights are those before this "
        "update. Lower the learning rate (`training.optimizer.learn_rate`) or warm up for longer, keep `grad_clip` at 1.0, "
        "set `model.trunk.mixed_precision` to false, or lower `label_weights` and `weight` if they are far above 1. If this "
        "is the first update, the backbone itself may be damaged."
    )
