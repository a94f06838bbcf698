"""Tokens of windows, spans read off tags, and pairs of spans."""

import tracemalloc

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from util import make_words
from windows_util import get_windower, make_docs

from spacy_epee.inputs.windows import Windows
from spacy_epee.tasks.events.instances import NO_NODES, TokenInstances, find_tokens
from spacy_epee.tasks.events.schema import EventSchema

SCHEMA = EventSchema(
    events=("Harm", "Change"),
    tagged=(("role", "Drug"), ("role", "Dose")),
    entities=("Problem",),
    outputs=(("role", "Drug", None), ("role", "Dose", None), ("role", "Effect", None), ("attribute", "Negated", True)),
    allowed=(
        (("event", "Harm"), ("role", "Drug"), 0),
        (("role", "Drug"), ("role", "Dose"), 1),
        (("event", "Harm"), ("entity", "Problem"), 2),
        (("event", "Change"), ("event", "Harm"), 2),
        (("event", "Harm"), ("event", "Harm"), 3),
    ),
)


def make_items(counts, **settings) -> TokenInstances:
    """Windows of some tokens, of a Doc each."""
    n = sum(counts)
    starts = numpy.concatenate([numpy.arange(count) for count in counts])
    windows = Windows([], numpy.arange(len(counts)), numpy.zeros(len(counts), dtype=int), [], 1, 1)
    return TokenInstances(
        windows=windows,
        window_units=numpy.arange(len(counts)),
        unit_docs=numpy.arange(len(counts)),
        units=numpy.repeat(numpy.arange(len(counts)), counts),
        schema=SCHEMA,
        tokens=starts,
        first=starts + 1,
        stop=starts + 2,
        own=numpy.ones(n, dtype=bool),
        opens=numpy.ones(len(counts), dtype=bool),
        closes=numpy.ones(len(counts), dtype=bool),
        given=NO_NODES,
        **settings,
    )


@st.composite
def tagged(draw):
    """Windows with spans in layers, none of which overlap within a layer."""
    counts = draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    spans = []
    offset = 0
    for unit, count in enumerate(counts):
        for layer in range(3):
            begin = 0
            while begin < count:
                begin += draw(st.integers(0, 3))
                length = draw(st.integers(1, 3))
                if begin + length <= count:
                    spans.append((unit, offset + begin, offset + begin + length, layer))
                begin += length
        offset += count
    return counts, spans


@given(tagged())
@settings(max_examples=60)
def test_event_spans_are_read_off_their_tags(drawn):
    counts, spans = drawn
    items = make_items(counts)
    tags = numpy.zeros((len(items), 3), dtype=int)
    for _, start, stop, layer in spans:
        tags[start:stop, layer] = 2
        tags[start, layer] = 1
    found = items.nodes(tags, numpy.arange(len(items)), numpy.arange(3))
    assert sorted(map(tuple, found.tolist())) == sorted(spans)


def test_event_spans_without_a_begin_are_spans_and_end_with_the_window():
    items = make_items([3, 2])
    tags = numpy.array([[0], [2], [2], [2], [0]])
    found = items.nodes(tags, numpy.arange(5), numpy.array([0]))
    assert found.tolist() == [[0, 1, 3, 0], [1, 3, 4, 0]]


def test_event_spans_of_some_windows():
    items = make_items([2, 2, 2])
    found = items.nodes(numpy.array([[1], [0], [0], [1]]), numpy.array([0, 1, 4, 5]), numpy.array([1]))
    assert found.tolist() == [[0, 0, 1, 1], [2, 5, 6, 1]]


def pairs(nodes, **settings):
    items = make_items([9, 9], **settings)
    nodes = numpy.array(nodes)
    return {(tuple(nodes[head]), tuple(nodes[child])) for head, child in items.pair(nodes)}


HARM, DRUG, DOSE, PROBLEM = (0, 0, 1, 0), (0, 2, 3, 2), (0, 3, 4, 3), (0, 5, 6, 4)


def test_event_pairs_are_those_that_the_schema_allows():
    assert pairs([HARM, DRUG, DOSE, PROBLEM]) == {(HARM, DRUG), (DRUG, DOSE), (HARM, PROBLEM), (HARM, HARM)}


def test_event_pairs_need_a_trigger_in_the_window():
    assert pairs([DRUG, DOSE, PROBLEM]) == set()


def test_event_pairs_are_of_one_window():
    other = (1, 10, 11, 2)
    assert pairs([HARM, DRUG, other]) == {(HARM, DRUG), (HARM, HARM)}


def test_event_pairs_of_a_trigger_alone_are_for_attributes_only():
    change = (0, 0, 1, 1)
    assert pairs([change, DRUG]) == set()
    items = make_items([9])
    heads = numpy.array([HARM, HARM])
    possible = items.possible(heads, numpy.array([HARM, DRUG]))
    assert possible.tolist() == [[False, False, False, True], [True, False, False, False]]


def test_event_pairs_of_two_triggers_of_one_kind_are_no_attributes():
    items = make_items([9])
    assert not items.possible(numpy.array([HARM]), numpy.array([(0, 4, 5, 0)])).any()


def test_event_pairs_keep_the_surest_spans_if_there_are_too_many():
    items = make_items([9], max_pairs=4)
    nodes = numpy.array([HARM, *((0, i, i + 1, 2) for i in range(2, 9))])
    with pytest.warns(UserWarning, match="max_pairs"):
        found = items.pair(nodes, numpy.array([1.0, *(0.1 * i for i in range(7))]).__getitem__)
    assert {int(child) for _, child in found} == {0, 7}


def test_event_pairs_of_too_many_spans_do_not_depend_on_their_order():
    nodes = numpy.array([HARM, *((0, i, i + 1, 2) for i in range(2, 9))])
    found = []
    for order in (numpy.arange(8), numpy.arange(8)[::-1]):
        with pytest.warns(UserWarning, match="max_pairs"):
            kept = make_items([9], max_pairs=4).pair(nodes[order], numpy.array([1.0, *[0.5] * 7])[order].__getitem__)
        found.append({tuple(nodes[order][place]) for place in kept.ravel()})
    assert found[0] == found[1] and len(found[0]) == 2


words = st.lists(st.sampled_from([*make_words(), ".", "\n", "  ", "penicillinum" * 4]), min_size=1, max_size=60).map(" ".join)


@given(words)
@settings(max_examples=40)
def test_event_tokens_are_their_own_in_one_window(note):
    docs = make_docs(note, "fever")
    windows = get_windower("bert", "wordpiece", 24, 6)(docs)
    items = find_tokens(docs, windows, SCHEMA, 10)
    for index, doc in enumerate(docs):
        own = items.tokens[items.own & (items.unit_docs[items.units] == index)]
        assert own.tolist() == [token.i for token in doc if not token.is_space]
    assert (items.first < items.stop).all() and (items.first >= 1).all()
    assert (items.stop <= windows.lengths[items.units] - 1).all()


@given(words, st.data())
@settings(max_examples=40)
def test_event_tokens_are_held_by_the_windows_that_have_all_of_them(note, data):
    (doc,) = docs = make_docs(note)
    items = find_tokens(docs, get_windower("bert", "wordpiece", 24, 6)(docs), SCHEMA, 10)
    start = data.draw(st.integers(0, len(doc) - 1))
    end = data.draw(st.integers(start + 1, min(start + 6, len(doc))))
    wanted = [token.i for token in doc[start:end] if not token.is_space]
    for unit in range(items.n_units):
        have = items.tokens[items.units == unit].tolist()
        begin, stop = items.place(unit, start, end)
        assert items.tokens[begin:stop].tolist() == [token for token in wanted if token in have]
        if wanted and items.holds(unit, start, end):
            assert set(wanted) <= set(have)


@given(words, st.data())
@settings(max_examples=40)
def test_event_tokens_of_windows_left_out_are_held_by_none(note, data):
    (doc,) = docs = make_docs(note)
    windows = get_windower("bert", "wordpiece", 24, 6)(docs)
    assume(len(windows))  # white space alone has none
    (whole,) = [find_tokens(docs, windows, SCHEMA, 10)]
    items = find_tokens(docs, windows.sample(24), SCHEMA, 10)
    (kept,) = [start for start in range(len(windows)) if windows.starts[start] == items.windows.starts[0]][:1]
    start = data.draw(st.integers(0, len(doc) - 1))
    end = data.draw(st.integers(start + 1, min(start + 6, len(doc))))
    assert items.holds(0, start, end) == whole.holds(kept, start, end)


@given(words, st.data())
@settings(max_examples=60)
def test_event_spans_are_found_in_the_windows_that_hold_them(note, data):
    docs = make_docs("fever", note, "rash")
    doc = docs[1]
    windows = get_windower("bert", "wordpiece", 24, data.draw(st.sampled_from([0, 6, 18])))(docs)
    items = find_tokens(docs, windows.sample(data.draw(st.sampled_from([1000, 40]))), SCHEMA, 10)
    places = st.tuples(st.integers(0, len(doc) - 1), st.sampled_from([1, 2, 3, 100]))
    spans = [(start, min(start + size, len(doc))) for start, size in data.draw(st.lists(places, max_size=8))]
    units = numpy.flatnonzero(items.unit_docs == 1).tolist()
    expected = [[place for place, span in enumerate(spans) if items.holds(unit, *span)] for unit in units]
    assert items.held(1, spans) == expected
    touched = [[place for place, span in enumerate(spans) if len(range(*items.place(unit, *span)))] for unit in units]
    for found, wanted in zip(items.held(1, spans, whole=False), touched):
        assert set(wanted) <= set(found)  # of white space alone there is nothing in any


@given(st.lists(st.integers(0, 4), max_size=30))
@settings(max_examples=100)
def test_event_pairs_are_counted_without_making_them(kinds):
    kinds = numpy.array(kinds, dtype="int64")
    items = make_items([3])
    total, partners = items._count_pairs(kinds)
    wanted = items._linkable(kinds)
    assert total == wanted.sum()
    assert (partners | ~(wanted.any(axis=0) | wanted.any(axis=1))).all()
    assert items._linkable(kinds[partners]).sum() == total


def test_event_pairs_of_thousands_of_spans_take_no_room_for_those_that_cannot_be_linked():
    items = make_items([9])
    nodes = numpy.array([HARM, DRUG, *[(0, i % 9, i % 9 + 1, 3) for i in range(50_000)]])
    nodes[2:, 3] = 1  # "Change" has no links to itself or to drugs
    with pytest.warns(UserWarning, match="50002 spans"):  # but "Change" is linked to "Harm"
        items.pair(nodes)
    nodes = numpy.array([HARM, DRUG, *[(0, i % 9, i % 9 + 1, 2) for i in range(4_000)]])
    tracemalloc.start()
    try:
        assert len(items.pair(nodes)) == 4_002
        assert tracemalloc.get_traced_memory()[1] < 300e6
    finally:
        tracemalloc.stop()
