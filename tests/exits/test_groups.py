"""Evidence of units with several items, against the evidence of each item alone."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_epee.exits.evidence import Evidence
from spacy_epee.exits.rules.patience import Voting

SOME = settings(max_examples=50)
READINGS = [dict(exclusive=exclusive, reduce=reduce) for exclusive in (True, False) for reduce in ("max", "mean")]


def make(logits, counts=None, previous=None, doubt=None, **reading):
    units = numpy.arange(len(logits) if counts is None else len(counts))
    items = None if counts is None else numpy.arange(len(logits))
    return Evidence(
        logits, layer=2, units=units, items=items, counts=counts, previous=previous, doubt=doubt, threshold=0.4, **reading
    )


@st.composite
def groups(draw):
    counts = numpy.array(draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)))
    seed, labels = draw(st.integers(0, 10**6)), draw(st.integers(2, 4))
    chance = numpy.random.default_rng(seed)
    return counts, chance.normal(size=(2, counts.sum(), labels)) * 3, chance.uniform(size=counts.sum())


def split(values, counts):
    return numpy.split(values, numpy.cumsum(counts)[:-1])


@pytest.mark.parametrize("reading", READINGS, ids=str)
@SOME
@given(found=groups())
def test_groups_join_the_items_of_each_unit(reading, found):
    counts, logits, doubt = found
    single = make(logits[1], previous=make(logits[0], **reading), doubt=doubt, **reading)
    joined = make(logits[1], counts, previous=make(logits[0], counts, **reading), doubt=doubt, **reading)
    worst, best = (numpy.max, numpy.min) if reading["reduce"] == "max" else (numpy.mean, numpy.mean)
    for name, join in (("entropy", worst), ("doubt", worst), ("confidence", best), ("margin", best), ("agrees", numpy.all)):
        expected = [join(part) for part in split(getattr(single, name), counts)]
        numpy.testing.assert_allclose(getattr(joined, name), expected, atol=1e-12)
    for kind in ("KD", "ReKD", "SymKD", "JSKD"):
        expected = [worst(part) for part in split(single.divergence(kind), counts)]
        numpy.testing.assert_allclose(joined.divergence(kind), expected, atol=1e-12)
    assert len(joined) == len(counts)
    numpy.testing.assert_array_equal(joined.decision, single.decision)


@pytest.mark.parametrize("reading", READINGS, ids=str)
@SOME
@given(found=groups(), data=st.data())
def test_groups_keep_whole_units(reading, found, data):
    counts, logits, doubt = found
    wanted = numpy.array(data.draw(st.lists(st.booleans(), min_size=len(counts), max_size=len(counts))))
    before = make(logits[0], counts, doubt=doubt, **reading)
    kept = before.keep(wanted)
    rows = numpy.repeat(wanted, counts)
    assert kept.items.tolist() == numpy.flatnonzero(rows).tolist()
    assert kept.units.tolist() == numpy.flatnonzero(wanted).tolist()
    numpy.testing.assert_array_equal(kept.logits, logits[0][rows])
    if wanted.any():
        numpy.testing.assert_allclose(kept.entropy, before.entropy[wanted])
        numpy.testing.assert_allclose(kept.doubt, before.doubt[wanted])


def test_groups_vote_item_by_item():
    """The first unit has an item that all exits agree on and one that they do not."""
    logits = numpy.array([[[3.0, 0.0], [3.0, 0.0], [0.0, 3.0]], [[3.0, 0.0], [0.0, 3.0], [0.0, 3.0]]])
    counts = numpy.array([2, 1])
    rule = Voting(votes=2.0)
    counters = rule.start(2, 0.0)
    assert rule.step(make(logits[0], counts, exclusive=True), counters).tolist() == [0, 0]
    assert rule.step(make(logits[1], counts, exclusive=True), counters).tolist() == [0, 1]
