"""Promises are kept as often as stated: shown by drawing calibration sets from populations with a known risk."""

import math

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from spacy_epee.exits.risk_control import binomial_p_values, bounded_p_values, certify, documents_needed

SOME = settings(max_examples=100)
DRAWS = 1000
UNITS = st.integers(1, 400)
ALPHAS = st.floats(0.005, 0.95)
LEVELS = st.floats(0.01, 0.5)
each_kind = pytest.mark.parametrize("p_values", [binomial_p_values, bounded_p_values])


def draw_binary(chance, risks, units):
    """Nested: who loses under a setting loses under all with a larger risk."""
    return (chance.uniform(size=units) < risks[:, None]).astype(float)


def draw_apart(chance, risks, units):
    """Independent from setting to setting, so that each may look good by luck."""
    return (chance.uniform(size=(len(risks), units)) < risks[:, None]).astype(float)


def draw_bounded(chance, risks, units):
    """Of any size from 0 to 1, with the risk as mean."""
    return chance.beta(0.3 * risks[:, None], 0.3 * (1 - risks[:, None]), size=(len(risks), units))


def violations(draw, choose, risks, alpha, units, seed=0):
    """How often some setting up to the chosen one has a risk above alpha, in all draws."""
    chance = numpy.random.default_rng(seed)
    found = 0
    for _ in range(DRAWS):
        chosen = choose(draw(chance, risks, units))
        found += chosen is not None and bool((risks[chosen] > alpha).any())
    return found


def most(failure):
    """As many violations as a promise that is just kept shows once in a thousand times."""
    return int(binom.ppf(0.999, DRAWS, failure))


POPULATIONS = {
    "smooth": numpy.linspace(0.001, 0.2, 25),
    "just above": numpy.array([0.01, 0.02] + [0.1001] * 20),
    "up and down": numpy.array([0.02, 0.101, 0.05, 0.3, 0.01, 0.12]),
    "all above": numpy.full(20, 0.101),
}
KINDS = {"binary": (draw_binary, True), "apart": (draw_apart, True), "bounded": (draw_bounded, False)}


@pytest.mark.parametrize("confidence, units", [(0.9, 150), (0.8, 60)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("population", POPULATIONS)
def test_guarantee_holds(population, kind, confidence, units):
    draw, binary = KINDS[kind]

    def choose(losses):
        chosen = certify(losses, 0.1, confidence, binary).chosen
        return None if chosen is None else slice(chosen + 1)  # all up to it

    assert violations(draw, choose, POPULATIONS[population], 0.1, units) <= most(1 - confidence)


def test_guarantee_is_not_kept_by_what_looks_good():
    """The test above can fail: the boldest setting with observed losses in bounds breaks the promise."""

    def choose(losses):
        return numpy.flatnonzero(losses.mean(axis=1) <= 0.1).max(initial=0)

    assert violations(draw_binary, choose, POPULATIONS["smooth"], 0.1, 150) > 2 * most(0.1)


def test_guarantee_is_not_kept_without_stopping():
    """Nor by the boldest setting that passes its own test."""

    def choose(losses):
        return numpy.flatnonzero(binomial_p_values(losses.sum(axis=1), 150, 0.1) <= 0.1).max(initial=0)

    assert violations(draw_apart, choose, POPULATIONS["just above"], 0.1, 150) > 2 * most(0.1)


def test_guarantee_is_not_kept_if_the_losses_choose_the_order():
    def choose(losses):
        order = losses.mean(axis=1).argsort()
        chosen = certify(losses[order], 0.1, 0.9).chosen
        return None if chosen is None else order[: chosen + 1]

    assert violations(draw_apart, choose, POPULATIONS["all above"], 0.1, 150) > 2 * most(0.1)


def test_guarantee_is_worth_having():
    """On a smooth curve the chosen risk comes near what is allowed."""
    chance, risks = numpy.random.default_rng(1), POPULATIONS["smooth"]
    for kind, least in (("binary", 0.07), ("bounded", 0.05)):
        draw, binary = KINDS[kind]
        found = [certify(draw(chance, risks, 1000), 0.1, 0.9, binary).chosen for _ in range(50)]
        assert numpy.median(risks[found]) > least


# p-values


@each_kind
@SOME
@given(units=UNITS, alpha=ALPHAS, level=LEVELS)
def test_p_values_are_below_a_level_no_more_often_than_it_says(p_values, units, alpha, level):
    """Worked out over all outcomes at the edge of the promise."""
    counts = numpy.arange(units + 1)
    low = p_values(counts, units, alpha) <= level
    assert binom.pmf(counts[low], units, alpha).sum() <= level * (1 + 1e-9)


@each_kind
@SOME
@given(units=UNITS, alpha=ALPHAS)
def test_p_values_rise_with_the_losses_and_are_shares(p_values, units, alpha):
    found = p_values(numpy.arange(units + 1), units, alpha)
    assert (numpy.diff(found) >= -1e-12).all() and (found >= 0).all() and (found <= 1).all()


@SOME
@given(units=UNITS, alpha=ALPHAS)
def test_p_values_of_losses_that_are_binary_are_smaller(units, alpha):
    counts = numpy.arange(units + 1)
    assert (binomial_p_values(counts, units, alpha) <= bounded_p_values(counts, units, alpha) + 1e-12).all()


@SOME
@given(units=UNITS, share=st.floats(0, 1), alpha=ALPHAS, level=LEVELS)
def test_p_values_pass_if_the_exact_upper_bound_does(units, share, alpha, level):
    count = int(share * units)
    bound = binomtest(count, units).proportion_ci(1 - 2 * level, method="exact").high
    assume(abs(bound - alpha) > 1e-9)
    assert (binomial_p_values(numpy.array([count]), units, alpha)[0] <= level) == (bound <= alpha)


@pytest.mark.parametrize(
    "units, alpha, exact, bounded",
    [(300, 0.05, 9, 8), (1000, 0.05, 40, 37), (1000, 0.02, 13, 11), (3000, 0.05, 134, 128), (3000, 0.02, 49, 46)],
)
def test_p_values_most_losses_that_pass(units, alpha, exact, bounded):
    counts = numpy.arange(units)
    assert (binomial_p_values(counts, units, alpha) <= 0.1).sum() - 1 == exact
    assert (bounded_p_values(counts, units, alpha) <= 0.1).sum() - 1 == bounded


def test_p_values_of_fractions_that_sum_to_a_whole_number():
    """0.07 a hundred times is 7.000000000000001."""
    total = numpy.full(100, 0.07).sum()
    assert total > 7
    found, expected = bounded_p_values(numpy.array([total, 7.0]), 100, 0.1)
    assert found == pytest.approx(expected, rel=1e-12)


# The walk


@SOME
@given(seed=st.integers(0, 2**32 - 1), units=UNITS, alpha=st.floats(0, 1), confidence=st.floats(0.5, 0.99), binary=st.booleans())
def test_certify_takes_the_settings_before_the_first_that_fails(seed, units, alpha, confidence, binary):
    chance = numpy.random.default_rng(seed)
    losses = (draw_apart if binary else draw_bounded)(chance, chance.uniform(0.01, 0.2, size=6), units)
    found = certify(losses, alpha, confidence, binary)
    passed = found.p_values <= 1 - confidence
    kept = 0 if found.chosen is None else found.chosen + 1
    assert passed[:kept].all() and not passed[kept : kept + 1].any()
    assert found.risks == pytest.approx(losses.mean(axis=1)) and found.units == units


@SOME
@given(
    seed=st.integers(0, 2**32 - 1),
    alphas=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    confidence=st.floats(0.5, 0.99),
)
def test_certify_allows_no_less_with_a_weaker_promise(seed, alphas, confidence):
    chance = numpy.random.default_rng(seed)
    losses = draw_apart(chance, chance.uniform(0, 0.5, size=6), 50)

    def reach(alpha, confidence):
        chosen = certify(losses, alpha, confidence).chosen
        return -1 if chosen is None else chosen

    assert reach(alphas[0], confidence) <= reach(alphas[1], confidence)
    assert reach(alphas[1], confidence) <= reach(alphas[1], confidence - 0.4)


def test_certify_does_not_look_behind_the_first_failure():
    losses = numpy.zeros((3, 100))
    losses[1] = 1
    assert certify(losses, 0.1).chosen == 0
    assert certify(losses[1:], 0.1).chosen is None


@pytest.mark.parametrize("binary", [True, False])
def test_certify_at_the_ends(binary):
    bad, good = numpy.ones((2, 50)), numpy.zeros((2, 50))
    assert certify(bad, 1.0, binary=binary).chosen == 1
    assert certify(good, 0.0, binary=binary).chosen is None
    assert certify(numpy.zeros((2, 0)), 0.5, binary=binary).chosen is None
    assert certify(numpy.zeros((0, 50)), 0.5, binary=binary).chosen is None


@pytest.mark.parametrize("alpha, confidence, expected", [(0.05, 0.9, 45), (0.05, 0.95, 59), (0.02, 0.9, 114), (0.02, 0.95, 149)])
def test_documents_needed(alpha, confidence, expected):
    assert documents_needed(alpha, confidence) == expected


@SOME
@given(alpha=ALPHAS, confidence=st.floats(0.5, 0.99))
def test_documents_needed_is_where_something_can_be_certified(alpha, confidence):
    needed = documents_needed(alpha, confidence)
    for units, expected in ((needed, 0), (needed - 1, None)):
        for binary in (True, False):
            assert certify(numpy.zeros((1, units)), alpha, confidence, binary).chosen == expected or math.isclose(
                (1 - alpha) ** units, 1 - confidence
            )


def test_documents_needed_at_the_ends():
    assert documents_needed(1.0) == 0
    with pytest.raises(ValueError, match="never a loss"):
        documents_needed(0.0)


# Numbers that make no sense


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.1, math.nan])
def test_certify_refuses_a_confidence_out_of_range(confidence):
    with pytest.raises(ValueError, match=f"confidence is {confidence}"):
        certify(numpy.zeros((1, 5)), 0.1, confidence)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_certify_refuses_an_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match=f"promised loss is {alpha}"):
        certify(numpy.zeros((1, 5)), alpha)


@pytest.mark.parametrize("loss", [-0.1, 1.1, math.nan])
def test_certify_refuses_losses_out_of_range(loss):
    with pytest.raises(ValueError, match="from 0 to 1"):
        certify(numpy.full((1, 5), loss), 0.1, binary=False)


def test_certify_refuses_fractions_as_binary():
    """The binomial would promise too much."""
    with pytest.raises(ValueError, match="binary=False"):
        certify(numpy.full((1, 5), 0.5), 0.1)
