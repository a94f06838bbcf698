"""Thresholds of their own for each exit."""

import json

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.util import registry
from test_rules import READING, STORED, climb, exits_of, told
from thinc.api import Config

from spacy_epee.exits.rules.composite import AllOf, AnyOf
from spacy_epee.exits.rules.patience import EntropyPatience, Patience
from spacy_epee.exits.rules.thresholds import Confidence, Energy, Entropy

SOME = settings(max_examples=50)
KINDS = {"entropy": Entropy, "confidence": Confidence, "energy": Energy}
each_kind = pytest.mark.parametrize("setting, kind", KINDS.items(), ids=KINDS)


@SOME
@given(reading=READING, stored=STORED, data=st.data())
def test_thresholds_each_exit_goes_by_its_own(reading, stored, data):
    taus = data.draw(st.lists(st.floats(0, 1), min_size=len(stored), max_size=len(stored)))
    entropies = told(stored, **reading)[0]
    stops = entropies < numpy.array(taus)[:, None]
    stops[-1] = True
    assert exits_of(Entropy(taus), stored, reading).tolist() == (stops.argmax(axis=0) + 1).tolist()


@each_kind
@SOME
@given(reading=READING, stored=STORED, threshold=st.floats(0, 1))
def test_thresholds_that_are_equal_are_one(setting, kind, reading, stored, threshold):
    assert climb(kind([threshold] * len(stored)), stored, reading) == climb(kind(threshold), stored, reading)


@SOME
@given(reading=READING, stored=STORED, data=st.data())
def test_thresholds_of_the_last_exit_have_no_effect(reading, stored, data):
    taus = data.draw(st.lists(st.floats(0, 1), min_size=len(stored), max_size=len(stored)))
    assert climb(Entropy(taus), stored, reading) == climb(Entropy([*taus[:-1], 0.0]), stored, reading)


@SOME
@given(reading=READING, stored=STORED, data=st.data())
def test_thresholds_do_not_see_who_left_and_when(reading, stored, data):
    """Units that the rule sees at fewer exits, as it is within other rules too, keep to the right number."""
    taus = data.draw(st.lists(st.floats(0, 1), min_size=len(stored), max_size=len(stored)))
    rule = AnyOf({"sure": Entropy(taus), "same": Patience(2)})
    assert climb(rule, stored, reading) == climb(rule, stored, reading, compact=False)


@SOME
@given(reading=READING, stored=STORED, tau=st.floats(0, 1), patience=st.integers(1, 4))
def test_thresholds_joined_with_patience_are_epee(reading, stored, tau, patience):
    joined = AnyOf({"sure": Entropy([tau] * len(stored)), "same": Patience(patience)})
    assert climb(joined, stored, reading) == climb(EntropyPatience(tau, patience), stored, reading)


@each_kind
def test_thresholds_survive_the_text_of_a_config(setting, kind):
    rule = kind([0.1, 0.25, 0.5])
    config = rule.to_config()
    assert json.loads(json.dumps(config)) == config == {"@misc": rule.registered, setting: [0.1, 0.25, 0.5]}
    assert registry.resolve(Config().from_str(Config({"exit": config}).to_str()))["exit"] == rule


@each_kind
def test_thresholds_do_not_change_with_the_list_that_they_came_from(setting, kind):
    numbers = [0.1, 0.2]
    rule = kind(numbers)
    numbers[0] = 0.9
    assert getattr(rule, setting) == (0.1, 0.2)
    assert kind(numpy.array([0.1, 0.2])) == rule and hash(rule)


@pytest.mark.parametrize(
    "rule, expected",
    [
        (Entropy([0.0, 0.0, 0.5]), False),
        (Entropy([0.0, 0.5, 0.0]), True),
        (Confidence([1.0, 1.0, 0.0]), False),
        (Confidence([1.0, 0.9, 1.0]), True),
    ],
)
def test_thresholds_can_fire_before_the_last_exit(rule, expected):
    assert rule.can_fire([4, 8, 12]) is expected


@each_kind
@pytest.mark.parametrize("numbers", [[], [0.5], [0.5] * 4])
def test_thresholds_that_do_not_fit_the_exits_are_refused(setting, kind, numbers):
    rule = kind(numbers)
    for joined in (rule, AnyOf({"a": Patience(1), "b": rule}), AllOf({"a": Patience(9), "b": rule})):
        with pytest.raises(ValueError, match=rf"{setting} = .* has 3 exits.*\[4, 8, 12\].*one for each"):
            joined.can_fire([4, 8, 12])


def test_thresholds_that_run_out_are_refused():
    with pytest.raises(ValueError, match="more exits than these 2"):
        climb(Entropy([0.0, 0.0]), numpy.zeros((3, 1, 2)))


def test_thresholds_are_shares_for_each_exit():
    with pytest.raises(ValueError, match="confidence = 1.5; give a number from 0.0 to 1.0"):
        Confidence([0.5, 1.5])
