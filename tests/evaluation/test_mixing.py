"""At which exits words count otherwise than training found."""

from types import SimpleNamespace

import numpy

from spacy_epee.evaluation import mixing
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.exits.calibration import calibration_report, fit_temperatures


def stored_of(logits, targets, mix):
    """What exits say of documents, as far as it is needed."""
    known = numpy.ones_like(targets)
    docs = len(targets)
    found = SimpleNamespace(logits=logits, mix=mix, layers=[0, 1, 2], n_docs=docs, items_docs=numpy.arange(docs))
    found.task = SimpleNamespace(exclusive=True)
    found.annotation = lambda rows: (targets[found.rows(rows)], known[found.rows(rows)])
    for name in ("set_mix", "rows", "halves"):
        setattr(found, name, getattr(StoredOutputs, name).__get__(found))
    found.fit = lambda rows: fit_temperatures(found.logits[:, found.rows(rows)], *found.annotation(rows), exclusive=True)
    found.calibration = lambda temperatures, rows: calibration_report(
        found.logits[:, found.rows(rows)], *found.annotation(rows), temperatures, exclusive=True
    )
    return found


def test_words_count_otherwise_only_where_that_helps():
    chance = numpy.random.default_rng(0)
    targets = numpy.eye(3)[chance.integers(0, 3, 400)]
    words = 2 * targets + chance.normal(size=targets.shape)
    lost, good = 0.2 * chance.normal(size=targets.shape), 2 * targets + chance.normal(size=targets.shape)
    best = mixing.best_mix(stored_of(numpy.stack([words, lost, good]), targets, numpy.zeros(2)))
    before = numpy.array([0.0, best[1]])  # the second factor is as good as can be
    stored = stored_of(numpy.stack([words, lost, good + best[1] * words]), targets, before)
    found = mixing.better_mix(stored)
    assert found[0] > 0.5 and found[1] == best[1]
    assert stored.mix is before and numpy.allclose(stored.logits[1], lost)


def test_words_count_as_before_where_nothing_is_known():
    stored = stored_of(numpy.ones((3, 10, 3)), numpy.zeros((10, 3)), numpy.array([0.5, 1.0]))
    stored.annotation = lambda rows: (numpy.zeros((1, 3)), numpy.zeros((1, 3)))
    assert mixing.better_mix(stored).tolist() == [0.5, 1.0]
