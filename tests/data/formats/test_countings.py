import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_epee.data.formats.countings import COUNTINGS, Quote, find_counting, fits


@pytest.mark.parametrize(
    "text, offset, counting",
    [
        ("Fever, rash", 7, "characters"),
        ("Fever\n\nand rash", 13, "line ends as two characters"),
        ("Fever\r\n\r\nand rash", 11, "line ends as one character"),
        ("Fever \U0001f600 and rash", 13, "UTF-16 units"),
        ("Fièvre, rash", 9, "bytes of UTF-8"),
    ],
)
def test_offsets_are_understood(text, offset, counting):
    found, place = find_counting(text, [Quote(offset, offset + 4, "rash", "T1")])
    start, end = place(offset), place(offset + 4)
    assert found == counting and text[start:end] == "rash"


@pytest.mark.parametrize(
    "text, spans, counting",
    [
        ("Fever, rash", [(7, 11)], "characters"),
        ("Fever \U0001f600 and rash", [(8, 12)], "characters"),
        ("Fever \U0001f600 and rash \U0001f600 today", [(9, 12), (13, 17), (21, 26)], "UTF-16 units"),
        ("\U0001f600 rash", [(3, 7)], "UTF-16 units"),
        ("Fever\r\n\r\nand rash", [(0, 5), (11, 15)], "line ends as one character"),
        # Parts of words are annotated: nothing says that it is otherwise.
        ("\U0001f600 hypertension", [(2, 7)], "characters"),
        ("\U0001f600 fever and hypertension", [(2, 7), (12, 17), (18, 19)], "characters"),
        ("Fever\n\nhypertension, rash", [(7, 12)], "characters"),
        ("\U0001f600病人有皮疹", [(4, 6)], "characters"),
    ],
)
def test_offsets_of_spans_without_a_text_are_understood_by_the_words(text, spans, counting):
    assert find_counting(text, [Quote(start, end, None, "T1") for start, end in spans])[0] == counting


def test_offsets_that_fit_no_counting_are_refused_without_a_text():
    with pytest.raises(ValueError, match="^a.ann, line 2: .* at 10 to 15 ") as caught:
        quotes = [Quote(0, 5, "Fever", "a.ann, line 1"), Quote(10, 15, "rash", "a.ann, line 2")]
        find_counting("Fever and cough and rash today.", quotes)
    assert not any(word in str(caught.value) for word in ("rash", "cough", "Fever", "today"))


def test_an_offset_inside_a_character_has_no_place():
    _, place = find_counting("\U0001f600 rash", [Quote(3, 7, "rash", "T1")])
    assert place(1) is None and place(8) is None and place(7) == 6


def test_what_tools_clean_is_no_other_text():
    assert not fits("rash" + " " * 1000, 0, 1004, "rash")
    assert fits("severe\n skin  rash", 0, 18, "Severe skin rash") and not fits("rash", 0, 4, "rush")


@given(
    text=st.text("abc é\u20ac\U0001f600\r\n", min_size=1),
    counting=st.sampled_from(sorted(COUNTINGS)),
    marked=st.booleans(),
    data=st.data(),
)
def test_spans_of_any_counting_are_found_with_their_texts(text, counting, marked, data):
    before = numpy.concatenate(([0], numpy.cumsum(COUNTINGS[counting]("\ufeff" * marked + text))))[int(marked) :]
    places = st.integers(0, len(text)).filter(lambda place: list(before).index(before[place]) == place)
    spans = [sorted(span) for span in data.draw(st.lists(st.tuples(places, places), max_size=3)) if span[0] != span[1]]
    quotes = [Quote(int(before[start]), int(before[end]), text[start:end], "T") for start, end in spans]
    _, place = find_counting(text, quotes, marked)
    # Another counting may fit as well, and then the texts are the same.
    assert all(fits(text, place(quote.start), place(quote.end), quote.text) for quote in quotes)
