"""The exit before the first layer: who leaves by words alone, before anything is cut into windows."""

from dataclasses import dataclass
from typing import Any, List, Optional, Sequence

import numpy
from scipy.special import logit

from ..exits.evidence import Evidence, EvidenceMaker
from ..exits.rules.base import CompleteRule, step
from ..inputs.instances import Lexical
from .joint import Joint, ended_groups
from .results import ExitOutputs


@dataclass
class FirstLook:
    """What a task says about the documents of a batch before the first layer.

    evidence (Evidence): What its rule looked at. The units are the documents.
    counters (Any): The rule's counters.
    codes (ndarray): The rule's reasons, from 1, (D,).
    done (ndarray): Which documents leave, (D,) bool.
    """

    evidence: Evidence
    counters: Any
    codes: numpy.ndarray
    done: numpy.ndarray


def first_look(
    lexical: Lexical, rule: Optional[CompleteRule], reading: EvidenceMaker, began: float, learned: bool = False
) -> FirstLook:
    """Ask a rule who leaves before the first layer.

    lexical (Lexical): What the words of the documents say.
    rule (Optional[CompleteRule]): The rule; None runs the full depth, unless other tasks have it leave.
    reading (EvidenceMaker): How logits are to be read.
    began (float): When work on the batch began, by `time.perf_counter`.
    learned (bool): Whether there is a learned exit.
    RETURNS (FirstLook): What it says.
    """
    evidence = look_at(lexical, reading, learned)
    counters = None if rule is None else rule.start(len(evidence), began)
    codes = numpy.zeros(len(evidence), dtype=int) if rule is None else step(rule, evidence, counters)
    return FirstLook(evidence, counters, codes, codes > 0)


def look_at(lexical: Lexical, reading: EvidenceMaker, learned: bool) -> Evidence:
    """RETURNS (Evidence): That of the exit before the first layer, of all documents."""
    evidence: Evidence = reading.evidence(lexical.logits, layer=0, units=numpy.arange(len(lexical.logits)), blind=~lexical.known)
    if learned:
        evidence.item_doubt = first_doubt(evidence)
    return evidence


def first_doubt(evidence: Evidence) -> numpy.ndarray:
    """RETURNS (ndarray): What stands for the learned estimate of being wrong, which is made of states: one less the
    confidence, (U,)."""
    return 1.0 - evidence.confidence


def with_first_exit(outputs: ExitOutputs, reading: EvidenceMaker) -> ExitOutputs:
    """RETURNS (ExitOutputs): What all exits say, that before the first layer first if there is one, in numpy arrays."""
    lexical = outputs.items.lexical
    if lexical is None:
        return outputs
    logits, doubt = numpy.concatenate((lexical.logits[None], outputs.logits)), outputs.doubt
    if doubt.shape[1]:
        first = numpy.clip(first_doubt(look_at(lexical, reading, False)), SMALLEST, 1 - SMALLEST)
        doubt = numpy.concatenate((logit(first)[None], doubt))
    else:
        doubt = numpy.zeros((len(logits), 0), dtype=doubt.dtype)
    return ExitOutputs(logits, doubt, outputs.items, outputs.links)


SMALLEST = 1e-6
"""The least doubt, as a probability, whose logit is stored."""


def leave_jointly(looks: Sequence[Optional[FirstLook]], asks: numpy.ndarray, priorities: Sequence[int], joint: Joint) -> None:
    """Have several tasks leave as they do at the exits behind layers, see `apply_joint_exit`. A document leaves only if all tasks
    that ask about it can answer; otherwise it climbs anyway, and is looked at again.

    looks (Sequence[Optional[FirstLook]]): What each task says; None for those without an exit here. Those that leave are changed.
    asks (ndarray): Whether each task asks about each document, (tasks, D) bool.
    priorities (Sequence[int]): The priority of each.
    joint (str): "all", a text climbs until all tasks are settled that decide, or "any", until one is.
    """
    climbs = numpy.stack([own if look is None else own & ~look.done for own, look in zip(asks, looks)])
    answerable = ~numpy.logical_or.reduce([own for own, look in zip(asks, looks) if look is None] or [asks[0] & False])
    ended = ended_groups(asks, climbs, priorities, joint) & answerable
    for look in looks:
        if look is not None and look.evidence.blind is not None:
            ended &= ~look.evidence.blind
    for look in looks:
        if look is not None:
            look.done = (look.done & answerable) | ended


def needed(looks: Sequence[Optional[FirstLook]]) -> Optional[List[bool]]:
    """RETURNS (Optional[List[bool]]): Which documents some task still climbs with; None for all."""
    if not looks or any(look is None for look in looks):
        return None
    left = numpy.logical_and.reduce([look.done for look in looks if look is not None])
    return (~left).tolist()
