"""The linear model over n-grams."""

import numpy
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from spacy_epee.training.lexical import STRENGTHS, Way, choose_way, fit_linear, held_out_logits, learn_linear

rng = numpy.random.default_rng(0)


def make_rows(classes):
    """A column for each class, and noise."""
    rows = rng.random((len(classes), 6)) * 0.3 * (rng.random((len(classes), 6)) < 0.2)
    rows[numpy.arange(len(classes)), classes] += 1
    return csr_matrix(rows.astype("float32"))


def one_hot(classes, labels):
    return numpy.eye(labels, dtype="float32")[classes]


@pytest.mark.parametrize("labels", [2, 3])
def test_exclusive_labels_are_learned(labels):
    classes = numpy.arange(60) % labels
    rows, targets = make_rows(classes), one_hot(classes, labels)
    weights, bias = fit_linear(rows, targets, numpy.ones_like(targets), exclusive=True)
    assert ((rows @ weights + bias).argmax(axis=1) == classes).all()


def test_labels_that_are_not_exclusive_are_learned_by_themselves():
    classes = numpy.arange(60) % 3
    rows, targets = make_rows(classes), one_hot(classes, 3)
    targets[:, 2] = 1  # always true
    weights, bias = fit_linear(rows, targets, numpy.ones_like(targets), exclusive=False)
    logits = rows @ weights + bias
    assert ((logits > 0) == (targets > 0)).all()
    assert not weights[:, 2].any()


def test_what_is_not_annotated_says_nothing():
    classes = numpy.arange(60) % 2
    rows, targets, mask = make_rows(classes), one_hot(classes, 2), numpy.ones((60, 2), dtype="float32")
    expected = fit_linear(rows[:40], targets[:40], mask[:40], exclusive=False)
    targets[40:], mask[40:] = 1 - targets[40:], 0
    found = fit_linear(rows, targets, mask, exclusive=False)
    assert all(numpy.allclose(one, other, atol=1e-3) for one, other in zip(expected, found))


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_documents_give_numbers(exclusive, count):
    rows, targets = make_rows(numpy.arange(count) % 3), one_hot(numpy.arange(count) % 3, 3)
    weights, bias = fit_linear(rows, targets, numpy.ones_like(targets), exclusive=exclusive)
    assert weights.shape == (6, 3) and numpy.isfinite(weights).all() and numpy.isfinite(bias).all()
    assert held_out_logits(rows, targets, numpy.ones_like(targets), range(count), exclusive=exclusive).shape == (count, 3)


@pytest.mark.parametrize("labels", [2, 3])
def test_a_label_without_examples_is_never_the_most_likely(labels):
    classes = numpy.arange(60) % labels
    weights, bias = fit_linear(make_rows(classes), one_hot(classes, labels + 1), numpy.ones((60, labels + 1)), exclusive=True)
    anything = csr_matrix(rng.normal(0, 10, (500, 6)).astype("float32"))
    assert ((anything @ weights + bias).argmax(axis=1) < labels).all() and (bias @ numpy.eye(labels + 1)).argmax() < labels


def test_words_that_tell_weigh_more_than_words_that_do_not():
    """Both are in as many documents, of which each has several words that tell the label."""
    classes = numpy.arange(200) % 2
    tells = numpy.eye(2)[classes] * (rng.random((200, 2)) < 0.5)
    none = rng.random((200, 40)) < 0.25
    rows, targets = csr_matrix(numpy.hstack([tells, none]).astype("float32")), one_hot(classes, 2)
    weights, _ = fit_linear(rows, targets, numpy.ones_like(targets), exclusive=True, way=Way(numpy.full(2, 10.0), True))
    plain = LogisticRegression(C=10, class_weight="balanced").fit(rows, classes).coef_[0]
    assert abs(weights[2:, 1]).mean() / abs(weights[:2, 1]).mean() < 0.5 * abs(plain[2:]).mean() / abs(plain[:2]).mean()


def test_weights_do_not_depend_on_the_order_of_documents():
    classes = numpy.arange(60) % 3
    rows, targets, order = make_rows(classes), one_hot(classes, 3), rng.permutation(60)
    weights, bias = fit_linear(rows, targets, numpy.ones_like(targets), exclusive=True)
    other, other_bias = fit_linear(rows[order], targets[order], numpy.ones_like(targets), exclusive=True)
    assert numpy.allclose(weights, other, atol=0.02) and numpy.allclose(bias, other_bias, atol=0.02)


def test_documents_are_answered_by_models_that_have_not_seen_them():
    """Each has a word of its own that gives it away to whoever has seen it."""
    classes = rng.integers(0, 2, 60)
    rows, targets = csr_matrix(numpy.eye(60, dtype="float32")), one_hot(classes, 2)
    weights, bias = fit_linear(rows, targets, numpy.ones_like(targets), exclusive=True)
    assert ((rows @ weights + bias).argmax(axis=1) == classes).mean() > 0.95
    unseen = held_out_logits(rows, targets, numpy.ones_like(targets), range(60), exclusive=True)
    assert (unseen.argmax(axis=1) == classes).mean() < 0.8


def test_documents_that_are_there_twice_are_held_out_together():
    classes = numpy.repeat(rng.integers(0, 2, 60), 3)
    rows, targets = csr_matrix(numpy.repeat(numpy.eye(60, dtype="float32"), 3, axis=0)), one_hot(classes, 2)
    unseen = held_out_logits(rows, targets, numpy.ones_like(targets), numpy.repeat(range(60), 3).tolist(), exclusive=True)
    assert (unseen.argmax(axis=1) == classes).mean() < 0.8


def test_a_label_that_is_never_true_has_its_prior():
    targets = numpy.zeros((100, 1), dtype="float32")
    _, bias = fit_linear(make_rows(numpy.zeros(100, dtype=int)), targets, numpy.ones_like(targets), exclusive=False)
    assert bias[0] == pytest.approx(numpy.log(0.5 / 100.5), abs=1e-3)


def test_many_documents_are_held_out_by_halves(monkeypatch):
    classes = numpy.arange(60) % 2
    rows, targets = make_rows(classes), one_hot(classes, 2)
    seen = []

    def fit(rows, *args, **settings):
        seen.append(rows.shape[0])
        return fit_linear(rows, *args, **settings)

    monkeypatch.setattr("spacy_epee.training.lexical.fit_linear", fit)
    for many, expected in ((61, [48] * 5), (60, [30] * 2)):
        seen.clear()
        monkeypatch.setattr("spacy_epee.training.lexical.MANY", many)
        logits = held_out_logits(rows, targets, numpy.ones_like(targets), range(60), exclusive=True)
        assert seen == expected and (logits.argmax(axis=1) == classes).all()


def make_words(count, noise, seed=0):
    """Documents of two classes with a word that tells which, and many that tell nothing."""
    chance = numpy.random.default_rng(seed)
    classes = numpy.arange(count) % 2
    telling = one_hot(classes, 2) * (chance.random((count, 1)) > noise)
    return csr_matrix(numpy.hstack([telling, chance.random((count, 200)) < 0.1]).astype("float32")), classes


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("lots", [True, False])
def test_weights_are_held_back_where_words_tell_nothing(exclusive, lots):
    rows, classes = make_words(200, 0.0)
    targets = one_hot(numpy.random.default_rng(1).permutation(classes) if lots else classes, 2)
    known = rows, targets, numpy.ones_like(targets)
    (weights, _), _ = learn_linear(*known, range(200), exclusive=exclusive)
    way = choose_way(*known, range(200), exclusive=exclusive)
    free, _ = fit_linear(*known, exclusive=exclusive, way=way._replace(strengths=numpy.full(2, STRENGTHS[0])))
    assert abs(weights).max() < abs(free).max() / 1.5 if lots else numpy.array_equal(weights, free)


def test_each_label_that_is_not_exclusive_has_its_own_strength():
    rows, classes = make_words(200, 0.0)
    both = numpy.stack([classes, numpy.random.default_rng(1).permutation(classes)], axis=1).astype("float32")
    known = rows, both, numpy.ones_like(both)
    (weights, bias), _ = learn_linear(*known, range(200), exclusive=False)
    weighed = choose_way(*known, range(200), exclusive=False).weighed
    for label, strength in enumerate((STRENGTHS[0], STRENGTHS[-1])):
        one = both[:, [label]]
        found = fit_linear(rows, one, numpy.ones_like(one), exclusive=False, way=Way(numpy.array([strength]), weighed))
        assert numpy.allclose(weights[:, [label]], found[0], atol=1e-2)


@pytest.mark.parametrize("exclusive", [True, False])
def test_what_is_held_out_is_learned_in_the_way_that_is_taken(exclusive):
    rows, classes = make_words(100, 0.3)
    targets = one_hot(classes, 2)
    known = rows, targets, numpy.ones_like(targets)
    way = choose_way(*known, range(100), exclusive=exclusive)
    _, unseen = learn_linear(*known, range(100), exclusive=exclusive)
    assert numpy.array_equal(unseen, held_out_logits(*known, range(100), exclusive=exclusive, way=way))


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_documents_have_a_strength(exclusive, count):
    rows, targets = make_rows(numpy.arange(count) % 3), one_hot(numpy.arange(count) % 3, 3)
    (weights, bias), unseen = learn_linear(rows, targets, numpy.ones_like(targets), range(count), exclusive=exclusive)
    assert weights.shape == (6, 3) and unseen.shape == (count, 3) and numpy.isfinite(weights).all()
