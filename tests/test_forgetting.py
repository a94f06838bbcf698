"""Tables of words do not grow with the words that were in them."""

import pytest
import spacy
from spacy.attrs import NORM

from spacy_epee import forgetting
from spacy_epee.forgetting import forget_words, shrink


def make_words(first, count):
    return " ".join(f"word{number}" for number in range(first, first + count))


@pytest.fixture
def nlp(monkeypatch):
    monkeypatch.setattr(forgetting, "WORDS", 2000)
    return spacy.blank("en")


def read(nlp, times, count=500):
    for number in range(times):
        with forget_words(nlp):
            assert len(nlp(make_words(number * count, count))) == count


def test_tables_stay_as_large_as_after_the_first_words(nlp):
    read(nlp, 20)
    before = nlp.vocab.strings._map.capacity
    read(nlp, 60)
    assert nlp.vocab.strings._map.capacity <= before and len(nlp.vocab) < 4000


def test_tables_grow_where_words_are_not_forgotten_by_us(nlp):
    before = nlp.vocab.strings._map.capacity
    for number in range(40):
        with nlp.memory_zone():
            nlp(make_words(number * 500, 500))
    assert nlp.vocab.strings._map.capacity > 2 * before


def test_texts_are_read_as_before(nlp):
    text = "Don't give 5mg b.i.d. to Mr. O'Neill (e.g. at 10p.m.), he's allergic."
    attributes = ["ORTH", "LOWER", "NORM", "SHAPE", "IS_STOP", "LIKE_NUM", "PREFIX", "SUFFIX"]
    expected = nlp(text).to_array(attributes)
    read(nlp, 10)
    assert (nlp(text).to_array(attributes) == expected).all()


def test_what_somebody_changed_about_a_word_stays(nlp):
    nlp.vocab["fever"].is_stop = True
    nlp.vocab["pt"].norm_ = "patient"
    flag = nlp.vocab.add_flag(lambda text: text == "nothing")
    nlp.vocab["rash"].set_flag(flag, True)
    shrink(nlp.vocab)
    shrink(nlp.vocab)
    doc = nlp("The pt has fever and rash")
    assert doc[3].is_stop and doc[1].norm_ == "patient" and doc[5].check_flag(flag) and not doc[4].check_flag(flag)


def test_words_of_a_doc_that_is_kept_are_still_there(nlp):
    doc = nlp("A rash and urticaria")
    read(nlp, 10)
    assert [token.text for token in doc] == ["A", "rash", "and", "urticaria"] and doc[1].lower_ == "rash"


def test_how_norms_are_found_does_not_get_deeper(nlp):
    nlp.vocab.lookups.add_table("lexeme_norm", {"colour": "color"})
    before = nlp.vocab.lex_attr_getters[NORM]
    shrink(nlp.vocab)
    assert nlp.vocab.lex_attr_getters[NORM] is before


def test_matchers_find_what_they_found(nlp):
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "DRUG", "pattern": "aspirin"}, {"label": "DATE", "pattern": [{"SHAPE": "dd.dd"}]}])
    before = [ent.text for ent in nlp("On 12.10 aspirin").ents]
    read(nlp, 10)
    assert [ent.text for ent in nlp("On 12.10 aspirin").ents] == before == ["12.10", "aspirin"]
