"""Temperatures change how sure answers are, and never by themselves what they are."""

import pickle

import numpy
import pytest
import spacy
from events_util import TEXTS as EVENT_TEXTS
from events_util import make_events_nlp
from events_util import make_example as make_event_example
from hypothesis import given
from hypothesis import strategies as st
from relations_util import TEXTS as RELATION_TEXTS
from relations_util import make_example as make_relation_example
from relations_util import make_relations_nlp
from util import SENTENCES, make_examples, make_nlp, make_texts

from spacy_epee.evaluation.calibrate import calibrate
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.exits import rules
from spacy_epee.exits.evidence import Evidence
from spacy_epee.exits.scaling import scale
from spacy_epee.model import get_exit_layers
from spacy_epee.tuning.tuner import Tuner

RULES = [
    rules.Entropy(0.5),
    rules.Entropy([0.2, 0.7, 0.4, 0.0]),
    rules.Confidence(0.7),
    rules.Margin(0.5),
    rules.Energy(0.1),
    rules.Patience(1),
    rules.FlexiblePatience(0.05, 1, "JSKD"),
    rules.FlexiblePatience(0.3, 1, "KD"),
    rules.ConfidentPatience(0.6, 2),
    rules.EntropyPatience(0.4, 1),
    rules.Voting(2.0),
    rules.Learned(0.4),
    rules.FixedDepth(3),
    rules.AllOf({"a": rules.Entropy(0.6), "b": rules.Patience(1)}),
    None,
]
HEATS = [3.0, 0.4, 1.7, 2.5]
LABELS = ("ACUTE", "STABLE", "HISTORY")


def make(kind, backbone):
    """A pipeline and examples of a kind."""
    head = {"learned_exit": True}
    if kind == "relations":
        nlp = make_relations_nlp(backbone, head=head)
        return nlp, [make_relation_example(nlp, text) for text in RELATION_TEXTS]
    if kind == "events":
        nlp = make_events_nlp(backbone, head=head, steps=40)
        return nlp, [make_event_example(nlp, text) for text in EVENT_TEXTS]
    several = kind != "exclusive"
    nlp = make_nlp(backbone, multilabel=several, model={"head": head}, **({"threshold": 0.3} if several else {}))
    return nlp, make_examples(nlp, LABELS, several)


@pytest.fixture(scope="module", params=["exclusive", "several", "relations", "events"])
def made(request, backbone):
    nlp, examples = make(request.param, backbone)
    return nlp, nlp.get_pipe(nlp.pipe_names[0]), examples


@pytest.fixture
def hot(made):
    made[1].set_temperatures(HEATS)
    yield made
    made[1].set_temperatures(None)


def said(pipe, docs, rule=None):
    """What is given, without how sure it is."""
    docs = [doc.copy() for doc in docs]
    pipe.set_annotations(docs, pipe.run(docs, dict.fromkeys(pipe.slots, rule)))
    threshold = pipe.cfg["threshold"]
    cats = [
        max(doc.cats, key=doc.cats.get) if pipe.task.exclusive else {label for label, p in doc.cats.items() if p >= threshold}
        for doc in docs
        if doc.cats
    ]
    plain = [[(r["head"], r["child"], r["label"]) for r in getattr(doc._, "relations", [])] for doc in docs]
    events = [
        [(e["trigger"], e["label"], [(a["role"], a["span"]) for a in e["arguments"]]) for e in getattr(doc._, "events", [])]
        for doc in docs
    ]
    return cats, plain, events


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_temperatures_simulation_equals_the_loop(hot, rule):
    _, pipe, examples = hot
    docs = [eg.predicted for eg in examples]
    live = pipe.answer(docs, rule)
    stored = StoredOutputs(pipe, examples)
    found = stored.replay().run(rule)
    ran = live.layers > 0
    assert found.layers.tolist() == live.layers[ran].tolist()
    assert found.entropy == pytest.approx(live.entropy[ran], abs=1e-4)
    if pipe.task.name != "events":
        rows = numpy.isin(live.items.units, numpy.flatnonzero(ran))
        assert numpy.allclose(found.probabilities, live.probabilities[rows], atol=1e-4)


def test_temperatures_change_no_answer_of_the_full_depth(made):
    _, pipe, examples = made
    docs = [eg.predicted for eg in examples]
    pipe.set_temperatures(None)
    plain, sure = said(pipe, docs), pipe.answer(docs, None)
    pipe.set_temperatures(HEATS)
    scaled = pipe.answer(docs, None)
    assert said(pipe, docs) == plain
    assert not numpy.allclose(scaled.entropy, sure.entropy) and numpy.array_equal(scaled.logits, sure.logits)
    pipe.set_temperatures([1.0] * 4)
    same = pipe.answer(docs, None)
    assert numpy.array_equal(same.entropy, sure.entropy) and numpy.array_equal(same.probabilities, sure.probabilities)
    pipe.set_temperatures(None)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_temperatures_change_no_answer_of_any_exit(made, layer):
    _, pipe, examples = made
    docs = [eg.predicted for eg in examples]
    plain = said(pipe, docs, rules.FixedDepth(layer))
    pipe.set_temperatures(HEATS)
    assert said(pipe, docs, rules.FixedDepth(layer)) == plain
    pipe.set_temperatures(None)


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=3),
    st.floats(0.01, 100),
    st.floats(0.01, 0.99),
    st.booleans(),
)
def test_temperatures_keep_decisions(logits, temperature, threshold, exclusive):
    logits = numpy.array([logits])
    made = [
        Evidence(logits, layer=1, units=numpy.arange(1), exclusive=exclusive, threshold=threshold, temperature=heat)
        for heat in (1.0, temperature)
    ]
    assert (made[0].decision == made[1].decision).all()
    scaled = scale(logits, temperature, exclusive=exclusive, threshold=threshold)
    if exclusive:
        assert scaled[0, made[0].best[0]] == scaled.max()
    else:
        around = numpy.log(threshold / (1 - threshold))
        clear = numpy.abs(logits - around) > 1e-9
        assert (((made[1].probabilities >= threshold) == made[0].decision) | ~clear).all()


def test_temperatures_are_saved(hot, tmp_path):
    nlp, pipe, examples = hot
    nlp.to_disk(tmp_path)
    for loaded in (spacy.load(tmp_path), pickle.loads(pickle.dumps(nlp))):
        other = loaded.get_pipe(pipe.name)
        assert other.cfg["temperatures"] == HEATS
        docs = [eg.predicted for eg in examples]
        assert other.answer(docs, None).entropy == pytest.approx(pipe.answer(docs, None).entropy)


def test_temperatures_are_not_taken_over_from_what_was_loaded_before(backbone):
    one, other = make_nlp(backbone), make_nlp(backbone)
    other.get_pipe("epee_textcat").set_temperatures(HEATS)
    data = one.get_pipe("epee_textcat").to_bytes()
    assert "temperatures" not in other.get_pipe("epee_textcat").from_bytes(data).cfg


@pytest.mark.parametrize("numbers", [[1.0], [1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, float("nan")]])
def test_temperatures_that_are_none_are_refused(made, numbers):
    with pytest.raises(ValueError, match="4 exits"):
        made[1].set_temperatures(numbers)


def test_calibrate_fits_and_stores(made):
    _, pipe, examples = made
    report = calibrate(pipe, examples)
    assert [exit["temperature"] for exit in report] == pipe.cfg["temperatures"]
    assert len(report) == len(get_exit_layers(pipe.model))
    assert all(exit["nll"][1] <= exit["nll"][0] + 1e-9 for exit in report)
    assert any(exit["nll"][1] < exit["nll"][0] - 1e-3 for exit in report)
    pipe.set_temperatures(None)


def test_calibrate_without_annotation_is_refused(backbone):
    nlp = make_nlp(backbone)
    examples = [spacy.training.Example(nlp.make_doc(text), nlp.make_doc(text)) for text in make_texts(4)]
    with pytest.raises(ValueError, match="annotated"):
        calibrate(nlp.get_pipe("epee_textcat"), examples)


def test_update_drops_what_was_fitted_before(backbone):
    nlp = make_nlp(backbone)
    pipe = nlp.get_pipe("epee_textcat")
    pipe.set_temperatures(HEATS)
    nlp.update(make_examples(nlp, LABELS), sgd=nlp.resume_training())
    assert "temperatures" not in pipe.cfg


def test_uncertain_answers_are_those_of_the_last_layer_above_the_threshold(backbone, tmp_path):
    nlp = make_nlp(backbone, exit={"@misc": "spacy-epee.Entropy.v1", "entropy": 0.6})
    pipe = nlp.get_pipe("epee_textcat")
    assert not any(doc._.exits[pipe.name]["textcat"]["uncertain"] for doc in nlp.pipe(SENTENCES))
    pipe.cfg["uncertain"] = 0.7
    nlp.to_disk(tmp_path)
    entries = [doc._.exits[pipe.name]["textcat"] for doc in spacy.load(tmp_path).pipe([*SENTENCES, ""])]
    expected = [any(u["layer"] == 4 and u["entropy"] > 0.7 for u in entry["units"]) for entry in entries]
    assert [entry["uncertain"] for entry in entries] == expected and any(expected) and not all(expected)


def test_answers_that_no_rule_has_found_settled_can_be_uncertain(backbone):
    nlp = make_nlp(backbone, exit={"@misc": "spacy-epee.Entropy.v1", "entropy": 0.6})
    pipe = nlp.get_pipe("epee_textcat")
    pipe.cfg["uncertain"] = 0.7
    capped = rules.AnyOf({"settled": pipe.exit, "deepest": rules.FixedDepth(2)})
    for pipe.exit, budget in ((rules.FixedDepth(1), 1e9), (capped, 1e9), (pipe.exit, 0.0)):
        with rules.time_budget(budget):
            entries = [doc._.exits[pipe.name]["textcat"] for doc in nlp.pipe(SENTENCES)]
        found = [unit for entry in entries for unit in entry["units"]]
        expected = [unit["reason"] != "entropy" and unit["entropy"] > 0.7 for unit in found]
        assert [entry["uncertain"] for entry in entries] == expected and any(expected)
        assert all(unit["layer"] < 4 for unit in found)


def test_the_threshold_for_uncertain_answers_counts_those_that_were_to_go_no_higher(backbone):
    nlp = make_nlp(backbone, LABELS)
    pipe = nlp.get_pipe("epee_textcat")
    pipe.exit = rules.AnyOf({"settled": rules.Entropy(0.4), "deepest": rules.FixedDepth(2)})
    tuning = Tuner(nlp, pipe, make_examples(nlp, LABELS), calibrate=False, steps=2, missing_labels=True)
    threshold = tuning.flag(0.7)
    docs = list(nlp.pipe([eg.reference.text for eg in tuning.examples]))
    flagged = [doc._.exits[pipe.name]["textcat"]["uncertain"] for doc in docs]
    assert sum(flagged) / len(flagged) == pytest.approx(tuning.report["uncertain"]["flagged"])
    assert 0 < sum(flagged) <= 0.3 * len(flagged) and 0 < threshold < 1
