"""What readers see as one character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_epee.data.formats.countings import Quote, find_counting
from spacy_epee.data.formats.graphemes import starts_of, widths_of

regex = pytest.importorskip("regex")

FAMILY, FLAG, THUMB = "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd"
SIGNS = [
    "a",
    " ",
    "\r",
    "\n",
    "e\u0301",
    "é",
    FAMILY,
    FLAG,
    FLAG[0],
    THUMB,
    "\u2764\ufe0f",
    "\u200d",
    "नी",
    "1\ufe0f\u20e3",
    "日",
]
KOREAN_AND_THAI = ["각", "\u1100", "\u1161", "\u11a8", "กำ"]


@given(st.lists(st.sampled_from(SIGNS + KOREAN_AND_THAI), max_size=12).map("".join))
def test_they_are_those_of_unicode(text):
    expected = {found.start() for found in regex.finditer(r"\X", text)} | {len(text)} | {0}
    assert set(starts_of(text).nonzero()[0].tolist()) == expected
    assert widths_of(text).sum() == len(expected) - 1


@pytest.mark.parametrize(
    "text, spans, counting",
    [
        (f"{FAMILY} rash", [(2, 6)], "grapheme clusters"),
        (f"{FLAG} {THUMB} rash, fever {FLAG}\r\nchills", [(4, 8), (10, 15), (18, 24)], "grapheme clusters"),
        ("Cafe\u0301 and rash", [(0, 4), (9, 13)], "grapheme clusters"),
        ("Cafe\u0301 and rash", [(0, 5), (10, 14)], "characters"),
        (f"{FAMILY} rash", [(9, 13)], "UTF-16 units"),
        (f"{FAMILY} rash", [(6, 10)], "characters"),
        (f"{FLAG} rash", [(0, 1)], "grapheme clusters"),
    ],
)
def test_offsets_of_spans_that_count_them_are_understood_by_the_words(text, spans, counting):
    found, place = find_counting(text, [Quote(start, end, None, "T1") for start, end in spans])
    assert found == counting
    for start, end in spans:
        assert text[place(start) : place(end)].strip() == text[place(start) : place(end)]
