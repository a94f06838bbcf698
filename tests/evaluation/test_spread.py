"""How far the difference of two scores may be luck."""

import numpy
import pytest

from spacy_epee.evaluation.spread import left_out, spread


def test_every_document_is_left_out_once():
    kept = left_out(137)
    assert len(kept) == 20 and (sum(~docs for docs in kept) == 1).all()
    assert {int((~docs).sum()) for docs in kept} == {6, 7}
    assert len(left_out(3)) == 3 and left_out(0) == []


def test_spread_of_a_mean_is_that_of_its_standard_error():
    gains = numpy.random.default_rng(0).choice([-1, 0, 1], 2000, p=[0.05, 0.9, 0.05])
    found = spread(lambda docs: float(gains[docs].mean()), 2000)
    assert found == pytest.approx(2.09 * gains.std() / 2000**0.5, rel=0.5)


def test_spread_of_what_is_the_same_is_nothing():
    assert spread(lambda docs: 0.0, 100) == 0


@pytest.mark.parametrize("difference,n_docs", [(lambda docs: 0.1, 1), (lambda docs: 0.1, 0), (lambda docs: None, 50)])
def test_spread_of_what_cannot_be_compared_is_none(difference, n_docs):
    assert spread(difference, n_docs) is None


def macro_f(gold, said):
    counts = numpy.zeros((3, 3))
    numpy.add.at(counts, (gold, said), 1)
    return float((2 * counts.diagonal() / numpy.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)).mean())


def test_interval_holds_the_true_difference_about_as_often_as_it_says():
    """Two classifiers that are equally good: how often is 0 within the interval of their difference of macro F?"""
    chance, held = numpy.random.default_rng(1), 0
    for _ in range(300):
        gold = chance.choice(3, 300, p=[0.6, 0.3, 0.1])
        said = [numpy.where(chance.random(300) < 0.85, gold, chance.choice(3, 300)) for _ in range(2)]

        def difference(docs):
            return macro_f(gold[docs], said[1][docs]) - macro_f(gold[docs], said[0][docs])

        held += abs(macro_f(gold, said[1]) - macro_f(gold, said[0])) <= spread(difference, 300)
    assert 0.91 <= held / 300 <= 0.985
