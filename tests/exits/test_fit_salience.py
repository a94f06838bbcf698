"""What is added to logits by the salience of their items."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_epee.exits.salience import fit_salience


def made(seed, exclusive, n=400):
    """Logits of two exits that know something, salience that knows more, and the truth."""
    chance = numpy.random.default_rng(seed)
    salience = chance.uniform(size=(n, 2))
    wanted = 3 * salience.sum(axis=1) - 4 + chance.normal(size=n)
    true = wanted > 0
    seen = numpy.stack([wanted + 3 * chance.normal(size=n) for _ in range(2)])
    targets = numpy.stack((~true, true), axis=1) if exclusive else true[:, None]
    logits = numpy.stack((-seen / 2, seen / 2), axis=2) if exclusive else seen[..., None]
    return logits.astype("float32"), salience, targets.astype("float32")


def added(weights, salience):
    return weights[:, :1] + salience @ weights[:, 1:]


def given_by(logits, exclusive):
    return logits.argmax(axis=-1) == 1 if exclusive else logits[..., 0] > 0


@pytest.mark.parametrize("exclusive", [False, True])
def test_more_is_right_with_salience(exclusive):
    logits, salience, targets = made(0, exclusive)
    weights = fit_salience(logits, salience, targets, numpy.ones_like(targets), exclusive=exclusive)
    true = targets[:, -1] > 0
    for before, after in zip(logits, logits + added(weights, salience)):
        assert (given_by(after, exclusive) == true).mean() > (given_by(before, exclusive) == true).mean() + 0.05


@given(seed=st.integers(0, 1000), exclusive=st.booleans(), n=st.integers(1, 40))
def test_as_many_are_given_as_before(seed, exclusive, n):
    logits, salience, targets = made(seed, exclusive, n)
    weights = fit_salience(logits, salience, targets, numpy.ones_like(targets), exclusive=exclusive)
    before, after = given_by(logits, exclusive), given_by(logits + added(weights, salience), exclusive)
    assert (before.sum(axis=1) == after.sum(axis=1)).all()


def test_nothing_is_added_where_nothing_is_known():
    logits, salience, targets = made(0, False)
    assert not fit_salience(logits, salience, targets, numpy.zeros_like(targets), exclusive=False).any()


def test_what_is_not_known_does_not_count():
    logits, salience, targets = made(0, False)
    known = numpy.ones_like(targets)
    known[200:] = 0
    targets[200:] = 1 - targets[200:]
    half = fit_salience(logits[:, :200], salience[:200], targets[:200], known[:200], exclusive=False)
    assert numpy.allclose(fit_salience(logits, salience, targets, known, exclusive=False), half)


def test_salience_that_says_nothing_hardly_counts():
    logits, salience, targets = made(0, False, 5000)
    noise = numpy.random.default_rng(1).uniform(size=salience.shape)
    weights = fit_salience(logits, noise, targets, numpy.ones_like(targets), exclusive=False)
    assert numpy.abs(weights[:, 1:]).max() < 0.6
