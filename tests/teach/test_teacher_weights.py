"""How much teachers count."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_epee.teach.weights import fit_weights, likelihoods, log_loss

SOME = settings(max_examples=50)


def some_likelihoods(seed, teachers, cases=40):
    return numpy.random.default_rng(seed).uniform(1e-3, 1, (teachers, cases))


@SOME
@given(seed=st.integers(0, 999), teachers=st.integers(1, 6))
def test_weights_sum_to_one_and_no_teacher_alone_nor_equal_ones_are_better(seed, teachers):
    found = some_likelihoods(seed, teachers)
    weights = fit_weights(found)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    others = [*numpy.eye(teachers), numpy.full(teachers, 1 / teachers)]
    assert log_loss(found, weights) <= min(log_loss(found, other) for other in others) + 1e-4


@SOME
@given(seed=st.integers(0, 999))
def test_weights_of_two_teachers_are_the_best_on_a_grid(seed):
    found = some_likelihoods(seed, 2)
    grid = [numpy.array([share, 1 - share]) for share in numpy.linspace(0, 1, 501)]
    assert log_loss(found, fit_weights(found)) <= min(log_loss(found, weights) for weights in grid) + 1e-6


def test_teacher_that_is_always_worse_counts_nothing():
    assert fit_weights(numpy.array([[0.9, 0.8, 0.7], [0.3, 0.2, 0.1]])).tolist() == [1, 0]


def test_likelihoods_are_those_of_what_is_true_and_known():
    answers = numpy.array([[[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]]])
    targets = numpy.array([[1, 0], [1, 0], [0, 0]])
    known = numpy.array([[1, 1], [1, 1], [0, 0]])
    assert likelihoods(answers, targets, known, True).tolist() == [[0.7, 0.2]]
    known[1, 1] = 0
    assert numpy.allclose(likelihoods(answers, targets, known, False), [[0.7, 0.7, 0.2]])


def test_likelihoods_have_a_logarithm():
    found = likelihoods(numpy.array([[[0.0, 1.0]]]), numpy.array([[1, 0]]), numpy.ones((1, 2)), True)
    assert numpy.isfinite(log_loss(found, numpy.ones(1)))
