"""Thresholds of roles and attributes."""

import numpy
import pytest
import spacy
from events_util import TEXTS, make_events_nlp, make_example

from spacy_epee.evaluation.calibrate import fit_thresholds
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.evaluation.threshold_fitter import ThresholdFitter
from spacy_epee.tuning.tuner import Tuner

NAME = "epee_events"
NEVER, ALWAYS = 0.999999, 0.000001
NAMES = ["Dose", "Drug", "Effect", "Reason (event)", "Subject", "Kind: start", "Kind: stop", "Negated"]


@pytest.fixture(scope="module")
def nlp(backbone):
    return make_events_nlp(backbone, steps=60, exit={"@misc": "spacy-epee.Entropy.v1", "entropy": 0.3})


@pytest.fixture
def pipe(nlp):
    pipe = nlp.get_pipe(NAME)
    yield pipe
    pipe.set_label_thresholds(None)


def roles(nlp):
    return {argument["role"] for doc in nlp.pipe(TEXTS) for event in doc._.events for argument in event["arguments"]}


def annotated(nlp, times=3):
    return [make_example(nlp, text) for text in TEXTS * times]


def test_roles_attributes_and_events_as_arguments_have_thresholds(pipe):
    assert pipe.label_thresholds() == dict.fromkeys(NAMES, 0.5)
    schema = pipe.task.schema(pipe.cfg)
    drug, reason, negated = (schema.outputs.index(("role", name, None)) for name in ("Drug", "Reason", "Drug"))
    negated = schema.outputs.index(("attribute", "Negated", True))
    events, spans = schema.threshold_columns(numpy.array([0, len(schema.events)]))
    assert (spans[drug], events[reason], events[negated]) == tuple(map(NAMES.index, ("Drug", "Reason (event)", "Negated")))


def test_links_are_given_from_their_thresholds_on(nlp, pipe):
    assert "Drug" in roles(nlp)
    pipe.set_label_thresholds({"Drug": NEVER, "Effect": ALWAYS})
    assert "Drug" not in roles(nlp) and "Effect" in roles(nlp)


def test_simulation_equals_the_loop_with_thresholds(nlp, pipe):
    pipe.set_label_thresholds({"Drug": 0.3, "Effect": 0.8, "Reason (event)": 0.05})
    examples = annotated(nlp, 1)
    stored = StoredOutputs(pipe, examples)
    replay = stored.replay()
    simulated = replay.run(pipe.exit).graphs
    loop = [graph for graph in pipe.predict([eg.predicted for eg in examples])["events"].graphs if graph]
    assert len(loop) == len(simulated) and all(one.same(other) for one, other in zip(loop, simulated))


def test_thresholds_of_links_are_saved_and_dropped_with_what_they_were_fitted_to(nlp, pipe, tmp_path):
    pipe.set_label_thresholds({"Drug": NEVER})
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert loaded.get_pipe(NAME).label_thresholds() == pipe.label_thresholds() and "Drug" not in roles(loaded)
    loaded.update(annotated(loaded, 1))
    assert loaded.get_pipe(NAME).label_thresholds()["Drug"] == 0.5


def test_thresholds_of_unknown_roles_are_refused(pipe):
    with pytest.raises(ValueError, match="1 of the thresholds are for labels") as caught:
        pipe.set_label_thresholds({"Nobody": 0.5})
    assert "Nobody" not in str(caught.value)


def test_thresholds_of_links_are_fitted_to_what_is_linked_and_what_is_missed(nlp, pipe):
    stored = StoredOutputs(pipe, annotated(nlp))
    logits, true, known, docs = stored.task.threshold_rows(stored.examples, stored.items, stored.outputs.links[-1])
    missed = numpy.isneginf(logits)
    assert true[missed].all() and (docs < stored.n_docs).all() and not true[known == 0].any()
    links = sum(len(event["arguments"]) + len(event["attributes"]) for eg in stored.examples for event in eg.reference._.events)
    assert true.sum() == links
    fitted = fit_thresholds(pipe, annotated(nlp))
    assert list(fitted) == NAMES and all(0 < value < 1 for value in fitted.values())
    fitter = ThresholdFitter(stored)
    assert fitter.macro_f(stored.slot.thresholds) >= fitter.macro_f(0.5) > 0


def test_tune_fits_thresholds_of_links_and_chooses_by_them(nlp, pipe):
    tuning = Tuner(nlp, pipe, annotated(nlp, 2), thresholds=True, calibrate=False, steps=2)
    found = tuning.report["thresholds"]
    assert found["fitted"] and list(found["labels"]) == NAMES and found["labels"] == pipe.label_thresholds()
    before = pipe.label_thresholds()
    kept = Tuner(nlp, pipe, annotated(nlp, 1), thresholds=False, calibrate=False, steps=2)
    assert not kept.report["thresholds"]["fitted"] and pipe.label_thresholds() == before
