"""Weights of labels that are worked out from the training data."""

import numpy
import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from spacy.training import Example
from util import make_examples, make_nlp

from spacy_epee.tasks.label_weights import MOST, balanced_weights
from spacy_epee.tasks.textcat.task import TextCat

COUNTS = st.lists(st.integers(0, 500), min_size=1, max_size=6)


def task(exclusive=True, label_weights="balanced"):
    return TextCat(exclusive=exclusive, label_weights=label_weights, reduce="max")


def examples(*rows):
    nlp = spacy.blank("en")
    return [Example.from_dict(nlp.make_doc("note"), {"cats": cats}) for cats in rows]


@settings(max_examples=50)
@given(counts=COUNTS)
def test_weights_of_exclusive_labels_are_those_of_scikit_learn(counts):
    labels = [f"L{number}" for number in range(len(counts))]
    rows = numpy.repeat(numpy.arange(len(counts)), counts)
    found = balanced_weights(labels, numpy.array(counts), sum(counts) - numpy.array(counts), exclusive=True)
    present = numpy.unique(rows)
    expected = dict.fromkeys(labels, 1.0)
    if len(rows):
        weights = compute_class_weight("balanced", classes=present, y=rows)
        expected.update((labels[place], min(max(weight, 1 / MOST), MOST)) for place, weight in zip(present, weights))
    assert found == pytest.approx(expected, rel=1e-5)


def test_weights_of_other_labels_make_their_positives_count_as_their_negatives():
    found = balanced_weights(["A", "B"], numpy.array([10, 80]), numpy.array([90, 20]), exclusive=False)
    assert found == {"A": 9.0, "B": 0.25}


def test_weights_are_bounded_and_one_where_there_is_nothing_to_weigh():
    positives, negatives = numpy.array([1, 9999, 0, 100]), numpy.array([9999, 1, 100, 0])
    assert list(balanced_weights("ABCD", positives, negatives, exclusive=False).values()) == [MOST, 1 / MOST, 1.0, 1.0]


def test_weights_count_what_is_known():
    """Labels that are not in `doc.cats` are not false."""
    known = [{"A": 1.0, "B": 0.0}, {"A": 0.0}, {"A": 0.0, "B": 1.0}, {"B": 0.0, "C": 1.0}, {}]
    found = task(exclusive=False).learn_facts(examples(*known), ["A", "B"])
    assert found == {"label_weights": {"A": 2.0, "B": 2.0}}


def test_weights_that_are_settings_need_no_data():
    def never():
        raise AssertionError
        yield

    assert task(label_weights={"A": 2.0}).learn_facts(never(), ["A"]) == {}
    assert task(label_weights={"A": 2.0}).weights(["A", "B"], {}) == [2.0, 1.0]


@pytest.mark.parametrize("multilabel", [False, True])
def test_weights_are_saved_and_trained_on_with(backbone, multilabel, tmp_path):
    nlp = make_nlp(backbone, multilabel=multilabel, label_weights="balanced")
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    data = make_examples(nlp, pipe.labels, multilabel)
    nlp.initialize(lambda: [*data, data[0], data[0]])
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved").get_pipe(pipe.name)
    weights = [own.task.weights(own.labels, own.cfg) for own in (pipe, loaded)]
    assert weights[0] == pytest.approx(weights[1], rel=1e-6) and len(set(weights[0])) > 1
    config = (tmp_path / "saved" / "config.cfg").read_text()
    (tmp_path / "saved" / "config.cfg").write_text(config.replace('"balanced"', '{"ACUTE": 5.0}'))
    other = spacy.load(tmp_path / "saved").get_pipe(pipe.name)
    losses = []
    for own in (pipe, loaded, other):
        torch.manual_seed(0)
        losses.append(own.update(data)[own.name])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0] != pytest.approx(losses[2], rel=1e-2)


def test_weights_are_worked_out_anew_with_the_component(backbone):
    nlp = make_nlp(backbone, multilabel=True, label_weights="balanced")
    pipe = nlp.get_pipe("epee_textcat_multilabel")
    before = dict(pipe.cfg["label_weights"])
    rare = [Example.from_dict(nlp.make_doc("note"), {"cats": dict.fromkeys(pipe.labels, 0.0)}) for _ in range(30)]
    data = make_examples(nlp, pipe.labels, True)
    nlp.initialize(lambda: [*data, *rare])
    assert all(pipe.cfg["label_weights"][label] > before[label] for label in before)


def test_weights_that_a_pipeline_has_not_worked_out_are_an_error(backbone, tmp_path):
    make_nlp(backbone).to_disk(tmp_path / "saved")
    nlp = spacy.load(tmp_path / "saved", config={"components.epee_textcat.label_weights": "balanced"})
    with pytest.raises(ValueError, match="Initialize it anew, or give numbers"):
        nlp.get_pipe("epee_textcat").update(make_examples(nlp, ("ACUTE", "STABLE", "HISTORY")))
    doc = nlp("It answers.")
    assert doc.cats


def test_weights_of_another_name_are_refused():
    with pytest.raises(ValueError, match="'balance'; give numbers.*or 'balanced'"):
        task(label_weights="balance")
