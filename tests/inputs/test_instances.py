"""Items and the units that they leave in."""

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_epee.inputs.instances import Instances, whole_docs
from spacy_epee.inputs.ranges import firsts, ranges
from spacy_epee.inputs.windows import Windows


def make_windows(docs, lengths, n_docs):
    return Windows(
        ids=[numpy.zeros(length, dtype="int64") for length in lengths],
        docs=numpy.array(docs, dtype="int64"),
        starts=numpy.zeros(len(docs), dtype="int64"),
        offsets=[numpy.zeros((0, 2), dtype="int64")] * n_docs,
        n_prefix=1,
        n_suffix=1,
    )


def test_items_of_whole_docs_are_the_docs():
    items = whole_docs(make_windows([0, 0, 2], [5, 6, 7], 4))
    assert items.one_each and len(items) == items.n_units == 4
    assert items.lengths.tolist() == [11, 0, 7, 0]
    assert items.live.tolist() == [0, 2]
    assert items.by_doc() == [[0], [1], [2], [3]]


@settings(max_examples=50)
@given(data=st.data())
def test_items_of_units(data):
    counts = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=8))
    units = numpy.repeat(numpy.arange(len(counts)), counts)
    docs = numpy.array(data.draw(st.lists(st.integers(0, 3), min_size=len(counts), max_size=len(counts))))
    windows = make_windows(sorted(docs), [4] * len(counts), 4)
    items = Instances(windows, numpy.arange(len(counts)), docs, units)
    chosen = numpy.array(sorted(data.draw(st.sets(st.integers(0, len(counts) - 1)))), dtype=int)
    assert items.of_units(chosen).tolist() == [i for i, unit in enumerate(units) if unit in chosen]
    assert items.counts.tolist() == counts
    assert items.live.tolist() == [unit for unit, count in enumerate(counts) if count]
    assert items.by_doc() == [numpy.flatnonzero(docs == doc).tolist() for doc in range(4)]


def test_items_leave_windows_without_a_unit_out():
    items = Instances(make_windows([0, 0, 1], [5, 6, 7], 2), numpy.array([-1, 0, 1]), numpy.array([0, 1]), numpy.array([0, 0, 1]))
    assert items.lengths.tolist() == [6, 7] and not items.one_each


@given(counts=st.lists(st.integers(0, 4), max_size=8))
def test_firsts_and_ranges_are_those_of_what_lies_one_behind_the_other(counts):
    begins = firsts(numpy.array(counts, dtype="int64"))
    assert begins.tolist() == [sum(counts[:owner]) for owner in range(len(counts))]
    assert ranges(begins, numpy.array(counts, dtype="int64")).tolist() == list(range(sum(counts)))


@settings(max_examples=50)
@given(data=st.data())
def test_settled_items_are_of_no_unit_that_climbs(data):
    counts = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=8))
    units = numpy.repeat(numpy.arange(len(counts)), counts)
    windows = make_windows([0] * len(counts), [4] * len(counts), 1)
    items = Instances(windows, numpy.arange(len(counts)), numpy.zeros(len(counts), dtype=int), units)
    every = numpy.arange(len(counts))
    assert items.of_units(every).tolist() == list(range(len(units)))
    settled = numpy.array(data.draw(st.lists(st.booleans(), min_size=len(units), max_size=len(units))), dtype=bool)
    items.settle(settled)
    assert items.of_units(every).tolist() == numpy.flatnonzero(~settled).tolist()
    assert items.live.tolist() == sorted(set(units[~settled].tolist()))
    for unit in every:
        assert items.of_units(numpy.array([unit])).tolist() == numpy.flatnonzero(~settled & (units == unit)).tolist()
