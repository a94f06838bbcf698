"""What is known to hold nothing before the first layer never climbs, and everybody who answers or replays says the same of it."""

import copy

import events_util
import joint_util
import numpy
import pytest
import relations_util
import spacy

from spacy_epee.engine import loop
from spacy_epee.evaluation.compare import compare
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.exits import rules
from spacy_epee.exits.rules.structure import SAME
from spacy_epee.heads.base import head_shim
from spacy_epee.tasks import gate
from spacy_epee.tasks.gate import find_chances
from spacy_epee.tuning.careful import CarefulChooser
from spacy_epee.tuning.gate import with_something
from spacy_epee.tuning.grids import rule_grids

UTIL = {"events": events_util, "relations": relations_util}
RULES = [rules.Entropy(0.5), rules.EntropyPatience(0.6, 1), rules.Patience(1)]
FULL = [None, rules.FixedDepth(2), rules.FixedDepth(4)]
THRESHOLD = 0.5


@pytest.fixture(scope="module")
def pipelines(backbone):
    events = events_util.make_events_nlp(backbone, events_util.TEXTS * 2, head={"gate": 400}, steps=10)
    relations = relations_util.make_relations_nlp(backbone, relations_util.TEXTS * 2, head={"gate": 400})
    return {"events": events, "relations": relations}


@pytest.fixture(params=["events", "relations"])
def task(request, pipelines):
    """RETURNS: The name of a task, its pipeline, with a gate, and the component."""
    nlp = pipelines[request.param]
    pipe = nlp.get_pipe(f"epee_{request.param}")
    pipe.set_gate(THRESHOLD)
    yield request.param, nlp, pipe
    pipe.set_gate(None)


def docs_of(name, nlp):
    return [UTIL[name].make_example(nlp, text).predicted for text in UTIL[name].TEXTS]


def examples_of(name, nlp):
    return [UTIL[name].make_example(nlp, text) for text in UTIL[name].TEXTS]


def plain(answers):
    """Where and why units left, and with what."""
    graphs = [None if graph is None else (graph.nodes[:, 3].tolist(), graph.links.tolist()) for graph in answers.graphs or ()]
    return answers.layers.tolist(), answers.reasons, answers.ran.tolist(), graphs


def chances_of(pipe, docs):
    return find_chances(pipe.slot(), pipe.model, docs, pipe.make_instances(docs))


def test_texts_without_any_are_told_from_others(task):
    name, nlp, pipe = task
    docs = docs_of(name, nlp)
    chances = chances_of(pipe, docs)
    stored = StoredOutputs(pipe, examples_of(name, nlp))
    something = numpy.isin(numpy.arange(len(chances)), with_something(stored))
    if name == "events":
        units = stored.owners
        something = numpy.isin(units, units[something])
    assert (chances[something] > THRESHOLD).all() and (chances[~something] < THRESHOLD).all()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_batched_equals_one_by_one_with_a_gate(task, rule):
    name, nlp, pipe = task
    together = pipe.answer(docs_of(name, nlp), rule)
    alone = [pipe.answer([doc], rule) for doc in docs_of(name, nlp)]
    assert "nothing" in together.reasons and len(set(together.layers.tolist())) > 1
    assert together.layers.tolist() == [layer for answers in alone for layer in answers.layers.tolist()]
    assert together.reasons == [reason for answers in alone for reason in answers.reasons]
    joined = numpy.concatenate([answers.probabilities for answers in alone])
    numpy.testing.assert_allclose(together.probabilities, joined, atol=1e-4)


@pytest.mark.parametrize("rule", [*RULES, *FULL], ids=repr)
def test_a_replay_equals_the_loop_with_a_gate(task, rule):
    name, nlp, pipe = task
    stored = StoredOutputs(pipe, examples_of(name, nlp))
    replay, live = stored.replay(), pipe.answer(docs_of(name, nlp), rule)
    found = replay.run(rule)
    assert found.layers.tolist() == live.layers[stored.items.live].tolist()
    numpy.testing.assert_allclose(found.entropy, live.entropy[stored.items.live], atol=1e-4)
    if name == "relations":
        numpy.testing.assert_allclose(found.probabilities, live.probabilities, atol=1e-4)
    else:
        assert [graph.links.tolist() for graph in found.graphs] == [graph.links.tolist() for graph in live.graphs]
    full = replay.run(None)
    assert (found.layers == 0).any() == (rule in RULES) and not full.differs.any()
    expected = [not numpy.array_equal(a, b) for a, b in zip(_answers(stored, found), _answers(stored, full))]
    assert found.differs.tolist() == expected
    assert 0 <= stored.scorer(replay)(found) <= 1


def _answers(stored, result):
    """The answer of each unit."""
    if stored.task.has_links:
        return [(*graph.nodes[graph.nodes[:, 3] < len(stored.labels)].ravel(), *graph.links.ravel()) for graph in result.graphs]
    return [result.decision[stored.owners == unit] for unit in range(len(stored.docs))]


def test_at_a_fixed_depth_everything_climbs(task):
    name, nlp, pipe = task
    for rule in FULL:
        with_gate = plain(pipe.answer(docs_of(name, nlp), rule))
        pipe.set_gate(None)
        assert with_gate == plain(pipe.answer(docs_of(name, nlp), rule))
        pipe.set_gate(THRESHOLD)


@pytest.mark.parametrize("rule", [*FULL[:2], RULES[1], rules.FromLayer(2, rules.FixedDepth(3))], ids=repr)
def test_a_budget_of_time_that_is_not_spent_changes_nothing(task, rule):
    name, nlp, pipe = task
    pipe.exit, before = rule, pipe.exit
    try:
        expected = pipe.predict(docs_of(name, nlp))[name]
        with rules.time_budget(1e7):
            found = pipe.predict(docs_of(name, nlp))[name]
    finally:
        pipe.exit = before
    assert plain(found) == plain(expected)


def test_what_leaves_is_in_no_batch(task, monkeypatch):
    name, nlp, pipe = task
    docs, climbed = docs_of(name, nlp), []

    class Noted(loop.ActiveBatches):
        def __init__(self, stepper, windows, rows, wordpieces):
            climbed.extend(rows.tolist())
            super().__init__(stepper, windows, rows, wordpieces)

    monkeypatch.setattr(loop, "ActiveBatches", Noted)
    answers = pipe.answer(docs, rules.Entropy(0.5))
    left = numpy.array([reason == "nothing" for reason in answers.reasons])
    assert left.any() and sorted(climbed) == numpy.flatnonzero(answers.items.windows_of(numpy.flatnonzero(~left))).tolist()
    climbed.clear()
    pipe.set_gate(1.0)
    assert set(pipe.answer(docs, rules.Entropy(0.5)).reasons) == {"nothing"} and not climbed


def by_words(threshold=0.5):
    """Leaves behind the first layer if words alone say that there is likely nothing."""
    weights = [[0.0] * (SAME + 1) + [-1.0, 0.0]]
    return rules.SettledStructure(threshold, [1], weights, weights, [])


@pytest.mark.parametrize("gate", [None, 0.3])
def test_a_rule_asks_what_words_say_with_and_without_a_gate(task, gate):
    name, nlp, pipe = task
    pipe.set_gate(gate)
    docs = docs_of(name, nlp)
    answers = pipe.answer(docs, by_words())
    items, chances = answers.items, chances_of(pipe, docs)
    most = numpy.zeros(items.n_units)
    numpy.maximum.at(most, items.units, chances)
    expected = numpy.where(most < (gate or 0.0), 0, numpy.where(most < 0.5, 1, answers.depth))
    assert len(set(expected.tolist())) > 1
    assert answers.layers[answers.ran].tolist() == expected[answers.ran].tolist()
    alone = [layer for doc in docs for layer in pipe.answer([doc], by_words()).layers.tolist()]
    assert answers.layers.tolist() == alone
    stored = StoredOutputs(pipe, examples_of(name, nlp))
    assert stored.replay().run(by_words()).layers.tolist() == answers.layers[stored.items.live].tolist()


def test_what_is_fitted_with_a_gate_reads_words_and_is_saved(task, tmp_path):
    name, nlp, pipe = task
    grid = rule_grids(StoredOutputs(pipe, examples_of(name, nlp)).replay())["settled structure, all exits"]
    assert {len(row) for rule in grid for row in (*rule.nothing, *rule.found)} == {SAME + 3}
    assert grid[0].reads_words and rules.AnyOf({"own": grid[0]}).reads_words and rules.FromLayer(1, grid[0]).reads_words
    before, pipe.exit = pipe.exit, grid[0]
    try:
        nlp.to_disk(tmp_path / "saved")
        assert spacy.load(tmp_path / "saved").get_pipe(pipe.name).exit == grid[0]
    finally:
        pipe.exit = before


def test_rules_that_were_fitted_without_words_do_not_ask(task, monkeypatch):
    name, nlp, pipe = task
    pipe.set_gate(None)
    old = [[0.0] * (SAME + 1) + [9.0]]
    rule = rules.SettledStructure(0.5, [1], old, old, [])
    monkeypatch.setattr(gate, "find_chances", lambda *args: pytest.fail("asked"))
    assert not rule.reads_words and set(pipe.answer(docs_of(name, nlp), rule).layers.tolist()) == {1}


@pytest.mark.parametrize("name", ["events", "relations"])
def test_a_rule_that_asks_for_words_is_refused_where_they_say_nothing(backbone, name):
    make = {"events": events_util.make_events_nlp, "relations": relations_util.make_relations_nlp}[name]
    pipe = make(backbone).get_pipe(f"epee_{name}")
    with pytest.raises(ValueError, match=f"'epee_{name}' was fitted with what words say.*`tune`"):
        pipe.exit = by_words()


def test_what_leaves_has_no_answer_and_layer_0(task):
    name, nlp, pipe = task
    pipe.set_gate(1.0)
    before, pipe.exit = pipe.exit, rules.Entropy(0.5)
    docs = docs_of(name, nlp)
    pipe.set_annotations(docs, pipe.predict(docs))
    pipe.exit = before
    units = [unit for doc in docs for unit in doc._.exits[f"epee_{name}"][name]["units"]]
    assert units and {(unit["layer"], unit["reason"], unit["entropy"]) for unit in units} == {(0, "nothing", 0.0)}
    assert not any(getattr(doc._, name) for doc in docs)


def test_texts_without_a_known_word_climb(task):
    name, nlp, pipe = task
    pipe.set_gate(1.0)
    head = pipe.slot().heads(pipe.model).gate
    kept, head.keys = head.keys, head.keys + 1
    try:
        assert "nothing" not in pipe.answer(docs_of(name, nlp), rules.Entropy(0.5)).reasons
    finally:
        head.keys = kept


def test_a_gate_is_saved_with_its_threshold(task):
    name, nlp, pipe = task
    other = copy.deepcopy(nlp.config)
    again = spacy.util.load_model_from_config(other).from_bytes(nlp.to_bytes())
    loaded = again.get_pipe(f"epee_{name}")
    assert loaded.slot().cfg["gate"] == {"threshold": THRESHOLD}
    assert numpy.array_equal(chances_of(pipe, docs_of(name, nlp)), chances_of(loaded, docs_of(name, nlp)))
    rule = rules.Entropy(0.5)
    assert plain(loaded.answer(docs_of(name, nlp), rule)) == plain(pipe.answer(docs_of(name, nlp), rule))


def test_evaluation_counts_layer_0(task):
    name, nlp, pipe = task
    before, pipe.exit = pipe.exit, rules.Entropy(0.5)
    report = compare(nlp, examples_of(name, nlp), pipe, batch_sizes=[4], rounds=1)
    pipe.exit = before
    assert report["exits"]["before_first_layer"] > report["full"]["before_first_layer"] == 0
    assert report["speedup_wordpieces"] > 1


def test_a_choice_of_rules_sees_what_leaves(task):
    name, nlp, pipe = task
    stored = StoredOutputs(pipe, examples_of(name, nlp))
    replay = stored.replay()
    chooser = CarefulChooser(
        replay,
        stored.scorer(replay),
        stored.doc_losses(),
        docs=stored.docs,
        n_docs=stored.n_docs,
        wordpieces=stored.wordpieces,
        steps=3,
    )
    exits = replay.all_at(len(replay.layers) - 1)
    assert replay.left.any() and chooser.drop(exits) == 0 and chooser.worst(exits, len(replay.layers) - 1) == 0
    chooser.choose(0.5)
    for _, _, taken in chooser._limits[chooser.as_good].fastest(chooser.wanted, None):
        assert (taken[replay.left] == -1).all() and (taken[~replay.left] >= 0).all()


def test_relations_that_do_not_exclude_each_other_are_settled_too(backbone):
    nlp = relations_util.make_relations_nlp(backbone, relations_util.TEXTS * 2, head={"gate": 400}, exclusive=False, spread=False)
    pipe = nlp.get_pipe("epee_relations")
    pipe.set_gate(1.0)
    pipe.exit = rules.Entropy(0.5)
    docs = docs_of("relations", nlp)
    pipe.set_annotations(docs, pipe.predict(docs))
    assert not any(doc._.relations for doc in docs)


def test_pairs_are_asked_about_by_themselves(pipelines):
    nlp = pipelines["relations"]
    pipe = nlp.get_pipe("epee_relations")
    pipe.set_gate(THRESHOLD)
    items = pipe.answer(docs_of("relations", nlp), rules.Entropy(0.5)).items
    pipe.set_gate(None)
    mixed = [set(items.settled[items.units == unit].tolist()) for unit in range(items.n_units)]
    assert {True, False} in mixed
    assert items.of_units(items.live).tolist() == numpy.flatnonzero(~items.settled).tolist()


@pytest.mark.parametrize("joint", ["all", "any"])
def test_other_tasks_go_on_where_one_has_nothing_to_find(backbone, joint):
    nlp = joint_util.make_joint_nlp(backbone, ("kind", "relations"), gate=300, joint=joint)
    pipe = nlp.get_pipe("epee")
    docs = [joint_util.make_example(nlp, text).predicted for text in joint_util.TEXTS]
    chosen = {"kind": rules.EntropyPatience(0.5, 2), "relations": rules.Entropy(0.3)}
    alone = pipe.run(docs, {"kind": chosen["kind"]})["kind"]
    pipe.set_gate(1.0, "relations")
    found = pipe.run(docs, chosen)
    assert set(found["relations"].reasons) == {"nothing"}
    assert found["kind"].reasons == alone.reasons and found["kind"].layers.tolist() == alone.layers.tolist()


def test_without_the_setting_there_is_no_gate(backbone):
    pipe = relations_util.make_relations_nlp(backbone, spread=False).get_pipe("epee_relations")
    assert pipe.slot().heads(pipe.model).gate is None and "gate_ngrams" not in pipe.slot().heads(pipe.model).settings
    with pytest.raises(ValueError, match="no gate before the first layer"):
        pipe.set_gate(0.5)
    assert head_shim(pipe.model.get_ref("head")).build.keywords["gate"] == 0


@pytest.mark.parametrize("value", [-1, 1 << 22])
def test_a_gate_has_a_number_of_ngrams(backbone, value):
    with pytest.raises(ValueError, match="model.head.gate"):
        events_util.make_events_nlp(backbone, head={"gate": value})
