import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import log_loss

from spacy_epee.exits.calibration import (
    calibration_report,
    expected_calibration_error,
    failure_auroc,
    fit_temperatures,
    item_losses,
    negative_log_likelihood,
)

SOME = settings(max_examples=50)
KINDS = {"exclusive": dict(exclusive=True), "multilabel": dict(exclusive=False), "groups": dict(exclusive=False, group=3)}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def draw(seed, rows, labels, kind, temperature=1.0, exits=2):
    """Logits, and targets drawn from what they say at a temperature: the exits say the same, the second twice as loud."""
    chance = numpy.random.default_rng(seed)
    logits = chance.normal(size=(rows, labels)) * 3
    if kind.get("group") or kind["exclusive"]:
        choices = logits.reshape(-1, kind.get("group") or labels)
        p = softmax(choices / temperature, axis=1)
        picked = (p.cumsum(axis=1) > chance.uniform(size=(len(p), 1))).argmax(axis=1)
        targets = (numpy.arange(p.shape[1]) == picked[:, None]).reshape(rows, labels)
    else:
        targets = chance.uniform(size=logits.shape) < expit(logits / temperature)
    return numpy.stack([logits * (exit + 1) for exit in range(exits)]), targets.astype("float32"), numpy.ones((rows, labels))


def nll(logits, targets, kind):
    """By scikit-learn."""
    if kind.get("group") or kind["exclusive"]:
        size = kind.get("group") or logits.shape[1]
        p, truth = softmax(logits.reshape(-1, size), axis=1), targets.reshape(-1, size).argmax(axis=1)
        return log_loss(truth, p, labels=range(size))
    return log_loss(targets.ravel(), expit(logits).ravel(), labels=[0, 1])


@each_kind
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_calibration_finds_the_temperature_of_the_truths(kind, temperature):
    logits, targets, known = draw(1, 4000, 6, kind, temperature)
    found = fit_temperatures(logits, targets, known, **kind)
    assert found == pytest.approx([temperature, 2 * temperature], rel=0.1)


@each_kind
def test_calibration_is_the_best_of_all_temperatures(kind):
    logits, targets, known = draw(2, 300, 6, kind, 1.7)
    found = fit_temperatures(logits, targets, known, **kind)[0]
    others = numpy.exp(numpy.linspace(-4, 4, 400))
    assert nll(logits[0] / found, targets, kind) <= min(nll(logits[0] / t, targets, kind) for t in others) + 1e-6


@each_kind
@SOME
@given(data=st.data())
def test_calibration_never_loses_likelihood_and_never_changes_the_answer(kind, data):
    seed, rows = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.integers(1, 30))
    logits, targets, known = draw(seed, rows, 6, kind, data.draw(st.sampled_from([0.3, 1.0, 4.0])))
    temperatures = fit_temperatures(logits, targets, known, **kind)
    assert ((temperatures >= 0.01) & (temperatures <= 100)).all()
    for exit, temperature in zip(logits, temperatures):
        assert nll(exit / temperature, targets, kind) <= nll(exit, targets, kind) + 1e-9
        assert ((exit / temperature).argmax(axis=1) == exit.argmax(axis=1)).all()
        assert ((exit / temperature > 0) == (exit > 0)).all()


@each_kind
@pytest.mark.parametrize("case", ["no rows", "nothing given", "all right", "flat"])
def test_calibration_leaves_what_cannot_be_fitted(kind, case):
    logits, targets, known = draw(3, 0 if case == "no rows" else 20, 6, kind)
    if case == "nothing given":
        known[:] = 0
    if case == "all right":
        logits[:] = 2 * targets - 1
    if case == "flat":
        logits[:] = 0
    assert fit_temperatures(logits, targets, known, **kind).tolist() == [1.0, 1.0]


def test_calibration_of_one_exit_does_not_see_the_others():
    logits, targets, known = draw(4, 200, 3, KINDS["exclusive"], 2.0)
    alone = fit_temperatures(logits[1:], targets, known, exclusive=True)
    assert fit_temperatures(logits, targets, known, exclusive=True)[1:] == alone


@each_kind
def test_calibration_looks_at_what_is_given_only(kind):
    logits, targets, known = draw(5, 200, 6, kind, 2.0)
    expected = fit_temperatures(logits[:, :100], targets[:100], known[:100], **kind)
    known[100:], targets[100:] = 0, 0
    assert fit_temperatures(logits, targets, known, **kind).tolist() == expected.tolist()


def test_calibration_looks_at_single_labels_and_groups_that_are_given():
    for kind, some in ((KINDS["multilabel"], [1, 0, 1, 0, 0, 1]), (KINDS["groups"], [1, 1, 1, 0, 0, 0])):
        logits, targets, known = draw(6, 200, 6, kind, 2.0)
        kept = numpy.flatnonzero(some)
        expected = fit_temperatures(logits[:, :, kept], targets[:, kept], known[:, kept], **kind)
        assert fit_temperatures(logits, targets, known * some, **kind) == pytest.approx(expected)


def test_calibration_of_answers_that_are_worse_than_chance_stays_in_range():
    logits = numpy.array([[[4.0, 0.0]] * 5 + [[0.0, 4.0]] * 5])
    targets = numpy.array([[0, 1]] * 5 + [[1, 0]] * 5)
    assert 50 < fit_temperatures(logits, targets, numpy.ones_like(targets), exclusive=True)[0] <= 100


def test_calibration_stands_huge_logits():
    logits, targets, known = draw(7, 50, 3, KINDS["exclusive"])
    assert numpy.isfinite(fit_temperatures(logits * 1e6, targets, known, exclusive=True)).all()


def test_calibration_likelihood_without_choices_is_no_number():
    assert math.isnan(negative_log_likelihood(numpy.zeros((0, 2)), numpy.zeros(0, dtype=int)))


# Calibration error


def test_ece_by_hand():
    """Two bins: said 0.55 on average, 1 of 2 right; said 0.85, 1 of 2 right."""
    said, hits = numpy.array([0.5, 0.6, 0.8, 0.9]), numpy.array([True, False, True, False])
    assert expected_calibration_error(said, hits, bins=2) == pytest.approx((0.05 + 0.35) / 2)


def test_ece_of_equal_width_leaves_bins_empty():
    said, hits = numpy.array([0.81, 0.83, 0.97]), numpy.array([True, False, True])
    assert expected_calibration_error(said, hits, bins=10, binning="width") == pytest.approx((abs(1.64 - 1) + 0.03) / 3)


def test_ece_of_equal_mass_keeps_ties_together():
    said, hits = numpy.repeat([0.2, 0.9], 50), numpy.arange(100) % 2 == 0
    expected = (abs(0.2 - 0.5) + abs(0.9 - 0.5)) / 2
    for bins in (2, 3, 15, 1000):
        assert expected_calibration_error(said, hits, bins) == pytest.approx(expected)


@SOME
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60), bins=st.integers(1, 20))
def test_ece_is_a_share_and_does_not_go_by_order(seed, count, bins):
    chance = numpy.random.default_rng(seed)
    said, hits = chance.uniform(size=count).round(1), chance.uniform(size=count) < 0.5
    order = chance.permutation(count)
    for binning in ("mass", "width"):
        found = expected_calibration_error(said, hits, bins, binning)
        assert 0 <= found <= 1
        assert found == pytest.approx(expected_calibration_error(said[order], hits[order], bins, binning))


def test_ece_of_calibrated_answers_is_small_and_that_of_loud_ones_is_not():
    chance = numpy.random.default_rng(8)
    said = chance.uniform(size=20000)
    hits = chance.uniform(size=20000) < said
    assert expected_calibration_error(said, hits) < 0.02
    assert expected_calibration_error(numpy.sqrt(said), hits) > 0.1


def test_ece_of_nothing_is_no_number():
    assert math.isnan(expected_calibration_error(numpy.zeros(0), numpy.zeros(0, dtype=bool)))


# Whether the uncertain answers are those that fail


def test_failure_auroc_by_hand():
    assert failure_auroc(numpy.array([0.1, 0.4, 0.3, 0.9]), numpy.array([0, 0, 1, 1])) == 0.75


@pytest.mark.parametrize("failed", [[0, 0], [1, 1], []])
def test_failure_auroc_needs_both_classes(failed):
    assert failure_auroc(numpy.zeros(len(failed)), numpy.array(failed)) is None


# Report


@each_kind
def test_report_gives_what_the_single_functions_give(kind):
    logits, targets, known = draw(9, 500, 6, kind, 3.0)
    temperatures = fit_temperatures(logits, targets, known, **kind)
    first, second = calibration_report(logits, targets, known, temperatures, **kind)
    assert [first["temperature"], second["temperature"]] == temperatures.tolist()
    assert first["nll"] == pytest.approx([nll(logits[0] / t, targets, kind) for t in (1, temperatures[0])])
    assert second["nll"][0] > second["nll"][1] and second["ece"][0] > 2 * second["ece"][1]
    assert 0.5 < first["failure_auroc"][0] <= 1


def test_report_of_the_last_exit_has_nothing_that_differs_from_it():
    logits, targets, known = draw(10, 50, 3, KINDS["exclusive"])
    logits[0] = -logits[1]
    first, last = calibration_report(logits, targets, known, [1.0, 1.0], exclusive=True)
    assert last["depth_auroc"] == [None, None]
    assert first["depth_auroc"] == [None, None]  # here all do


def test_report_counts_a_label_from_the_threshold_on():
    logits, targets = numpy.array([[[0.5], [3.0]]]), numpy.array([[1.0], [1.0]])
    reports = [
        calibration_report(logits, targets, numpy.ones_like(targets), [1.0], exclusive=False, threshold=threshold)
        for threshold in (0.5, 0.9)
    ]
    assert [report[0]["failure_auroc"] for report in reports] == [[None, None], [1.0, 1.0]]


def test_report_leaves_out_what_is_not_known():
    """An answer nobody judged is no failure, however uncertain."""
    logits = numpy.array([[[3.0, 0.0], [2.0, 0.0], [0.1, 0.0]]])
    targets, known = numpy.array([[1, 0], [0, 1], [0, 0]]), numpy.array([[1, 1], [1, 1], [0, 0]])
    assert calibration_report(logits, targets, known, [1.0], exclusive=True)[0]["failure_auroc"] == [1.0, 1.0]


@each_kind
def test_report_of_nothing(kind):
    logits, targets, known = draw(11, 0, 6, kind)
    report = calibration_report(logits, targets, known, [1.0, 1.0], **kind)
    assert all(math.isnan(figure) for figure in report[0]["nll"] + report[0]["ece"])


def test_report_refuses_another_number_of_temperatures():
    logits, targets, known = draw(12, 5, 3, KINDS["exclusive"])
    with pytest.raises(ValueError, match="3 temperatures for 2 exits"):
        calibration_report(logits, targets, known, [1.0] * 3, exclusive=True)


@pytest.mark.parametrize("exclusive", [True, False])
def test_losses_of_items_are_those_of_their_choices(exclusive):
    chance = numpy.random.default_rng(0)
    logits, gold = chance.normal(size=(2, 50, 3)), chance.integers(0, 3, 50)
    targets, label_mask = numpy.eye(3)[gold], numpy.ones((50, 3))
    label_mask[:5] = 0
    losses = item_losses(logits, targets, label_mask, [1.0, 2.0], exclusive=exclusive)
    assert (losses[:, :5] == 0).all() and (losses[:, 5:] > 0).all()
    scaled = logits[1] / 2
    if exclusive:
        expected = -log_softmax(scaled, axis=1)[numpy.arange(50), gold]
    else:
        expected = (numpy.logaddexp(0, scaled) - targets * scaled).sum(axis=1)
    assert numpy.allclose(losses[1, 5:], expected[5:])
