import weakref
from configparser import ConfigParser
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.util import registry
from transformers import AutoModel, AutoTokenizer
from util import DEPTH, SENTENCES, make_nlp, make_texts

from spacy_epee.engine.results import Predictions
from spacy_epee.exits.evidence import Evidence
from spacy_epee.exits.reasons import DEPTH as REACHED_DEPTH
from spacy_epee.inputs.instances import whole_docs
from spacy_epee.model import get_exit_layers, get_heads, get_stepper, get_windows
from spacy_epee.trunk.batch import ActiveBatches, PaddedBatch

LABELS = ("ACUTE", "STABLE", "HISTORY", "FAMILY", "PLAN")

# Settings at which tiny random backbones leave at different layers.
RULES: Dict[str, Dict[str, Any]] = {
    "spacy-epee.Entropy.v1": {"entropy": 0.5},
    "spacy-epee.Confidence.v1": {"confidence": 0.8},
    "spacy-epee.Margin.v1": {"margin": 0.6},
    "spacy-epee.Energy.v1": {"energy": 0.2},
    "spacy-epee.Patience.v1": {"patience": 1},
    "spacy-epee.FlexiblePatience.v1": {"divergence": 0.3, "patience": 1},
    "spacy-epee.ConfidentPatience.v1": {"entropy": 0.8, "patience": 2},
    "spacy-epee.EntropyPatience.v1": {"entropy": 0.3, "patience": 1},
    "spacy-epee.Voting.v1": {"votes": 2.0},
    "spacy-epee.Learned.v1": {"doubt": 0.3},
    "spacy-epee.FixedDepth.v1": {"layer": 2},
    "spacy-epee.FromLayer.v1": {"layer": 2, "rule": {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.3, "patience": 1}},
    "spacy-epee.AnyOf.v1": {
        "rules": {
            "sure": {"@misc": "spacy-epee.Confidence.v1", "confidence": 0.9},
            "stable": {"@misc": "spacy-epee.Patience.v1", "patience": 1},
        }
    },
    "spacy-epee.AllOf.v1": {
        "rules": {
            "sure": {"@misc": "spacy-epee.Entropy.v1", "entropy": 0.8},
            "close": {"@misc": "spacy-epee.FlexiblePatience.v1", "divergence": 0.5, "patience": 1},
        }
    },
}

FORMS = {
    "exclusive": dict(labels=LABELS[:3]),
    "two": dict(labels=LABELS[:2]),
    "five": dict(labels=LABELS),
    "multilabel": dict(labels=LABELS[:4], multilabel=True, reduce="mean"),
    "multilabel-max": dict(labels=LABELS[:2], multilabel=True, reduce="max", threshold=0.3),
    "multilabel-one": dict(labels=LABELS[:1], multilabel=True),
}


def make_rule(name: str):
    return registry.resolve({"exit": {"@misc": name, **RULES[name]}})["exit"]


@pytest.fixture(scope="module")
def get_pipe(backbone):
    """From a form to a component. Only its rule may be changed."""

    @lru_cache(maxsize=None)
    def get(form: str = "exclusive", few_wordpieces: bool = False):
        # Few wordpieces a call: many packs, and several climbs for the batches below.
        trunk = {"max_wordpieces": 64} if few_wordpieces else {}
        nlp = make_nlp(backbone, **FORMS[form], spread=3.0, model={"trunk": trunk, "head": {"learned_exit": True}})
        return nlp, nlp.pipeline[0][1]

    return get


@lru_cache(maxsize=None)
def notes() -> Tuple[str, ...]:
    """Notes of one word to several windows, with empty ones between."""
    texts = make_texts(28, longest=70)
    texts[5:5] = ["", "\x00\x07"]
    texts[20:20] = ["日本語 fever", "  "]
    return tuple(texts)


def written() -> List[str]:
    """Those that have wordpieces."""
    return [note for note in notes() if note.strip("\x00\x07 ")]


def leave_at(layer: int) -> Optional[Dict[str, Any]]:
    """The block of a rule that leaves at a layer; None at the last one."""
    return {"@misc": "spacy-epee.FixedDepth.v1", "layer": layer} if layer < DEPTH else None


def make_docs(nlp, texts: Sequence[str]) -> List[Doc]:
    return [nlp.make_doc(text) for text in texts]


def answer(nlp, pipe, rule, texts: Sequence[str], size: int) -> Predictions:
    """Answer batches of a size and put them together."""
    items = whole_docs(get_windows(pipe.model, make_docs(nlp, texts)))
    answers = Predictions.empty(items, len(pipe.labels), DEPTH, pipe.task.reading(pipe.cfg["threshold"]))
    for start in range(0, len(texts), size):
        part = texts[start : start + size]
        place(answers, range(start, start + len(part)), pipe.answer(make_docs(nlp, part), rule))
    return answers


def place(answers: Predictions, units: Sequence[int], others: Predictions) -> None:
    """Take over the answers of some units."""
    for name in ("logits", "probabilities", "layers", "entropy"):
        getattr(answers, name)[list(units)] = getattr(others, name)
    for unit, reason in zip(units, others.reasons):
        answers.reasons[unit] = reason


@lru_cache(maxsize=None)
def alone(nlp, pipe, rule: str) -> Predictions:
    """The answers one by one."""
    return answer(nlp, pipe, make_rule(rule), notes(), 1)


def assert_same(found: Predictions, expected: Predictions, order: Sequence[int]) -> None:
    rows = list(order)
    assert found.layers.tolist() == expected.layers[rows].tolist()
    assert found.reasons == [expected.reasons[i] for i in rows]
    numpy.testing.assert_allclose(found.logits, expected.logits[rows], rtol=1e-4, atol=1e-4)
    numpy.testing.assert_allclose(found.probabilities, expected.probabilities[rows], rtol=1e-4, atol=1e-4)
    numpy.testing.assert_allclose(found.entropy, expected.entropy[rows], rtol=1e-4, atol=1e-4)


def simulate(rule, logits: numpy.ndarray, doubt: numpy.ndarray, layers: Sequence[int], reading) -> Tuple[int, str, int]:
    """Where one unit leaves by its stored logits (E, K): the exit, the reason, and the layer."""
    counters, previous = rule.start(1, 0.0), None
    for exit, layer in enumerate(layers):
        evidence = Evidence(
            logits[exit][None],
            layer=layer,
            units=numpy.zeros(1, dtype=int),
            exclusive=reading.exclusive,
            threshold=reading.threshold,
            reduce=reading.reduce,
            previous=previous,
            doubt=1 / (1 + numpy.exp(-doubt[exit][None])),
        )
        (code,) = rule.step(evidence, counters)
        if code or layer == layers[-1]:
            return exit, rule.reasons[code - 1] if code else REACHED_DEPTH, layer
        previous = evidence
    raise AssertionError


def test_loop_rules_of_these_tests_are_all_there_are():
    config = ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    lines = config["options.entry_points"]["spacy_misc"].strip().splitlines()
    rules = {name.strip() for name, _, place in (line.partition("=") for line in lines) if ".exits.rules." in place}
    structured = {"spacy-epee.NothingFound.v1", "spacy-epee.SettledStructure.v1"}  # see tests/tasks/events/test_events.py
    assert rules == RULES.keys() | {"spacy-epee.Deadline.v1"} | structured


@pytest.mark.parametrize("rule", sorted(RULES.keys() - {"spacy-epee.FixedDepth.v1"}))
def test_loop_rules_of_these_tests_leave_at_different_layers(get_pipe, rule):
    # Otherwise the tests below would show little.
    found = alone(*get_pipe("exclusive"), rule).layers
    assert len(set(found[found > 0])) > 2


# One by one and together


@pytest.mark.parametrize("size,few_wordpieces", [(1, True), (7, False), (32, True)])
@pytest.mark.parametrize("form", ["exclusive", "multilabel"])
@pytest.mark.parametrize("rule", RULES)
def test_loop_batched_equals_one_by_one(get_pipe, rule, form, few_wordpieces, size):
    nlp, pipe = get_pipe(form, few_wordpieces)
    order = numpy.random.RandomState(size).permutation(len(notes()))
    found = answer(nlp, pipe, make_rule(rule), [notes()[i] for i in order], size)
    assert_same(found, alone(*get_pipe(form), rule), order)


@pytest.mark.parametrize("form", ["two", "five", "multilabel-max", "multilabel-one"])
@pytest.mark.parametrize("rule", ["spacy-epee.EntropyPatience.v1", "spacy-epee.FlexiblePatience.v1", "spacy-epee.Voting.v1"])
def test_loop_batched_equals_one_by_one_for_any_number_of_labels(get_pipe, rule, form):
    nlp, pipe = get_pipe(form)
    order = range(len(notes()))[::-1]
    found = answer(nlp, pipe, make_rule(rule), [notes()[i] for i in order], 32)
    assert found.logits.shape == (len(notes()), len(pipe.labels))
    assert_same(found, alone(nlp, pipe, rule), order)


@settings(max_examples=30)
@given(data=st.data(), rule=st.sampled_from(sorted(RULES)), form=st.sampled_from(["exclusive", "multilabel"]))
def test_loop_answers_do_not_depend_on_the_company(get_pipe, data, rule, form):
    nlp, pipe = get_pipe(form)
    order = data.draw(st.lists(st.sampled_from(range(len(notes()))), max_size=40))  # the same note twice, too
    found = pipe.answer(make_docs(nlp, [notes()[i] for i in order]), make_rule(rule))
    assert_same(found, alone(nlp, pipe, rule), order)


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_loop_batched_equals_one_by_one_in_a_pipeline(get_pipe, batch_size):
    nlp, pipe = get_pipe("exclusive")
    expected = alone(nlp, pipe, "spacy-epee.EntropyPatience.v1")
    pipe.exit = make_rule("spacy-epee.EntropyPatience.v1")
    try:
        docs = list(nlp.pipe(notes(), batch_size=batch_size))
    finally:
        pipe.exit = None
    assert [doc.text for doc in docs] == list(notes())
    assert [doc._.exits[pipe.name]["textcat"]["layer"] for doc in docs] == expected.layers.tolist()
    numpy.testing.assert_allclose([list(doc.cats.values()) for doc in docs], expected.probabilities, rtol=1e-4, atol=1e-4)


# Full depth


@lru_cache(maxsize=None)
def load_plain(folder: Path):
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def plain_logits(folder: Path, pipe, text: str, pooling: str, layer: int = DEPTH) -> numpy.ndarray:
    """The logits of a note of one window from Hugging Face's own model and tokenizer and the classifier's weights."""
    model, tokenizer = load_plain(folder)
    inputs = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], output_hidden_states=True)
        hidden = (output.last_hidden_state if layer == DEPTH else output.hidden_states[layer])[0]
        pooled = {"mean": hidden.mean(dim=0), "cls": hidden[0], "last": hidden[-1]}[pooling]
        heads = get_heads(pipe.model)[0]
        classifier = heads.classifiers[layer - 1]
        pooled = (pooled - heads.standardize.mean[layer - 1]) * heads.standardize.scale[layer - 1]
        return (classifier.weight @ pooled + classifier.bias).numpy()


@pytest.mark.parametrize(
    "family,pooling",
    [
        ("bert", "mean"),
        ("bert", "cls"),
        ("bert", "last"),
        ("roberta", "mean"),
        ("mpnet", "cls"),
        ("deberta-v2", "mean"),
        ("gpt2", "last"),
        ("modernbert", "mean"),
    ],
)
def test_loop_without_a_rule_is_the_plain_model(backbones, family, pooling):
    nlp = make_nlp(backbones(family), LABELS[:3], model={"trunk": {"window": 128}, "head": {"pooling": pooling}}, spread=1.0)
    pipe = nlp.get_pipe("epee_textcat")
    found = pipe.answer(make_docs(nlp, SENTENCES), pipe.exit)
    expected = [plain_logits(backbones(family), pipe, sentence, pooling) for sentence in SENTENCES]
    assert found.layers.tolist() == [DEPTH] * len(SENTENCES)
    assert set(found.reasons) == {REACHED_DEPTH}
    numpy.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-5)
    shares = numpy.exp(expected) / numpy.exp(expected).sum(axis=1, keepdims=True)
    numpy.testing.assert_allclose(found.probabilities, shares, rtol=1e-5, atol=1e-5)


def test_loop_without_a_rule_is_the_plain_model_with_many_labels(backbone):
    nlp = make_nlp(backbone, LABELS, multilabel=True, model={"trunk": {"window": 128}}, spread=1.0)
    pipe = nlp.get_pipe("epee_textcat_multilabel")
    found = pipe.answer(make_docs(nlp, SENTENCES), pipe.exit)
    expected = numpy.array([plain_logits(backbone, pipe, sentence, "mean") for sentence in SENTENCES])
    numpy.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-5)
    numpy.testing.assert_allclose(found.probabilities, 1 / (1 + numpy.exp(-expected)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", range(1, DEPTH + 1))
def test_loop_leaving_at_a_layer_is_the_plain_model_up_to_it(backbone, layer):
    nlp = make_nlp(backbone, model={"trunk": {"window": 128}}, exit=leave_at(layer), spread=1.0)
    pipe = nlp.get_pipe("epee_textcat")
    found = pipe.answer(make_docs(nlp, SENTENCES), pipe.exit)
    expected = [plain_logits(backbone, pipe, sentence, "mean", layer) for sentence in SENTENCES]
    assert found.layers.tolist() == [layer] * len(SENTENCES)
    assert set(found.reasons) == {"fixed_depth" if layer < DEPTH else REACHED_DEPTH}
    numpy.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-5)


# Each exit


@pytest.mark.parametrize("form", ["exclusive", "multilabel"])
@pytest.mark.parametrize("rule", RULES)
def test_loop_answers_are_those_of_the_exit_taken(get_pipe, rule, form):
    nlp, pipe = get_pipe(form)
    docs = make_docs(nlp, written())
    found = pipe.answer(docs, make_rule(rule))
    (outputs,) = pipe.exit_logits(docs)
    expected = outputs.logits[found.layers - 1, range(len(docs))]
    numpy.testing.assert_allclose(found.logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["exclusive", "five", "multilabel", "multilabel-max"])
@pytest.mark.parametrize("rule", RULES)
def test_loop_leaves_where_the_rule_says_for_each_unit_alone(get_pipe, rule, form):
    nlp, pipe = get_pipe(form)
    reading = pipe.task.reading(pipe.cfg["threshold"])
    docs = make_docs(nlp, written())
    found = pipe.answer(docs, make_rule(rule))
    (outputs,) = pipe.exit_logits(docs)
    expected = [
        simulate(make_rule(rule), outputs.logits[:, i], outputs.doubt[:, i], range(1, DEPTH + 1), reading)
        for i in range(len(docs))
    ]
    assert list(zip(found.layers, found.reasons)) == [(layer, reason) for _, reason, layer in expected]


@pytest.mark.parametrize("form", ["two", "five", "multilabel", "multilabel-one"])
@pytest.mark.parametrize("rule", [None, *RULES])
def test_loop_leaves_no_answer_unwritten(get_pipe, rule, form):
    nlp, pipe = get_pipe(form)
    docs = make_docs(nlp, notes())
    has_text = numpy.array(get_windows(pipe.model, docs).doc_lengths() > 0)
    found = pipe.answer(docs, None if rule is None else make_rule(rule))
    assert 0 < has_text.sum() < len(docs)
    assert found.layers[has_text].min() >= 1 and found.layers[has_text].max() <= found.depth == DEPTH
    assert numpy.isfinite(found.logits).all() and (found.logits[has_text] != 0).all()
    assert (found.probabilities[has_text] > 0).all() and (found.probabilities[has_text] <= 1).all()
    if not FORMS[form].get("multilabel"):
        numpy.testing.assert_allclose(found.probabilities[has_text].sum(axis=1), 1, rtol=1e-5)
    assert ((0 <= found.entropy) & (found.entropy <= 1)).all() and found.entropy[has_text].min() > 0
    reasons = {REACHED_DEPTH} if rule is None else {REACHED_DEPTH, *make_rule(rule).reasons}
    assert {reason for reason, text in zip(found.reasons, has_text) if text} <= reasons
    assert all(layer == DEPTH for layer, reason in zip(found.layers, found.reasons) if reason == REACHED_DEPTH)


@pytest.mark.parametrize("form", ["exclusive", "multilabel"])
def test_loop_leaves_notes_without_wordpieces_at_no_layer(get_pipe, form):
    nlp, pipe = get_pipe(form)
    found = pipe.answer(make_docs(nlp, ["", "fever", " \n"]), make_rule("spacy-epee.Entropy.v1"))
    assert (found.layers > 0).tolist() == [False, True, False]
    assert found.reasons[0] == found.reasons[2] == ""
    for values in (found.logits, found.probabilities, found.entropy):
        assert not values[[0, 2]].any()


@pytest.mark.parametrize("texts", [[], [""], ["", " "]])
@pytest.mark.parametrize("rule", [None, "spacy-epee.EntropyPatience.v1", "spacy-epee.Voting.v1"])
def test_loop_takes_a_batch_of_nothing(get_pipe, rule, texts):
    nlp, pipe = get_pipe()
    found = pipe.answer(make_docs(nlp, texts), rule and make_rule(rule))
    assert found.logits.shape == (len(texts), 3)
    assert found.layers.tolist() == [0] * len(texts)
    assert found.reasons == [""] * len(texts)


def test_loop_deadline_of_no_time_leaves_at_the_first_exit(get_pipe):
    nlp, pipe = get_pipe()
    rule = registry.resolve({"exit": {"@misc": "spacy-epee.Deadline.v1", "deadline_ms": 0}})["exit"]
    found = pipe.answer(make_docs(nlp, SENTENCES), rule)
    assert set(found.layers) == {1} and set(found.reasons) == {"deadline"}


# Long documents


def plain_long_logits(folder: Path, pipe, doc: Doc, layer: int, by_length: bool) -> numpy.ndarray:
    """The logits of a note of several windows, each run on its own without padding."""
    model, _ = load_plain(folder)
    windows = get_windows(pipe.model, [doc])
    assert len(windows) > 3
    with torch.no_grad():
        states = [
            model(input_ids=torch.tensor(ids)[None], output_hidden_states=True).hidden_states[layer][0] for ids in windows.ids
        ]
        vectors = numpy.array([(state.mean(dim=0) if by_length else state[0]).numpy() for state in states])
    pooled = numpy.average(vectors, axis=0, weights=windows.lengths if by_length else None)
    classifier = get_heads(pipe.model)[0].classifiers[layer - 1]
    return classifier.weight.detach().numpy() @ pooled + classifier.bias.detach().numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("layer", [1, 3, DEPTH])
def test_loop_long_notes_are_the_weighted_mean_of_their_windows(backbone, layer, pooling):
    # So few wordpieces that the windows of a note climb in several packs.
    settings = {"trunk": {"max_wordpieces": 70}, "head": {"pooling": pooling, "standardize": False}}
    nlp = make_nlp(backbone, exit=leave_at(layer), model=settings, spread=1.0)
    pipe = nlp.get_pipe("epee_textcat")
    docs = make_docs(nlp, [" ".join(SENTENCES), "fever", " ".join(SENTENCES[:5]), " ".join(SENTENCES * 3)])
    found = pipe.answer(docs, pipe.exit)
    for i in (0, 2, 3):
        expected = plain_long_logits(backbone, pipe, docs[i], layer, pooling == "mean")
        numpy.testing.assert_allclose(found.logits[i], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_loop_long_notes_leave_as_one(get_pipe, rule):
    nlp, pipe = get_pipe("exclusive", True)
    pipe.exit = make_rule(rule)
    try:
        docs = list(nlp.pipe([" ".join(SENTENCES[i:] + SENTENCES[:i]) for i in range(6)]))
    finally:
        pipe.exit = None
    for doc in docs:
        assert len(get_windows(pipe.model, [doc])) > 3
        entry = doc._.exits[pipe.name]["textcat"]
        assert len(entry["units"]) == 1
        assert entry["layer"] == entry["units"][0]["layer"] in range(1, DEPTH + 1)


def test_loop_runs_no_layer_for_those_that_left(get_pipe, monkeypatch):
    nlp, pipe = get_pipe("exclusive")
    docs = make_docs(nlp, notes())
    lengths = get_windows(pipe.model, docs)
    stepper = pipe.model.get_ref("trunk").shims[0].stepper
    ran = numpy.zeros(DEPTH + 1, dtype=int)
    step = stepper.step

    def count(state):
        step(state)
        ran[state.layer] += len(state.hidden)

    monkeypatch.setattr(stepper, "step", count)
    found = pipe.answer(docs, make_rule("spacy-epee.Entropy.v1"))
    for layer in range(1, DEPTH + 1):
        assert ran[layer] == sum(found.layers[doc] >= layer for doc in lengths.docs)


def test_loop_lets_go_of_the_states_below(get_pipe, monkeypatch):
    nlp, pipe = get_pipe("exclusive")
    stepper = pipe.model.get_ref("trunk").shims[0].stepper
    step, kept = stepper.step, []

    def watch(state):
        below = weakref.ref(state.hidden)
        step(state)
        kept.append(below() is not None)

    monkeypatch.setattr(stepper, "step", watch)
    pipe.answer(make_docs(nlp, notes()), make_rule("spacy-epee.Entropy.v1"))
    assert len(kept) >= DEPTH and not any(kept)


@torch.inference_mode()
def test_loop_lets_go_of_packs_while_it_makes_new_ones(get_pipe, monkeypatch):
    nlp, pipe = get_pipe("exclusive")
    texts = [" ".join(["fever"] * count) for count in (3, 4, 3, 30, 31, 33, 90, 92, 95)]
    items = whole_docs(get_windows(pipe.model, make_docs(nlp, texts)))
    climb = ActiveBatches(get_stepper(pipe.model), items.windows, numpy.arange(len(items.windows)), 2048)
    climb.step()
    olds = [(weakref.ref(pack), len(pack)) for pack in climb.packs]
    sources = []
    states = PaddedBatch._states
    monkeypatch.setattr(
        PaddedBatch, "_states", lambda pack, others: sources.append(sum(n for old, n in olds if old())) or states(pack, others)
    )
    rows = numpy.arange(len(items.windows))
    moved = list(climb._move(rows, [numpy.array([number]) for number in numpy.argsort(items.windows.lengths)]))
    assert [len(pack) for pack in moved] == [1] * len(rows)
    assert sources[0] == len(rows) and sources == sorted(sources, reverse=True) and sources[-1] < len(rows)


FAMILIES = ["bert", "roberta", "mpnet", "deberta-v2", "gpt2", "modernbert", "albert", "distilbert", "electra"]


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_loop_joins_packs_that_became_small(backbones, family):
    nlp = make_nlp(backbones(family), spread=3.0)
    pipe = nlp.get_pipe("epee_textcat")
    texts = [" ".join(["fever"] * count) for count in (3, 4, 3, 30, 31, 33, 90, 92, 95)]
    stay = numpy.array([True, False, False] * 3)
    stepper, heads = get_stepper(pipe.model), get_heads(pipe.model)[0]
    items = whole_docs(get_windows(pipe.model, make_docs(nlp, texts)))
    inputs = heads.prepare(items, stepper.device)
    climb = ActiveBatches(stepper, items.windows, numpy.arange(len(items.windows)), 2048)
    climb.call = 200
    climb.step()
    calls = len(climb.packs)
    climb.keep(items.windows_of(numpy.flatnonzero(stay)))
    assert len(climb.packs) < calls
    assert {members.state.layer for members in climb.packs} == {1}
    for exit in range(1, DEPTH):
        climb.step()
        logits, _ = heads(exit, climb.packs, climb.states(), inputs, numpy.flatnonzero(stay))
        numpy.testing.assert_allclose(logits, every_exit(nlp, pipe, texts)[exit, stay], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_loop_trims_padding_of_those_that_left(get_pipe):
    nlp, pipe = get_pipe("exclusive")
    texts = [" ".join(["fever"] * count) for count in (4, 4, 8)]
    items = whole_docs(get_windows(pipe.model, make_docs(nlp, texts)))
    heads = get_heads(pipe.model)[0]
    climb = ActiveBatches(get_stepper(pipe.model), items.windows, numpy.arange(len(items.windows)), 2048)
    climb.call = 10_000
    climb.packs = [PaddedBatch(climb.stepper, items.windows, members) for members in climb._plan(numpy.arange(3))]
    climb.call, longest = 0, climb.packs[0].longest
    climb.step()
    climb.keep(numpy.array([True, True, False]))
    assert [len(members) for members in climb.packs] == [2]
    assert climb.packs[0].state.hidden.shape[1] == climb.packs[0].longest < longest
    climb.step()
    inputs = heads.prepare(items, torch.device("cpu"))
    logits, _ = heads(1, climb.packs, climb.states(), inputs, numpy.array([0, 1]))
    numpy.testing.assert_allclose(logits, every_exit(nlp, pipe, texts)[1, :2], rtol=1e-4, atol=1e-4)


def every_exit(nlp, pipe, texts: Sequence[str]) -> numpy.ndarray:
    """The logits of each text alone, (E, U, K)."""
    alone = [next(iter(pipe.exit_logits(make_docs(nlp, [text])))).logits for text in texts]
    return numpy.concatenate(alone, axis=1)


# Exits after some layers only


@pytest.mark.parametrize("exit_layers,expected", [([2], [2, 4]), ([1, 3], [1, 3, 4]), ([3, 4], [3, 4]), (None, [1, 2, 3, 4])])
@pytest.mark.parametrize("rule", ["spacy-epee.Entropy.v1", "spacy-epee.EntropyPatience.v1", "spacy-epee.Voting.v1"])
def test_loop_leaves_only_where_there_is_an_exit(backbone, rule, exit_layers, expected):
    nlp = make_nlp(backbone, LABELS[:3], model={"exit_layers": exit_layers, "head": {"learned_exit": True}}, spread=3.0)
    pipe = nlp.get_pipe("epee_textcat")
    assert get_exit_layers(pipe.model) == expected
    assert len(get_heads(pipe.model)[0].classifiers) == len(expected)
    docs = make_docs(nlp, make_texts(16))
    found = pipe.answer(docs, make_rule(rule))
    (outputs,) = pipe.exit_logits(docs)
    assert outputs.logits.shape == (len(expected), len(docs), 3)
    for i, layer in enumerate(found.layers):
        exit, reason, simulated = simulate(
            make_rule(rule), outputs.logits[:, i], outputs.doubt[:, i], expected, pipe.task.reading(pipe.cfg["threshold"])
        )
        assert (layer, found.reasons[i]) == (simulated, reason)
        numpy.testing.assert_allclose(found.logits[i], outputs.logits[exit, i], rtol=1e-4, atol=1e-4)


def test_loop_with_the_last_exit_alone_is_the_full_depth(backbone):
    nlp = make_nlp(backbone, model={"exit_layers": [DEPTH]}, spread=1.0)
    pipe = nlp.get_pipe("epee_textcat")
    docs = make_docs(nlp, SENTENCES)
    found = pipe.answer(docs, pipe.exit)
    (outputs,) = pipe.exit_logits(docs)
    assert set(found.layers) == {DEPTH} and len(outputs.logits) == 1
    numpy.testing.assert_allclose(found.logits, outputs.logits[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule,looked", [("spacy-epee.FromLayer.v1", 3), ("spacy-epee.FixedDepth.v1", 2)])
def test_loop_does_not_look_where_a_rule_does_not_want_to(get_pipe, monkeypatch, rule, looked):
    nlp, pipe = get_pipe("exclusive")
    settings = {"layer": 3, "rule": {"@misc": "spacy-epee.Patience.v1", "patience": 1}} if "From" in rule else {"layer": 2}
    made = registry.resolve({"exit": {"@misc": rule, **settings}})["exit"]
    heads, seen = get_heads(pipe.model)[0], []
    answer = heads.answer
    monkeypatch.setattr(heads, "answer", lambda exit, *rest: seen.append(exit + 1) or answer(exit, *rest))
    pipe.answer(make_docs(nlp, SENTENCES), made)
    assert min(seen) == looked


@pytest.mark.parametrize(
    "depth,layers", [(1, [1]), (4, [1, 3, 4]), (6, [1, 3, 5, 6]), (11, [1, 3, 5, 7, 9, 11]), (12, [1, 4, 7, 10, 12])]
)
def test_loop_few_exits_are_every_second_or_third(monkeypatch, depth, layers):
    monkeypatch.setattr("spacy_epee.model.get_stepper", lambda model: SimpleNamespace(depth=depth))
    assert get_exit_layers(SimpleNamespace(attrs={"exit_layers": "few"})) == layers
