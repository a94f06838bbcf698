"""Candidate pairs, and the windows that they are read in."""

import re
from itertools import product

import numpy
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Span
from windows_util import get_windower

from spacy_epee.tasks.relations import candidates
from spacy_epee.tasks.relations.candidates import EntityPairs
from spacy_epee.tasks.relations.instances import find_pairs

NLP = spacy.blank("en")
SOME = settings(max_examples=60)


def make_doc(words, spans, key="all"):
    """A Doc of some words, with spans (start, end, label) in a group."""
    doc = NLP.make_doc(" ".join(words))
    assert len(doc) == len(words)
    doc.spans[key] = [Span(doc, start, end, label=label) for start, end, label in spans]
    return doc


def ask(doc, windower, **candidates):
    return find_pairs([doc], windower([doc]), EntityPairs(**{"spans_key": "all", **candidates}), {"A": 1, "B": 2})


def listed(items):
    return {(*head, *child) for head, child in zip(items.head_tokens.tolist(), items.child_tokens.tolist())}


@st.composite
def annotated(draw):
    length = draw(st.integers(1, 40))
    words = draw(st.lists(st.sampled_from(["fever", "rash", "with", "gastroenterology", "mg"]), min_size=length, max_size=length))
    spans = draw(
        st.lists(
            st.tuples(st.integers(0, length - 1), st.integers(1, 8), st.sampled_from("AB")), max_size=6, unique_by=lambda s: s
        )
    )
    return make_doc(words, [(start, min(start + size, length), label) for start, size, label in spans])


def by_hand(doc, windows):
    """All pairs of different places that reach into one window, with the wordpieces of both in the best one."""
    windows_of = [
        (start, start + length - windows.n_prefix - windows.n_suffix) for start, length in zip(windows.starts, windows.lengths)
    ]
    offsets = windows.offsets[0]
    pieces = {}
    for span in doc.spans["all"]:
        pieces[span.start, span.end] = [
            i for i, (start, end) in enumerate(offsets) if start < span.end_char and end > span.start_char
        ]
    found = {}
    for head, child in product(pieces, repeat=2):
        if head != child:
            inside = [[sum(begin <= piece < end for piece in pieces[who]) for who in (head, child)] for begin, end in windows_of]
            held = [sum(both) for both in inside if min(both) > 0]
            if held:
                found[(*head, *child)] = max(held)
    return found


@SOME
@given(doc=annotated())
def test_pairs_are_all_that_share_a_window_each_once_and_in_the_best_one(doc):
    windower = get_windower()
    windows, items = windower([doc]), ask(doc, windower)
    expected = by_hand(doc, windows)
    assert listed(items) == set(expected)
    assert len(items) >= len(expected)
    lengths = items.mentions[:, 2] - items.mentions[:, 1]
    for row, (head, child) in enumerate(zip(items.head_tokens.tolist(), items.child_tokens.tolist())):
        assert lengths[items.heads[row]] + lengths[items.children[row]] == expected[(*head, *child)]


@SOME
@given(doc=annotated())
def test_pairs_mentions_are_the_wordpieces_of_the_tokens(doc):
    windower = get_windower()
    windows, items = windower([doc]), ask(doc, windower)
    for places, ends in ((items.head_tokens, items.heads), (items.child_tokens, items.children)):
        for (start, end), mention in zip(places, ends):
            window, first, stop = items.mentions[mention]
            assert windows.n_prefix <= first < stop <= windows.lengths[window] - windows.n_suffix
            for piece in range(first, stop):
                begin, finish = windows.offsets[0][windows.starts[window] + piece - windows.n_prefix]
                assert begin < doc[start:end].end_char and finish > doc[start:end].start_char


@SOME
@given(doc=annotated())
def test_pairs_units_are_the_windows_with_pairs(doc):
    items = ask(doc, get_windower())
    used = items.mentions[items.heads, 0]
    assert (items.window_units[used] == items.units).all()
    assert sorted(set(used.tolist())) == numpy.flatnonzero(items.window_units >= 0).tolist()
    assert (numpy.diff(items.units) >= 0).all()
    assert items.counts.sum() == len(items) and (items.counts > 0).all()
    assert (items.between[:, 1] <= items.between[:, 2]).all()
    assert (items.between[:, 0] == used).all()


def test_pairs_of_an_entity_longer_than_a_window():
    words = ["fever"] * 30
    doc = make_doc(words, [(0, 30, "A"), (29, 30, "B")])
    windower = get_windower()
    assert len(windower([doc])) > 1
    items = ask(doc, windower, symmetric=True)
    assert listed(items) == {(0, 30, 29, 30)}
    assert items.mentions[items.children[0], 2] - items.mentions[items.children[0], 1] > 0


def test_pairs_of_nested_entities():
    doc = make_doc(["acute", "renal", "failure"], [(0, 3, "A"), (1, 2, "B")])
    assert listed(ask(doc, get_windower())) == {(0, 3, 1, 2), (1, 2, 0, 3)}


def test_pairs_of_entities_in_two_windows_are_left_out():
    doc = make_doc(["fever"] * 40, [(0, 1, "A"), (39, 40, "B")])
    assert len(ask(doc, get_windower())) == 0


def test_pairs_know_which_document_they_are_of():
    docs = [make_doc(["a", "b"], [(0, 1, "A"), (1, 2, "B")]) for _ in range(3)]
    docs[1] = make_doc(["a", "b"], [(0, 1, "A")])
    items = find_pairs(docs, get_windower()(docs), EntityPairs("all"), {})
    assert items.docs.tolist() == [0, 0, 2, 2] and items.unit_docs.tolist() == [0, 2]
    assert items.types.tolist() == [0, 0, 0, 0]


# Which pairs


WORDS = ["fever", "and", "rash", "on", "aspirin", ".", "No", "cough", "."]
ENTS = [(0, 1, "P"), (2, 3, "P"), (4, 5, "D"), (7, 8, "P")]


@pytest.mark.parametrize(
    "settings,expected",
    [
        ({}, 12),
        ({"symmetric": True}, 6),
        ({"labels": [["D", "P"]]}, 3),
        ({"labels": [["D", "P"]], "symmetric": True}, 3),
        ({"labels": [["D", "P"], ["P", "P"]]}, 9),
        ({"labels": [["D", "D"]]}, 0),
        ({"max_distance": 1}, 4),
        ({"max_distance": 2}, 6),
        ({"max_distance": 0}, 0),
        ({"same_sentence": True}, 6),
        ({"same_sentence": True, "labels": [["D", "P"]]}, 2),
    ],
)
def test_candidates_are_limited_by_the_settings(settings, expected):
    doc = make_doc(WORDS, ENTS)
    for token in doc:
        token.is_sent_start = token.i in (0, 6)
    assert len(ask(doc, get_windower(size=32), **settings)) == expected


def test_candidates_take_doc_ents_without_a_key():
    doc = make_doc(WORDS, ENTS)
    assert EntityPairs().spans(doc) == []
    doc.set_ents(list(doc.spans["all"]))
    assert [span.start for span in EntityPairs().spans(doc)] == [0, 2, 4, 7]


def test_candidates_of_one_place_with_two_labels_are_no_pair():
    doc = make_doc(["cold", "today"], [(0, 1, "A"), (0, 1, "B"), (1, 2, "A")])
    assert listed(ask(doc, get_windower())) == {(0, 1, 1, 2), (1, 2, 0, 1)}


def test_candidates_without_sentences_say_so():
    with pytest.raises(ValueError, match="candidates.same_sentence.*sentencizer"):
        ask(make_doc(WORDS, ENTS), get_windower(), same_sentence=True)


def test_candidates_are_bounded():
    doc = make_doc(["fever"] * 12, [(i, i + 1, "A") for i in range(12)])
    with pytest.raises(ValueError, match="candidates.max_pairs") as error:
        ask(doc, get_windower(size=64), max_pairs=131)
    assert "fever" not in str(error.value)
    assert len(ask(doc, get_windower(size=64), max_pairs=132)) == 132


def test_candidates_of_a_million_pairs_are_refused_at_once():
    doc = make_doc(["fever"] * 1500, [(i, i + 1, "A") for i in range(1500)])
    with pytest.raises(ValueError, match="more than 20000 pairs"):
        ask(doc, get_windower(size=512, overlap=64))


@pytest.mark.parametrize(
    "settings", [{"labels": []}, {"labels": ["AB"]}, {"labels": [["A"]]}, {"max_distance": -1}, {"max_pairs": 0}], ids=str
)
def test_candidates_refuse_bad_settings(settings):
    with pytest.raises(ValueError, match=re.escape(f"candidates.{next(iter(settings))}")):
        EntityPairs(**settings)


@pytest.mark.parametrize("level", ["mention", "concept"])
def test_pairs_are_the_same_in_blocks_of_any_size(level, monkeypatch):
    doc = NLP.make_doc("a b c d e f")
    doc.spans["all"] = [Span(doc, i, i + 1, label="AB"[i % 2], kb_id=str(i % 3)) for i in range(6)]
    allowed = [["A", "A"], ["A", "B"]]
    whole = listed(ask(doc, get_windower(), labels=allowed, level=level))
    monkeypatch.setattr(candidates, "BLOCK", 2)
    assert listed(ask(doc, get_windower(), labels=allowed, level=level)) == whole and whole
