"""Rules that cost more seconds than they save, where windows leave."""

from copy import deepcopy

import pytest
from events_util import TEXTS, make_events_nlp, make_example

from spacy_epee.cli.tune import conclusions
from spacy_epee.exits.rules.depth import FixedDepth
from spacy_epee.tuning import tuner
from spacy_epee.tuning.tuner import Tuner, TuningGoal


@pytest.fixture(scope="module")
def tuned(backbone):
    """What a search has found, before anything is chosen."""
    nlp = make_events_nlp(backbone, steps=30)
    examples = [make_example(nlp, text) for text in TEXTS * 2]
    found = Tuner(nlp, nlp.get_pipe("epee_events"), examples, wish=TuningGoal(min_speedup=1.2), steps=3, calibrate=False)
    return found, dict(found.report), list(found.shown)


@pytest.fixture
def tuning(tuned):
    found, report, shown = tuned
    found.report, found.shown = deepcopy(report), list(shown)
    return found


def take(tuning, monkeypatch, slow):
    """Choose, and time with seconds that are made up: rules take one, `slow` of them two, and the full depth one and a half."""

    def milliseconds(nlp, examples, component, rules, *args, **kwargs):
        every = [next(iter(rule.values())) for rule in rules]
        return [1.5 if rule is None else 2.0 if slow(rule) else 1.0 for rule in every]

    monkeypatch.setattr(tuner, "milliseconds", milliseconds)
    tuning.choose()
    assert tuning.rule is not None
    chosen = tuning.rule
    tuning.time((1,), 3, 1)
    assert tuning.component.exits[tuning.name] == tuning.rule
    return chosen


def test_a_rule_that_is_faster_stays(tuning, monkeypatch):
    assert take(tuning, monkeypatch, lambda rule: False) == tuning.rule
    assert "slower" not in tuning.report and tuning.report["chosen"]["ms"] == {"1": 1.0}


def test_a_rule_that_is_slower_than_the_full_depth_is_given_up_and_named(tuning, monkeypatch):
    take(tuning, monkeypatch, lambda rule: True)
    assert tuning.rule is None and tuning.report["chosen"]["rule"] is None
    text = " ".join(conclusions(tuning.report))
    assert "takes up to 1.33 times the seconds of the full depth" in text and "The full depth stays" in text


def test_times_stay_where_the_full_depth_was_not_among_the_settings_shown(tuning, monkeypatch):
    kept = [place for place, trial in enumerate(tuning.shown) if trial.rule is not None]
    tuning.shown, front = [tuning.shown[place] for place in kept], tuning.report["front"]
    tuning.report["front"] = [front[place] for place in kept]
    take(tuning, monkeypatch, lambda rule: True)
    assert tuning.rule is None and tuning.report["chosen"]["ms"] == {"1": 1.5}
    assert all(row["ms"] == {"1": 2.0 if row["rule"] else 1.5} for row in tuning.report["front"])


def test_the_fixed_depth_that_loses_no_more_takes_its_place_if_it_is_faster(tuning, monkeypatch):
    choose = tuning.choose

    def with_depth():
        tuning.report["held_out"] = {"deepest": tuning.stored.layers[-2], "drop": 0.77, "changed": 0.66}
        choose()

    monkeypatch.setattr(tuning, "choose", with_depth)
    take(tuning, monkeypatch, lambda rule: not isinstance(rule, FixedDepth))
    assert tuning.rule == FixedDepth(tuning.stored.layers[-2])
    told, chosen = tuning.report["held_out"], tuning.report["chosen"]
    assert told["drop"] == pytest.approx(chosen["drop"]) and told["changed"] == 0  # of this rule, and not of the one before


def test_figures_of_a_rule_that_is_given_up_are_not_told_of_the_full_depth(careful, monkeypatch):
    take(careful, monkeypatch, lambda rule: True)
    assert careful.rule is None and not any("5 folds" in line for line in conclusions(careful.report))


def test_rules_of_documents_are_chosen_by_layers(tuning, monkeypatch):
    monkeypatch.setattr(tuning.stored, "task", type("Documents", (), {"unit": "document"})())
    assert take(tuning, monkeypatch, lambda rule: True) == tuning.rule


def test_without_times_it_is_said_that_there_are_none(tuning):
    tuning.choose()
    assert any(line.startswith("Not timed") for line in conclusions(tuning.report))


@pytest.fixture
def careful(tuned, monkeypatch):
    """What is chosen with `--max-drop`, where anything may be lost."""
    found, report, shown = tuned
    monkeypatch.setattr(found, "wish", TuningGoal(max_drop=100))
    found.report, found.shown = deepcopy(report), list(shown)
    return found


def test_of_rules_that_lose_no_more_the_fastest_in_seconds_is_taken(careful, monkeypatch):
    def other():
        return next(pair for pair in reversed(careful.safe) if pair[0] not in (None, first[0]))

    first = []
    choose = careful.choose
    monkeypatch.setattr(careful, "choose", lambda: first.append(choose()))
    assert take(careful, monkeypatch, lambda rule: rule != other()[0]) == first[0]
    assert len(careful.safe) > 2 and careful.rule == other()[0] and careful.report["held_out"] == other()[1]
    assert careful.report["slower"]["times"] > 1


def test_rules_for_structures_are_among_those_that_are_tried(careful):
    names = {trial.name for trial in careful.trials.trials}
    assert {"nothing found", "settled structure, all exits", "settled structure, every second exit"} <= names
