"""A threshold for each label, fitted to what an exit says."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import f1_score

from spacy_epee.exits.calibration import calibration_report, fit_temperatures
from spacy_epee.exits.evidence import Evidence, EvidenceBuilder
from spacy_epee.exits.label_thresholds import FEWEST, fit_label_thresholds, macro_f
from spacy_epee.exits.scaling import scale

SOME = settings(max_examples=40)
THRESHOLDS = st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3).map(numpy.array)


def draw(units=400, shifts=(-2.0, 0.0, 1.5), seed=0):
    """Logits of labels that are shifted against the truth, and the truth."""
    random = numpy.random.default_rng(seed)
    true = (random.random((units, len(shifts))) < 0.25).astype("float32")
    return 4 * true - 2 + random.normal(size=true.shape) + numpy.array(shifts), true


def test_thresholds_follow_what_labels_need():
    logits, true = draw(4000)
    known = numpy.ones_like(true)
    fitted = fit_label_thresholds(logits, true, known)
    assert logit(fitted) == pytest.approx([-1.7, 0.3, 1.8], abs=0.6)
    held_out, truth = draw(4000, seed=1)
    assert macro_f(held_out, truth, known, fitted) > macro_f(held_out, truth, known, 0.5) + 0.05


def test_thresholds_of_rare_labels_stay_near_the_common_one():
    logits, true = draw(400)
    true[:, 0] = 0
    true[:6, 0], logits[:6, 0] = 1, -9.0  # six positives, which all say something odd
    fitted = fit_label_thresholds(logits, true, numpy.ones_like(true))
    alone = fit_label_thresholds(logits[:, 1:], true[:, 1:], numpy.ones_like(true)[:, 1:])
    assert abs(logit(fitted[0]) - logit(alone).mean()) < 2


def test_thresholds_of_labels_with_too_few_examples_are_the_common_one():
    logits, true = draw(400)
    known = numpy.ones_like(true)
    true[:, 0], true[:, 2] = 0, 1
    true[: FEWEST - 1, 0], true[: FEWEST - 1, 2] = 1, 0
    fitted = fit_label_thresholds(logits, true, known)
    assert fitted[0] == fitted[2] and fitted[0] != 0.5
    known[:] = 0
    assert fit_label_thresholds(logits, true, known, 0.3).tolist() == [0.3] * 3


def test_thresholds_know_what_none_of_them_gives():
    logits, true = draw(4000, shifts=(0.0,))
    lost = numpy.concatenate((logits, numpy.full((3000, 1), -numpy.inf)))
    every = numpy.concatenate((true, numpy.ones((3000, 1))))
    fitted = fit_label_thresholds(lost, every, numpy.ones_like(every))
    # What is missed anyway makes a hit worth more: the threshold falls, and nothing is gained by giving all.
    assert 0.01 < fitted[0] < fit_label_thresholds(logits, true, numpy.ones_like(true))[0]


@pytest.mark.parametrize("logits", [numpy.zeros((60, 2)), numpy.full((60, 2), -300.0), numpy.full((60, 2), 300.0)])
def test_thresholds_of_logits_that_tell_nothing_are_numbers(logits):
    true = numpy.tile([[1.0, 0.0], [0.0, 1.0]], (30, 1))
    fitted = fit_label_thresholds(logits, true, numpy.ones_like(true))
    assert ((0 < fitted) & (fitted < 1)).all()


def test_thresholds_do_not_look_at_what_is_not_known():
    logits, true = draw(300)
    known = (numpy.random.default_rng(3).random(true.shape) < 0.7).astype("float32")
    other = numpy.where(known > 0, true, 1 - true)
    assert numpy.array_equal(fit_label_thresholds(logits, true, known), fit_label_thresholds(logits, other, known))


@SOME
@given(seed=st.integers(0, 1000), thresholds=THRESHOLDS)
def test_macro_f_is_that_of_scikit_learn(seed, thresholds):
    logits, true = draw(60, seed=seed)
    expected = f1_score(true, expit(logits) >= thresholds, average="macro", zero_division=0)
    assert macro_f(logits, true, numpy.ones_like(true), thresholds) == pytest.approx(expected)


@SOME
@given(seed=st.integers(0, 1000), thresholds=THRESHOLDS, temperature=st.floats(0.05, 20))
def test_temperatures_move_no_label_over_its_threshold(seed, thresholds, temperature):
    logits, _ = draw(60, seed=seed)
    scaled = scale(logits, temperature, exclusive=False, threshold=thresholds)
    clear = abs(logits - logit(thresholds)) > 1e-6
    assert ((expit(scaled) >= thresholds) == (expit(logits) >= thresholds))[clear].all()
    heated = Evidence(logits, layer=1, units=numpy.arange(60), exclusive=False, threshold=thresholds, temperature=temperature)
    assert (heated.decision == (expit(logits) >= thresholds)).all()


def test_equal_thresholds_are_one():
    logits, true = draw(200)
    exits, known = numpy.stack((logits / 3, logits)), numpy.ones_like(true)
    one, each = ({"exclusive": False, "threshold": value} for value in (0.3, numpy.full(3, 0.3)))
    assert fit_temperatures(exits, true, known, **one) == pytest.approx(fit_temperatures(exits, true, known, **each))
    reports = [calibration_report(exits, true, known, [0.5, 2.0], **settings) for settings in (one, each)]
    assert reports[0] == reports[1]
    for layer in (1, 2):
        ours, theirs = (
            EvidenceBuilder(temperatures={1: 2.0}, **settings).evidence(logits, layer=layer, units=numpy.arange(200))
            for settings in (one, each)
        )
        assert numpy.array_equal(ours.decision, theirs.decision) and numpy.array_equal(ours.energy, theirs.energy)


def test_temperatures_fit_around_each_threshold():
    """As fitted to one label at a time, all with the same logits beside their thresholds."""
    logits, true = draw(400, shifts=(0.0,))
    thresholds = numpy.array([0.2, 0.5, 0.9])
    shifted = 0.4 * logits + logit(thresholds)
    [together] = fit_temperatures(
        shifted[None], numpy.repeat(true, 3, axis=1), numpy.ones((400, 3)), exclusive=False, threshold=thresholds
    )
    apart = [
        fit_temperatures(shifted[None, :, [k]], true, numpy.ones((400, 1)), exclusive=False, threshold=thresholds[k])[0]
        for k in range(3)
    ]
    assert min(apart) <= together <= max(apart)
