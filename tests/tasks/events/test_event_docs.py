"""Events of a Doc as objects."""

import dataclasses

import pytest
import spacy
from spacy.tokens import Doc

from spacy_epee.tasks.events.docs import Argument, Event, install_extensions

NLP = spacy.blank("en")
EVENTS = [
    {
        "trigger": [3, 4],
        "label": "Adverse_event",
        "score": 0.75,
        "arguments": [
            {"role": "Treatment", "span": [0, 2], "score": 0.5, "parent": None, "event": None},
            {"role": "Dose", "span": [0, 1], "score": 1.0, "parent": 0, "event": None},
        ],
        "attributes": {"Negated": {"value": True, "score": 0.25, "spans": [[4, 5]]}},
    },
    {
        "trigger": [6, 7],
        "label": "Stop",
        "arguments": [{"role": "Reason", "span": [3, 4], "parent": None, "event": 0}],
        "attributes": {},
    },
]


@pytest.fixture
def doc():
    install_extensions()
    doc = NLP.make_doc("Strong codeine has caused no rash; stopped.")
    doc._.events = EVENTS
    return doc


def test_docs_have_no_events_at_first():
    install_extensions()
    assert NLP.make_doc("Codeine.")._.events == []


def test_installing_twice_changes_nothing(doc):
    install_extensions()
    assert doc._.events is EVENTS and Doc.has_extension("events")


def test_event_has_its_trigger_as_a_span(doc):
    event = Event.of(doc)[0]
    assert (event.trigger.text, event.trigger.label_, event.label, event.score) == (
        "caused",
        "Adverse_event",
        "Adverse_event",
        0.75,
    )


def test_event_has_arguments_with_parents(doc):
    treatment, dose = Event.of(doc)[0].arguments
    assert (treatment.role, treatment.span.text, treatment.score, treatment.parent) == ("Treatment", "Strong codeine", 0.5, None)
    assert (dose.span.text, dose.span.label_, dose.parent) == ("Strong", "Dose", 0)


def test_argument_can_be_an_event(doc):
    (reason,) = Event.of(doc)[1].arguments
    assert reason.event == 0 and reason.span.text == "caused"


def test_attribute_has_spans(doc):
    negated = Event.of(doc)[0].attributes["Negated"]
    assert negated["value"] is True and negated["score"] == 0.25 and [span.text for span in negated["spans"]] == ["no"]


def test_scores_are_1_if_there_are_none(doc):
    event = Event.of(doc)[1]
    assert event.score == event.arguments[0].score == 1.0


@pytest.mark.parametrize("kind", [Event, Argument])
def test_views_cannot_be_changed(doc, kind):
    event = Event.of(doc)[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        (event if kind is Event else event.arguments[0]).score = 0.0
