"""How much words count beside each exit."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_epee.exits.mix import fit_mix


def two_sources(docs, words, seed=0):
    """States and words that each know something of the truth."""
    chance = numpy.random.default_rng(seed)
    targets = numpy.eye(3)[chance.integers(0, 3, docs)]
    said = [sharp * targets + chance.normal(size=targets.shape) for sharp in (1.5, words)]
    return said[0][None], said[1], targets, numpy.ones_like(targets)


@pytest.mark.parametrize("before", [0.0, 0.5, 2.0])
def test_how_much_words_count_is_found(before):
    [mix] = fit_mix(*two_sources(4000, 1.5), numpy.array([before]), exclusive=True)
    assert mix == pytest.approx(1.0, abs=0.2)  # as much as the states


def test_words_that_say_nothing_hardly_count():
    [mix] = fit_mix(*two_sources(4000, 0.0), numpy.array([1.0]), exclusive=True)
    assert mix < 0.2


def test_one_document_does_not_silence_the_words():
    moved = [1 - fit_mix(*two_sources(docs, 0.0), numpy.array([1.0]), exclusive=True)[0] for docs in (1, 4000)]
    assert abs(moved[0]) < 0.9 < moved[1]


def test_without_annotation_words_count_as_before():
    zeros = numpy.zeros((4, 3))
    assert fit_mix(numpy.ones((2, 4, 3)), zeros, zeros, zeros, numpy.array([0.5, 1.0]), exclusive=True).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("exclusive", [True, False])
def test_states_that_are_sure_and_know_nothing_do_not_outshout_the_words(exclusive):
    """Exits of a trunk that has seen few documents of a label: the words' answers stay."""
    _, words, targets, known = two_sources(2000, 3.0)
    states = 5 * numpy.random.default_rng(1).normal(size=words.shape) - 3
    [mix] = fit_mix(states[None], words, targets, known, numpy.array([0.4]), exclusive=exclusive)
    right = [(said.argmax(axis=1) == targets.argmax(axis=1)).mean() for said in (words, states + mix * words)]
    assert right[1] > right[0] - 0.05


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 60), st.booleans(), st.floats(0, 5))
def test_the_mix_is_a_factor_whatever_there_is(seed, docs, exclusive, before):
    chance = numpy.random.default_rng(seed)
    states, words = 30 * chance.normal(size=(2, docs, 4)) * chance.integers(0, 2, (2, 1, 4))
    targets = numpy.eye(4)[chance.integers(0, 4, docs)]
    known = numpy.ones((docs, 4)) * chance.integers(0, 2, (docs, 1))
    [mix] = fit_mix(states[None], words, targets * known, known, numpy.array([before]), exclusive=exclusive)
    assert numpy.isfinite(mix) and mix >= 0
