"""The front: score against seconds of everything that a user could take instead."""

import json
import sys

import numpy
import pytest
from util import make_examples, make_nlp, make_texts

from spacy_epee.benchmark.front import texts as front_texts
from spacy_epee.benchmark.front.ours import Measured, WithRule
from spacy_epee.benchmark.front.run import CONTESTANTS, Front, Plan, choose_contestants, fit_time, measure_front
from spacy_epee.benchmark.front.simple import StaticEmbeddings, TfIdf
from spacy_epee.benchmark.front.spacy_textcat import SpacyTextcat, Training
from spacy_epee.benchmark.front.texts import LabelledTexts, label_texts
from spacy_epee.benchmark.targets import Torch
from spacy_epee.benchmark.workspace import Unavailable, Workspace
from spacy_epee.exits.rules.depth import FixedDepth

LABELS = ["ACUTE", "STABLE", "HISTORY"]
QUICK = ("tfidf", "fixed", "cut-torch", "ours")


def splits(nlp, multilabel=False):
    examples = make_examples(nlp, LABELS, multilabel)
    return {"train": examples * 3, "dev": examples, "test": examples[1:] + examples[:1]}


@pytest.fixture(scope="module", params=[False, True], ids=["exclusive", "multilabel"])
def saved(request, backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("front") / "model"
    make_nlp(backbone, LABELS, request.param).to_disk(folder)
    return folder


@pytest.fixture
def pipeline(saved):
    return Measured("tiny", "tiny", saved)


def multilabel(truths):
    truths = numpy.array(truths, dtype=bool)
    return LabelledTexts(["a"] * len(truths), truths, list("abcdef"[: truths.shape[1]]), False)


def test_labels_that_nobody_knows_are_missed(backbone):
    examples = make_examples(make_nlp(backbone, LABELS), LABELS)
    examples[0].reference.cats = {"NEW": 1.0}
    found = label_texts({"test": examples}, LABELS, True)["test"]
    assert found.labels == [*LABELS, "NEW"] and found.truths[0].tolist() == [False, False, False, True]
    right = found.truths[:, :3].astype(float)
    assert front_texts.macro_f(found, right) < 80  # one label of four has no F at all


def test_thresholds_are_fitted_to_each_label():
    chance = numpy.random.default_rng(0)
    truths = chance.random((400, 2)) < 0.5
    said = numpy.where(truths, [0.9, 0.5], [0.6, 0.1]) + 0.05 * chance.random((400, 2))
    data = multilabel(truths)
    thresholds = front_texts.fit_thresholds(data, said)
    assert 0.65 < thresholds[0] <= 0.9 and 0.15 < thresholds[1] <= 0.5
    assert front_texts.macro_f(data, said, thresholds) == 100 > front_texts.macro_f(data, said)


def test_labels_that_nobody_knows_have_no_threshold():
    data = multilabel([[1, 1], [1, 0], [0, 0], [0, 1]] * 5)
    thresholds = front_texts.fit_thresholds(data, numpy.array([[0.9], [0.8], [0.2], [0.1]] * 5))
    assert thresholds[1] == 1 and front_texts.decide(data, numpy.ones((20, 1)), thresholds)[:, 1].sum() == 0


def test_thresholds_that_hold_on_no_other_document_are_not_chosen():
    chance = numpy.random.default_rng(0)
    truths = chance.random((400, 2)) < 0.5
    good = numpy.where(truths, 0.4, 0.1) + 0.05 * chance.random((400, 2))  # all below 0.5
    assert front_texts.choose_thresholds(multilabel(truths), good) is not None
    assert front_texts.choose_thresholds(multilabel(truths), truths.astype(float)) is None  # 0.5 is as good


def test_texts_to_time_are_from_short_to_long_in_order():
    data = LabelledTexts(["aaa", "a", "aaaaa", "aa", "aaaa"], numpy.ones((5, 1), dtype=bool), ["a"], True)
    assert front_texts.evenly(data, 3) == ["aaa", "a", "aaaaa"] and len(front_texts.evenly(data, 9)) == 5


@pytest.mark.parametrize("characters", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_linear_models_learn(backbone, several, characters):
    nlp = make_nlp(backbone, LABELS, several)
    data = label_texts(splits(nlp, several), LABELS, not several)
    model = TfIdf(characters)
    model.fit(data["train"])
    said = model.read(model.run(data["train"].texts, 5))
    assert front_texts.macro_f(data["train"], said) > 95
    assert said.shape == data["train"].truths.shape
    if not several:
        numpy.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)


def test_linear_models_know_two_labels_and_not_those_without_an_example(backbone):
    texts = ["chest pain", "knee pain"] * 3
    truths = numpy.array([[1, 0, 0], [0, 1, 0]] * 3, dtype=bool)
    data = LabelledTexts(texts, truths, LABELS, True)
    model = TfIdf()
    model.fit(data)
    said = model.read(model.run(["chest pain", "knee pain", "nothing known"], 1))
    assert said[:2].argmax(axis=1).tolist() == [0, 1] and not said[:, 2].any() and numpy.isfinite(said).all()


def test_linear_models_refuse_texts_without_words():
    data = LabelledTexts(["!", "?"], numpy.eye(2, dtype=bool), ["a", "b"], True)
    with pytest.raises(Unavailable, match="no words"):
        TfIdf().fit(data)


def test_static_embeddings_come_with_their_package():
    pytest.importorskip("wordllama", reason="the extra `front` is not installed")
    data = LabelledTexts(
        ["chest pain", "the knee is fine"] * 3, numpy.eye(2, dtype=bool).repeat(1, 0)[[0, 1] * 3], ["a", "b"], True
    )
    model = StaticEmbeddings()
    model.fit(data)
    assert model.read(model.run(data.texts, 4)).argmax(axis=1).tolist() == [0, 1] * 3


def test_static_embeddings_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(Unavailable, match=r"spacy_epee\[front\]"):
        StaticEmbeddings().fit(LabelledTexts(["a"], numpy.ones((1, 1), dtype=bool), ["a"], True))


@pytest.mark.parametrize("bag", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_spacys_classifiers_are_trained_once(backbone, tmp_path, several, bag):
    nlp = make_nlp(backbone, LABELS, several)
    examples = splits(nlp, several)
    data = label_texts(examples, LABELS, not several)
    model = SpacyTextcat(bag, examples, LABELS, not several, Training(epochs=2, folder=tmp_path))
    model.fit()
    said = model.read(model.run(data["test"].texts, 4))
    assert said.shape == (12, 3) and "2.0 passes" in model.note
    again = SpacyTextcat(bag, examples, LABELS, not several, Training(epochs=9, folder=tmp_path))
    again.fit()
    numpy.testing.assert_array_equal(again.read(again.run(data["test"].texts, 4)), said)
    numpy.testing.assert_allclose(again.read(again.run(data["test"].texts, 1)), said, atol=1e-4)


def test_scores_of_depths_are_those_of_the_pipeline(pipeline):
    examples = splits(pipeline.nlp, not pipeline.exclusive)
    data = label_texts(examples, LABELS, pipeline.exclusive)
    pipeline.measure(examples, data, steps=4)
    assert pipeline.layers == [1, 2, 3, 4]
    for layer, rule in pipeline.fixed():
        figures = pipeline.score(rule)
        own = WithRule(pipeline.nlp, pipeline.component, rule)
        said = {name: own.read(own.run(data[name].texts, 4)) for name in ("dev", "test")}
        expected = front_texts.score_both(data["dev"], said["dev"], data["test"], said["test"])
        assert {name: figures[name] for name in expected} == pytest.approx(expected)
        assert figures["layers"] == layer and figures["layers_saved"] == 1 - layer / 4


@pytest.mark.parametrize("family", ["bert", "mpnet", "distilbert", "modernbert", "gpt2"])
def test_networks_cut_at_a_layer_answer_as_the_exit_there(backbones, tmp_path, family):
    pooling = "last" if family == "gpt2" else "mean"
    nlp = make_nlp(backbones(family), LABELS, model={"head": {"pooling": pooling}})
    pipe = nlp.pipeline[0][1]
    pipe.set_temperatures([1.0, 2.0, 1.5, 1.0])
    nlp.to_disk(tmp_path / "model")
    texts = make_texts(12)
    for layer in (1, 2, 4):
        folder = tmp_path / f"cut-{layer}"
        folder.mkdir()
        cut = Torch(Workspace(str(tmp_path / "model"), pipe, folder, layer))
        cut.prepare()
        cut.load()
        pipe.set_exit(FixedDepth(layer) if layer < 4 else None)
        expected = [[doc.cats[label] for label in LABELS] for doc in nlp.pipe(texts)]
        numpy.testing.assert_allclose(cut.read(cut.run(texts, 8)), expected, atol=1e-4)
        assert cut.place.network().trunk.config.num_hidden_layers == layer


def test_a_front_has_all_that_is_asked_for(pipeline):
    examples = splits(pipeline.nlp, not pipeline.exclusive)
    told = []
    report = measure_front([pipeline], examples, Plan(QUICK, (1, 4), 2, 6, steps=4, tell=told.append))
    json.dumps(report)
    rows = {row["name"]: row for row in report["rows"]}
    assert not report["skipped"] and report["timed_documents"] == 6
    assert {row["kind"] for row in rows.values()} == {"simple", "fixed", "cut", "ours"}
    assert {f"tiny@{layer}" for layer in (1, 2, 3, 4)} <= set(rows)
    assert all(set(row["ms"]) == {"1", "4"} and min(row["ms"].values()) > 0 for row in rows.values())
    fixed = {row["dev"]: row for name, row in sorted(rows.items(), reverse=True) if row["kind"] == "fixed"}
    best = fixed[max(fixed)]
    assert report["fixed_depth"]["name"] == best["name"]
    assert rows["cut-torch"]["score"] == best["score"] and rows["cut-torch"]["layers"] == best["layers"]
    assert not any(text in json.dumps(report) + "".join(told) for text in (eg.reference.text for eg in examples["test"]))
    for size in ("1", "4"):
        assert set(report["verdict"][size]["contestants"]) == {name for name, row in rows.items() if row["kind"] != "ours"}


def test_what_is_cut_has_a_layer_though_words_may_be_better(backbone, tmp_path, monkeypatch):
    nlp = make_nlp(backbone, LABELS, lexical=500)
    nlp.to_disk(tmp_path / "model")
    own = Measured("wide", "tiny", tmp_path / "model")
    score = own.score
    monkeypatch.setattr(own, "score", lambda rule: {**score(rule), "dev": 100.0 if rule == FixedDepth(0) else 50.0})
    report = measure_front([own], splits(own.nlp), Plan(("fixed", "cut-torch"), (1,), 1, 4, steps=4))
    assert not report["skipped"] and report["fixed_depth"]["layer"] == 1


def test_what_is_cut_is_chosen_by_its_states_alone(backbone, tmp_path, monkeypatch):
    make_nlp(backbone, LABELS, lexical=500).to_disk(tmp_path / "model")
    own = Measured("wide", "tiny", tmp_path / "model")
    monkeypatch.setattr(own, "scores_alone", lambda: {1: 40.0, 2: 30.0, 3: 90.0, 4: 90.0})
    report = measure_front([own], splits(own.nlp), Plan(("fixed", "cut-torch"), (1,), 1, 4, steps=4))
    [cut] = [row for row in report["rows"] if row["kind"] == "cut"]
    assert report["cut"] == {"title": "wide", "layer": 3} and cut["layers"] == 3 and cut["note"] == "wide, layer 3"


@pytest.mark.parametrize("exclusive", [True, False])
def test_scores_alone_are_those_without_words(backbone, tmp_path, exclusive):
    nlp = make_nlp(backbone, LABELS, exclusive, lexical=500)
    nlp.pipeline[0][1].slot().set_mix([3.0] * 4, nlp.pipeline[0][1].model)
    nlp.to_disk(tmp_path / "model")
    own = Measured("wide", "tiny", tmp_path / "model")
    examples = splits(own.nlp, exclusive)
    data = front_texts.label_texts(examples, LABELS, exclusive)
    own.measure(examples, data, 4)
    before = own.stored["dev"].logits.copy()
    expected = {}
    with own.without_words():
        for layer, rule in own.fixed()[1:]:
            whole = WithRule(own.nlp, own.component, rule)
            said = whole.read(whole.run(data["dev"].texts, 4))
            expected[layer] = front_texts.macro_f(data["dev"], said, front_texts.choose_thresholds(data["dev"], said))
    assert own.scores_alone() == pytest.approx(expected)
    assert (own.stored["dev"].logits == before).all()


def test_a_pipeline_without_exits_has_its_full_depth_alone(backbone, tmp_path):
    nlp = make_nlp(backbone, LABELS, model={"exit_layers": [4]}, loss={"weighting": "last"})
    nlp.to_disk(tmp_path / "model")
    own = Measured("plain", "tiny", tmp_path / "model")
    report = measure_front([own], splits(own.nlp), Plan(("fixed", "ours"), (1,), 1, 4, steps=4))
    assert [row["name"] for row in report["rows"]] == ["plain@4"]
    assert report["skipped"] == {"ours": "plain has no exits"}


def test_a_front_goes_on_without_who_fails(pipeline, monkeypatch):
    text = pipeline.nlp.make_doc("x").text

    def refuse(self, train):
        raise RuntimeError(f"cannot read {text}")

    monkeypatch.setattr(TfIdf, "fit", refuse)
    monkeypatch.setitem(sys.modules, "nncf", None)
    plan = Plan(("tfidf", "fixed", "cut-openvino-int8"), (1,), 1, 4, steps=4)
    report = measure_front([pipeline], splits(pipeline.nlp, not pipeline.exclusive), plan)
    assert report["skipped"]["tfidf"] == "it cannot run this model or these documents (RuntimeError)"
    assert "spacy_epee[front]" in report["skipped"]["cut-openvino-int8"]
    assert {row["kind"] for row in report["rows"]} == {"fixed"} and report["verdict"]["1"]["best"] is None


def test_int8_of_the_cut_network_is_near_it(pipeline):
    for name in ("onnx", "onnxruntime", "openvino", "nncf"):
        pytest.importorskip(name, reason="the extra `front` is not installed")
    plan = Plan(("cut-torch", "cut-onnx-int8", "cut-openvino-int8", "ours-int8", "spacy-transformers"), (2,), 1, 4, steps=4)
    report = measure_front([pipeline], splits(pipeline.nlp, not pipeline.exclusive), plan)
    assert not report["skipped"]
    cut = {row["name"]: row["score"] for row in report["rows"] if row["kind"] == "cut"}
    assert len(cut) == 3 and max(cut.values()) - min(cut.values()) < 40  # of twelve documents
    assert any("int8" in row["title"] for row in report["rows"] if row["kind"] == "ours")
    assert any(row["kind"] == "standard" for row in report["rows"])


def test_a_network_that_would_answer_otherwise_is_not_cut(pipeline, tmp_path, monkeypatch):
    examples = splits(pipeline.nlp, not pipeline.exclusive)
    monkeypatch.setattr(Torch, "read", lambda self, found: found + 0.1)
    report = measure_front([pipeline], examples, Plan(("fixed", "cut-torch"), (1,), 1, 4, steps=4))
    assert "is given more than the states of the encoder" in report["skipped"]["cut-torch"]


def test_pipelines_of_other_labels_do_not_compare(backbone, pipeline, tmp_path):
    make_nlp(backbone, ["A", "B"], not pipeline.exclusive).to_disk(tmp_path / "other")
    other = Measured("other", "tiny", tmp_path / "other")
    with pytest.raises(ValueError, match="'tiny' and 'other' have other labels"):
        Front([pipeline, other], splits(pipeline.nlp, not pipeline.exclusive), Plan(), tmp_path)


def test_timing_fits_into_its_time():
    plan = Plan(rounds=3, timed=100, seconds=40.0)
    assert fit_time(0.01, plan, 32) == (100, 3)
    assert fit_time(0.2, plan, 32) == (50, 3)
    assert fit_time(0.4, plan, 32) == (32, 2)  # 38 seconds with the round that warms up
    assert fit_time(9.0, plan, 32) == (32, 1)


def test_contestants_are_chosen_by_name():
    assert choose_contestants(None) == list(CONTESTANTS)
    assert choose_contestants("ours, tfidf") == ["tfidf", "ours"]
    with pytest.raises(ValueError, match="'bert'; give some of tfidf"):
        choose_contestants("bert")
