"""Tuning by another figure than the main one."""

from contextlib import nullcontext
from functools import partial

import numpy
import pytest
from relations_util import make_relations_nlp
from spacy.training import Example
from util import make_nlp, make_texts

from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.evaluation.threshold_fitter import ThresholdFitter
from spacy_epee.exits import label_thresholds
from spacy_epee.exits.label_thresholds import f_scores, fit_label_thresholds, held_out_score
from spacy_epee.exits.rules.depth import FixedDepth
from spacy_epee.exits.rules.thresholds import Entropy
from spacy_epee.tuning.tuner import Tuner, TuningGoal

LABELS = ["ACUTE", "STABLE", "HISTORY"]
PUT = (0.1, 0.5, 0.95)
"""Two of three labels say too little, so that they need a threshold of their own."""


@pytest.fixture(scope="module")
def several(backbone):
    return make_nlp(backbone, LABELS, multilabel=True, spread=4.0)


@pytest.fixture(scope="module")
def exclusive(backbone):
    return make_nlp(backbone, LABELS, multilabel=False, spread=4.0)


def annotated(nlp, count=80):
    """Texts with the labels that a rule would give by other thresholds, and now and then by chance."""
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    chance = numpy.random.default_rng(0)
    cats = []
    for doc in nlp.pipe(make_texts(count, seed=3)):
        row = [doc.cats[label] for label in LABELS]
        if chance.random() < 0.1:
            row = chance.permutation(row).tolist()
        best = max(row)
        true = [value == best for value in row] if pipe.task.exclusive else [v >= put for v, put in zip(row, PUT)]
        cats.append(dict(zip(LABELS, map(float, true))))
    return [Example.from_dict(nlp.make_doc(text), {"cats": own}) for text, own in zip(make_texts(count, seed=3), cats)]


@pytest.mark.parametrize("rule", [None, FixedDepth(1), Entropy(0.6)])
@pytest.mark.parametrize("figure", ["macro F", "macro AUC"])
@pytest.mark.parametrize("kind", ["several", "exclusive"])
def test_figures_are_those_of_spacys_scorer(kind, figure, rule, request):
    nlp = request.getfixturevalue(kind)
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    examples = annotated(nlp)
    stored = StoredOutputs(pipe, examples)
    replay = stored.replay()
    scores = pipe.score_answers(examples, pipe.answer([eg.predicted for eg in examples], rule))
    name = {"macro F": "cats_macro_f", "macro AUC": "cats_macro_auc"}[figure]
    assert stored.scorer(replay, figure)(replay.run(rule)) == pytest.approx(scores[name], abs=1e-6)


def mean_f(true, given):
    return f_scores(given, true).mean()


def test_macro_f_counts_thresholds_where_they_were_not_fitted(several):
    stored = StoredOutputs(several.get_pipe(several.pipe_names[0]), annotated(several))
    replay = stored.replay()
    found = replay.run(None)
    true, logits = stored.targets > 0, found.logits
    places, score = numpy.arange(80), partial(mean_f, true)
    held_out = held_out_score(logits, stored.targets, stored.label_mask, 0.5, places, 80, score)
    assert held_out > score(logits >= 0)
    assert stored.scorer(replay, "macro F", True)(found) == pytest.approx(held_out)


def test_noise_gains_nothing_by_thresholds_that_were_fitted_elsewhere():
    chance = numpy.random.default_rng(0)
    logits, targets = chance.normal(size=(200, 20)), (chance.random((200, 20)) < 0.1).astype(float)
    known = numpy.ones_like(targets)
    own = f_scores(logits >= numpy.log(1 / (1 / fit_label_thresholds(logits, targets, known) - 1)), targets > 0).mean()
    score = partial(mean_f, targets > 0)
    assert held_out_score(logits, targets, known, 0.5, numpy.arange(200), 200, score) < own


def test_halves_that_nothing_can_be_fitted_to_have_no_score():
    targets = numpy.zeros((8, 2))
    targets[:3] = 1
    assert held_out_score(numpy.zeros((8, 2)), targets, numpy.ones((8, 2)), 0.5, numpy.arange(8), 8, numpy.mean) is None


def test_what_thresholds_are_worth_is_less_of_chance_than_by_one_split(monkeypatch):
    chance = numpy.random.default_rng(1)
    targets = (chance.random((120, 1)) < 0.3).astype(float)
    logits, known = chance.normal(size=(120, 1)) + 1.5 * targets - 1, numpy.ones_like(targets)

    def values():
        places, score = numpy.arange(120), partial(mean_f, targets > 0)
        return numpy.std([held_out_score(logits, targets, known, 0.5, places, 120, score, seed) for seed in range(0, 100, 10)])

    several = values()
    monkeypatch.setattr(label_thresholds, "SPLITS", 1)
    assert several < 0.7 * values()


@pytest.fixture
def tuning(several):
    pipe = several.get_pipe(several.pipe_names[0])
    yield Tuner(several, pipe, annotated(several), wish=TuningGoal(min_speedup=2), steps=3, figure="macro F")
    pipe.set_exit(None)
    pipe.set_label_thresholds(None)
    pipe.set_temperatures(None)


def test_thresholds_are_fitted_to_what_the_chosen_rule_answers(tuning):
    before = dict(tuning.component.label_thresholds())
    rule = tuning.choose()
    assert rule is not None and tuning.report["score_desc"] == "macro F"
    fitted = dict(tuning.component.label_thresholds())
    assert fitted != before and tuning.report["thresholds"]["labels"] == fitted
    assert [trial.rule for trial in tuning.shown].count(rule) == 1 and len(tuning.shown) == len(tuning.report["front"])
    tuning.reset_thresholds()  # what it answers depends on them
    assert fitted == pytest.approx(ThresholdFitter(tuning.stored, tuning.replay.run(rule).logits).fit(), rel=1e-4)


def test_each_choice_begins_with_the_same_thresholds(tuning):
    before, fitted = dict(tuning.component.label_thresholds()), tuning.report["thresholds"]
    first, chosen = tuning.choose(), tuning.report["chosen"]
    assert tuning.choose() == first and tuning.report["chosen"] == chosen
    tuning.reset_thresholds()
    assert tuning.component.label_thresholds() == before and tuning.report["thresholds"] is fitted


def test_what_is_chosen_is_told_as_the_pipeline_then_answers(tuning):
    rule = tuning.choose()
    answers = tuning.component.answer([eg.predicted for eg in tuning.examples], rule)
    assert answers.layers.mean() == pytest.approx(tuning.report["chosen"]["layers"])


def test_another_figure_is_refused(several, backbone):
    pipe = several.get_pipe(several.pipe_names[0])
    with pytest.raises(ValueError, match="Without `--score` it is by macro AUC, and with it by one of 'macro F', 'macro AUC'"):
        Tuner(several, pipe, annotated(several), figure="accuracy")
    nlp = make_relations_nlp(backbone)
    with pytest.raises(ValueError, match="Without `--score` it is by micro F, and by nothing else"):
        Tuner(nlp, nlp.get_pipe(nlp.pipe_names[0]), [], figure="macro F")


def test_what_is_stored_is_scored_by_no_other_figure_than_is_asked_for(several):
    stored = StoredOutputs(several.get_pipe(several.pipe_names[0]), annotated(several))
    with pytest.raises(ValueError, match="by 'macro-auc'"):
        stored.scorer(stored.replay(), "macro-auc")


def with_cats(nlp, cats):
    return [Example.from_dict(nlp.make_doc(text), {"cats": cats(place)}) for place, text in enumerate(make_texts(20, seed=3))]


@pytest.mark.parametrize(
    "kind, true, figure, wish, refused",
    [
        ("several", LABELS, "macro AUC", {"max_drop": 0}, "no macro AUC to lose"),
        ("several", LABELS, None, {"max_drop": 0}, "no macro AUC to lose"),
        ("exclusive", ["ACUTE"], "macro AUC", {"max_drop": 0}, "no macro AUC to lose"),
        ("several", [], "macro F", {"max_drop": 0}, "no score to lose"),
        ("several", LABELS, "macro F", {"max_drop": 0}, None),
        ("several", LABELS, "macro AUC", {"min_speedup": 2}, None),
    ],
)
def test_documents_on_which_nothing_can_be_lost_are_refused(kind, true, figure, wish, refused, request):
    nlp = request.getfixturevalue(kind)
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    examples = with_cats(nlp, lambda _: {label: float(label in true) for label in LABELS})
    settings = {"missing_labels": True, "calibrate": False, "thresholds": False, "steps": 2}
    with pytest.raises(ValueError, match=refused) if refused else nullcontext():
        Tuner(nlp, pipe, examples, wish=TuningGoal(**wish), figure=figure, **settings)


def test_labels_of_all_documents_count_as_0_and_are_told(several):
    examples = with_cats(several, lambda place: {"ACUTE": 1.0, "STABLE": 0.0, "HISTORY": float(place % 2)})
    assert StoredOutputs(several.get_pipe(several.pipe_names[0]), examples).scoring.absent == ["ACUTE", "STABLE"]
