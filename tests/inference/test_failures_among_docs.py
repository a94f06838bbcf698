"""Docs that cannot be answered are found among others."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_epee.doc_attributes import EXITS
from spacy_epee.inference.failures import answer_all, check_docs, mark_unanswered
from spacy_epee.inputs.windows import NotFinite


def run(bad, size, named):
    """Answer numbers in the place of Docs, some of which cannot be."""
    answered, refused = [], []

    def answer(docs):
        failed = [place for place, doc in enumerate(docs) if doc in bad]
        if failed:
            raise NotFinite("these", failed) if named else ValueError("some")
        answered.extend(docs)

    kept = answer_all(list(range(size)), answer, lambda docs, error: refused.extend(docs))
    assert sorted(answered) == sorted(kept)
    return kept, refused


@given(st.sets(st.integers(0, 11)), st.integers(1, 12), st.booleans())
def test_every_doc_is_answered_or_refused_once_and_in_order(bad, size, named):
    kept, refused = run(bad, size, named)
    assert kept == [doc for doc in range(size) if doc not in bad]
    assert refused == [doc for doc in range(size) if doc in bad]


def test_what_refuses_may_stop_the_work():
    def answer(docs):
        raise ValueError("all")

    def refuse(docs, error):
        raise error

    with pytest.raises(ValueError, match="all"):
        answer_all([1, 2, 3], answer, refuse)


def test_docs_are_marked_beside_the_answers_of_others():
    doc, spoilt = (spacy.blank("en").make_doc("fever") for _ in range(2))
    doc.user_data[EXITS], spoilt.user_data[EXITS] = {"other": {}}, "text"
    mark_unanswered([doc, spoilt, "text"], "epee", ["kind"])
    assert doc.user_data[EXITS].keys() == {"other", "epee"} and doc.user_data[EXITS]["epee"]["kind"]["uncertain"]
    assert spoilt.user_data[EXITS] == "text"


def test_a_text_in_the_place_of_a_doc_is_refused_without_the_text():
    with pytest.raises(ValueError, match="'epee' was given a str") as caught:
        check_docs([spacy.blank("en").make_doc("fever"), "a private note"], "epee")
    assert "private" not in str(caught.value)
