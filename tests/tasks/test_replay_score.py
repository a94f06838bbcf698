"""The figure of tasks that have none of their own."""

from types import SimpleNamespace

import numpy
import pytest
from sklearn.metrics import f1_score

from spacy_epee.engine.replay import Replay
from spacy_epee.exits.evidence import EvidenceBuilder
from spacy_epee.tasks.replay_score import micro_score


def make_stored(seed, exclusive):
    """Three items a document, of which some are not annotated."""
    chance = numpy.random.default_rng(seed)
    docs = numpy.repeat(numpy.arange(20), 3)
    targets = numpy.eye(4)[chance.integers(4, size=60)] if exclusive else chance.integers(2, size=(60, 4)).astype(float)
    label_mask = numpy.repeat(chance.integers(2, size=(60, 1)), 4, axis=1)
    replay = Replay(chance.normal(size=(3, 60, 4)), exit_layers=[1, 2, 3], reading=EvidenceBuilder(exclusive=exclusive))
    return SimpleNamespace(items_docs=docs, targets=targets * label_mask, label_mask=label_mask), replay.run(None)


@pytest.mark.parametrize("exclusive", [True, False])
def test_micro_score_is_micro_f_of_what_is_annotated(exclusive):
    stored, found = make_stored(0, exclusive)
    score = micro_score(stored)
    known = stored.label_mask[:, 0] > 0
    assert score(found) == pytest.approx(f1_score(stored.targets[known], found.decision[known], average="micro"))
    if exclusive:
        assert score(found) == pytest.approx((stored.targets * found.decision)[known].sum(axis=1).mean())


def test_micro_score_of_some_documents():
    stored, found = make_stored(1, exclusive=False)
    docs = numpy.arange(20) % 2 == 0
    rows = docs[stored.items_docs] & (stored.label_mask[:, 0] > 0)
    assert micro_score(stored)(found, docs) == pytest.approx(
        f1_score(stored.targets[rows], found.decision[rows], average="micro")
    )
    assert micro_score(stored)(found, numpy.zeros(20, dtype=bool)) == 0
