import warnings
from types import SimpleNamespace

import numpy
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from sections_util import NOTE, find_sections, set_sections
from spacy.tokens import Doc
from util import make_tokenizer

from spacy_epee.inputs.sections import Sections
from spacy_epee.inputs.windows import Windower

NLP = spacy.blank("en")


def make_windower(*names, size=24, **settings):
    return Windower(make_tokenizer(), size, 4, Sections([*names], "sections", **settings))


def test_sections_are_cut_as_if_a_note_was_nothing_else():
    doc = find_sections(NLP.make_doc(NOTE))
    windows = make_windower("assessment")([doc])
    alone = Windower(make_tokenizer(), 24, 4)([NLP.make_doc(doc.spans["sections"][1].text)])
    assert [ids.tolist() for ids in windows.ids] == [ids.tolist() for ids in alone.ids]
    assert (windows.offsets[0] - doc.spans["sections"][1].start_char == alone.offsets[0]).all()


def test_sections_are_read_one_behind_the_other_and_each_word_once():
    doc = set_sections(NLP.make_doc(NOTE), ("a", 8, 12), ("b", 2, 5), ("a", 10, 14), ("c", 0, 20))
    parts = Sections(["a", "b"], "sections").parts(doc)
    assert [(part.start, part.end) for part in parts] == [(2, 5), (8, 14)]
    assert [token.text for token in Sections(["a", "b"], "sections").shorten([doc])[0]] == [
        doc[i].text for i in (2, 3, 4, *range(8, 14))
    ]


@pytest.mark.parametrize("missing, read", [("whole", True), ("nothing", False)])
def test_notes_without_the_sections_are_read_whole_or_not_at_all(missing, read):
    doc = find_sections(NLP.make_doc(NOTE))
    windows = make_windower("allergies", missing=missing)([doc, doc])
    whole = Windower(make_tokenizer(), 24, 4)([doc, doc])
    assert len(windows) == (len(whole) if read else 0)
    [short] = Sections(["allergies"], "sections", missing).shorten([doc])
    assert len(short) == (len(doc) if read else 0)


def test_sections_of_medspacy_are_read_by_their_category():
    added = not Doc.has_extension("sections")
    if added:
        Doc.set_extension("sections", default=[])
    try:
        doc = NLP.make_doc(NOTE)
        doc._.sections = [
            SimpleNamespace(category=category, section_span=place) for category, place in ((None, (0, 3)), ("plan", (5, 9)))
        ]
        assert [part.start for part in Sections(["plan"]).parts(doc)] == [5]
        assert [part.start for part in Sections([""]).parts(doc)] == [0]
    finally:
        if added:
            Doc.remove_extension("sections")


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=6), st.integers(10, 60))
def test_offsets_are_those_of_the_note(places, size):
    doc = NLP.make_doc(NOTE)
    places = [("a", start, min(start + length, len(doc))) for start, length in places if start < len(doc)]
    doc = set_sections(doc, *places)
    windows = Windower(TOKENIZER, size, 2, Sections(["a"], "sections", "nothing"))([doc])
    read = {character for _, start, end in places for character in range(doc[start].idx, doc[end - 1].idx + len(doc[end - 1]))}
    seen = {character for start, end in windows.offsets[0].tolist() for character in range(start, end)}
    assert seen == {character for character in read if not NOTE[character].isspace()}
    assert (numpy.diff(windows.offsets[0][:, 0]) >= 0).all()


TOKENIZER = make_tokenizer()


def test_a_warning_is_given_once_if_no_note_has_the_sections():
    windower = make_windower("allergies")
    with pytest.warns(
        UserWarning, match=r"none of the sections \['allergies'\] in `doc.spans\['sections'\]`, and are read whole"
    ):
        windower([NLP.make_doc(NOTE)] * 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        windower([NLP.make_doc(NOTE)] * 10)
        make_windower("plan")([find_sections(NLP.make_doc(NOTE))] * 20)


@pytest.mark.parametrize("settings", [{"names": []}, {"names": "plan"}, {"names": ["plan"], "missing": "error"}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match="The setting `sections."):
        Sections(**settings)


def test_sections_that_nobody_finds_are_an_error():
    if not Doc.has_extension("sections"):
        with pytest.raises(ValueError, match="medspacy_sectionizer"):
            Sections(["plan"]).find(NLP.make_doc(NOTE))
