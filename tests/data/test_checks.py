"""Spans of characters become spans of tokens."""

import time

import pytest
import spacy
from growth_util import growth
from hypothesis import given
from hypothesis import strategies as st

from spacy_epee.data.checks import Aligner, may_be_label
from spacy_epee.data.docs import annotate_doc

NLP = spacy.blank("en")


@given(text=st.text("ab .\n-(", min_size=1, max_size=25), data=st.data())
def test_spans_are_those_that_spacy_finds(text, data):
    doc = NLP.make_doc(text)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    for align in ("expand", "strict"):
        expected = doc.char_span(start, end, label="A", alignment_mode=align)
        if expected is not None and expected.end > expected.start:
            assert Aligner(doc, align)(start, end, "A", "row 1") == expected
        else:
            with pytest.raises(ValueError, match=f"row 1: the characters {start} to {end}"):
                Aligner(doc, align)(start, end, "A", "row 1")


def test_what_is_set_is_not_advised():
    with pytest.raises(ValueError) as expand:
        Aligner(NLP.make_doc("a b"), "expand")(1, 2, "A", "row 1")
    with pytest.raises(ValueError, match='`align = "expand"`'):
        Aligner(NLP.make_doc("fever"), "strict")(0, 2, "A", "row 1")
    assert "expand" not in str(expand.value)


@pytest.mark.parametrize(
    "value", ["", " ", "\t", "\xa0", "a\nb", "a\n", "a\u2028b", "a" * 101, None, True, 1, ["a"], float("nan")]
)
def test_junk_is_no_label(value):
    assert not may_be_label(value)


def seconds(function, *args):
    start = time.process_time()
    function(*args)
    return time.process_time() - start


def annotate(row):
    annotate_doc(NLP, row, "row 1", spans_key="all")


def with_entities(count):
    ents = [{"id": number, "start": 6 * number, "end": 6 * number + 5, "label": "A"} for number in range(count)]
    return {
        "text": "fever " * count,
        "ents": ents,
        "relations": [{"head": n, "child": n - 1, "label": "B"} for n in range(1, count)],
    }


def with_events(count):
    events = [
        {"trigger": {"start": 6 * n, "end": 6 * n + 5}, "label": "A", "arguments": [{"role": "B", "ent": n}]}
        for n in range(count)
    ]
    return {**with_entities(count), "events": events}


def with_arguments(parent):
    def make(count):
        arguments = [{"role": "B", "ent": number, "parent": parent(number)} for number in range(count)]
        return {**with_entities(count), "events": [{"trigger": {"start": 0, "end": 5}, "label": "A", "arguments": arguments}]}

    return make


@pytest.mark.parametrize(
    "make",
    [
        with_entities,
        with_events,
        with_arguments(lambda number: None),
        with_arguments(lambda number: number - 1 if number else None),
    ],
    ids=["entities", "events", "arguments", "chain of arguments"],
)
def test_time_grows_as_the_row_does(make):
    assert growth(lambda count: annotate(make(count)), 2000) < 12, "four times as many took three times as long as they should"


def test_arguments_of_4000_parents_by_role_take_less_than_seconds():
    count = 4000
    arguments = [
        {"role": "B", "ent": n, "parent": None} if n % 2 else {"role": "C", "ent": n, "parent": "B"} for n in range(count)
    ]
    row = {**with_entities(count), "events": [{"trigger": {"start": 0, "end": 5}, "label": "A", "arguments": arguments}]}
    assert seconds(annotate, row) < 5
