"""Teachers are calibrated."""

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from spacy_epee.teach.calibration import LEAST, fit_calibration, hold_out, is_better
from spacy_epee.teach.groups import Group
from spacy_epee.teach.weights import likelihoods, log_loss

SOME = settings(max_examples=30)
KINDS = pytest.mark.parametrize("exclusive", [False, True])


def to_probabilities(logits, exclusive):
    return softmax(logits, axis=1) if exclusive else expit(logits)


def draw(chance, docs, labels, exclusive, known=1.0):
    """Logits that are calibrated, what is true, and what of it is known."""
    logits = chance.normal(0, 2, (docs, labels)) - numpy.arange(labels)
    probabilities = to_probabilities(logits, exclusive)
    if exclusive:
        targets = numpy.eye(labels)[[chance.choice(labels, p=row) for row in probabilities]]
        label_mask = numpy.repeat(chance.random((docs, 1)) < known, labels, axis=1)
    else:
        targets, label_mask = chance.random((docs, labels)) < probabilities, chance.random((docs, labels)) < known
    return logits, targets * label_mask.astype("float32"), label_mask.astype("float32")


def loss_of(answers, targets, label_mask, exclusive):
    return log_loss(likelihoods(answers[None], targets, label_mask, exclusive), numpy.ones(1))


@KINDS
@SOME
@given(seed=st.integers(0, 999), scale=st.floats(0.2, 3), known=st.sampled_from([0.6, 1.0]))
def test_calibration_undoes_any_scale_and_shifts(exclusive, seed, scale, known):
    chance = numpy.random.default_rng(seed)
    logits, *truth = draw(chance, 60, 3, exclusive, known)
    found = []
    for moved in (logits, scale * logits + chance.normal(0, 2, 3)):
        answers = to_probabilities(moved, exclusive)
        assume(LEAST < answers.min() and answers.max() < 1 - LEAST)
        found.append(fit_calibration(answers, *truth, exclusive)(answers))
    assert numpy.allclose(*found, atol=1e-4)


@KINDS
@SOME
@given(
    seed=st.integers(0, 999),
    docs=st.integers(1, 8),
    labels=st.integers(2, 4),
    known=st.sampled_from([0.0, 0.5, 1.0]),
    sure=st.booleans(),
)
def test_few_documents_and_missing_labels_give_probabilities(exclusive, seed, docs, labels, known, sure):
    logits, *truth = draw(numpy.random.default_rng(seed), docs, labels, exclusive, known)
    answers = to_probabilities(logits * (1000 if sure else 1), exclusive)
    calibration = fit_calibration(answers, *truth, exclusive)
    for found in (calibration(answers), hold_out(answers, *truth, exclusive, range(docs))):
        assert found.shape == answers.shape and ((found >= 0) & (found <= 1)).all()
        assert not exclusive or numpy.allclose(found.sum(axis=1), 1)
    assert numpy.isfinite([calibration.scale, calibration.shift]).all() and (calibration.scale >= 0).all()


@KINDS
def test_balanced_answers_become_as_probable_as_they_are(exclusive):
    logits, *truth = draw(numpy.random.default_rng(0), 2000, 4, exclusive)
    best, balanced = to_probabilities(logits, exclusive), to_probabilities(1.5 * (logits + 1.5 * numpy.arange(4)), exclusive)
    found = fit_calibration(balanced, *truth, exclusive)(balanced)
    assert (
        loss_of(found, *truth, exclusive) <= loss_of(best, *truth, exclusive) + 1e-4 < loss_of(balanced, *truth, exclusive) - 0.1
    )
    assert numpy.allclose(found, best, atol=0.1)


def test_order_of_documents_stays():
    logits, *truth = draw(numpy.random.default_rng(0), 200, 4, False)
    answers = expit(logits)
    found = fit_calibration(answers, *truth, False)(answers)
    assert (found.argsort(axis=0) == answers.argsort(axis=0)).all() and not numpy.allclose(found, answers, atol=0.01)


def test_frequent_labels_have_scales_of_their_own_and_rare_ones_share_one():
    logits, targets, known = draw(numpy.random.default_rng(0), 400, 4, False)
    targets[9:, 2:] = 0
    scale = fit_calibration(expit(logits * [1, 2, 1, 1]), targets, known, False).scale
    assert scale[0] == pytest.approx(1, abs=0.3) and scale[1] == pytest.approx(0.5, abs=0.2) and scale[2] == scale[3]


def test_teacher_that_ranks_the_wrong_way_says_how_frequent_labels_are():
    logits, targets, known = draw(numpy.random.default_rng(0), 300, 2, False)
    calibration = fit_calibration(expit(-logits), targets, known, False)
    assert (calibration.scale == 0).all()
    assert numpy.allclose(calibration(expit(logits)), targets.mean(axis=0), atol=0.01)


def test_label_that_no_document_has_is_improbable_and_one_of_which_nothing_is_known_stays():
    logits, targets, known = draw(numpy.random.default_rng(0), 100, 3, False)
    targets[:, 1], known[:, 2] = 0, 0
    found = fit_calibration(expit(logits), targets, known, False)(expit(logits))
    assert found[:, 1].mean() == pytest.approx(1 / 102, rel=0.05) and numpy.allclose(found[:, 2], expit(logits[:, 2]))


# What is held out


@KINDS
def test_what_is_held_out_does_not_know_its_own_labels(exclusive):
    logits, targets, known = draw(numpy.random.default_rng(0), 30, 3, exclusive)
    answers = to_probabilities(logits, exclusive)
    other = targets.copy()
    other[4] = numpy.roll(targets[4], 1) if exclusive else 1 - targets[4]
    found = [hold_out(answers, own, known, exclusive, range(30)) for own in (targets, other)]
    same = (found[0] == found[1]).all(axis=1)
    assert same[4] and 0 < same.sum() <= 30 // 5


def test_documents_with_the_same_text_are_held_out_together():
    logits, targets, known = draw(numpy.random.default_rng(0), 30, 3, False)
    other = targets.copy()
    other[4] = 1 - targets[4]
    texts = [4 if number in (4, 7, 11) else number for number in range(30)]
    found = [hold_out(expit(logits), own, known, False, texts) for own in (targets, other)]
    assert (found[0] == found[1]).all(axis=1)[[4, 7, 11]].all()


def test_documents_of_one_text_stay_as_they_are():
    logits, *truth = draw(numpy.random.default_rng(0), 5, 3, False)
    assert (hold_out(expit(logits), *truth, False, ["same"] * 5) == expit(logits)).all()


def test_better_is_more_than_chance_gives():
    before = numpy.full(6, 0.5)
    assert is_better(numpy.full(6, 0.51), before, numpy.arange(6))
    assert not is_better(before, before, numpy.arange(6)) and not is_better(numpy.full(6, 0.49), before, numpy.arange(6))
    one = numpy.where(numpy.arange(6) == 0, 0.9, 0.499)
    assert not is_better(one, before, numpy.arange(6))  # the gain of one document
    assert not is_better(numpy.repeat([0.9, 0.499], 3), before, numpy.repeat([0, 1], 3))


# Groups


def make_group(labels, exclusive):
    return Group([f"label{number}" for number in range(labels)], exclusive, numpy.full(2, 0.5), set())


@KINDS
def test_good_teacher_that_is_badly_calibrated_counts_and_its_answers_are_calibrated(exclusive):
    chance = numpy.random.default_rng(0)
    logits, *truth = draw(chance, 600, 3, exclusive)
    good = to_probabilities(logits + 3.0 * numpy.arange(3), exclusive)
    weak = to_probabilities(0.3 * logits - numpy.arange(3) + chance.normal(0, 0.5, logits.shape), exclusive)
    group = make_group(3, exclusive)
    group.fit(numpy.stack([good, weak]), *truth, range(600))
    assert group.weights[0] > 0.8 and 0 in group.calibrations
    found = group.join([good, weak])
    assert numpy.allclose(found, to_probabilities(logits, exclusive), atol=0.15)
    assert loss_of(found, *truth, exclusive) < loss_of(good, *truth, exclusive) - 0.2


@KINDS
def test_teacher_that_is_calibrated_stays_as_it_is(exclusive):
    stayed = []
    for seed in range(20):
        logits, *truth = draw(numpy.random.default_rng(seed), 60, 3, exclusive)
        answers = numpy.stack([to_probabilities(logits, exclusive)] * 2)
        group = make_group(3, exclusive)
        group.fit(answers, *truth, range(60))
        stayed.append(not group.calibrations)
        if stayed[-1]:
            assert [after for _, after in group.losses[:2]] == [None, None]
            assert numpy.allclose(group.join(list(answers)), answers[0])
    assert sum(stayed) >= 18


def test_losses_are_those_of_what_is_held_out():
    """Of chance nothing is learned, and calibration to the same documents would seem better than it is."""
    chance = numpy.random.default_rng(0)
    targets, known = (chance.random((40, 3)) < 0.3).astype("float32"), numpy.ones((40, 3))
    answers = expit(chance.normal(0, 3, (2, 40, 3)))
    group = make_group(3, False)
    group.fit(answers, targets, known, range(40))
    held_out = hold_out(answers[0], targets, known, False, range(40))
    assert group.losses[0] == pytest.approx(
        (loss_of(answers[0], targets, known, False), loss_of(held_out, targets, known, False))
    )
    seen = group.calibrations[0](answers[0])
    assert group.losses[0][1] > loss_of(seen, targets, known, False)


def test_one_document_is_enough_for_weights_and_calibrates_nothing():
    group = make_group(2, False)
    group.fit(numpy.array([[[0.9, 0.1]], [[0.2, 0.8]]]), numpy.array([[1, 0]]), numpy.ones((1, 2)), ["text"])
    assert group.weights.tolist() == [1, 0] and not group.calibrations


def test_teachers_that_count_nothing_need_not_answer():
    group = Group(["A", "B"], False, numpy.array([1.0, 0.0]), set())
    assert group.join([numpy.array([[0.9, 0.1]]), None]).tolist() == [[0.9, 0.1]]
