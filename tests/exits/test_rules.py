import json
import math
import time
from types import SimpleNamespace

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax
from scipy.stats import entropy
from spacy.util import registry
from thinc.api import Config

from spacy_epee.exits import rules
from spacy_epee.exits.evidence import Evidence
from spacy_epee.exits.rules import depth
from spacy_epee.exits.rules.base import ExitRule, Rule, complete
from spacy_epee.exits.rules.composite import AllOf, AnyOf
from spacy_epee.exits.rules.depth import Deadline, FixedDepth, FromLayer
from spacy_epee.exits.rules.patience import ConfidentPatience, EntropyPatience, FlexiblePatience, Patience, Voting
from spacy_epee.exits.rules.structure import NothingFound, SettledStructure
from spacy_epee.exits.rules.thresholds import Confidence, Energy, Entropy, Learned, Margin

SOME = settings(max_examples=50)
READINGS = {
    "exclusive": {"exclusive": True},
    "mean": {"exclusive": False, "reduce": "mean"},
    "max": {"exclusive": False, "reduce": "max"},
}
RULES = [
    Entropy(entropy=0.6),
    Confidence(confidence=0.7),
    Margin(margin=0.4),
    Energy(energy=0.3),
    Patience(patience=2),
    FlexiblePatience(divergence=0.05, patience=2),
    FlexiblePatience(divergence=0.3, patience=1, measure="SymKD"),
    ConfidentPatience(entropy=0.7, patience=2),
    EntropyPatience(entropy=0.5, patience=3),
    EntropyPatience(entropy=0.5, patience=None),
    Voting(votes=3.0),
    Voting(votes=1.5, power=0.5),
    Learned(doubt=0.3),
    FixedDepth(layer=3),
    Deadline(deadline_ms=1e9),
    FromLayer(layer=2, rule=EntropyPatience(entropy=0.5, patience=1)),
    FromLayer(layer=2, rule=FlexiblePatience(divergence=0.05, patience=1)),
    AnyOf(rules={"first": ConfidentPatience(entropy=0.6, patience=2), "second": Patience(patience=2)}),
    AllOf(rules={"first": Entropy(entropy=0.8), "second": Patience(patience=1)}),
    AnyOf(
        rules={
            "both": AllOf(rules={"sure": Margin(margin=0.2), "same": Patience(patience=1)}),
            "either": AnyOf(rules={"epee": EntropyPatience(entropy=0.2, patience=4), "deep": FixedDepth(layer=6)}),
        }
    ),
]

STRUCTURED = {NothingFound, SettledStructure}
"""Rules that look at structures, see tests/tasks/events/test_events.py."""


def name(rule):
    return rule.registered.split(".")[1]


each_rule = pytest.mark.parametrize("rule", RULES, ids=name)
read_each_way = pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)


def stored_logits(seed, exits, units, labels, scale):
    """Random logits that drift from exit to exit, (E, U, K)."""
    steps = numpy.random.default_rng(seed).normal(size=(exits, units, labels))
    return (scale * steps.cumsum(axis=0)).astype("float32")


STORED = st.builds(
    stored_logits,
    seed=st.integers(0, 2**32 - 1),
    exits=st.integers(2, 8),
    units=st.integers(1, 9),
    labels=st.integers(1, 4),
    scale=st.sampled_from([0.1, 0.5, 2.0]),
)
READING = st.sampled_from(list(READINGS.values()))
TAUS = st.floats(0, 1.1)
PATIENCES = st.integers(1, 9)


def doubts_of(stored):
    """Made-up estimates of being wrong, (E, U)."""
    return expit(stored.sum(axis=2))


def climb(rule, stored, reading=READINGS["exclusive"], *, compact=True, layers=None, kind=Evidence):
    """The exit that each unit takes, from 1, and the reason, going by stored logits.

    compact (bool): Whether units that leave are dropped at once, as the loop does it.
    """
    exits, units = stored.shape[:2]
    layers = range(1, exits + 1) if layers is None else layers
    doubts = doubts_of(stored)
    taken, reasons = numpy.full(units, exits), ["depth"] * units
    counters, live, previous = rule.start(units, 0.0), numpy.arange(units), None
    for exit, layer in enumerate(layers):
        evidence = kind(stored[exit][live], layer=layer, units=live, previous=previous, doubt=doubts[exit][live], **reading)
        codes = rule.step(evidence, counters)
        assert codes.shape == live.shape
        for unit, code in zip(live, codes):
            if code > 0 and reasons[unit] == "depth" and exit + 1 < exits:
                taken[unit], reasons[unit] = exit + 1, rule.reasons[code - 1]
        stay = codes == 0 if compact else numpy.ones(len(live), dtype=bool)
        previous = evidence.keep(stay)
        live = live[stay]
        if not len(live):
            break
    return taken.tolist(), reasons


def exits_of(*args, **kwargs):
    return numpy.array(climb(*args, **kwargs)[0])


def codes_of(rule, stored, reading=READINGS["exclusive"], layers=None):
    """What a rule says about every unit at every exit, none leaving, (E, U)."""
    exits, units = stored.shape[:2]
    counters, previous, codes = rule.start(units, 0.0), None, []
    for exit, layer in enumerate(layers or range(1, exits + 1)):
        previous = Evidence(
            stored[exit],
            layer=layer,
            units=numpy.arange(units),
            previous=previous,
            doubt=doubts_of(stored)[exit],
            **reading,
        )
        codes.append(rule.step(previous, counters))
    return numpy.array(codes)


def labels_to_logits(*labels, size=3.0, of=3):
    """One unit's logits over the exits, from the best label of each exit, (E, 1, K)."""
    return size * numpy.eye(of)[list(labels)][:, None]


def sets_to_logits(*sets, size=3.0, of=3):
    return numpy.array([[[size if label in given else -size for label in range(of)]] for given in sets])


# By definition (algorithms.md, section 1)


def told(stored, exclusive, reduce="mean"):
    """Entropy, divergence from the exit before and agreement with it, worked out by scipy, (E, U) each."""
    stored = stored.astype("float64")
    join = {"mean": numpy.mean, "max": numpy.max}[reduce]
    if exclusive and stored.shape[2] > 1:
        p = softmax(stored, axis=2)
        shares = entropy(p, axis=2) / math.log(stored.shape[2])
        moves = jensen_shannon(p[:-1], p[1:])
        same = stored[:-1].argmax(axis=2) == stored[1:].argmax(axis=2)
    else:
        points = numpy.stack((expit(stored), expit(-stored)), axis=-1)
        shares = join(entropy(points, base=2, axis=3), axis=2)
        moves = join(jensen_shannon(points[:-1], points[1:]), axis=2)
        given = stored >= 0
        same = (given[:-1] == given[1:]).all(axis=2)
        if exclusive:
            same[:] = True
    first = numpy.zeros((1, stored.shape[1]))
    return shares, numpy.concatenate((first + numpy.inf, moves)), numpy.concatenate((first > 0, same))


def jensen_shannon(p, q):
    return (entropy(p, (p + q) / 2, base=2, axis=-1) + entropy(q, (p + q) / 2, base=2, axis=-1)) / 2


def runs(holds):
    """How often in a row something has held, (E, U)."""
    lengths = numpy.zeros((len(holds) + 1, holds.shape[1]), dtype=int)
    for exit, now in enumerate(holds):
        for unit in range(holds.shape[1]):
            lengths[exit + 1, unit] = lengths[exit, unit] + 1 if now[unit] else 0
    return lengths[1:]


def first_exit(stops):
    stops = stops.copy()
    stops[-1] = True
    return stops.argmax(axis=0) + 1


BY_DEFINITION = {
    "Entropy": (lambda tau, P: Entropy(entropy=tau), lambda u, d, same, tau, P: u < tau),
    "Patience": (lambda tau, P: Patience(patience=P), lambda u, d, same, tau, P: runs(same) >= P),
    "FlexiblePatience": (
        lambda tau, P: FlexiblePatience(divergence=tau, patience=P),
        lambda u, d, same, tau, P: runs(d < tau) >= P,
    ),
    "ConfidentPatience": (
        lambda tau, P: ConfidentPatience(entropy=tau, patience=P),
        lambda u, d, same, tau, P: runs(u < tau) >= P,
    ),
    "EntropyPatience": (
        lambda tau, P: EntropyPatience(entropy=tau, patience=P),
        lambda u, d, same, tau, P: (u < tau) | (runs(same) >= P),
    ),
}


@pytest.mark.parametrize("which", BY_DEFINITION)
@SOME
@given(reading=READING, stored=STORED, tau=st.floats(0.001, 0.999), patience=st.integers(1, 4))
def test_rules_follow_their_definition(which, reading, stored, tau, patience):
    build, stops = BY_DEFINITION[which]
    expected = first_exit(stops(*told(stored, **reading), tau, patience))
    assert exits_of(build(tau, patience), stored, reading).tolist() == expected.tolist()


@SOME
@given(reading=READING, stored=STORED, tau=st.floats(0.001, 0.999))
def test_rules_energy_follows_its_definition(reading, stored, tau):
    sizes = stored.astype("float64")
    if reading["exclusive"] and stored.shape[2] > 1:
        energies = 1 / (1 + numpy.exp(sizes).sum(axis=2))
    else:
        join = {"mean": numpy.mean, "max": numpy.max}[reading.get("reduce", "mean")]
        energies = join(1 / (1 + numpy.exp(abs(sizes))), axis=2)
    assert exits_of(Energy(energy=tau), stored, reading).tolist() == first_exit(energies < tau).tolist()


def test_rules_energy_sees_the_size_of_logits_that_entropy_does_not():
    large = Evidence(numpy.array([[1.0, 3.0], [11.0, 13.0]]), layer=1, units=numpy.arange(2))
    assert large.entropy[0] == pytest.approx(large.entropy[1]) and large.energy[0] > 100 * large.energy[1]


def test_rules_energy_of_huge_logits_is_a_number():
    for exclusive in (True, False):
        logits = numpy.array([[1e5, -1e5, 3.0], [-1e5, -1e5, -1e5]])
        found = Evidence(logits, layer=1, units=numpy.arange(2), exclusive=exclusive)
        assert numpy.isfinite(found.energy).all() and ((0 <= found.energy) & (found.energy <= 1)).all()


def test_rules_energy_of_a_label_is_counted_from_where_its_answer_turns():
    thresholds = numpy.array([0.2, 0.5])
    found = Evidence(logit(thresholds)[None], layer=1, units=numpy.arange(1), exclusive=False, threshold=thresholds)
    assert found.energy[0] == pytest.approx(0.5) and found.decision.all()


# Identities


@SOME
@given(reading=READING, stored=STORED, tau=st.floats(max_value=0.0, allow_nan=False, allow_infinity=False), patience=PATIENCES)
def test_rules_entropy_from_zero_down_never_fires_and_epee_is_pabee(reading, stored, tau, patience):
    """Identity 1. The extra unit has an entropy of exactly 0 at every exit."""
    sure = numpy.full((len(stored), 1, stored.shape[2]), -1e4)
    sure[:, :, 0] = 1e4
    stored = numpy.concatenate((stored, sure), axis=1)
    assert climb(Entropy(entropy=tau), stored, reading)[1] == ["depth"] * stored.shape[1]
    joined = climb(EntropyPatience(entropy=tau, patience=patience), stored, reading)
    assert joined == climb(Patience(patience=patience), stored, reading)


@SOME
@given(reading=READING, stored=STORED, tau=TAUS, more=st.one_of(st.none(), st.integers(0, 3)))
def test_rules_patience_from_the_depth_on_never_fires_and_epee_is_entropy(reading, stored, tau, more):
    """Identity 2."""
    patience = None if more is None else len(stored) + more
    joined = EntropyPatience(entropy=tau, patience=patience)
    assert climb(joined, stored, reading) == climb(Entropy(entropy=tau), stored, reading)
    assert 2 not in codes_of(joined, stored, reading)
    if patience is not None:
        assert not codes_of(Patience(patience=patience), stored, reading).any()


@SOME
@given(reading=READING, stored=STORED, tau=TAUS)
def test_rules_patience_of_one_less_than_the_depth_fires_only_at_the_last_exit(reading, stored, tau):
    """Identity 2, second part."""
    stored[:] = stored[0]  # nothing ever changes, so that it does fire
    codes = codes_of(Patience(patience=len(stored) - 1), stored, reading)
    assert not codes[:-1].any() and codes[-1].all()
    joined = EntropyPatience(entropy=tau, patience=len(stored) - 1)
    assert climb(joined, stored, reading) == climb(Entropy(entropy=tau), stored, reading)


@SOME
@given(reading=READING, stored=STORED, tau=st.floats(1.0, 10.0, exclude_min=True), patience=st.none() | PATIENCES)
def test_rules_entropy_above_one_leaves_at_the_first_exit(reading, stored, tau, patience):
    """Identity 3. Unit 0 is as uncertain as can be."""
    stored[:, 0] = 0.1
    everyone = [1] * stored.shape[1], ["entropy"] * stored.shape[1]
    assert climb(Entropy(entropy=tau), stored, reading) == everyone
    assert climb(EntropyPatience(entropy=tau, patience=patience), stored, reading) == everyone


def test_rules_entropy_just_above_one_holds_for_any_number_of_labels():
    """Identity 3: rounding gives entropies of 1.0000000000000002 unless they are clamped."""
    for labels in range(2, 200):
        undecided = numpy.full((2, 1, labels), 0.1)
        assert climb(Entropy(entropy=numpy.nextafter(1.0, 2.0)), undecided)[0] == [1], labels


@SOME
@given(reading=READING, stored=STORED, tau=TAUS, patience=PATIENCES)
def test_rules_epee_leaves_at_the_earlier_of_entropy_and_patience(reading, stored, tau, patience):
    """Identity 4."""
    earlier = numpy.minimum(
        exits_of(Entropy(entropy=tau), stored, reading), exits_of(Patience(patience=patience), stored, reading)
    )
    joined = EntropyPatience(entropy=tau, patience=patience)
    assert exits_of(joined, stored, reading).tolist() == earlier.tolist()


@SOME
@given(reading=READING, stored=STORED, tau=TAUS, patience=PATIENCES)
def test_rules_all_of_leaves_no_earlier_than_the_later_one(reading, stored, tau, patience):
    """Identity 4, second part."""
    parts = {"sure": Entropy(entropy=tau), "same": Patience(patience=patience)}
    later = numpy.maximum(*(exits_of(rule, stored, reading) for rule in parts.values()))
    assert (exits_of(AllOf(rules=parts), stored, reading) >= later).all()


@pytest.mark.parametrize("patience", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "build, earliest",
    [
        (lambda P: Patience(patience=P), lambda P: P + 1),
        (lambda P: FlexiblePatience(divergence=0.5, patience=P), lambda P: P + 1),
        (lambda P: EntropyPatience(entropy=0.0, patience=P), lambda P: P + 1),
        (lambda P: ConfidentPatience(entropy=0.5, patience=P), lambda P: P),
        (lambda P: EntropyPatience(entropy=0.5, patience=P), lambda P: 1),
        (lambda P: Entropy(entropy=0.5), lambda P: 1),
    ],
    ids=["Patience", "FlexiblePatience", "EntropyPatience-0", "ConfidentPatience", "EntropyPatience", "Entropy"],
)
@read_each_way
def test_rules_earliest_exit(reading, build, earliest, patience):
    """Identity 5, on a unit that is sure and stays so."""
    settled = labels_to_logits(*[1] * 7, size=9.0) - 4.5
    assert climb(build(patience), settled, reading)[0] == [earliest(patience)]


RISING = {
    "Entropy": lambda tau: Entropy(entropy=tau),
    "EntropyPatience": lambda tau: EntropyPatience(entropy=tau, patience=3),
    "ConfidentPatience": lambda tau: ConfidentPatience(entropy=tau, patience=2),
    "FlexiblePatience": lambda tau: FlexiblePatience(divergence=tau, patience=1),
    "Learned": lambda tau: Learned(doubt=tau),
    "Energy": lambda tau: Energy(energy=tau),
}
FALLING = {
    "Confidence": lambda tau: Confidence(confidence=tau),
    "Margin": lambda tau: Margin(margin=tau),
    "Voting": lambda tau: Voting(votes=4 * tau, power=0.3),
}


@pytest.mark.parametrize("which", [*RISING, *FALLING])
@SOME
@given(reading=READING, stored=STORED, taus=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
def test_rules_exit_is_monotone_in_the_threshold(which, reading, stored, taus):
    """Identity 6: no later under a laxer threshold."""
    strict, lax = (taus[0], taus[1]) if which in RISING else (taus[1], taus[0])
    build = {**RISING, **FALLING}[which]
    assert (exits_of(build(lax), stored, reading) <= exits_of(build(strict), stored, reading)).all()


@pytest.mark.parametrize(
    "build",
    [
        lambda P: Patience(patience=P),
        lambda P: FlexiblePatience(divergence=0.1, patience=P),
        lambda P: ConfidentPatience(entropy=0.8, patience=P),
        lambda P: EntropyPatience(entropy=0.3, patience=P),
    ],
    ids=["Patience", "FlexiblePatience", "ConfidentPatience", "EntropyPatience"],
)
@SOME
@given(reading=READING, stored=STORED)
def test_rules_exit_is_monotone_in_patience(build, reading, stored):
    """Identity 6: no earlier under more patience."""
    taken = [exits_of(build(patience), stored, reading) for patience in range(1, len(stored) + 2)]
    assert (numpy.diff(taken, axis=0) >= 0).all()
    assert (taken[-1] == len(stored)).all() or isinstance(build(1), EntropyPatience)


class Blunt(Evidence):
    """The divergence is 0 for the same decision and 1 for another one."""

    def divergence(self, kind):
        if self.previous is None:
            return numpy.full(len(self), numpy.inf)
        return numpy.where((self.decision == self.previous.decision).all(axis=1), 0.0, 1.0)


@SOME
@given(reading=READING, stored=STORED, tau=st.floats(0, 1, exclude_min=True), patience=PATIENCES)
def test_rules_flexible_patience_on_decisions_is_pabee(reading, stored, tau, patience):
    """Identity 7."""
    flexible = FlexiblePatience(divergence=tau, patience=patience)
    assert climb(flexible, stored, reading, kind=Blunt)[0] == climb(Patience(patience=patience), stored, reading)[0]


@SOME
@given(reading=READING, stored=STORED, tau=TAUS)
def test_rules_confident_patience_of_one_is_entropy(reading, stored, tau):
    """Identity 8."""
    pcee = ConfidentPatience(entropy=tau, patience=1)
    assert exits_of(pcee, stored, reading).tolist() == exits_of(Entropy(entropy=tau), stored, reading).tolist()


# Compaction and batches


@each_rule
@settings(max_examples=30)
@given(reading=READING, stored=STORED)
def test_rules_dropping_units_that_left_changes_nothing(rule, reading, stored):
    assert climb(rule, stored, reading, compact=True) == climb(rule, stored, reading, compact=False)


@each_rule
@settings(max_examples=25)
@given(reading=READING, stored=STORED)
def test_rules_other_units_of_the_batch_change_nothing(rule, reading, stored):
    """Identity 10, for the part that rules have in it."""
    whole = climb(rule, stored, reading)
    alone = [climb(rule, stored[:, [unit]], reading) for unit in range(stored.shape[1])]
    assert whole == ([taken[0] for taken, _ in alone], [reasons[0] for _, reasons in alone])


@each_rule
def test_rules_hold_no_state_between_batches(rule):
    one, other = stored_logits(1, 7, 20, 3, 1.0), stored_logits(2, 7, 20, 3, 1.0)
    before = climb(rule, one)
    climb(rule, other)
    assert climb(rule, one) == before


@pytest.mark.parametrize("rule", [r for r in RULES if not isinstance(r, (FixedDepth, Deadline))], ids=name)
def test_rules_leave_at_various_exits_on_the_stored_logits(rule):
    """Else the properties of this file would hold of nothing."""
    assert len(set(climb(rule, stored_logits(5, 7, 60, 3, 0.7))[0])) > 2


# At equality


@read_each_way
@pytest.mark.parametrize(
    "build, measured",
    [
        (lambda tau: Entropy(entropy=tau), "entropy"),
        (lambda tau: ConfidentPatience(entropy=tau, patience=1), "entropy"),
        (lambda tau: EntropyPatience(entropy=tau, patience=None), "entropy"),
        (lambda tau: FlexiblePatience(divergence=tau, patience=1), "JSKD"),
        (lambda tau: FlexiblePatience(divergence=tau, patience=1, measure="KD"), "KD"),
        (lambda tau: FlexiblePatience(divergence=tau, patience=1, measure="ReKD"), "ReKD"),
        (lambda tau: FlexiblePatience(divergence=tau, patience=1, measure="SymKD"), "SymKD"),
        (lambda tau: Learned(doubt=tau), "doubt"),
    ],
    ids=["Entropy", "ConfidentPatience", "EntropyPatience", "JSKD", "KD", "ReKD", "SymKD", "Learned"],
)
def test_rules_stay_at_equality_and_leave_below_it(reading, build, measured):
    logits = numpy.array([[0.3, 1.1, -0.4]])
    units, doubt = numpy.arange(1), numpy.array([0.37])
    previous = Evidence(logits + [[0.5, 0.0, -0.1]], layer=1, units=units, **reading)
    now = Evidence(logits, layer=2, units=units, previous=previous, doubt=doubt, **reading)
    is_divergence = measured in ("KD", "ReKD", "SymKD", "JSKD")
    value = float((now.divergence(measured) if is_divergence else getattr(now, measured))[0])
    for tau, expected in ((value, 0), (float(numpy.nextafter(value, 2.0)), 1)):
        rule = build(tau)
        assert rule.step(now, rule.start(1, time.perf_counter())).tolist() == [expected]


@read_each_way
@pytest.mark.parametrize("kind, setting", [(Confidence, "confidence"), (Margin, "margin")], ids=["Confidence", "Margin"])
def test_rules_stay_at_equality_and_leave_above_it(reading, kind, setting):
    now = Evidence(numpy.array([[0.3, 1.1, -0.4]]), layer=1, units=numpy.arange(1), **reading)
    value = float(getattr(now, setting)[0])
    for tau, expected in ((value, 0), (float(numpy.nextafter(value, 0.0)), 1)):
        assert kind(**{setting: tau}).step(now, None).tolist() == [expected]


# Counting


@pytest.mark.parametrize(
    "labels, patience, expected",
    [
        ([0, 0, 0, 0, 0], 1, 2),
        ([0, 1, 1, 1, 0], 2, 4),
        ([0, 0, 1, 1, 1], 2, 5),
        ([0, 1, 0, 1, 1], 1, 5),
        ([0, 0, 1, 0, 0], 2, 5),
        ([2, 1, 1, 2, 2], 2, 5),
    ],
)
def test_rules_patience_counts_repeats_in_a_row(labels, patience, expected):
    assert climb(Patience(patience=patience), labels_to_logits(*labels))[0] == [expected]


@pytest.mark.parametrize("rule", [Patience(patience=1), EntropyPatience(entropy=0.0, patience=1)], ids=name)
def test_rules_patience_goes_by_the_whole_label_set(rule):
    sets = sets_to_logits({0}, {0, 1}, {1}, {1}, set())
    assert climb(rule, sets, READINGS["mean"])[0] == [4]


def test_rules_confident_patience_breaks_with_an_unsure_exit_and_needs_no_agreement():
    sure, unsure, other = [5.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 5.0, 0.0]
    rule = ConfidentPatience(entropy=0.5, patience=2)
    units = numpy.array([[sure, sure], [unsure, other], [sure, sure], [other, sure], [sure, sure]])
    assert climb(rule, units)[0] == [4, 2]


def test_rules_flexible_patience_breaks_with_a_jump():
    calm = [1.0, 0.0]
    rule = FlexiblePatience(divergence=0.01, patience=2)
    units = numpy.array([[calm], [calm], [[3.0, 0.0]], [[3.0, 0.0]], [[3.0, 0.0]], [calm]])
    assert climb(rule, units)[0] == [5]


def test_rules_epee_names_entropy_if_both_would_fire():
    settled = labels_to_logits(1, 1, 1, 1)
    undecided = labels_to_logits(1, 1, 1, 1, size=0.1)
    rule = EntropyPatience(entropy=0.9, patience=2)
    assert climb(rule, numpy.concatenate((settled, undecided), axis=1)) == ([1, 3], ["entropy", "patience"])
    unsure_then_sure = numpy.concatenate((undecided[:2], settled[:2]))
    assert climb(rule, unsure_then_sure) == ([3], ["entropy"])


def test_rules_count_exits_and_not_layers():
    settled = labels_to_logits(1, 1, 1, 1)
    assert climb(Patience(patience=2), settled, layers=[3, 6, 9, 12])[0] == [3]
    assert climb(ConfidentPatience(entropy=0.9, patience=2), settled, layers=[3, 6, 9, 12])[0] == [2]


# Voting


@pytest.mark.parametrize(
    "labels, votes, power, expected",
    [
        ([0, 1, 0, 0, 0], 3, 0.0, [0, 0, 0, 1, 1]),
        ([0, 1, 0, 1, 2], 2, 0.0, [0, 0, 1, 1, 1]),
        ([0, 1, 0, 0, 1], 0.6, 1.0, [1, 0, 1, 1, 1]),
        ([0, 1, 0, 0, 1], 0.61, 1.0, [1, 0, 1, 1, 0]),
        ([0, 1, 0, 0, 0], 1.5, 0.5, [0, 0, 0, 1, 1]),
        ([0, 0, 1, 0, 0], 1.5, 0.5, [0, 0, 0, 1, 1]),
        ([0, 0, 0, 0, 0], 1.4, 0.5, [0, 1, 1, 1, 1]),
    ],
)
def test_rules_voting_by_count_or_share(labels, votes, power, expected):
    assert codes_of(Voting(votes=votes, power=power), labels_to_logits(*labels))[:, 0].tolist() == expected


@pytest.mark.parametrize(
    "sets, votes, power, expected",
    [
        ([{0}, {0}, {0}], 3, 0.0, [0, 0, 1]),
        ([set(), set(), set()], 3, 0.0, [0, 0, 1]),
        ([{0}, {0, 1}, {0}, {0}], 3, 0.0, [0, 0, 0, 1]),
        ([{0}, {1}, {0}, {0, 1}], 3, 0.0, [0, 0, 0, 0]),
        ([{0}, {0, 1}, {0}, {0}], 0.7, 1.0, [1, 0, 0, 1]),
    ],
)
def test_rules_voting_multilabel_goes_by_the_narrowest_vote(sets, votes, power, expected):
    codes = codes_of(Voting(votes=votes, power=power), sets_to_logits(*sets), READINGS["max"])
    assert codes[:, 0].tolist() == expected


@pytest.mark.parametrize("reading", [READINGS["exclusive"], READINGS["max"]], ids=["exclusive", "multilabel"])
@SOME
@given(stored=STORED, votes=st.floats(0.5, 5), power=st.floats(0, 1))
def test_rules_voting_counts_the_votes_of_all_exits_so_far(reading, stored, votes, power):
    codes = codes_of(Voting(votes=votes, power=power), stored, reading)
    for exit, unit in numpy.ndindex(codes.shape):
        so_far = stored[: exit + 1, unit]
        if reading["exclusive"]:
            leading = numpy.bincount(so_far.argmax(axis=1)).max()
        else:
            yes = (expit(so_far.astype("float64")) >= 0.5).sum(axis=0)
            leading = min(max(count, exit + 1 - count) for count in yes)
        share = leading / (exit + 1) ** power
        if not math.isclose(share, votes):
            assert codes[exit, unit] == int(share > votes)


# Learned, fixed depth, deadline


def test_rules_learned_leaves_below_the_doubt():
    rule = Learned(doubt=0.2)
    evidence = Evidence(numpy.zeros((3, 2)), layer=1, units=numpy.arange(3), doubt=numpy.array([0.1, 0.3, 0.19]))
    assert rule.step(evidence, rule.start(3, 0.0)).tolist() == [1, 0, 1]


def test_rules_learned_without_a_doubt_head_names_the_setting():
    rule = Learned()
    evidence = Evidence(numpy.zeros((3, 2)), layer=1, units=numpy.arange(3))
    with pytest.raises(ValueError, match=r"spacy-epee\.Learned\.v1.*model\.head\.learned_exit"):
        rule.step(evidence, rule.start(3, 0.0))


@pytest.mark.parametrize(
    "layer, layers, expected",
    [(1, [1, 2, 3, 4], 1), (3, [1, 2, 3, 4], 3), (4, [1, 2, 3, 4], 4), (9, [1, 2, 3, 4], 4), (5, [2, 4, 6, 8], 3)],
)
def test_rules_fixed_depth_leaves_at_that_layer_or_the_next_exit(layer, layers, expected):
    stored = stored_logits(0, 4, 3, 2, 1.0)
    assert climb(FixedDepth(layer=layer), stored, layers=layers)[0] == [expected] * 3


def test_rules_deadline_of_zero_leaves_at_the_first_exit():
    assert climb(Deadline(deadline_ms=0), stored_logits(0, 5, 3, 2, 1.0)) == ([1] * 3, ["deadline"] * 3)


def test_rules_deadline_far_away_never_fires():
    assert climb(Deadline(deadline_ms=1e12), stored_logits(0, 5, 3, 2, 1.0)) == ([5] * 3, ["depth"] * 3)


def test_rules_deadline_is_in_milliseconds_from_the_start_of_the_batch(monkeypatch):
    """The batch begins at 0, and the clock goes on by 10 ms with every look at it: the third one would come too late."""
    stored = stored_logits(0, 6, 3, 2, 1.0)
    for _ in range(2):
        ticks = iter(range(1, 10**6))
        monkeypatch.setattr(depth, "time", SimpleNamespace(perf_counter=lambda: next(ticks) / 100))
        assert climb(Deadline(deadline_ms=25), stored)[0] == [2, 2, 2]


def test_deadline_ends_where_the_next_exit_would_come_too_late(monkeypatch):
    """The time between two exits is what the next one is away; documents that climb behind others begin anew."""
    now = iter([4.0, 7.0, 8.0, 8.5, 9.5])
    monkeypatch.setattr(depth.time, "perf_counter", lambda: next(now))
    rule = Deadline(deadline_ms=9000)
    counters = rule.start(1, 0.0)
    looks = [Evidence(numpy.zeros((1, 2)), layer=layer, units=numpy.array([0])) for layer in (1, 2, 1, 2, 1)]
    assert [int(rule.step(look, counters)[0]) for look in looks] == [0, 1, 0, 1, 1]


# Joined rules


class Spy:
    """A foreign rule, which remembers how often and for how many units it was asked."""

    reasons = ("spy",)

    def __init__(self, code=0):
        self.code = code

    def start(self, units, began):
        self.asked = []
        return self.asked

    def step(self, evidence, counters):
        counters.append(len(evidence))
        return numpy.full(len(evidence), self.code)

    def can_fire(self, layers):
        return True


def test_rules_of_other_packages_get_defaults_for_what_they_lack():
    spy, joined = complete(Spy()), AnyOf(rules={"a": FromLayer(2, Spy()), "b": FixedDepth(3)})
    assert (spy.first_layer, spy.timed, spy.learned, spy.to_config(), spy.reasons) == (0, False, False, None, ("spy",))
    assert (joined.first_layer, joined.timed, joined.learned, joined.to_config()) == (2, False, False, None)
    rule = Spy()
    rule.first_layer, rule.timed = 3, True
    assert (complete(rule).first_layer, complete(rule).timed) == (3, True)
    assert complete(joined) is joined


@SOME
@given(reading=READING, stored=STORED, tau=TAUS, patience=PATIENCES)
def test_rules_any_of_entropy_and_patience_is_epee(reading, stored, tau, patience):
    joined = AnyOf(rules={"sure": Entropy(entropy=tau), "same": Patience(patience=patience)})
    assert climb(joined, stored, reading) == climb(EntropyPatience(entropy=tau, patience=patience), stored, reading)


@pytest.mark.parametrize("kind", [AnyOf, AllOf])
@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_rules_joined_step_every_rule_at_every_exit(kind, codes):
    spies = {str(place): Spy(code) for place, code in enumerate(codes)}
    codes_of(kind(rules=spies), stored_logits(0, 5, 4, 2, 1.0))
    assert [spy.asked for spy in spies.values()] == [[4] * 5, [4] * 5]


def test_rules_any_of_gives_the_first_rule_that_fires_as_reason():
    settled = labels_to_logits(1, 1, 1, 1)
    sure, same, deep = Entropy(entropy=0.9), Patience(patience=1), FixedDepth(layer=2)
    assert climb(AnyOf(rules={"a": same, "b": deep}), settled) == ([2], ["patience"])
    assert climb(AnyOf(rules={"a": deep, "b": same}), settled) == ([2], ["fixed_depth"])
    assert climb(AnyOf(rules={"a": deep, "b": same, "c": sure}), settled) == ([1], ["entropy"])


def test_rules_any_of_nested_keeps_the_reasons_apart():
    inner = AnyOf(rules={"a": Confidence(confidence=0.99), "b": EntropyPatience(entropy=0.01, patience=2)})
    rule = AnyOf(rules={"a": Margin(margin=0.999), "b": inner, "c": FixedDepth(layer=4)})
    assert rule.reasons == ("margin", "confidence", "entropy", "patience", "fixed_depth")
    sizes = {"margin": 12.0, "confidence": 6.0, "patience": 1.0}
    for reason, size in sizes.items():
        assert climb(rule, labels_to_logits(1, 1, 1, 1, 1, size=size))[1] == [reason]
    assert climb(rule, labels_to_logits(1, 2, 1, 2, 1, size=1.0)) == ([4], ["fixed_depth"])


@SOME
@given(reading=READING, stored=STORED)
def test_rules_any_of_says_what_the_first_of_its_rules_says(reading, stored):
    parts = [ConfidentPatience(entropy=0.6, patience=2), EntropyPatience(entropy=0.3, patience=3), Margin(margin=0.5)]
    first, second, third = (codes_of(part, stored, reading) for part in parts)
    joined = codes_of(AnyOf(rules={str(place): part for place, part in enumerate(parts)}), stored, reading)
    expected = numpy.select([first > 0, second > 0, third > 0], [first, second + 1, third + 3], 0)
    assert joined.tolist() == expected.tolist()


@SOME
@given(reading=READING, stored=STORED)
def test_rules_all_of_says_yes_if_all_of_its_rules_do(reading, stored):
    parts = [ConfidentPatience(entropy=0.9, patience=2), EntropyPatience(entropy=0.6, patience=1), Margin(margin=0.1)]
    expected = numpy.all([codes_of(part, stored, reading) > 0 for part in parts], axis=0)
    joined = codes_of(AllOf(rules={str(place): part for place, part in enumerate(parts)}), stored, reading)
    assert joined.tolist() == expected.astype(int).tolist()


def test_rules_all_of_waits_for_one_exit_at_which_all_fire():
    """Sure at exit 1 only, stable from exit 3 on: never both."""
    stored = numpy.concatenate((labels_to_logits(1, 2), labels_to_logits(2, 2, 2, size=0.1)))
    parts = {"sure": Entropy(entropy=0.9), "same": Patience(patience=2)}
    stored[1] /= 30
    assert climb(AllOf(rules=parts), stored) == ([5], ["depth"])
    stored[3] *= 30
    assert climb(AllOf(rules=parts), stored) == ([4], ["entropy and patience"])


def test_rules_all_of_names_all_reasons():
    parts = {"epee": EntropyPatience(), "vote": Voting(), "any": AnyOf(rules={"a": Margin(), "b": Learned()})}
    assert AllOf(rules=parts).reasons == ("entropy/patience and voting and margin/learned",)


# Whether a rule could fire


def can_fire_cases():
    four = [1, 2, 3, 4]
    return [
        (Entropy(entropy=0.1), four, True),
        (Entropy(entropy=0.0), four, False),
        (Entropy(entropy=-1.0), four, False),
        (Confidence(confidence=0.99), four, True),
        (Confidence(confidence=1.0), four, False),
        (Margin(margin=0.99), four, True),
        (Margin(margin=1.0), four, False),
        (Patience(patience=2), four, True),
        (Patience(patience=3), four, False),
        (Patience(patience=2), [4, 8, 12], False),
        (FlexiblePatience(divergence=0.1, patience=2), four, True),
        (FlexiblePatience(divergence=0.1, patience=3), four, False),
        (FlexiblePatience(divergence=0.0, patience=1), four, False),
        (ConfidentPatience(entropy=0.1, patience=3), four, True),
        (ConfidentPatience(entropy=0.1, patience=4), four, False),
        (ConfidentPatience(entropy=0.0, patience=1), four, False),
        (EntropyPatience(entropy=0.1, patience=9), four, True),
        (EntropyPatience(entropy=0.1, patience=None), four, True),
        (EntropyPatience(entropy=0.0, patience=2), four, True),
        (EntropyPatience(entropy=0.0, patience=3), four, False),
        (EntropyPatience(entropy=0.0, patience=None), four, False),
        (Voting(votes=3), four, True),
        (Voting(votes=4), four, False),
        (Voting(votes=1.5, power=0.5), four, True),
        (Voting(votes=2.0, power=0.5), four, False),
        (Voting(votes=1.1, power=1.0), four, False),
        (Learned(doubt=0.1), four, True),
        (Learned(doubt=0.0), four, False),
        (FixedDepth(layer=3), four, True),
        (FixedDepth(layer=5), four, False),
        (FixedDepth(layer=4), [2, 4, 8], True),
        (FixedDepth(layer=4), four, False),
        (FixedDepth(layer=5), [2, 4, 8], False),
    ]


@pytest.mark.parametrize(
    "rule, layers, expected", can_fire_cases(), ids=[f"{rule}-{len(layers)}" for rule, layers, _ in can_fire_cases()]
)
def test_rules_can_fire(rule, layers, expected):
    assert rule.can_fire(layers) is expected


@pytest.mark.parametrize("rule, layers, _", can_fire_cases(), ids=[f"{r}-{len(x)}" for r, x, _ in can_fire_cases()])
def test_rules_can_fire_if_they_do_on_a_unit_that_could_not_be_more_settled(rule, layers, _):
    settled = labels_to_logits(*[1] * len(layers), size=2e4) - 1e4
    for reading in READINGS.values():
        assert rule.can_fire(layers) == codes_of(rule, settled, reading, layers=layers)[:-1].any()


@each_rule
def test_rules_cannot_fire_with_a_single_exit(rule):
    assert not rule.can_fire([12])


@pytest.mark.parametrize("kind, expected", [(AnyOf, [False, True, True]), (AllOf, [False, False, True])])
def test_rules_joined_can_fire_if_any_or_all_can(kind, expected):
    can, cannot = Patience(patience=1), Patience(patience=9)
    found = [kind(rules={"a": a, "b": b}).can_fire([1, 2, 3, 4]) for a, b in ((cannot, cannot), (cannot, can), (can, can))]
    assert found == expected


def test_rules_deadline_can_fire_with_two_exits():
    assert Deadline(deadline_ms=50.0).can_fire([6, 12])


# Config


def block_of(rule):
    return {"exit": rule.to_config()}


@each_rule
def test_rules_round_trip_through_the_registry(rule):
    assert registry.resolve(block_of(rule))["exit"] == rule


@each_rule
def test_rules_round_trip_through_the_text_of_a_config(rule):
    block = Config().from_str(Config(block_of(rule)).to_str())
    assert registry.resolve(block)["exit"] == rule


@each_rule
def test_rules_config_is_plain(rule):
    assert json.loads(json.dumps(rule.to_config())) == rule.to_config()
    assert rule.to_config()["@misc"] == rule.registered


def test_rules_config_names_all_settings():
    assert FlexiblePatience(divergence=0.2, patience=3, measure="KD").to_config() == {
        "@misc": "spacy-epee.FlexiblePatience.v1",
        "divergence": 0.2,
        "patience": 3,
        "measure": "KD",
    }


def test_rules_any_of_nested_config_keeps_names_and_order():
    inner = AnyOf(rules={"z": Margin(), "a": Patience()})
    config = AnyOf(rules={"deep": FixedDepth(layer=3), "best": inner}).to_config()
    assert list(config["rules"]) == ["deep", "best"]
    found = registry.resolve({"exit": config})["exit"]
    assert list(found.rules["best"].rules) == ["z", "a"] and found.reasons == ("fixed_depth", "margin", "patience")


@pytest.mark.parametrize("kind", [AnyOf, AllOf])
def test_rules_joined_with_a_foreign_rule_have_no_config(kind):
    """A foreign rule need not have `to_config`."""
    joined = kind(rules={"own": Entropy(), "foreign": Spy()})
    assert joined.to_config() is None
    assert AnyOf(rules={"own": Entropy(), "nested": joined}).to_config() is None


def test_rules_of_this_file_are_all_of_the_package():
    """A new rule is to be added to RULES."""
    written = {
        kind
        for kind in vars(rules).values()
        if isinstance(kind, type) and issubclass(kind, Rule) and kind.registered and kind is not Rule
    }
    assert written - STRUCTURED == {type(rule) for rule in RULES}


@each_rule
def test_rules_follow_the_protocol(rule):
    assert isinstance(rule, ExitRule) and len(rule.reasons) > 0 and all(rule.reasons)


@each_rule
def test_rules_cannot_be_changed_behind_the_back_of_a_component(rule):
    with pytest.raises(AttributeError):
        setattr(rule, next(iter(rule.__dataclass_fields__)), 1)


# Settings that make no sense


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
@pytest.mark.parametrize(
    "kind, setting", [(Confidence, "confidence"), (Margin, "margin"), (Voting, "power")], ids=["Confidence", "Margin", "Voting"]
)
def test_rules_refuse_what_is_no_share(kind, setting, value):
    with pytest.raises(ValueError, match=rf"{kind.registered} has {setting} = {value}"):
        kind(**{setting: value})


@pytest.mark.parametrize("value", [0, -1, 1.5])
@pytest.mark.parametrize("kind", [Patience, FlexiblePatience, ConfidentPatience, EntropyPatience])
def test_rules_refuse_a_patience_that_is_no_count(kind, value):
    with pytest.raises(ValueError, match=rf"{kind.registered} has patience = {value};"):
        kind(patience=value)


@pytest.mark.parametrize("kind", [Patience, FlexiblePatience, ConfidentPatience])
def test_rules_that_only_count_refuse_no_patience(kind):
    with pytest.raises(ValueError, match=rf"{kind.registered} has patience = None"):
        kind(patience=None)


def test_rules_flexible_patience_refuses_an_unknown_measure():
    with pytest.raises(ValueError, match="FlexiblePatience.v1 has measure = 'JSD'; give 'KD'"):
        FlexiblePatience(measure="JSD")


@pytest.mark.parametrize("value", [-1, -3])
def test_rules_fixed_depth_refuses_a_layer_below_the_first(value):
    with pytest.raises(ValueError, match=f"FixedDepth.v1 has layer = {value}"):
        FixedDepth(layer=value)


def test_rules_deadline_refuses_a_negative_time():
    with pytest.raises(ValueError, match="Deadline.v1 has deadline_ms = -1"):
        Deadline(deadline_ms=-1)


@pytest.mark.parametrize("kind", [AnyOf, AllOf])
def test_rules_joined_refuse_no_rules(kind):
    with pytest.raises(ValueError, match=rf"{kind.registered} joins no rules.*exit\.rules"):
        kind(rules={})


def test_rules_refuse_bad_settings_through_the_registry_too():
    with pytest.raises(ValueError, match="spacy-epee.Margin.v1 has margin = 2.0"):
        registry.resolve({"exit": {"@misc": "spacy-epee.Margin.v1", "margin": 2.0}})
