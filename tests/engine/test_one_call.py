"""In ONNX Runtime a unit alone climbs in one call, and is answered as in a batch."""

import threading
import warnings

import numpy
import pytest
from test_replay import RULES
from util import make_nlp, make_texts

for module in ("onnx", "onnxruntime"):
    pytest.importorskip(module)

from spacy_epee.engine import alone  # noqa: E402
from spacy_epee.exits import rules  # noqa: E402
from spacy_epee.inference import predict  # noqa: E402
from spacy_epee.model import get_heads, get_runner, get_trunk_shim  # noqa: E402
from spacy_epee.runtimes.onnx import stepper  # noqa: E402

TEXTS = [*make_texts(4, seed=7), " ".join(make_texts(12, seed=8)), "a"]
"""One of them has several windows."""

LEARNED = {"learned_exit": True}

FORMS = {
    "mean": ("bert", {}),
    "multilabel": ("bert", {"multilabel": True, "lexical": 64, "model": {"head": LEARNED}}),
    "cls": ("albert", {"model": {"head": {"pooling": "cls", **LEARNED}}}),
    "last": ("gpt2", {"model": {"head": {"pooling": "last", **LEARNED}}}),
    "words": ("bert", {"lexical": 64, "model": {"head": LEARNED}}),
}
"""Layers of ALBERT are shared, and GPT-2 has a norm behind them."""


@pytest.fixture(scope="module", autouse=True)
def graphs_at_once():
    """A graph is made for the first text already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepper, "ASKED", 0)
        yield


def make_exported(backbone, **settings):
    nlp = make_nlp(backbone, **settings)
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    get_trunk_shim(pipe.model).export("onnx", "fp32")
    return nlp, pipe


@pytest.fixture(scope="module")
def exported(backbone):
    return make_exported(backbone, lexical=64)


@pytest.fixture
def calls(monkeypatch):
    """Whether each unit climbed in one call."""
    seen = []

    def climb_until(*args):
        reached = original(*args)
        seen.append(reached is not None)
        return reached

    original = alone.climb_until
    monkeypatch.setattr(alone, "climb_until", climb_until)
    return seen


def fits(rule, pipe):
    """Whether a rule has thresholds for as many exits, and the exits that it needs."""
    try:
        pipe.slot().check_rule(rule, pipe.model)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("form", FORMS)
def test_a_document_alone_is_answered_as_by_the_loop(backbones, calls, monkeypatch, form):
    family, settings = FORMS[form]
    nlp, pipe = make_exported(backbones(family), **settings)
    layers = pipe.slot().exit_layers(pipe.model)
    pipe.set_temperatures([0.5, 1.0, 2.0, 1.5, 1.0][-len(layers) :])
    asked = [rule for rule in [*RULES, rules.Entropy([0.1, 0.2, 0.7, 0.4, 0.0]), rules.Voting(1.9, 0.5)] if fits(rule, pipe)]
    asked = asked[:: 1 if form == "words" else 4]
    docs = [nlp.make_doc(text) for text in TEXTS]
    by_itself = [[pipe.answer([doc], rule) for doc in docs] for rule in asked]
    assert all(calls) and len(calls) > 20
    monkeypatch.setattr(predict, "answer_alone", lambda *args: None)
    for rule, answers in zip(asked, by_itself):
        for doc, found in zip(docs, answers):
            expected = pipe.answer([doc], rule)
            assert found.layers.tolist() == expected.layers.tolist() and found.reasons == expected.reasons
            for name in ("logits", "probabilities", "entropy"):
                numpy.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-4)


def test_other_numbers_need_no_other_graph(exported):
    nlp, pipe = exported
    doc = nlp.make_doc(TEXTS[0])
    pipe.answer([doc], rules.EntropyPatience(0.0, 1))
    graphs = dict(get_runner(pipe.model)._looking)
    for rule in (rules.EntropyPatience(0.9, 3), rules.EntropyPatience(0.1, None)):
        pipe.answer([doc], rule)
        assert get_runner(pipe.model)._looking == graphs


def test_no_more_graphs_are_kept_than_two(exported):
    nlp, pipe = exported
    doc = nlp.make_doc(TEXTS[0])
    for rule in (rules.Entropy(0.0), rules.Patience(2), rules.Margin(1.0), rules.Voting(9.0)):
        pipe.answer([doc], rule)
    opened = get_runner(pipe.model)._looking
    assert len(opened) == 2 and get_runner(pipe.model)._layers in opened.values()


def test_the_graph_that_looks_runs_batches_too(backbone):
    nlp, pipe = make_exported(backbone, lexical=64)
    rule = rules.EntropyPatience(0.3, 2)
    docs = [nlp.make_doc(text) for text in TEXTS]
    before = pipe.answer(docs, rule)
    pipe.answer(docs[:1], rule)
    assert get_runner(pipe.model)._layers in get_runner(pipe.model)._looking.values()
    after = pipe.answer(docs, rule)
    assert after.reasons == before.reasons
    numpy.testing.assert_array_equal(after.logits, before.logits)


def test_classifiers_that_change_answer_as_they_are(backbone, calls):
    nlp, pipe = make_exported(backbone)
    rule, docs = rules.EntropyPatience(0.3, 2), [nlp.make_doc(TEXTS[0])]
    before = pipe.answer(docs, rule)
    [heads] = get_heads(pipe.model)
    for classifier in heads.classifiers:
        classifier.weight.requires_grad_(False).mul_(-3.0)
    after = pipe.answer(docs, rule)
    assert calls == [True, True] and not numpy.allclose(before.logits, after.logits)
    alone_again = pipe.answer(docs * 2, rule)
    assert alone_again.layers[0] == after.layers[0]
    numpy.testing.assert_allclose(alone_again.logits[:1], after.logits, atol=1e-4)


class Own(rules.Entropy):
    """A rule of somebody else, that looks like one of ours."""

    def step(self, evidence, counters):
        return numpy.full(len(evidence), int(evidence.layer == 2))


OTHERS = {
    "subclass": Own(0.5),
    "inside another": rules.AnyOf({"own": rules.FromLayer(1, Own(0.5))}),
    "time": rules.AnyOf({"late": rules.Deadline(0.0), "own": rules.Entropy(0.0)}),
}


@pytest.mark.parametrize("rule", OTHERS)
def test_rules_that_are_not_ours_are_asked(exported, calls, rule):
    nlp, pipe = exported
    answers = pipe.answer([nlp.make_doc(TEXTS[0])], OTHERS[rule])
    assert not any(calls) and answers.layers.tolist() == [0 if rule == "time" else 2]


def test_graphs_that_run_one_layer_a_call_are_run_by_turns(exported, calls, monkeypatch):
    nlp, pipe = exported
    monkeypatch.setattr(get_runner(pipe.model).exported, "format", 3)
    monkeypatch.setattr(get_runner(pipe.model), "_looking", {})
    assert pipe.answer([nlp.make_doc(TEXTS[0])], rules.Margin(1.0)).reasons == ["depth"]
    assert calls == [False]


def test_a_runtime_that_cannot_look_is_told_once(exported, calls, monkeypatch):
    nlp, pipe = exported
    runner, doc = get_runner(pipe.model), nlp.make_doc(TEXTS[0])
    expected = pipe.answer([doc], rules.Margin(0.9)).logits
    monkeypatch.setattr(runner, "_looking", {})
    monkeypatch.setattr(stepper, "_open", lambda *args: 1 / 0)
    with pytest.warns(UserWarning, match=r"cannot be put into the ONNX graphs of this pipeline \(ZeroDivisionError\)"):
        found = pipe.answer([doc], rules.Margin(0.9)).logits
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.answer([doc], rules.Margin(0.8))
    assert calls == [True, False, False]
    numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_threads_may_ask_by_rules_of_different_forms(exported):
    nlp, pipe = exported
    asked = [rules.Entropy(0.5), rules.Patience(1), rules.AllOf({"a": rules.Margin(0.4), "b": rules.Patience(1)})]
    docs = [nlp.make_doc(text) for text in TEXTS[:3]]

    def answer(rule):
        return [(found.layers.tolist(), found.reasons) for found in (pipe.answer([doc], rule) for doc in docs)]

    expected = [answer(rule) for rule in asked]
    found = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: answer(asked[n % 3])})) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(6)] == expected * 2


def test_a_graph_is_made_once_a_rule_has_been_asked_often_in_a_row(exported, calls, monkeypatch):
    nlp, pipe = exported
    runner = get_runner(pipe.model)
    monkeypatch.setattr(runner, "waits", 2)
    monkeypatch.setattr(runner, "_looking", {})
    monkeypatch.setattr(runner, "_asked", (None, 0))
    doc = nlp.make_doc(TEXTS[0])
    for rule in (rules.Entropy(0.0), rules.Patience(3)) * 3:
        pipe.answer([doc], rule)
    assert calls == [False] * 6 and not runner._looking
    for _ in range(4):
        pipe.answer([doc], rules.Entropy(0.0))
    assert calls[6:] == [False, False, True, True]
