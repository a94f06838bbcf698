"""Annotation in extension attributes, and what other components do to Docs that have it."""

import copy
import pickle

import pytest
import spacy
from events_util import make_example as make_events_example
from relations_util import TEXTS, make_example, make_relations_nlp
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from util import make_examples, make_nlp

from spacy_epee.displacy import parse_relations
from spacy_epee.doc_attributes import annotate, annotation, copy_doc, spans_of
from spacy_epee.tasks.events.docs import Event
from spacy_epee.tasks.events.scorer import score_events
from spacy_epee.tasks.relations.docs import Relation
from spacy_epee.tasks.relations.scorer import score_relations
from spacy_epee.tasks.relations.task import install_extensions

TEXT = "The New York nurse saw a rash from aspirin."


@pytest.fixture
def nlp():
    return spacy.blank("en")


@pytest.fixture
def doc(nlp):
    install_extensions()
    doc = nlp(TEXT)
    doc.ents = [Span(doc, 1, 3, label="GPE"), Span(doc, 6, 7, label="Problem"), Span(doc, 8, 9, label="Drug")]
    doc._.relations = [{"head": [8, 9], "child": [6, 7], "label": "CAUSES", "score": 1.0}]
    return doc


def words(doc):
    return [(relation.head.text, relation.label, relation.child.text) for relation in Relation.of(doc)]


def merge(doc, start, end):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[start:end])


def test_annotation_keeps_its_words_when_entities_are_merged(nlp, doc):
    doc = nlp.add_pipe("merge_entities")(doc)
    assert words(doc) == [("aspirin", "CAUSES", "rash")]
    assert [doc[slice(*entry["head"])].text for entry in doc._.relations] == ["aspirin"]
    assert parse_relations(doc)["arcs"] == [{"start": 5, "end": 7, "label": "CAUSES", "dir": "left"}]


def test_annotation_keeps_its_words_when_a_token_is_split(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[3], ["nur", "se"], heads=[(doc[3], 1), doc[2]])
    assert words(doc) == [("aspirin", "CAUSES", "rash")]


def test_annotation_scores_by_the_characters_of_before(nlp, doc):
    reference = copy_doc(doc)
    merge(doc, 5, 8)  # "a rash from", in which a token cannot say where the rash is
    assert words(doc) == [("aspirin", "CAUSES", "a rash from")]
    fresh = copy_doc(doc)
    assert score_relations([Example(doc, reference)])["rel_micro_f"] == 1.0
    assert score_relations([Example(reference, fresh)])["rel_micro_f"] == 1.0


def test_annotation_can_be_added_to_after_tokens_were_merged(doc):
    merge(doc, 1, 3)
    doc._.relations.append({"head": [1, 2], "child": [5, 6], "label": "AT", "score": 1.0})
    assert words(doc) == [("aspirin", "CAUSES", "rash"), ("New York", "AT", "rash")]
    merge(doc, 3, 5)
    assert words(doc) == [("aspirin", "CAUSES", "rash"), ("New York", "AT", "rash")]


def test_annotation_that_is_set_after_tokens_were_merged_counts_those(doc):
    merge(doc, 1, 3)
    doc._.relations = [{"head": [7, 8], "child": [5, 6], "label": "CAUSES", "score": 1.0}]
    assert words(doc) == [("aspirin", "CAUSES", "rash")]


@pytest.mark.parametrize(
    "through",
    [
        Doc.copy,
        copy_doc,
        copy.deepcopy,
        lambda doc: pickle.loads(pickle.dumps(doc)),
        lambda doc: Doc(doc.vocab).from_bytes(doc.to_bytes()),
        lambda doc: next(iter(DocBin(docs=[doc], store_user_data=True).get_docs(doc.vocab))),
    ],
)
def test_annotation_keeps_its_words_through_copies(doc, through):
    copied = through(doc)
    merge(copied, 1, 3)
    again = through(copied)
    assert words(copied) == words(again) == words(doc) == [("aspirin", "CAUSES", "rash")]


def test_annotation_without_the_tokens_of_before_is_taken_as_it_is(doc):
    """As in files of an older version."""
    doc.user_data = {("._.", "relations", None, None): doc.user_data["._.", "relations", None, None]}
    assert words(doc) == [("aspirin", "CAUSES", "rash")]


def test_annotation_of_another_text_is_refused(nlp, doc):
    other = nlp("Another text of as many words as that one.")
    other.user_data = dict(doc.user_data)
    with pytest.raises(ValueError, match="set on another text") as caught:
        Relation.of(other)
    assert "aspirin" not in str(caught.value)


def test_annotation_of_a_part_of_a_doc_is_not_known(doc):
    for with_data in (False, True):
        assert annotation(doc[3:8].as_doc(copy_user_data=with_data), "relations") is None


def test_annotation_of_events_keeps_its_words(nlp):
    example = make_events_example(nlp, "She got a severe rash from aspirin 100 mg daily.")
    doc, reference = copy_doc(example.reference), example.reference
    before = [(event.trigger.text, [argument.span.text for argument in event.arguments]) for event in Event.of(doc)]
    merge(doc, 0, 2)
    after = [(event.trigger.text, [argument.span.text for argument in event.arguments]) for event in Event.of(doc)]
    assert before == after == [("from", ["severe rash", "aspirin 100 mg", "100 mg"])]
    assert score_events([Example(doc, reference)])["ev_f"] == score_events([Example(reference, doc)])["ev_f"] == 1.0


def test_spans_of_a_group_keep_their_words_when_tokens_are_merged(doc):
    doc.spans["entities"] = list(doc.ents)
    merge(doc, 1, 3)
    assert [span.text for span in spans_of(doc, "entities")] == ["New York", "rash", "aspirin"]
    assert [span.label_ for span in spans_of(doc, "entities")] == ["GPE", "Problem", "Drug"]


def test_component_relates_the_words_of_a_group_after_tokens_were_merged(backbone):
    nlp = make_relations_nlp(backbone)
    pipe = nlp.get_pipe("epee_relations")
    doc = make_example(nlp, TEXTS[0]).predicted
    doc.spans["entities"] = list(doc.ents)
    pipe.slots["relations"].task.candidates = type(pipe.slots["relations"].task.candidates)(spans_key="entities")
    merge(doc, 7, 9)
    items = pipe.make_instances([doc])
    heads = {doc[start:end].text for start, end in items.head_tokens.tolist()}
    assert heads == {span.text for span in doc.ents}


@pytest.mark.parametrize("kind", ["getter", "method"])
def test_extension_of_another_package_that_hides_ours_is_refused(kind):
    Doc.set_extension("relations", **{kind: lambda doc: "theirs"}, force=True)
    try:
        with pytest.raises(ValueError, match=f"`doc._.relations` with a {kind}"):
            install_extensions()
    finally:
        Doc.remove_extension("relations")
        install_extensions()


@pytest.mark.parametrize("name", ["exits", "relations"])
def test_extension_of_another_package_with_another_default_does_no_harm(backbone, name):
    nlp = make_relations_nlp(backbone)
    kept = dict(zip(("default", "method", "getter", "setter"), Doc.get_extension(name)))
    Doc.set_extension(name, default=None, force=True)
    try:
        doc = nlp.get_pipe("epee_relations")(make_example(nlp, TEXTS[0]).predicted)
        assert doc._.exits["epee_relations"] and isinstance(doc._.relations, list)
        assert isinstance(nlp.evaluate([make_example(nlp, TEXTS[0])])["exit_layer"], float)
    finally:
        Doc.set_extension(name, **{key: value for key, value in kept.items() if value is not None}, force=True)


def test_extension_with_our_default_becomes_ours():
    Doc.set_extension("relations", default=[], force=True)
    install_extensions()
    assert Doc.get_extension("relations")[2] is not None


def test_extension_with_a_value_of_another_kind_is_refused(doc):
    doc.user_data["._.", "relations", None, None] = "rash from aspirin"
    with pytest.raises(ValueError, match="is no list of objects") as caught:
        annotation(doc, "relations")
    assert "aspirin" not in str(caught.value)


@pytest.fixture
def with_spans():
    Doc.set_extension("abbreviations", default=[], force=True)
    yield
    Doc.remove_extension("abbreviations")


def test_spans_in_an_extension_do_not_break_copies(doc, with_spans):
    doc._.abbreviations = [doc[0:1]]
    copied = copy_doc(doc)
    assert words(copied) == words(doc) and copied._.abbreviations == doc._.abbreviations
    annotate(copied, "relations", [])
    assert words(doc)


def test_component_is_scored_trained_and_initialized_behind_one_that_leaves_spans(backbone, with_spans):
    def leave(doc):
        doc._.abbreviations = [doc[0:1]]
        return doc

    Language.component("leave_spans", func=leave)
    nlp = make_nlp(backbone, exit={"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.5, "patience": 2})
    nlp.add_pipe("leave_spans", first=True)
    examples = make_examples(nlp, nlp.get_pipe("epee_textcat").labels)
    assert nlp.evaluate(examples)["cats_full"] is not None
    assert nlp.update(examples, annotates=["leave_spans"])["epee_textcat"] > 0
    for eg in examples:
        leave(eg.predicted)
    nlp.get_pipe("epee_textcat").initialize(lambda: examples, nlp=nlp)
