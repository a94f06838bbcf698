"""What the rule for structures is fitted to."""

import numpy
import pytest
import spacy
from events_util import TEXTS, make_events_nlp, make_example
from relations_util import make_relations_nlp, tag
from util import make_nlp

from spacy_epee.engine.replay import Replay, ReplayResult
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.exits import rules
from spacy_epee.exits.evidence import EvidenceBuilder
from spacy_epee.exits.features import FEATURES
from spacy_epee.exits.rules.config import resolve_rule
from spacy_epee.exits.rules.plain import as_tests
from spacy_epee.tasks.relations.evidence import PairEvidenceBuilder
from spacy_epee.tuning.grids import rule_grids
from spacy_epee.tuning.names import describe_rule
from spacy_epee.tuning.structures import fit_structures
from spacy_epee.tuning.tuner import Tuner, TuningGoal


def make(seed=0, units=300, exits=5, sharpness=1.0):
    """Windows with one to four pairs, of which exits know the truth the better, the higher they are."""
    chance = numpy.random.default_rng(seed)
    counts = chance.integers(1, 5, units)
    gold = numpy.where(chance.random(counts.sum()) < 0.8, 0, chance.integers(1, 3, counts.sum()))
    noise = chance.normal(size=(len(gold), 3)) * 1.5
    truth = numpy.eye(3)[gold] * 6
    logits = numpy.array(
        [sharpness * (truth * (exit + 1) / exits + noise + chance.normal(size=noise.shape)) for exit in range(exits)]
    )
    return Replay(logits, exit_layers=range(1, exits + 1), reading=PairEvidenceBuilder(reduce="max"), counts=counts)


def every(replay):
    return numpy.ones(replay.n_units, dtype=bool)


def test_estimates_hold_on_windows_that_they_were_not_fitted_to():
    replay, other = make(0), make(1)
    layers, weights = fit_structures(replay, every(replay))["settled structure, all exits"]
    for threshold in (0.8, 0.9, 0.95):
        taken = other.run(rules.SettledStructure(threshold, layers, **weights))
        early = taken.exits < 4
        same = ~other.differs[taken.exits, numpy.arange(other.n_units)]
        assert early.mean() > 0.3 and same[early].mean() > threshold - 0.04


def test_a_setting_made_on_some_windows_does_not_depend_on_the_others():
    replay, some = make(0), numpy.arange(300) < 150
    changed = make(0)
    for exit in range(5):
        changed.evidence[exit].logits[numpy.repeat(~some, changed.counts)] *= -1
    one, other = (fit_structures(made, some) for made in (replay, changed))
    assert one == other


@pytest.mark.parametrize("name", ["settled structure, all exits", "settled structure, every second exit", "nothing found"])
def test_more_leave_later_the_surer_they_must_be(name):
    replay = make()
    grid = [rule for rule in rule_grids(replay)[name] if getattr(rule, "found_threshold", None) is None]
    assert len(grid) > 4
    taken = [replay.run(rule).exits for rule in grid]
    if name == "nothing found":
        taken.reverse()  # its threshold is on what is missed
    for bolder, surer in zip(taken, taken[1:]):
        assert (surer >= bolder).all()
    assert (taken[0] < taken[-1]).any()


def test_it_is_fitted_to_what_rules_look_at_and_not_to_pairs_that_the_gate_has_settled():
    whole, chance = make(), numpy.random.default_rng(3)
    owners = numpy.repeat(numpy.arange(300), whole.counts)
    settled = chance.random(len(owners)) < 0.4
    settled[numpy.unique(owners, return_index=True)[1]] = False  # some of each window climb
    settings = {"exit_layers": range(1, 6), "reading": PairEvidenceBuilder(reduce="max")}
    gated = Replay(whole.logits, counts=whole.counts, settled=settled, nothing=numpy.array([30.0, 0.0, 0.0]), **settings)
    rest = Replay(whole.logits[:, ~settled], counts=numpy.bincount(owners[~settled]), **settings)
    assert fit_structures(gated, every(gated)) == fit_structures(rest, every(rest)) != fit_structures(whole, every(whole))
    by_exit, expected = (rule_grids(replay)["entropy by exit"] for replay in (gated, rest))
    assert by_exit == expected


def test_where_all_answers_are_those_of_the_last_exit_it_leaves_at_once():
    replay = make(sharpness=1.0)
    same = Replay(
        numpy.repeat(replay.logits[-1:], 3, axis=0), exit_layers=[1, 2, 3], reading=PairEvidenceBuilder(), counts=replay.counts
    )
    layers, weights = fit_structures(same, every(same))["settled structure, all exits"]
    assert (same.run(rules.SettledStructure(0.9, layers, **weights)).exits == 0).all()


def test_it_is_saved_in_a_config_and_told_on_a_line():
    rule = rule_grids(make())["settled structure, every second exit"][3]
    assert rule.layers == (1, 3) and resolve_rule(rule.to_config()) == rule
    assert describe_rule(rule.to_config()) == f"threshold {rule.threshold:.3g}, layers 1 3"


def test_labels_of_documents_have_no_such_rules():
    logits = numpy.random.default_rng(0).normal(size=(4, 50, 3))
    assert not [
        name for name in rule_grids(Replay(logits, exit_layers=[1, 2, 3, 4], reading=EvidenceBuilder())) if "settled" in name
    ]


@pytest.fixture(scope="module")
def nlp(backbone):
    return make_events_nlp(backbone, steps=40)


@pytest.fixture(scope="module")
def stored(nlp):
    return StoredOutputs(nlp.get_pipe("epee_events"), [make_example(nlp, text) for text in TEXTS * 2])


def test_replay_equals_the_loop_for_what_is_fitted_to_events(nlp, stored):
    pipe, replay = nlp.get_pipe("epee_events"), stored.replay()
    grids = rule_grids(replay)
    tried = [rule for name, grid in grids.items() if "structure" in name or "nothing" in name for rule in grid[::4]]
    assert len(tried) > 5
    for rule in tried:
        live = pipe.answer([nlp.make_doc(text) for text in TEXTS * 2], rule)
        assert replay.run(rule).layers.tolist() == live.layers[stored.items.live].tolist()


def test_links_are_looked_at_only_where_spans_are_half_as_sure_as_asked(nlp, stored, monkeypatch):
    pipe = nlp.get_pipe("epee_events")
    looked = []
    head = type(pipe.slots[next(iter(pipe.slots))].heads(pipe.model))
    real = head._link
    monkeypatch.setattr(head, "_link", lambda self, *args: looked.append(len(args[-1])) or real(self, *args))
    sure, none = [0.0] * (len(FEATURES) + 1) + [9.0], [0.0] * (len(FEATURES) + 1) + [-9.0]
    docs = [nlp.make_doc(text) for text in TEXTS]
    pipe.answer(docs, rules.SettledStructure(0.5, [1], [sure], [none], [[0.0, 0.0, 0.0, 9.0]]))
    at_the_end = len(looked)
    looked.clear()
    taken = pipe.answer(docs, rules.SettledStructure(0.5, [1], [none], [sure], [[0.0, 0.0, 0.0, -9.0]]))
    assert (taken.layers[taken.ran] == taken.depth).all()
    assert len(looked) > at_the_end


def test_an_exit_is_worse_only_where_it_says_something_else_and_loses_by_it(stored):
    replay = stored.replay()
    worse, differs = replay.worse(every(replay)), replay.differs[: len(replay.layers)]
    assert worse.any() and not (worse & ~differs).any() and (differs & ~worse).any()
    score, last = stored.scorer(replay), replay.all_at(len(replay.layers) - 1)
    for exit in range(len(replay.layers) - 1):
        for unit in numpy.flatnonzero(differs[exit]):
            alone = last.copy()
            alone[unit] = exit
            change = score(result(replay, alone)) - score(result(replay, last))
            assert change > -1e-3 if not worse[exit, unit] else change < 1e-3


def result(replay, exits):
    return ReplayResult(replay, exits, numpy.zeros(len(exits), dtype=int))


def test_where_nothing_is_annotated_another_answer_is_a_worse_one(nlp):
    examples = [make_example(nlp, text) for text in TEXTS]
    for eg in examples:
        eg.reference._.events = None
    unknown = StoredOutputs(nlp.get_pipe("epee_events"), examples)
    replay = unknown.replay()
    assert (replay.worse(every(replay)) == replay.differs).all() and replay.differs.any()


def test_what_is_worse_does_not_depend_on_other_windows(nlp, stored):
    replay, some = stored.replay(), numpy.arange(len(stored.docs)) % 2 == 0
    changed = stored.replay()
    answered, right, gold = (part.copy() for part in worth_of(stored, replay))
    right[:, ~some], answered[:, ~some], gold[stored.docs[~some]] = 0, 7, 9
    changed.kept["events"] = answered, right, gold
    assert (replay.worse(some)[:, some] == changed.worse(some)[:, some]).all()


def worth_of(stored, replay):
    replay.worse(every(replay))
    return replay.kept["events"]


def test_with_a_promise_about_answers_only_the_same_ones_count(nlp):
    examples = [make_example(nlp, text) for text in TEXTS * 30]
    tuner = Tuner(nlp, nlp.get_pipe("epee_events"), examples, wish=TuningGoal(max_disagreement=0.05), calibrate=False)
    assert tuner.replay.judge is None


def test_windows_with_events_leave_sooner_if_that_is_asked():
    replay = make()
    layers, weights = fit_structures(replay, every(replay))["settled structure, all exits"]
    late, sooner = (replay.run(rules.SettledStructure(0.95, layers, **weights, found_threshold=own)) for own in (None, 0.5))
    assert (sooner.exits <= late.exits).all() and (sooner.exits < late.exits).any()
    found = numpy.array([replay.evidence[exit].features.found[unit] for unit, exit in enumerate(sooner.exits)])
    assert found[sooner.exits < late.exits].all()


def test_a_threshold_of_its_own_is_in_the_config_only_if_there_is_one():
    weights = {"nothing": [[0.0] * 8], "found": [[0.0] * 8], "links": []}
    plain, own = rules.SettledStructure(0.9, [1], **weights), rules.SettledStructure(0.9, [1], **weights, found_threshold=0.5)
    assert "found_threshold" not in plain.to_config() and own.to_config()["found_threshold"] == 0.5
    assert resolve_rule(own.to_config()) == own and resolve_rule(plain.to_config()) == plain
    assert rules.SettledStructure(1.0, [1], **weights, found_threshold=0.5).can_fire([1, 2])
    assert not rules.SettledStructure(1.0, [1], **weights).can_fire([1, 2])
    with pytest.raises(ValueError, match="found_threshold = 1.5"):
        rules.SettledStructure(0.9, [1], **weights, found_threshold=1.5)


def test_a_pipeline_with_it_is_loaded_as_it_was(nlp, stored, tmp_path):
    pipe = nlp.get_pipe("epee_events")
    rule = rule_grids(stored.replay())["settled structure, all exits"][2]
    before, pipe.exit = pipe.exit, rule
    try:
        nlp.to_disk(tmp_path / "saved")
        assert spacy.load(tmp_path / "saved").get_pipe("epee_events").exit == rule
    finally:
        pipe.exit = before


def test_other_tasks_are_refused_with_rules_that_fit(backbone):
    with pytest.raises(ValueError, match="NothingFound of the component 'epee_textcat' is for windows.*EntropyPatience"):
        make_nlp(backbone, exit={"@misc": "spacy-epee.NothingFound.v1", "missed": 0.1})
    replay = Replay(numpy.zeros((2, 3, 2)), exit_layers=[1, 2], reading=EvidenceBuilder())
    with pytest.raises(ValueError, match="EntropyPatience"):
        replay.run(rules.NothingFound(0.1))


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": 1.5},
        {"layers": [2, 1]},
        {"layers": []},
        {"layers": [0, 2]},
        {"nothing": [[1.0]]},
        {"found": [[float("nan")] * 8] * 2},
        {"links": [[1.0, 2.0]] * 2},
    ],
    ids=str,
)
def test_settings_that_are_none_are_refused_with_what_to_do(settings):
    good = {"threshold": 0.9, "layers": [1, 2], "nothing": [[0.0] * 8] * 2, "found": [[0.0] * 8] * 2, "links": []}
    rules.SettledStructure(**good)
    with pytest.raises(ValueError, match="spacy-epee.SettledStructure.v1"):
        rules.SettledStructure(**{**good, **settings})


def test_layers_that_are_no_more_there_are_named():
    rule = rules.SettledStructure(0.9, [1, 2], [[0.0] * 8] * 2, [[0.0] * 8] * 2, [])
    assert rule.can_fire([1, 2, 3])
    with pytest.raises(ValueError, match=r"none after \[2\]"):
        rule.can_fire([1, 3])


def test_relations_leave_by_it(backbone):
    nlp = make_relations_nlp(backbone)
    pipe = nlp.get_pipe("epee_relations")
    sure = [[0.0] * 7 + [9.0]]
    taken = pipe.answer([tag(nlp.make_doc("aspirin against headache"))], rules.SettledStructure(0.5, [2], sure, sure, []))
    assert set(taken.layers[taken.ran]) <= {2}


def test_it_is_asked_in_python_and_in_no_graph():
    rule = rules.SettledStructure(0.9, [1, 2], [[0.0] * 8] * 2, [[0.0] * 8] * 2, [])
    for one in (rule, rules.NothingFound(0.1), rules.AnyOf({"settled": rule, "late": rules.FixedDepth(2)})):
        assert as_tests(one, [1, 2, 3], numpy.ones(3, dtype=bool), False, False) is None
