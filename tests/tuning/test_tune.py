"""The search over exit rules, and choosing by what the user asks for."""

import json
from dataclasses import dataclass
from pathlib import Path

import catalogue
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from spacy.util import registry

from spacy_epee.engine.replay import Replay
from spacy_epee.exits import rules
from spacy_epee.exits.evidence import EvidenceBuilder
from spacy_epee.tuning.grids import ORDER, entropies_by_exit, rule_grids
from spacy_epee.tuning.search import Candidate, Candidates, pareto_front, search

SOME = settings(max_examples=30)


def make_replay(seed=0, units=60, exits=6, labels=3, exclusive=True, counts=None, doubt=True, layers=None):
    """Answers that settle slowly."""
    chance = numpy.random.default_rng(seed)
    rows = units if counts is None else counts.sum()
    steps = chance.normal(size=(exits, rows, labels)) * chance.exponential(size=(1, rows, 1)) * 2
    return Replay(
        steps.cumsum(axis=0),
        exit_layers=layers or range(1, exits + 1),
        reading=EvidenceBuilder(exclusive=exclusive, reduce="max"),
        doubt=chance.uniform(size=(exits, rows)) if doubt else None,
        counts=counts,
    )


def agreement(simulation):
    """A score that needs no annotation: the share of units with the answer of the full depth, in points."""
    replay = simulation.replay
    return 100 * float(1 - replay.differs[simulation.exits, numpy.arange(replay.n_units)].mean())


def some_counts(seed, units=60):
    return numpy.random.default_rng(seed).integers(1, 4, size=units)


REPLAYS = {
    "exclusive": lambda seed: make_replay(seed),
    "multilabel": lambda seed: make_replay(seed, exclusive=False),
    "items": lambda seed: make_replay(seed, counts=some_counts(seed)),
    "multilabel items": lambda seed: make_replay(seed, exclusive=False, counts=some_counts(seed)),
}
each_replay = pytest.mark.parametrize("make", REPLAYS.values(), ids=REPLAYS)


# Grids


def kinds_of(grids):
    return {type(rule) for grid in grids.values() for rule in grid}


@each_replay
def test_grids_have_all_rules_but_the_clock(make):
    grids = rule_grids(make(0))
    written = {kind for kind in vars(rules).values() if isinstance(kind, type) and getattr(kind, "registered", "")}
    others = {rules.Deadline, rules.AllOf, rules.FromLayer, rules.NothingFound, rules.SettledStructure}  # the last for structures
    assert written - kinds_of(grids) == others
    assert all(grids.values())


def test_grids_try_the_learned_exit_only_where_there_is_one():
    assert rules.Learned not in kinds_of(rule_grids(make_replay(doubt=False)))


@each_replay
def test_grids_have_rules_that_may_fire_and_can_be_written_down(make):
    for grid in rule_grids(make(1), steps=4).values():
        for rule in grid:
            assert rule.can_fire([1, 2, 3, 4, 5, 6])
            assert registry.resolve({"exit": rule.to_config()})["exit"] == rule


@pytest.mark.parametrize("exits", [1, 2, 3])
def test_grids_of_few_exits(exits):
    grids = rule_grids(make_replay(exits=exits))
    assert bool(sum(grids.values(), [])) == (exits > 1)


def test_grids_do_not_see_the_other_documents():
    """What is tested on one half must not be made from it."""
    first, second = make_replay(2), make_replay(2)
    half = numpy.arange(60) < 30
    other = make_replay(3)
    for exit, evidence in enumerate(second.evidence):
        evidence.logits[~half] = other.evidence[exit].logits[~half]
        evidence.item_doubt[~half] = other.evidence[exit].item_doubt[~half]
    assert rule_grids(first, half) == rule_grids(second, half)
    assert rule_grids(first, half) != rule_grids(second)


def test_grids_of_a_sharp_model_spread_what_leaves():
    """Entropies of a sure model lie near 0, where fixed thresholds would see no difference."""
    replay = make_replay(4, units=400)
    sharp = Replay(replay.logits * 30, exit_layers=range(1, 7), reading=EvidenceBuilder())
    depths = [sharp.run(rule).layers.mean() for rule in rule_grids(sharp)["entropy"]]
    assert max(numpy.diff(sorted(depths, reverse=True)) * -1) < 1


def test_grids_stay_as_they_are():
    """Of settings that do the same the first one is taken, so that another order gives other pipelines."""
    lengths = numpy.random.default_rng(7).integers(5, 200, 60).astype(float)
    grids = rule_grids(make_replay(0, exits=5), numpy.arange(60) % 2 == 0, 4, lengths)
    expected = json.loads(Path(__file__).with_name("grids.json").read_text(encoding="utf-8"))
    assert [*grids][: len(ORDER)] == [*expected] == [*ORDER]
    assert {name: [rule.to_config() for rule in grids[name]] for name in expected} == expected


@dataclass(frozen=True)
class Sure:
    """A rule of another package, with a grid."""

    confidence: float
    told = True
    reasons = ("sure",)

    @classmethod
    def grid(cls, levels):
        found = {"sure": [cls(threshold) for threshold in levels.of(lambda evidence: evidence.confidence, settled=True)]}
        return {**found, "never": [cls(1.0)], "entropy": [cls(0.5)]}

    def start(self, units, began):
        return None

    def step(self, evidence, counters):
        return (evidence.confidence > self.confidence).astype(int)

    def can_fire(self, layers):
        return self.confidence < 1

    def to_config(self):
        return {"@misc": "other.Sure.v1", "confidence": self.confidence} if self.told else None


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(catalogue, "REGISTRY", dict(catalogue.REGISTRY))
    registry.misc("other.Sure.v1", func=Sure)
    registry.misc("other.Sure.v2", func=Sure)


def test_grids_ask_rules_of_other_packages(registered):
    grids = rule_grids(make_replay(0), steps=4)
    assert [*grids][len(ORDER) :] == ["sure", "never", "entropy (other.Sure.v2)"]
    assert [rule.confidence for rule in grids["sure"]] == [rule.confidence for rule in grids["confidence"]]
    assert grids["never"] == [] and type(grids["entropy"][0]) is rules.Entropy
    trials = search(make_replay(0), agreement, steps=4).trials
    scores = {name: [trial.score for trial in trials if trial.name == name] for name in ("sure", "confidence")}
    assert scores["sure"] == scores["confidence"]


def test_grids_refuse_rules_that_cannot_be_written_down(registered, monkeypatch):
    monkeypatch.setattr(Sure, "told", False)
    with pytest.raises(ValueError, match="'other.Sure.v2' has a Sure that is no rule with `to_config`"):
        rule_grids(make_replay(0))


@each_replay
def test_differs_by_unit(make):
    replay = make(5)
    for exit, evidence in enumerate(replay.evidence):
        rows = (evidence.decision != replay.evidence[-1].decision).any(axis=1)
        counts = numpy.ones(60, dtype=int) if replay.counts is None else replay.counts
        expected = [part.any() for part in numpy.split(rows, counts.cumsum()[:-1])]
        assert replay.differs[exit].tolist() == expected
    assert replay.differs[:-1].any()


# Thresholds by exit


@SOME
@given(seed=st.integers(0, 2**32 - 1), patience=st.none() | st.integers(1, 3))
def test_entropies_by_exit_go_from_careful_to_bold(seed, patience):
    replay = make_replay(seed)
    other = None if patience is None else rules.Patience(patience)
    vectors = numpy.array(entropies_by_exit(replay, numpy.ones(60, dtype=bool), 8, other=other))
    assert vectors.shape[1] == 6 and 1 < len(vectors) <= 32
    assert (numpy.diff(vectors, axis=0) >= 0).all() and (vectors[:, -1] == 0).all()
    depths = [replay.run(rules.Entropy(vector)).layers.mean() for vector in vectors]
    assert (numpy.diff(depths) <= 0).all()


def test_entropies_by_exit_spare_an_exit_that_is_sure_and_wrong():
    """The first exit is surer than all others and wrong half the time. A single threshold must keep out all of its answers,
    and with them those of the later exits."""
    chance = numpy.random.default_rng(0)
    side = chance.choice([-1.0, 1.0], size=500)
    first = chance.choice([-1.0, 1.0], size=500) * chance.uniform(6, 9, size=500)
    rest = [side * chance.uniform(2, 5, size=500) for _ in range(3)]
    logits = numpy.array([numpy.column_stack((exit, -exit)) for exit in (first, *rest)])
    replay = Replay(logits, exit_layers=[1, 2, 3, 4], reading=EvidenceBuilder())

    def fastest(name):
        found = [replay.run(rule) for rule in rule_grids(replay)[name]]
        return min((run.layers.mean() for run in found if agreement(run) == 100), default=4.0)

    assert fastest("entropy") == 4
    assert fastest("entropy by exit") < 2.3


def test_entropies_by_exit_go_by_what_a_layer_costs():
    """Some documents are a hundred times as long as others."""
    replay = make_replay(6, units=200)
    everyone, long = numpy.ones(200, dtype=bool), numpy.where(numpy.arange(200) < 20, 100.0, 1.0)
    assert entropies_by_exit(replay, everyone) != entropies_by_exit(replay, everyone, wordpieces=long)
    assert entropies_by_exit(replay, everyone) == entropies_by_exit(replay, everyone, wordpieces=numpy.full(200, 7.0))


# Search


@each_replay
def test_search_tells_what_each_setting_does(make):
    replay = make(7)
    docs, wordpieces = numpy.arange(60) // 2, numpy.arange(1.0, 61)
    found = search(replay, agreement, docs=docs, wordpieces=wordpieces, steps=3)
    assert found.full.rule is None and found.full.disagreement == 0 and found.full.layers == 6
    for place, trial in enumerate(found.trials):
        run = replay.run(trial.rule)
        assert trial.layers == pytest.approx(run.layers.mean())
        assert trial.wordpiece_layers == pytest.approx(numpy.average(run.layers, weights=wordpieces))
        assert trial.score == agreement(run)
        moved = replay.differs[run.exits, numpy.arange(60)].reshape(30, 2).any(axis=1)
        assert found.differs[place].tolist() == moved.tolist() and trial.disagreement == pytest.approx(moved.mean())
        chosen = found.first[docs]
        expected = numpy.average(run.layers[chosen], weights=wordpieces[chosen])
        assert found.first_layers[place] == pytest.approx(expected)


def test_search_splits_documents_in_halves_and_not_in_windows():
    found = search(make_replay(8), agreement, docs=numpy.arange(60) // 6, steps=2)
    assert found.first.shape == (10,) and found.first.sum() == 5


def test_search_counts_documents_without_units():
    found = search(make_replay(9), agreement, n_docs=80, steps=2)
    assert found.differs.shape[1] == 80 and not found.differs[:, 60:].any()
    assert max(trial.disagreement for trial in found.trials) <= 60 / 80


def test_search_scores_the_same_exits_once():
    seen = []

    def score(simulation):
        seen.append(simulation.exits.tobytes())
        return 1.0

    search(make_replay(10), score, grids={"deep": [rules.Patience(5), rules.Entropy(0.0)], "first": [rules.FixedDepth(1)]})
    assert len(seen) == len(set(seen)) == 2


def test_search_table_is_plain():
    table = search(make_replay(11), agreement, grids={"EPEE": [rules.EntropyPatience(0.2, 2)]}).table()
    assert [row["rule"] for row in table] == [None, rules.EntropyPatience(0.2, 2).to_config()]
    assert set(table[1]) == {"name", "rule", "layers", "wordpiece_layers", "score", "disagreement"}


@pytest.mark.parametrize("units, exits", [(1, 4), (2, 4), (30, 1)])
def test_search_of_little(units, exits):
    found = search(make_replay(12, units=units, exits=exits), agreement, steps=2)
    assert found.within_drop(0.0).score >= found.full.score


def test_search_of_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing to tune on"):
        search(make_replay(13, units=0), agreement)


# Choices


def make_trials(scores, layers, depth=12.0, full=90.0):
    trials = [Candidate("made up", rules.Entropy(0.1), cost, cost, score, 0.0) for score, cost in zip(scores, layers)]
    nothing = numpy.zeros((len(trials), 10), dtype=bool)
    return Candidates(
        Candidate("full depth", None, depth, depth, full, 0.0), trials, nothing, numpy.arange(10) < 5, numpy.array(layers)
    )


ROWS = st.lists(st.tuples(st.integers(80, 95), st.integers(1, 12)), min_size=1, max_size=20)
MADE = ROWS.map(lambda rows: make_trials(*zip(*rows)))


@SOME
@given(found=MADE, drop=st.integers(0, 12))
def test_within_drop_is_the_fastest_that_is_good_enough(found, drop):
    chosen = found.within_drop(drop)
    good = [trial for trial in (found.full, *found.trials) if trial.score >= 90 - drop]
    assert chosen in good and all(chosen.layers <= trial.layers for trial in good)
    assert all(chosen.score >= trial.score for trial in good if trial.layers == chosen.layers)


@SOME
@given(found=MADE, speedup=st.sampled_from([1, 1.5, 2, 3, 4]))
def test_at_speedup_is_the_best_that_is_fast_enough(found, speedup):
    fast = [trial for trial in (found.full, *found.trials) if 12 / trial.layers >= speedup]
    if not fast:
        with pytest.raises(ValueError, match=f"No exit rule runs {speedup} times fewer layers.*Lower `min_speedup`"):
            found.at_speedup(speedup)
        return
    chosen = found.at_speedup(speedup)
    assert chosen in fast and all(chosen.score >= trial.score for trial in fast)
    assert all(chosen.layers <= trial.layers for trial in fast if trial.score == chosen.score)


CALM = st.lists(st.tuples(st.integers(80, 95), st.integers(20, 120), st.integers(0, 10)), min_size=1, max_size=30)


def make_calm(rows):
    """Settings with disagreements, in steps of a tenth of a layer."""
    found = make_trials([float(score) for score, _, _ in rows], [layers / 10 for _, layers, _ in rows])
    for trial, (_, _, share) in zip(found.trials, rows):
        trial.disagreement = share / 100
    return found


@SOME
@given(rows=CALM, drop=st.integers(0, 12))
def test_within_drop_is_the_one_with_fewest_other_answers_of_those_about_as_fast(rows, drop):
    found = make_calm(rows)
    chosen = found.within_drop(drop)
    good = [trial for trial in (found.full, *found.trials) if trial.score >= 90 - drop]
    fastest = min(trial.wordpiece_layers for trial in good)
    assert chosen in good and chosen.wordpiece_layers <= 1.05 * fastest + 1e-6
    near = [trial for trial in good if trial.wordpiece_layers <= 1.05 * fastest - 1e-6]
    assert all(chosen.disagreement <= trial.disagreement for trial in near)
    assert not any((t.disagreement, t.wordpiece_layers) < (chosen.disagreement, chosen.wordpiece_layers) for t in near)


@SOME
@given(rows=CALM, speedup=st.sampled_from([1, 1.5, 2]))
def test_at_speedup_is_the_one_with_fewest_other_answers(rows, speedup):
    found = make_calm(rows)
    fast = [trial for trial in (found.full, *found.trials) if 12 / trial.wordpiece_layers >= speedup]
    if not fast:
        return
    chosen = found.at_speedup(speedup)
    assert chosen in fast and all(chosen.disagreement <= trial.disagreement for trial in fast)
    assert all(chosen.score >= trial.score for trial in fast if trial.disagreement == chosen.disagreement)


@SOME
@given(rows=CALM, seed=st.integers(0, 3))
def test_choices_do_not_depend_on_the_order_of_settings(rows, seed):
    found, other = make_calm(rows), make_calm([rows[place] for place in numpy.random.default_rng(seed).permutation(len(rows))])
    for choose in (lambda trials: trials.within_drop(2), lambda trials: trials.at_speedup(1)):
        assert vars(choose(found)) == vars(choose(other))


def test_a_little_speed_is_given_for_much_agreement():
    found = make_trials([90.1, 90.0, 90.0], [12 / 1.22, 12 / 1.18, 12 / 1.10])
    for trial, share in zip(found.trials, (0.0575, 0.0025, 0.0)):
        trial.disagreement = share
    assert found.within_drop(0) is found.trials[1]


def test_a_lucky_gain_counts_for_nothing():
    found = make_trials([91.5, 90.0, 88.0], [6.0, 6.0, 5.0])
    for trial, share in zip(found.trials, (0.08, 0.01, 0.02)):
        trial.disagreement = share
    assert found.at_speedup(2) is found.trials[1]


def test_rules_of_many_numbers_are_chosen_only_if_no_simple_one_is_fast_enough():
    found = make_trials([90.0, 90.0, 90.0], [6.0, 6.0, 3.0])
    for trial, name, share in zip(found.trials, ("entropy", "entropy by exit", "entropy by exit"), (0.05, 0.01, 0.08)):
        trial.name, trial.disagreement = name, share
    assert found.at_speedup(2) is found.trials[0]
    assert found.at_speedup(4) is found.trials[2]


def test_choices_go_by_wordpieces():
    found = make_trials([90, 90], [4, 5])
    found.trials[0].wordpiece_layers, found.trials[1].wordpiece_layers = 9, 5
    assert found.within_drop(0) is found.at_speedup(2) is found.trials[1]


@SOME
@given(found=MADE)
def test_front_holds_what_nothing_beats(found):
    front, everything = found.front(), (found.full, *found.trials)

    def beats(one, other):
        one, other = (one.layers, -one.score), (other.layers, -other.score)
        return one != other and one[0] <= other[0] and one[1] <= other[1]

    best = {(t.layers, t.score) for t in everything if not any(beats(other, t) for other in everything)}
    assert [(t.layers, t.score) for t in front] == sorted(best)


def test_pareto_front_of_nothing():
    assert pareto_front([], []) == []


@pytest.mark.parametrize("wishes", [{}, {"max_drop": 1, "min_speedup": 2}])
def test_pick_wants_one_wish(wishes):
    with pytest.raises(ValueError, match="Give one of"):
        make_trials([90], [4]).pick(**wishes)


def test_pick_follows_the_wish():
    found = search(make_replay(14, units=400), agreement, steps=4)
    assert found.pick(max_drop=1.0) == found.within_drop(1.0)
    assert found.pick(min_speedup=1.5) == found.at_speedup(1.5)
    assert found.pick(max_disagreement=0.2, confidence=0.8) == found.certified(0.2, 0.8)[0]
    assert found.pick(max_disagreement=0.2).layers < 6


# The promise


def draw_trials(chance, risks, layers, documents=300):
    """A dev set from a population with known risks, independent from setting to setting."""
    differs = chance.uniform(size=(len(risks), documents)) < risks[:, None]
    trials = [Candidate(str(place), rules.Entropy(0.1), cost, cost, 0.0, 0.0) for place, cost in enumerate(layers)]
    return Candidates(
        Candidate("full depth", None, 12, 12, 0, 0), trials, differs, numpy.arange(documents) < documents // 2, layers
    )


def broken_promises(choose, draws=500):
    """How often the chosen setting has a risk above 0.1, where many are just above and these are the fastest."""
    chance = numpy.random.default_rng(0)
    risks = numpy.concatenate((numpy.linspace(0.0, 0.09, 30), numpy.full(60, 0.102)))
    layers = numpy.linspace(11, 2, 90)
    found = [choose(draw_trials(chance, risks, layers)) for _ in range(draws)]
    return sum(trial.rule is not None and risks[int(trial.name)] > 0.1 for trial in found)


def test_certified_keeps_its_promise():
    assert broken_promises(lambda found: found.certified(0.1, 0.9)[0]) <= binom.ppf(0.999, 500, 0.1)


def test_choosing_by_what_was_observed_does_not_keep_it():
    """So the test above can fail."""

    def choose(found):
        good = [trial for trial, differs in zip(found.trials, found.differs) if differs.mean() <= 0.1]
        return min(good, key=lambda trial: trial.layers)

    assert broken_promises(choose) > 2 * binom.ppf(0.999, 500, 0.1)


def test_certifying_on_the_documents_that_gave_the_order_does_not_keep_it():
    def choose(found):
        found.differs[:, ~found.first] = found.differs[:, found.first]
        return found.certified(0.1, 0.9)[0]

    assert broken_promises(choose) > 2 * binom.ppf(0.999, 500, 0.1)


def test_certified_is_the_full_depth_if_nothing_else_will_do():
    found = draw_trials(numpy.random.default_rng(1), numpy.ones(3), numpy.array([2.0, 3.0, 4.0]))
    chosen, certificate = found.certified(0.1)
    assert chosen is found.full and certificate.chosen is None and certificate.units == 150


def test_certified_takes_the_fastest_by_all_documents():
    found = draw_trials(numpy.random.default_rng(2), numpy.zeros(3), numpy.array([4.0, 2.0, 3.0]))
    assert found.certified(0.1)[0].name == "1"


def test_certified_with_too_few_documents_says_how_many_it_takes():
    found = draw_trials(numpy.random.default_rng(3), numpy.zeros(1), numpy.array([2.0]), documents=88)
    with pytest.raises(ValueError, match="dev set of 88 documents.*max_disagreement = 0.05.*must have 45.*Give 90"):
        found.certified(0.05, 0.9)
    found = draw_trials(numpy.random.default_rng(3), numpy.zeros(1), numpy.array([2.0]), documents=90)
    assert found.certified(0.05, 0.9)[0].name == "0"
