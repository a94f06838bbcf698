"""Entities that are left out by an attribute, and candidates among which there is no pair."""

import warnings

import pytest
import spacy
from relations_util import TEXTS, make_relations_nlp, tag
from spacy.tokens import Span

from spacy_epee.tasks.relations.candidates import EntityPairs


@pytest.fixture
def negated():
    """Entities behind "No" are negated."""
    Span.set_extension("negated_here", getter=lambda span: span.doc[max(span.start - 1, 0)].text == "No", force=True)
    yield "negated_here"
    Span.remove_extension("negated_here")


def test_entities_of_which_an_attribute_is_true_are_left_out(negated):
    doc = tag(spacy.blank("en").make_doc(TEXTS[1]))  # No rash on warfarin.
    every, others = (EntityPairs(leave_out=names).spans(doc) for names in (None, [negated]))
    assert [span.text for span in every if span not in others] == ["rash"]
    assert [span for span in every if span in others] == others


def test_values_that_a_component_has_set_count(backbone):
    Span.set_extension("historical_here", default=False, force=True)
    nlp = make_relations_nlp(backbone, candidates={"leave_out": ["historical_here"]})
    pipe = nlp.get_pipe("epee_relations")
    doc = tag(nlp.make_doc(TEXTS[0]))
    whole = len(pipe.make_instances([doc]))
    doc.ents[0]._.historical_here = True
    assert 0 < len(pipe.make_instances([doc])) < whole
    Span.remove_extension("historical_here")


def test_an_attribute_that_spans_do_not_have_is_refused():
    doc = tag(spacy.blank("en").make_doc(TEXTS[0]))
    with pytest.raises(ValueError, match="candidates.leave_out.*'negex'"):
        EntityPairs(leave_out=["negex"]).spans(doc)


def test_it_is_saved_and_loaded(backbone, negated, tmp_path):
    nlp = make_relations_nlp(backbone, candidates={"leave_out": [negated]})
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe("epee_relations").slot().task.candidates.leave_out == [negated]


@pytest.mark.parametrize("candidates", [{"labels": [["Gene", "Variant"]]}, {"max_distance": 0}])
def test_if_no_pair_is_allowed_that_is_said_once(backbone, candidates):
    nlp = make_relations_nlp(backbone, spread=False)
    pipe = nlp.get_pipe("epee_relations")
    pipe.slot().task.candidates = EntityPairs(**candidates)
    docs = [tag(nlp.make_doc(TEXTS[0])) for _ in range(24)]
    with pytest.warns(UserWarning, match="candidates.labels") as said:
        for doc in docs:
            pipe(doc)
    assert len(said) == 1
    assert not any("Aspirin" in str(warning.message) for warning in said)


def test_nothing_is_said_where_there_are_pairs_or_no_two_entities(backbone):
    nlp = make_relations_nlp(backbone)
    pipe = nlp.get_pipe("epee_relations")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in [TEXTS[4]] * 12 + [TEXTS[0]] + [TEXTS[4]] * 12:
            pipe(tag(nlp.make_doc(text)))
