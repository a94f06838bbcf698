"""Exit rules that are written on a line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_epee.exits import rules
from spacy_epee.exits.written import read_rule

READ = [
    ("EntropyPatience(entropy=0.1, patience=4)", rules.EntropyPatience(0.1, 4)),
    (" EntropyPatience(0.3, None) ", rules.EntropyPatience(0.3, None)),
    ("FixedDepth(4)", rules.FixedDepth(4)),
    ("Entropy", rules.Entropy()),
    ("Entropy([0.1, 0.2])", rules.Entropy([0.1, 0.2])),
    ("FlexiblePatience(measure='KD')", rules.FlexiblePatience(measure="KD")),
    (
        'AnyOf({"settled": EntropyPatience(0.2, 3), "late": Deadline(50.0)})',
        rules.AnyOf({"settled": rules.EntropyPatience(0.2, 3), "late": rules.Deadline(50.0)}),
    ),
    ("FromLayer(3, Margin(0.5))", rules.FromLayer(3, rules.Margin(0.5))),
    ('{"@misc": "spacy-epee.Voting.v1", "votes": 2.0}', rules.Voting(2.0)),
    ("none", None),
    ("null", None),
]


@pytest.mark.parametrize("text,rule", READ, ids=lambda value: value if isinstance(value, str) else "")
def test_read_rule(text, rule):
    assert read_rule(text) == rule


@pytest.mark.parametrize("rule", [rule for _, rule in READ if rule is not None], ids=repr)
def test_every_rule_is_read_from_its_config(rule):
    assert read_rule(json.dumps(rule.to_config())) == rule


BAD = [
    ("Entrop(0.1)", "did you mean Entropy"),
    ("Entropy(x)", "is 'x'"),
    ("Entropy(__import__('os').getcwd())", "no plain name"),
    ("Entropy(1 + open)", "give a number"),
    ("spacy_epee.exits.rules.Entropy(1.0)", "no plain name"),
    ("FixedDepth", "layer: missing"),
    ("FixedDepth(4, 5)", "the settings \\['layer'\\]"),
    ("FixedDepth(4, layer=3)", "twice"),
    ("FixedDepth(2.5)", "layer: 2.5 is not"),
    ("FixedDepth(deep=2)", "deep"),
    ("Entropy(**{'entropy': 1})", "by name or in this order"),
    ("Patience(0)", "whole number from 1"),
    ("AnyOf({1: Entropy(0.1)})", "under names"),
    ("AnyOf()", "rules"),
    ("JointLoss()", "makes no exit rule"),
    ("4", "give one such as"),
    ("", "give one such as"),
    ("Entropy(", "give one such as"),
    ("Entropy(\x00)", "give one such as"),
    ("(" * 4000, "give one such as"),
    ("x" * 6000, "6000 characters"),
    ("{", "not JSON"),
    ("{}", "without the name of a rule"),
    ('{"@misc": "nothing.v1"}', "no exit rule 'nothing.v1'"),
    ('{"@misc": "spacy-epee.FixedDepth.v1", "layer": -1}', "from 0 on"),
    ('{"@misc": "spacy-epee.AnyOf.v1", "rules": {"a": {"@readers": "spacy.Corpus.v1", "path": "x"}}}', "without the name"),
]


@pytest.mark.parametrize("text,problem", BAD, ids=[text[:30] for text, _ in BAD])
def test_what_is_no_rule_is_refused(text, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        read_rule(text)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text,threshold,rule",
    [
        ("Entropy", "0.3", rules.Entropy(0.3)),
        ("Entropy", "[0.1, 0.2]", rules.Entropy([0.1, 0.2])),
        ("FixedDepth", "4", rules.FixedDepth(4)),
        ("EntropyPatience(patience=2)", "0.5", rules.EntropyPatience(0.5, 2)),
        ("FromLayer(3, Margin())", "0.2", rules.FromLayer(3, rules.Margin(0.2))),
    ],
)
def test_threshold_is_the_first_setting(text, threshold, rule):
    assert read_rule(text, threshold) == rule


@pytest.mark.parametrize(
    "text,threshold,problem",
    [
        ("none", "1", "which has no threshold"),
        ("Entropy", "low", "give a number"),
        ("Entropy", "True", "give a number"),
        ("Entropy", "[]", "give a number"),
        ("AnyOf({'a': Entropy()})", "1", "no threshold of its own"),
        ("Confidence", "2", "from 0.0 to 1.0"),
    ],
)
def test_threshold_that_means_nothing_is_refused(text, threshold, problem):
    with pytest.raises(ValueError, match=problem):
        read_rule(text, threshold)


@settings(max_examples=200)
@given(text=st.text(max_size=60) | st.text("EntropyAnyOf(){}[]\"'=,.:0123 *-+", max_size=40))
def test_any_text_is_a_rule_or_refused(text):
    try:
        rule = read_rule(text)
    except ValueError:
        return
    assert rule is None or isinstance(rule, rules.ExitRule)
