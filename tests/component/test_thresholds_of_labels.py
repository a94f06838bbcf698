"""Thresholds of labels: what a Doc is given, what is scored, saved and dropped."""

import json

import numpy
import pytest
import spacy
from relations_util import TEXTS as RELATION_TEXTS
from relations_util import make_example as make_relation_example
from relations_util import make_relations_nlp
from spacy.cli.find_threshold import find_threshold
from spacy.scorer import Scorer
from spacy.tokens import DocBin
from spacy.training import Example
from util import make_examples, make_nlp, make_texts

from spacy_epee.evaluation.calibrate import fit_thresholds
from spacy_epee.evaluation.scoring import differing_docs
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.evaluation.threshold_fitter import ThresholdFitter
from spacy_epee.exits import rules

LABELS = ("ACUTE", "STABLE", "HISTORY")
OWN = {"ACUTE": 0.2, "STABLE": 0.9, "HISTORY": 0.6}
NAME = "epee_textcat_multilabel"


@pytest.fixture
def nlp(backbone):
    return make_nlp(backbone, LABELS, multilabel=True)


@pytest.fixture
def pipe(nlp):
    pipe = nlp.get_pipe(NAME)
    pipe.set_label_thresholds(OWN)
    return pipe


def annotated(nlp, count=40, seed=1):
    random = numpy.random.default_rng(seed)
    return [
        Example.from_dict(nlp.make_doc(text), {"cats": {label: float(random.random() < 0.4) for label in LABELS}})
        for text in make_texts(count, 30, seed)
    ]


def given(doc, thresholds=OWN):
    return [label for label in LABELS if doc.cats[label] >= thresholds[label]]


def test_docs_are_given_labels_from_their_thresholds_on(nlp, pipe):
    docs = list(nlp.pipe(make_texts(30, 30)))
    assert [pipe.labels_of(doc) for doc in docs] == [given(doc) for doc in docs]
    assert any(given(doc) != given(doc, dict.fromkeys(LABELS, 0.5)) for doc in docs)
    pipe.set_label_thresholds(None)
    assert [pipe.labels_of(doc) for doc in docs] == [given(doc, dict.fromkeys(LABELS, 0.5)) for doc in docs]
    assert pipe.label_thresholds() == dict.fromkeys(LABELS, 0.5)


def test_probabilities_stay_as_they_are(nlp, pipe):
    texts = make_texts(10, 30)
    before = [doc.cats for doc in nlp.pipe(texts)]
    pipe.set_label_thresholds(None)
    assert [doc.cats for doc in nlp.pipe(texts)] == before


def test_best_label_is_given_where_labels_are_exclusive(backbone):
    nlp = make_nlp(backbone, LABELS)
    pipe = nlp.get_pipe("epee_textcat")
    doc = nlp("Palpitations since the weekend.")
    assert pipe.labels_of(doc) == [max(doc.cats, key=doc.cats.get)]
    assert pipe.labels_of(nlp.make_doc("nothing yet")) == []
    with pytest.raises(ValueError, match="exclude each other"):
        pipe.set_label_thresholds({"ACUTE": 0.3})


def test_scores_are_those_of_the_thresholds(nlp, pipe):
    examples = annotated(nlp)
    scores = nlp.evaluate(examples)
    answered = [Example(nlp(eg.predicted.copy()), eg.reference) for eg in examples]
    for eg in answered:
        eg.predicted.cats = {label: float(label in given(eg.predicted)) for label in LABELS}
    hard = Scorer.score_cats(answered, "cats", labels=LABELS, multi_label=True)
    for figure in ("cats_macro_f", "cats_micro_f", "cats_macro_p", "cats_macro_r", "cats_f_per_type"):
        assert scores[figure] == hard[figure]
    pipe.set_label_thresholds(None)
    plain = nlp.evaluate(annotated(nlp))
    assert plain["cats_macro_auc"] == pytest.approx(scores["cats_macro_auc"]) and plain["cats_macro_f"] != scores["cats_macro_f"]


def test_a_threshold_of_whoever_scores_counts_for_all_labels(nlp, pipe):
    examples = annotated(nlp)
    asked = nlp.evaluate(examples, scorer_cfg={"threshold": 0.3})
    pipe.set_label_thresholds(dict.fromkeys(LABELS, 0.3))
    assert nlp.evaluate(annotated(nlp))["cats_macro_f"] == asked["cats_macro_f"]


@pytest.mark.parametrize("rule", [None, rules.Patience(1), rules.Energy(0.2), rules.Voting(2.0)], ids=str)
def test_simulation_equals_the_loop(nlp, pipe, rule):
    pipe.set_temperatures([2.0, 0.5, 1.5, 3.0])
    examples = annotated(nlp)
    live = pipe.answer([eg.predicted for eg in examples], rule)
    found = StoredOutputs(pipe, examples).replay().run(rule)
    assert found.layers.tolist() == live.layers.tolist()
    assert numpy.array_equal(found.decision, live.reading.evidence(live.logits, layer=0, units=numpy.arange(40)).decision)
    full = pipe.answer([eg.predicted for eg in examples], None)
    assert numpy.array_equal(differing_docs(live, full), found.replay.differs[found.exits, numpy.arange(40)])


def test_thresholds_are_saved_and_dropped_with_what_they_were_fitted_to(nlp, pipe, tmp_path):
    nlp.to_disk(tmp_path / "saved")
    texts = make_texts(10, 30)
    answers = [pipe.labels_of(doc) for doc in nlp.pipe(texts)]
    loaded = spacy.load(tmp_path / "saved")
    again = loaded.get_pipe(NAME)
    assert again.label_thresholds() == pytest.approx(OWN)
    assert [again.labels_of(doc) for doc in loaded.pipe(texts)] == answers
    again.update(make_examples(loaded, LABELS, True), sgd=loaded.resume_training())
    assert again.label_thresholds() == dict.fromkeys(LABELS, 0.5)


def test_another_threshold_of_the_config_is_that_of_all_labels(nlp, pipe, tmp_path):
    nlp.to_disk(tmp_path / "saved")
    other = spacy.load(tmp_path / "saved", config={f"components.{NAME}.threshold": 0.3})
    assert other.get_pipe(NAME).label_thresholds() == dict.fromkeys(LABELS, 0.3)


def test_find_threshold_of_spacy_tries_one_for_all_labels(nlp, pipe, tmp_path):
    examples = annotated(nlp)
    nlp.to_disk(tmp_path / "saved")
    DocBin(docs=[eg.reference for eg in examples], store_user_data=True).to_disk(tmp_path / "dev.spacy")
    _, _, scores = find_threshold(tmp_path / "saved", tmp_path / "dev.spacy", NAME, "threshold", "cats_macro_f", n_trials=3)
    pipe.set_label_thresholds(None)
    expected = [nlp.evaluate(annotated(nlp), scorer_cfg={"threshold": value})["cats_macro_f"] for value in (0.0, 0.5, 1.0)]
    assert list(scores.values()) == expected


@pytest.mark.parametrize("wrong", [{"ACUTE": 0.0}, {"ACUTE": 1.0}, {"ACUTE": float("nan")}, {"ACUTE": "0.5"}])
def test_thresholds_that_mean_nothing_are_refused(pipe, wrong):
    with pytest.raises(ValueError, match="threshold of ACUTE"):
        pipe.set_label_thresholds(wrong)
    assert pipe.label_thresholds() == OWN


def test_thresholds_of_unknown_labels_are_refused_without_naming_them(pipe):
    with pytest.raises(ValueError, match="1 of the thresholds") as error:
        pipe.set_label_thresholds({"Mrs Jones": 0.3})
    assert "Jones" not in str(error.value)


def test_thresholds_are_fitted_to_examples(nlp):
    pipe = nlp.get_pipe(NAME)
    fitted = fit_thresholds(pipe, annotated(nlp, 60))
    assert pipe.label_thresholds() == pytest.approx(fitted, rel=1e-5)
    fitter = ThresholdFitter(StoredOutputs(pipe, annotated(nlp, 60)))
    assert fitter.macro_f(fitter.slot.thresholds) >= fitter.macro_f(0.5)


def test_thresholds_need_examples(nlp):
    with pytest.raises(ValueError, match="too few to fit thresholds to"):
        fit_thresholds(nlp.get_pipe(NAME), annotated(nlp, 6))
    assert nlp.get_pipe(NAME).label_thresholds() == dict.fromkeys(LABELS, 0.5)


def test_labels_that_only_some_documents_have_count_as_missed(nlp, pipe):
    examples = annotated(nlp)
    plain = nlp.evaluate(annotated(nlp))["cats_macro_f"]
    examples[0].reference.cats["NEW"] = 1.0
    with pytest.warns(UserWarning, match="does not know"):
        scores = nlp.evaluate(examples)
    assert scores["cats_macro_f"] == pytest.approx(plain * 3 / 4)


def test_thresholds_are_plain_in_the_cfg(pipe):
    assert json.loads(json.dumps(pipe.cfg))["label_thresholds"] == OWN


def test_relations_that_do_not_exclude_each_other_go_by_thresholds(backbone):
    nlp = make_relations_nlp(backbone, exclusive=False)
    pipe = nlp.get_pipe("epee_relations")
    docs = [make_relation_example(nlp, text).predicted for text in RELATION_TEXTS]

    def found():
        copies = [doc.copy() for doc in docs]
        pipe.set_annotations(copies, pipe.predict(copies))
        return [(entry["label"], entry["score"]) for doc in copies for entry in doc._.relations]

    pipe.set_label_thresholds(dict.fromkeys(pipe.labels, 0.01))
    every, label = found(), pipe.labels[0]
    pipe.set_label_thresholds({**dict.fromkeys(pipe.labels, 0.01), label: 0.5})
    assert found() == [(name, score) for name, score in every if name != label or score >= 0.5]
    assert any(name == label and score < 0.5 for name, score in every)
