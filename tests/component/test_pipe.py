"""The component as a spaCy user meets it."""

import gc
import json
import logging
import os
import pickle
import subprocess
import sys

import numpy
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from util import DEPTH, SENTENCES, make_examples, make_nlp, make_texts

from spacy_epee.exits.rules.composite import AnyOf
from spacy_epee.exits.rules.depth import Deadline, FixedDepth
from spacy_epee.exits.rules.patience import EntropyPatience, Patience
from spacy_epee.model import get_heads, get_settings, get_stepper

EPEE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.5, "patience": 2}
NAMES = ["epee_textcat", "epee_textcat_multilabel"]


@pytest.fixture(scope="module", params=[False, True], ids=["exclusive", "multilabel"])
def nlp(request, backbone):
    return make_nlp(backbone, multilabel=request.param, exit=EPEE)


def pipe_of(nlp):
    return nlp.get_pipe(nlp.pipe_names[0])


def answers_of(nlp, texts=None):
    """Scores and exits of some texts, to compare pipelines by."""
    return [(doc.cats, doc._.exits) for doc in nlp.pipe(texts or make_texts(12), batch_size=5)]


def assert_same(found, expected):
    for (cats, exits), (other_cats, other_exits) in zip(found, expected, strict=True):
        assert cats == pytest.approx(other_cats, abs=1e-5)
        for name in exits:
            units, others = exits[name]["textcat"]["units"], other_exits[name]["textcat"]["units"]
            assert [(u["layer"], u["reason"]) for u in units] == [(u["layer"], u["reason"]) for u in others]


def test_component_writes_cats(nlp):
    doc = nlp(SENTENCES[0])
    assert set(doc.cats) == set(pipe_of(nlp).labels)
    assert all(isinstance(score, float) and 0 <= score <= 1 for score in doc.cats.values())
    if nlp.pipe_names == ["epee_textcat"]:
        assert sum(doc.cats.values()) == pytest.approx(1, abs=1e-5)


def test_component_writes_exits(nlp):
    seen = set()
    for doc in nlp.pipe(make_texts(32)):
        entry = doc._.exits[nlp.pipe_names[0]]["textcat"]
        (unit,) = entry["units"]
        assert entry["depth"] == DEPTH and entry["layer"] == unit["layer"]
        assert 1 <= unit["layer"] <= DEPTH and 0 <= unit["entropy"] <= 1
        assert unit["reason"] in {"entropy", "patience", "depth"}
        assert (unit["reason"] == "depth") == (unit["layer"] == DEPTH) or unit["layer"] == DEPTH
        seen.add(unit["layer"])
    assert len(seen) > 1  # or the test would say nothing about exits


@pytest.mark.parametrize("text", ["", "   ", "\n\t ", "\u200b"])
def test_component_answers_documents_without_wordpieces(nlp, text):
    batch = list(nlp.pipe([SENTENCES[0], text, SENTENCES[1]]))
    assert set(batch[1].cats) == set(pipe_of(nlp).labels)
    alone = nlp(text)
    assert alone.cats == batch[1].cats
    entry = alone._.exits[nlp.pipe_names[0]]["textcat"]
    if not entry["units"]:
        assert entry["layer"] == 0 and set(alone.cats.values()) == {0.0}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=60), max_size=4))
def test_component_answers_any_text(nlp, texts):
    docs = list(nlp.pipe(texts))
    assert [doc.text for doc in docs] == texts
    assert all(numpy.isfinite(list(doc.cats.values())).all() for doc in docs)


@pytest.mark.hard
def test_component_answers_100000_tokens_in_bounded_calls(backbone):
    nlp = make_nlp(backbone, exit=EPEE, model={"trunk": {"max_wordpieces": 2048}})
    pipe = pipe_of(nlp)
    doc = Doc(nlp.vocab, words=["fever", "and", "rash", "."] * 25_000)
    sizes = []
    layer = get_stepper(pipe.model).layers[0]
    hook = layer.register_forward_pre_hook(lambda module, args: sizes.append(args[0].shape[:2].numel()))
    try:
        pipe(doc)
    finally:
        hook.remove()
    assert len(doc._.exits["epee_textcat"]["textcat"]["units"]) == 1
    assert sum(sizes) > 100_000 and max(sizes) <= 2048


def test_component_keeps_order_and_annotates_every_document(nlp):
    texts = make_texts(40, seed=3)
    docs = list(nlp.pipe(texts, batch_size=7))
    assert [doc.text for doc in docs] == texts
    assert_same([(doc.cats, doc._.exits) for doc in docs], [(doc.cats, doc._.exits) for doc in map(nlp, texts)])


@pytest.mark.parametrize("batch_size", [0, -1])
def test_component_refuses_batches_of_no_documents(nlp, batch_size):
    with pytest.raises(ValueError, match=f"batch size is {batch_size}"):
        list(nlp.pipe(SENTENCES, batch_size=batch_size))


def test_component_survives_bytes(nlp):
    other = spacy.util.load_model_from_config(nlp.config, auto_fill=True)
    other.from_bytes(nlp.to_bytes())
    assert_same(answers_of(other), answers_of(nlp))


def test_component_survives_disk(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    assert_same(answers_of(spacy.load(tmp_path)), answers_of(nlp))


def test_component_survives_pickle(nlp):
    assert_same(answers_of(pickle.loads(pickle.dumps(nlp))), answers_of(nlp))


@pytest.mark.parametrize("factory", NAMES)
def test_component_survives_disk_before_initialize(factory, tmp_path, backbone):
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, config={"model": {"trunk": {"name": str(backbone), "window": 32, "overlap": 8}}})
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    examples = make_examples(loaded, ["A", "B"])
    loaded.initialize(lambda: examples)
    assert loaded.get_pipe(factory).labels == ("A", "B")


def test_component_bytes_do_not_depend_on_use(nlp):
    before = pipe_of(nlp).to_bytes()
    list(nlp.pipe(make_texts(8)))
    assert pipe_of(nlp).to_bytes() == before


def package(nlp, folder):
    """Make a package folder of a pipeline."""
    nlp.to_disk(folder / "model")
    (folder / "out").mkdir()
    command = ["package", str(folder / "model"), str(folder / "out"), "--name", "tiny", "--version", "1.2.3", "--build", "none"]
    subprocess.run([sys.executable, "-m", "spacy", *command], check=True, capture_output=True)
    return folder / "out" / "en_tiny-1.2.3"


@pytest.mark.parametrize("nlp", [False], indirect=True)
def test_component_survives_spacy_package(nlp, tmp_path):
    folder = package(nlp, tmp_path)
    assert "spacy_epee" in (folder / "meta.json").read_text()  # a requirement of the package
    assert_same(answers_of(spacy.load(folder / "en_tiny" / "en_tiny-1.2.3")), answers_of(nlp))


@pytest.mark.slow
def test_component_survives_a_wheel(nlp, tmp_path):
    folder = package(nlp, tmp_path)
    pip = [sys.executable, "-m", "pip", "-q", "install", "--no-deps", "--target", str(tmp_path / "site"), str(folder)]
    subprocess.run(pip, check=True, capture_output=True)
    code = "import json, en_tiny; print(json.dumps(en_tiny.load()('Fever and rash.').cats))"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    assert json.loads(found.stdout.splitlines()[-1]) == pytest.approx(nlp("Fever and rash.").cats, abs=1e-5)


def test_component_annotations_survive_bytes_and_docbin(nlp):
    doc = nlp(SENTENCES[2])
    copied = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert copied._.exits == doc._.exits and copied.cats == doc.cats
    (stored,) = DocBin(docs=[doc], store_user_data=True, attrs=["ORTH"]).get_docs(nlp.vocab)
    # DocBin gives lists back as tuples
    assert json.dumps(stored._.exits) == json.dumps(doc._.exits)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_component_gives_the_same_in_two_processes(nlp):
    texts = make_texts(10)
    torch.ones(200, 200) @ torch.ones(200, 200)  # the parent's thread pool is up
    assert_same([(doc.cats, doc._.exits) for doc in nlp.pipe(texts, n_process=2, batch_size=3)], answers_of(nlp, texts))


def test_component_rule_can_be_exchanged(nlp):
    pipe = pipe_of(nlp)
    try:
        pipe.exit = FixedDepth(layer=2)
        assert {doc._.exits[pipe.name]["textcat"]["layer"] for doc in nlp.pipe(SENTENCES)} == {2.0}
        pipe.exit = None
        assert {doc._.exits[pipe.name]["textcat"]["layer"] for doc in nlp.pipe(SENTENCES)} == {float(DEPTH)}
    finally:
        pipe.exit = EntropyPatience(entropy=0.5, patience=2)


@pytest.mark.parametrize("entropy,layer", [(2.0, 1.0), (0.0, None)])
def test_component_rule_can_be_changed_on_load(nlp, tmp_path, entropy, layer):
    nlp.to_disk(tmp_path)
    name = nlp.pipe_names[0]
    loaded = spacy.load(tmp_path, config={f"components.{name}.exit.entropy": entropy})
    assert loaded.get_pipe(name).exit == EntropyPatience(entropy=entropy, patience=2)
    if layer:
        assert {doc._.exits[name]["textcat"]["layer"] for doc in loaded.pipe(SENTENCES)} == {layer}


def test_component_rule_can_be_removed_on_load(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    name = nlp.pipe_names[0]
    loaded = spacy.load(tmp_path, config={"components": {name: {"exit": None}}})
    assert loaded.get_pipe(name).exit is None


@pytest.mark.parametrize("rule", [None, FixedDepth(2), EntropyPatience(0.3, 2), AnyOf({"a": Patience(2), "b": FixedDepth(3)})])
def test_component_rule_set_by_hand_is_saved(backbone, tmp_path, rule):
    # srsly does not read 0.3 back as it is
    nlp = make_nlp(backbone, exit={**EPEE, "entropy": 0.3, "patience": 1})
    nlp.get_pipe("epee_textcat").exit = rule
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe("epee_textcat").exit == rule
    # and the config still has the last word
    loaded = spacy.load(tmp_path, config={"components.epee_textcat.exit.patience": 2})
    assert loaded.get_pipe("epee_textcat").exit == EntropyPatience(entropy=0.3, patience=2)


def test_component_trunk_settings_can_be_changed_on_load(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    name = nlp.pipe_names[0]
    trunk = f"components.{name}.model.trunk"
    loaded = spacy.load(tmp_path, config={f"{trunk}.max_wordpieces": 64, f"{trunk}.window": 24, f"{trunk}.overlap": 4})
    settings = get_settings(loaded.get_pipe(name).model)
    assert (settings.max_wordpieces, settings.window, settings.overlap) == (64, 24, 4)
    sizes = []
    layer = get_stepper(loaded.get_pipe(name).model).layers[0]
    layer.register_forward_pre_hook(lambda module, args: sizes.append(tuple(args[0].shape[:2])))
    list(loaded.pipe(make_texts(16)))
    assert max(length for _, length in sizes) == 24 and max(rows * length for rows, length in sizes) <= 64


class Foreign:
    """A rule of another package, without `to_config`."""

    reasons = ("foreign",)

    def start(self, units, began):
        return None

    def step(self, evidence, counters):
        return numpy.ones(len(evidence), dtype=int)

    def can_fire(self, layers):
        return True


def test_component_foreign_rule_runs_and_warns_when_it_is_not_saved(backbone, tmp_path):
    nlp = make_nlp(backbone, exit=EPEE)
    nlp.get_pipe("epee_textcat").exit = Foreign()
    assert nlp("fever")._.exits["epee_textcat"]["textcat"]["units"][0]["reason"] == "foreign"
    with pytest.warns(UserWarning, match="to_config"):
        nlp.to_disk(tmp_path)


def test_component_deadline_is_for_the_whole_batch(backbone):
    rule = {"@misc": "spacy-epee.Deadline.v1", "deadline_ms": 1e9}
    nlp = make_nlp(backbone, exit=rule, model={"trunk": {"max_wordpieces": 32}})
    pipe, texts = pipe_of(nlp), make_texts(32)
    starts = []
    start = Deadline.start
    try:
        Deadline.start = lambda self, units, began: starts.append(units) or start(self, units, began)
        list(nlp.pipe(texts, batch_size=len(texts)))
    finally:
        Deadline.start = start
    assert starts == [len(texts)]
    pipe.exit = Deadline(0)
    assert {doc._.exits[pipe.name]["textcat"]["layer"] for doc in nlp.pipe(texts)} == {1.0}


def test_component_repeated_position_biases_are_kept_once(backbones):
    nlp = make_nlp(backbones("mpnet"))
    stepper = get_stepper(pipe_of(nlp).model)
    ids = torch.full((6, 9), 7)
    state = stepper.embed(ids, torch.ones_like(ids))
    assert len(state.arguments[0]["position_bias"]) == 1


def test_component_scorer_settings_reach_the_scorer(backbone):
    nlp = make_nlp(backbone, multilabel=True, exit=EPEE)
    examples = make_examples(nlp, pipe_of(nlp).labels, multilabel=True)
    all_given = nlp.evaluate(examples, scorer_cfg={"threshold": 0.0})
    assert all_given["cats_micro_r"] == 1.0


def test_component_does_not_mind_other_uses_of_its_tokenizer(nlp):
    """A call with padding or truncation leaves them switched on in the tokenizer."""
    expected = answers_of(nlp)
    tokenizer = pipe_of(nlp).model.get_ref("trunk").shims[0]._hfmodel.tokenizer
    tokenizer(["fever", "no fever today"], padding=True, truncation=True, max_length=4)
    assert_same(answers_of(nlp), expected)


def test_component_learns(backbone):
    nlp = make_nlp(backbone, labels=["A", "B"], exit=EPEE, spread=None)
    examples = [
        Example.from_dict(nlp.make_doc(t), {"cats": {"A": float("rash" in t), "B": float("rash" not in t)}})
        for t in ("no rash", "rash today", "fever", "dry cough", "a rash", "cough and fever", "the rash is back", "pain")
    ]
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 3e-3
    losses = [nlp.update(examples, sgd=optimizer, losses={})["epee_textcat"] for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]
    scores = nlp.evaluate([Example(nlp.make_doc(eg.reference.text), eg.reference) for eg in examples])
    assert scores["cats_macro_f"] == 1.0 and scores["cats_full"] == 1.0
    assert 1 <= scores["exit_layer"] < DEPTH


def test_component_update_in_parts_gives_the_same_gradient(backbone):
    gradients = []
    for most in (4096, 64):
        nlp = make_nlp(
            backbone,
            model={
                "trunk": {
                    "max_wordpieces": most,
                    "mixed_precision": False,
                    "transformer_config": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
                },
                "head": {"dropout": 0.0},
            },
        )
        pipe = pipe_of(nlp)
        pipe.update(make_examples(nlp, pipe.labels))
        gradients.append([p.grad.clone() for p in get_stepper(pipe.model).layers[1].parameters()])
    for whole, parts in zip(*gradients):
        assert torch.allclose(whole, parts, atol=1e-5)


def test_component_update_leaves_out_what_is_not_annotated(backbone):
    nlp = make_nlp(backbone, labels=["A", "B"])
    pipe = pipe_of(nlp)
    other = Example.from_dict(nlp.make_doc("fever"), {"cats": {}})
    blank = Example.from_dict(nlp.make_doc(""), {"cats": {"A": 1.0, "B": 0.0}})
    assert pipe.update([other, blank], sgd=nlp.resume_training()) == {"epee_textcat": 0.0}
    assert pipe.update([]) == {"epee_textcat": 0.0}


@pytest.mark.parametrize("freeze", [True, False])
def test_component_freezes_embeddings(backbone, freeze):
    nlp = make_nlp(backbone, model={"trunk": {"freeze_embeddings": freeze}})
    pipe, optimizer = pipe_of(nlp), nlp.resume_training()
    words = get_stepper(pipe.model).model.get_input_embeddings().weight
    before = words.detach().clone()
    for _ in range(3):
        pipe.update(make_examples(nlp, pipe.labels), sgd=optimizer)
    words = get_stepper(pipe.model).model.get_input_embeddings().weight
    assert torch.equal(words, before) == freeze


def test_component_lower_layers_learn_more_slowly(backbone):
    moved = {}
    for decay in (1.0, 0.01):
        nlp = make_nlp(backbone, model={"trunk": {"lr_decay": decay}})
        pipe, optimizer = pipe_of(nlp), nlp.resume_training()
        weights = [layer.output.dense.weight.detach().clone() for layer in get_stepper(pipe.model).layers]
        pipe.update(make_examples(nlp, pipe.labels), sgd=optimizer)
        layers = get_stepper(pipe.model).layers
        moved[decay] = [(layer.output.dense.weight - old).abs().max().item() for layer, old in zip(layers, weights)]
    assert moved[0.01][-1] == pytest.approx(moved[1.0][-1], rel=0.2)
    assert moved[0.01][-2] < 0.1 * moved[1.0][-2]


def test_component_heads_learn_faster(backbone):
    moved = []
    for scale in (1.0, 10.0):
        nlp = make_nlp(backbone, model={"head": {"lr_scale": scale}})
        pipe, optimizer = pipe_of(nlp), nlp.resume_training()
        before = get_heads(pipe.model)[0].classifiers[0].weight.detach().clone()
        pipe.update(make_examples(nlp, pipe.labels), sgd=optimizer)
        moved.append((get_heads(pipe.model)[0].classifiers[0].weight - before).abs().max().item())
    assert moved[1] > 5 * moved[0]


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_component_pooling(backbone, pooling):
    nlp = make_nlp(backbone, model={"head": {"pooling": pooling, "standardize": False}})
    pipe = pipe_of(nlp)
    doc = nlp("Fever and rash.")
    stepper = get_stepper(pipe.model)
    ids = pipe.model.get_ref("trunk").shims[0]._hfmodel.tokenizer(doc.text, return_tensors="pt")
    with torch.no_grad():
        hidden = stepper.model.eval()(ids["input_ids"], attention_mask=ids["attention_mask"]).last_hidden_state[0]
    pooled = {"cls": hidden[0], "mean": hidden.mean(dim=0), "last": hidden[-1]}[pooling]
    expected = torch.softmax(get_heads(pipe.model)[0].classifiers[-1](pooled), dim=0)
    assert list(doc.cats.values()) == pytest.approx(expected.tolist(), abs=1e-5)


def test_component_label_data_and_labels(nlp):
    pipe = pipe_of(nlp)
    assert pipe.label_data == list(pipe.labels) == ["ACUTE", "STABLE", "HISTORY"]


def test_component_scores_full_depth_and_layers(nlp):
    pipe = pipe_of(nlp)
    rule = pipe.exit
    try:
        pipe.exit = FixedDepth(layer=3)
        scores = nlp.evaluate(make_examples(nlp, pipe.labels))
        pipe.exit = None
        full = nlp.evaluate(make_examples(nlp, pipe.labels))
    finally:
        pipe.exit = rule
    assert scores["cats_full"] == full["cats_score"] == full["cats_full"]
    assert scores["exit_layer"] == 3 and full["exit_layer"] == DEPTH


@pytest.mark.hard
def test_component_updates_keep_no_old_tensors(backbone):
    """thinc's own update leaves a tensor behind for each parameter."""
    nlp = make_nlp(backbone)
    pipe, optimizer, counts = pipe_of(nlp), nlp.resume_training(), []
    for _ in range(4):
        pipe.update(make_examples(nlp, pipe.labels), sgd=optimizer)
        gc.collect()
        counts.append(sum(1 for thing in gc.get_objects() if isinstance(thing, torch.Tensor)))
    assert counts[-1] == counts[1]


def test_component_never_shows_text(nlp, caplog, capfd, recwarn):
    secret = "Zyxwvutsrq"
    pipe = pipe_of(nlp)
    with caplog.at_level(logging.DEBUG):
        nlp(f"{secret} has chest pain. " * 200)
        pipe.update([Example.from_dict(nlp.make_doc(secret), {"cats": {secret: 1.0}})])  # it warns of the label
        with pytest.raises(ValueError) as value:
            pipe.update([Example.from_dict(nlp.make_doc(secret), {"cats": {pipe.labels[0]: 0.5}})])
    captured = capfd.readouterr()
    shown = [caplog.text, captured.out, captured.err, str(value.value), *(str(w.message) for w in recwarn)]
    assert any("does not know" in text for text in shown) and not any(secret in text for text in shown)


def test_component_memory_does_not_grow(nlp):
    doc = nlp(SENTENCES[0])
    assert not doc.tensor.size
    assert not any(torch.is_tensor(value) for value in doc.user_data.values())


def test_component_trains_classifiers_alone_on_a_frozen_trunk(backbone):
    nlp = make_nlp(backbone, model={"trunk": {"frozen": True}})
    pipe = nlp.get_pipe("epee_textcat")
    trunk, (heads,) = get_stepper(pipe.model).model, get_heads(pipe.model)
    before = [{name: value.clone() for name, value in part.state_dict().items()} for part in (trunk, heads)]
    nlp.update(make_examples(nlp, pipe.labels), sgd=nlp.resume_training())
    same = [
        all(torch.equal(value, old[name]) for name, value in part.state_dict().items())
        for part, old in zip((trunk, heads), before)
    ]
    assert same == [True, False]


def test_component_reads_ahead_and_loses_one_document_alone(backbone, monkeypatch):
    nlp = make_nlp(backbone)
    pipe, asked, failed = pipe_of(nlp), [], []
    docs = [nlp.make_doc(text) for text in make_texts(20)]
    predict = pipe.predict

    def refuse(batch):
        asked.append(len(batch))
        if docs[7] in batch:
            raise RuntimeError
        return predict(batch)

    monkeypatch.setattr(pipe, "predict", refuse)
    pipe.set_error_handler(lambda name, proc, batch, error: failed.append(batch))
    found = list(pipe.pipe(docs, batch_size=3))
    assert asked[0] == 12 and max(asked) == 12 and len(asked) < 12
    assert failed == [[docs[7]]] and found == docs[:7] + docs[8:]


def test_component_reads_nothing_ahead_in_batches_of_one_or_many(backbone, monkeypatch):
    nlp = make_nlp(backbone)
    pipe, asked = pipe_of(nlp), []
    predict = pipe.predict
    monkeypatch.setattr(pipe, "predict", lambda batch: asked.append(len(batch)) or predict(batch))
    docs = [nlp.make_doc(SENTENCES[0]) for _ in range(160)]
    next(pipe.pipe(iter(docs), batch_size=1))
    list(pipe.pipe(docs, batch_size=150))
    assert asked == [1, 150, 10]
    asked.clear()
    pipe.exit = AnyOf({"settled": EntropyPatience(0.2, 2), "late": Deadline(1000)})
    list(pipe.pipe(docs[:12], batch_size=6))
    assert asked == [6, 6]


def test_component_under_another_name_is_called_by_it(backbone):
    nlp, other = make_nlp(backbone), spacy.blank("en")
    for name in ("kinds", "kinds_too"):
        if name == "kinds":
            nlp.rename_pipe("epee_textcat", name)
        else:
            other.add_pipe("kinds", source=nlp, name=name)
        pipe = (nlp if name == "kinds" else other).get_pipe(name)
        assert pipe.name == name and pipe.slot().component == name
        with pytest.raises(ValueError, match=f"components.{name}.exit"):
            pipe.exit = FixedDepth(99)


def test_component_cfg_can_be_set(backbone):
    pipe = make_nlp(backbone).get_pipe("epee_textcat")
    pipe.cfg = {**pipe.cfg, "threshold": 0.25}
    assert pipe.slot().cfg["threshold"] == pipe.cfg["threshold"] == 0.25
    assert pipe.reading().threshold == 0.25
