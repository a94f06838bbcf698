"""Entries of `doc._.relations` and `doc._.events` that leave fields out, or point to what is not there."""

import pytest
import spacy
from spacy.training import Example

from spacy_epee.displacy import render_events
from spacy_epee.doc_attributes import annotation
from spacy_epee.tasks.events.docs import install_extensions as install_events
from spacy_epee.tasks.events.grouping import join_events
from spacy_epee.tasks.events.schema import SchemaBuilder
from spacy_epee.tasks.events.scorer import score_events
from spacy_epee.tasks.relations.docs import install_extensions as install_relations
from spacy_epee.tasks.relations.scorer import score_relations

ARGUMENT = {"role": "Drug", "span": [1, 2], "score": 1.0, "parent": None, "event": None}


def make_doc(*events, text="Aspirin caused a rash."):
    install_events()
    doc = spacy.blank("en")(text)
    doc._.events = [*events]
    return doc


def event(**fields):
    return {"trigger": [1, 2], "label": "Harm", "score": 1.0, "arguments": [dict(ARGUMENT)], "attributes": {}, **fields}


def without(entry, *names):
    return {name: value for name, value in entry.items() if name not in names}


@pytest.mark.parametrize("left_out", ["score", "arguments", "attributes"])
def test_an_event_may_leave_out_what_it_does_not_have(left_out):
    doc = make_doc(without(event(), left_out))
    builder = SchemaBuilder(None)
    builder.add(doc)
    assert list(builder.build({}).events) == ["Harm"]
    assert score_events([Example(doc, doc)])["ev_trigger_f"] == 1.0
    [entry] = annotation(doc, "events")
    assert entry[left_out] == {"score": 1.0, "arguments": [], "attributes": {}}[left_out]


def test_what_has_all_fields_can_be_appended_to():
    doc = make_doc(event())
    before = doc._.events
    assert annotation(doc, "events") is before
    before.append({"trigger": [0, 1], "label": "Drug"})
    assert [entry["arguments"] for entry in annotation(doc, "events")] == [[ARGUMENT], []]
    assert doc._.events is before


def test_arguments_and_attributes_may_leave_out_fields():
    doc = make_doc(event(arguments=[{"role": "Drug", "span": [0, 1]}], attributes={"Negated": {"value": True}}))
    [entry] = annotation(doc, "events")
    assert entry["arguments"] == [{"role": "Drug", "span": [0, 1], "score": 1.0, "parent": None, "event": None}]
    assert entry["attributes"] == {"Negated": {"value": True, "score": 1.0, "spans": []}}


@pytest.mark.parametrize(
    "wrong, said",
    [
        (event(trigger=[0, 99]), "tokens that are not in its document"),
        (event(trigger=[3, 3]), "tokens that are not in its document"),
        (event(arguments=[{**ARGUMENT, "span": [-1, 1]}]), "tokens that are not in its document"),
        (event(attributes={"Negated": {"value": True, "spans": [[4, 9]]}}), "tokens that are not in its document"),
        (event(arguments=[{**ARGUMENT, "parent": 5}]), "parent or event is not there"),
        (event(arguments=[{**ARGUMENT, "parent": -1}]), "parent or event is not there"),
        (event(arguments=[{**ARGUMENT, "event": 2}]), "parent or event is not there"),
        (event(arguments=[{**ARGUMENT, "event": -1}]), "parent or event is not there"),
        (event(attributes={"Negated": {"value": False}}), "something else in it"),
    ],
)
@pytest.mark.parametrize("use", [render_events, SchemaBuilder(None).add, lambda doc: score_events([Example(doc, doc)])])
def test_an_event_that_points_to_what_is_not_there_is_refused(wrong, said, use):
    doc = make_doc(event(), wrong)
    with pytest.raises(ValueError, match=f"entry 2 .*{said}") as caught:
        use(doc)
    assert "Aspirin" not in str(caught.value) and "rash" not in str(caught.value)


def test_an_argument_that_is_a_part_of_itself_is_refused():
    doc = make_doc(event(arguments=[{**ARGUMENT, "parent": 0}]))
    with pytest.raises(ValueError, match="a part of itself"):
        join_events(annotation(doc, "events"))


def test_a_relation_that_points_to_what_is_not_there_is_refused():
    install_relations()
    doc = spacy.blank("en")("Aspirin caused a rash.")
    doc._.relations = [{"head": [0, 1], "child": [3, 12], "label": "CAUSES"}]
    with pytest.raises(ValueError, match="entry 1 has tokens that are not in its document, which has 5"):
        score_relations([Example(doc, doc)])
    with pytest.raises(ValueError, match="entry 1 has tokens"):
        annotation(doc, "relations")
