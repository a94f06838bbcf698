"""Who has nothing to find in it, by words alone, so that it never climbs. The one place that decides."""

from typing import Optional, Sequence

import numpy
from scipy.special import expit
from spacy.tokens import Doc
from thinc.api import Model

from ..engine.gate import has_gate, logits_of_nothing
from ..exits.rules.base import ExitRule, complete
from ..inputs.instances import Instances
from ..settings import check_number
from .slot import TaskSlot


def find_chances(slot: TaskSlot, model: Model, docs: Sequence[Doc], items: Instances) -> Optional[numpy.ndarray]:
    """Say how likely there is anything to find.

    slot (TaskSlot): The task.
    model (Model): The model.
    docs (Sequence[Doc]): The Docs.
    items (Instances): What is asked about them.
    RETURNS (Optional[ndarray]): A probability for each item, which is balanced: as if half of them had something. 1 where there
        is no word to go by, (N,). None if the task has no gate.
    """
    head = slot.heads(model).gate
    bags = None if head is None else slot.task.gate_bags(docs, items)
    if head is None or bags is None:
        return None
    linear = head.model
    found = linear.read([linear.ngrams.weigh(bags.keys, bags.owners, bags.size)], bags.size)
    chances: numpy.ndarray = numpy.where(found.known, expit(found.logits[:, 0].astype("float64")), 1.0)[bags.items]
    return chances


def settle(slot: TaskSlot, model: Model, docs: Sequence[Doc], items: Instances, rule: Optional[ExitRule]) -> None:
    """Settle the items in which there is nothing to find, where a threshold says so, and note how likely there is anything in the
    others, for rules that ask.

    slot (TaskSlot): The task.
    model (Model): The model.
    docs (Sequence[Doc]): The Docs.
    items (Instances): What is asked about them, which is changed.
    rule (Optional[ExitRule]): The rule by which the others leave. At a fixed depth nothing is settled.
    """
    threshold = gate_threshold(slot)
    asks = rule is not None and complete(rule).reads_words
    if asks or (threshold and has_gate(rule)):
        chances = find_chances(slot, model, docs, items)
        if chances is not None:
            items.settle(chances < threshold, chances if asks else None)


def gate_threshold(slot: TaskSlot) -> float:
    """RETURNS (float): The probability from which on items climb; 0 for all."""
    return float(slot.cfg.get("gate", {}).get("threshold", 0.0))


def set_gate(slot: TaskSlot, threshold: Optional[float], model: Model) -> None:
    """Set the probability below which nothing climbs.

    slot (TaskSlot): The task.
    threshold (Optional[float]): The probability; None has all climb.
    model (Model): The model.
    RAISES ValueError: No probability, or no gate.
    """
    if threshold is None:
        slot.cfg.pop("gate", None)
        return
    check_number("gate", threshold, 0, 1)
    require_gate(slot, model)
    slot.cfg["gate"] = {"threshold": threshold}


def require_gate(slot: TaskSlot, model: Model) -> None:
    """RAISES ValueError: A task has no gate."""
    if slot.heads(model).gate is None:
        raise ValueError(
            f"{slot.called.capitalize()} has no gate before the first layer. Relations and events have one if they are trained "
            f"with `{slot.head_setting}.gate = 50000` on data in which some windows, or pairs, have none."
        )


def nothing_of(slot: TaskSlot) -> numpy.ndarray:
    """RETURNS (ndarray): The logits of an item that say that there is nothing to find, (K,)."""
    return logits_of_nothing(slot.n_logits(), exclusive=slot.task.exclusive, group=slot.task.group)
