import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_epee.exits.coverage import flag, flag_threshold, precise_threshold

SOME = settings(max_examples=100)


@st.composite
def answers(draw):
    """Entropies with ties, and who reached the last layer."""
    count = draw(st.integers(0, 40))
    chance = numpy.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return chance.uniform(size=count).round(1), chance.uniform(size=count) < draw(st.sampled_from([0.3, 1.0]))


@SOME
@given(found=answers(), coverage=st.floats(0, 1))
def test_coverage_is_reached(found, coverage):
    flags = flag(*found, flag_threshold(*found, coverage))
    assert (~flags).sum() >= math.floor(len(flags) * coverage)
    assert (~flags).sum() >= len(flags) * coverage - 1e-6


@SOME
@given(found=answers(), coverage=st.floats(0, 1))
def test_coverage_is_not_exceeded_but_for_ties(found, coverage):
    """At any lower threshold fewer are kept than the rank asks for."""
    entropy, last = found
    threshold = flag_threshold(entropy, last, coverage)
    lower = entropy[last & (entropy < threshold)].max(initial=-1.0)
    if 0 < threshold < 1:
        assert (~flag(entropy, last, lower)).sum() < (len(entropy) + 1) * coverage


@SOME
@given(found=answers(), coverage=st.floats(0, 1))
def test_coverage_flags_only_what_reached_the_last_layer(found, coverage):
    entropy, last = found
    assert not flag(entropy, last, flag_threshold(entropy, last, coverage))[~last].any()


def test_coverage_by_hand():
    entropy, everyone = numpy.arange(1, 10) / 10, numpy.ones(9, dtype=bool)
    assert flag_threshold(entropy, everyone, 0.7) == 0.7
    assert flag(entropy, everyone, 0.7).tolist() == [False] * 7 + [True] * 2


def test_coverage_of_answers_from_earlier_exits_counts():
    entropy, last = numpy.array([0.9, 0.8, 0.1, 0.2, 0.3]), numpy.array([False, False, True, True, True])
    assert flag_threshold(entropy, last, 0.6) == 0.2
    assert flag_threshold(entropy, last, 0.3) == 0.0


@pytest.mark.parametrize("count, expected", [(0, 1.0), (8, 1.0), (9, 0.5)])
def test_coverage_of_few_answers_flags_nothing(count, expected):
    """Of eight answers none can stand for the most uncertain tenth."""
    assert flag_threshold(numpy.full(count, 0.5), numpy.ones(count, dtype=bool), 0.9) == expected


def test_coverage_at_the_ends():
    entropy, everyone = numpy.array([0.2, 0.4]), numpy.ones(2, dtype=bool)
    assert flag_threshold(entropy, everyone, 0.0) == 0.0
    assert flag_threshold(entropy, everyone, 1.0) == 1.0


@pytest.mark.parametrize("count", [5, 19, 100])
def test_coverage_holds_for_new_documents(count):
    """On average over draws of dev and a new document; without the correction for small samples it does not."""
    chance, kept = numpy.random.default_rng(0), 0
    for _ in range(4000):
        values = chance.beta(0.5, 2, size=count + 1)
        threshold = flag_threshold(values[:-1], numpy.ones(count, dtype=bool), 0.8)
        kept += not flag(values[-1:], numpy.ones(1, dtype=bool), threshold)[0]
    assert kept / 4000 > 0.8 - 3 * math.sqrt(0.16 / 4000)


@pytest.mark.parametrize("coverage", [-0.1, 1.1, math.nan])
def test_coverage_refuses_what_is_no_share(coverage):
    with pytest.raises(ValueError, match=f"coverage is {coverage}"):
        flag_threshold(numpy.zeros(3), numpy.ones(3, dtype=bool), coverage)


@SOME
@given(found=answers(), precision=st.floats(0, 1))
def test_labels_are_given_as_often_as_enough_of_them_are_right(found, precision):
    confidence, right = found
    threshold = precise_threshold(confidence, right, precision)
    given_one = confidence >= threshold
    assert not given_one.any() or threshold == 1 or right[given_one].mean() >= precision - 1e-6
    for other in confidence[confidence < threshold]:  # no lower one would do
        assert right[confidence >= other].mean() < precision + 1e-6


@pytest.mark.parametrize("precision", [-0.1, 1.1])
def test_a_precision_that_is_no_share_is_refused(precision):
    with pytest.raises(ValueError, match="precision"):
        precise_threshold(numpy.ones(2), numpy.ones(2, dtype=bool), precision)
