"""A task's looks at one unit, for a runner that climbs until its rule is met."""

from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy

from ..exits.evidence import Evidence, EvidenceBuilder, EvidenceMaker
from ..exits.rules.base import CompleteRule
from ..exits.rules.plain import PlainRule, as_tests
from ..exits.scaling import pivot
from ..heads.base import ExitHeads
from ..inputs.instances import Instances
from ..trunk.looks import Form, Looks
from .before import FirstLook

KEPT = 64
"""For how many rules and ways to read logits it is kept what is the same for all units."""

UNUSED = numpy.zeros((2, 1))
"""Thresholds that nobody asks for."""


@dataclass
class Single:
    """One thing that is asked about one unit.

    items (Instances): It.
    heads (ExitHeads): The classifiers.
    reading (EvidenceMaker): How their logits are to be read.
    rule (Optional[CompleteRule]): When it leaves; None runs the full depth.
    counters (Any): The rule's counters.
    look (Optional[FirstLook]): What was said before the first layer, if that was looked at.
    """

    items: Instances
    heads: ExitHeads
    reading: EvidenceMaker
    rule: Optional[CompleteRule]
    counters: Any
    look: Optional[FirstLook]


class Plan(NamedTuple):
    """What is the same for all units. The fields are those of `PlainRule` and `Looks`."""

    plain: PlainRule
    form: Form
    exits: numpy.ndarray
    numbers: numpy.ndarray


_plans: Dict[Tuple[Any, ...], Tuple[CompleteRule, Optional[Plan]]] = {}
"""Plans, with the rules, which are known by where they are: as long as one is kept, no other is there."""


def make_looks(unit: Single, weights: numpy.ndarray, exit_layers: Sequence[int], depth: int) -> Optional[Looks]:
    """Say how a unit is looked at.

    unit (Single): What is asked.
    weights (ndarray): How much each state counts, see `ExitHeads.weigh`.
    exit_layers (Sequence[int]): The layers with an exit, the last one among them.
    depth (int): The number of layers.
    RETURNS (Optional[Looks]): How; None if there is no rule, or more to it than a runner can do.
    """
    reading, heads, rule = unit.reading, unit.heads, unit.rule
    if rule is None or rule.timed or type(reading) is not EvidenceBuilder:
        return None
    labels, learned = heads.n_labels, heads.doubt is not None
    look: Optional[Evidence] = None if unit.look is None else unit.look.evidence
    known = look is not None and (look.blind is None or not look.blind[0])
    temperatures = tuple([reading.temperatures.get(layer, 1.0) for layer in exit_layers])
    how = (labels, reading.exclusive, reading.reduce, learned)
    plan = _plan(rule, tuple(exit_layers), depth, temperatures, look is not None, known, how)
    linear = heads.linear()
    if plan is None or linear is None:
        return None
    biases = linear.biases
    if unit.items.lexical is not None:
        biases = biases.copy()
        biases[:, :labels] += linear.mix * unit.items.lexical.logits
    runs, votes = plan.plain.started(None if look is None else unit.counters, labels)
    found = numpy.zeros((1, labels + learned), dtype="float32")
    if look is not None:
        found[:, :labels] = look.logits
    return Looks(
        form=plan.form,
        exits=plan.exits,
        pool=weights[None],
        weights=linear.weights,
        biases=biases,
        numbers=plan.numbers,
        thresholds=UNUSED if reading.exclusive else _thresholds(reading, labels),
        runs=runs,
        votes=votes,
        found=found,
        scaled=numpy.zeros((1, labels)) if look is None else look.scaled,
    )


def _thresholds(reading: EvidenceBuilder, labels: int) -> numpy.ndarray:
    """RETURNS (ndarray): See `Looks`."""
    thresholds = numpy.empty((2, labels))
    thresholds[0], thresholds[1] = reading.threshold, pivot(reading.threshold)
    return thresholds


def _plan(
    rule: CompleteRule,
    exit_layers: Tuple[int, ...],
    depth: int,
    temperatures: Tuple[float, ...],
    before: bool,
    known: bool,
    how: Tuple[Any, ...],
) -> Optional[Plan]:
    """Work out what is the same for all units, or find it.

    rule (CompleteRule): The rule.
    exit_layers (Tuple[int, ...]): The layers with an exit.
    depth (int): The number of layers.
    temperatures (Tuple[float, ...]): The temperature of each exit.
    before (bool): Whether the rule has looked before the first layer,
    known (bool): and whether anything was known there.
    how (Tuple[Any, ...]): What `Form` has beside tests.
    RETURNS (Optional[Plan]): The plan; None for a rule that is to be asked in Python.
    """
    key = (id(rule), exit_layers, depth, temperatures, before, known, how)
    kept = _plans.get(key)
    if kept is not None:
        return kept[1]
    looked = numpy.array([layer >= rule.first_layer or layer == depth for layer in exit_layers])
    learned = how[-1]
    plain = None if rule.learned and not learned else as_tests(rule, exit_layers, looked, before, known)
    plan = None
    if plain is not None:
        exits = numpy.full(depth, -1)
        exits[numpy.array(exit_layers)[looked] - 1] = numpy.flatnonzero(looked)
        plan = Plan(plain, Form(plain.tests, *how), exits, numpy.vstack((temperatures, *plain.rows)))
    if len(_plans) >= KEPT:
        _plans.clear()
    _plans[key] = rule, plan
    return plan
