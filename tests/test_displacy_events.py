"""Pictures of events."""

from xml.etree import ElementTree

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from spacy_epee.displacy import LETTER, parse_events, render_events, render_relations
from spacy_epee.tasks.events.docs import install_extensions
from spacy_epee.tasks.relations import task as relations

install_extensions()

NLP = spacy.blank("en")
WORDS = "A 9 year old girl had no rash after amoxicillin was stopped".split()


def arg(role, start, end, parent=None, event=None):
    return {"role": role, "span": [start, end], "score": 1.0, "parent": parent, "event": event}


def event(label, start, end, *arguments, **attributes):
    named = {name: {"value": value, "score": 1.0, "spans": []} for name, value in attributes.items()}
    return {"trigger": [start, end], "label": label, "score": 1.0, "arguments": [*arguments], "attributes": named}


def make(*events, words=WORDS):
    doc = Doc(NLP.vocab, words=words)
    doc._.events = [*events]
    return doc


def test_events_on_one_trigger_are_drawn_at_one_word():
    parsed = parse_events(make(event("Stop", 11, 12, arg("Drug", 9, 10)), event("Stop", 11, 12, arg("Reason", 7, 8))))
    assert [word["tag"] for word in parsed["words"] if word["text"] == "stopped"] == ["Stop"]
    assert arcs_of(parsed) == {("stopped", "amoxicillin", "Drug"), ("stopped", "rash", "Reason")}


def arcs_of(parsed):
    """RETURNS (Set): The arcs as words, from where they come to where they point."""
    words = [word["text"] for word in parsed["words"]]
    ends = {"right": ("start", "end"), "left": ("end", "start")}
    return {(*(words[arc[end]] for end in ends[arc["dir"]]), arc["label"]) for arc in parsed["arcs"]}


def tags_of(parsed):
    return {word["text"]: word["tag"] for word in parsed["words"] if word["tag"]}


def test_displacy_events_are_arcs_from_triggers_to_arguments():
    doc = make(event("Adverse_event", 5, 6, arg("Subject", 0, 5), arg("Effect", 7, 8)))
    parsed = parse_events(doc)
    assert [word["text"] for word in parsed["words"]] == ["A 9 year old girl", *WORDS[5:]]
    assert arcs_of(parsed) == {("had", "A 9 year old girl", "Subject"), ("had", "rash", "Effect")}
    assert tags_of(parsed) == {"had": "Adverse_event"}


@pytest.mark.parametrize(
    "attributes,tag",
    [({"Negated": True}, "E (Negated)"), ({"Negated": True, "Severity": "high"}, "E (Negated, Severity: high)")],
)
def test_displacy_events_have_their_attributes_below_the_trigger(attributes, tag):
    assert tags_of(parse_events(make(event("E", 5, 6, **attributes)))) == {"had": tag}


def test_displacy_parts_of_arguments_are_cut_out_and_have_arcs_from_the_whole():
    parsed = parse_events(make(event("E", 5, 6, arg("Subject", 0, 5), arg("Age", 1, 4, parent=0), arg("Gender", 4, 5, parent=0))))
    assert [word["text"] for word in parsed["words"][:4]] == ["A", "9 year old", "girl", "had"]
    assert arcs_of(parsed) == {("had", "A", "Subject"), ("A", "9 year old", "Age"), ("A", "girl", "Gender")}


def test_displacy_arguments_with_a_part_at_their_beginning_are_what_remains():
    parsed = parse_events(make(event("E", 5, 6, arg("Subject", 1, 5), arg("Age", 1, 2, parent=0))))
    assert arcs_of(parsed) == {("had", "year old girl", "Subject"), ("year old girl", "9", "Age")}


def test_displacy_arguments_of_which_nothing_remains_are_their_first_word_with_the_role_below():
    doc = make(event("E", 5, 6, arg("Subject", 1, 5), arg("Age", 1, 4, parent=0), arg("Gender", 4, 5, parent=0)))
    parsed = parse_events(doc)
    assert arcs_of(parsed) == {("had", "9 year old", "Subject"), ("9 year old", "girl", "Gender")}
    assert tags_of(parsed) == {"had": "E", "9 year old": "Age"}


def test_displacy_events_as_arguments_are_arcs_to_their_triggers():
    stop = event("Stop", 10, 12, arg("Drug", 9, 10))
    parsed = parse_events(make(event("E", 5, 6, arg("Treatment", 10, 12, event=1)), stop))
    assert arcs_of(parsed) == {("had", "was stopped", "Treatment"), ("was stopped", "amoxicillin", "Drug")}
    assert tags_of(parsed) == {"had": "E", "was stopped": "Stop"}


def test_displacy_events_with_one_trigger_share_its_word_and_equal_arcs_are_drawn_once():
    parsed = parse_events(make(event("E", 5, 6, arg("Effect", 7, 8)), event("F", 5, 6, arg("Effect", 7, 8))))
    assert tags_of(parsed) == {"had": "E, F"} and len(parsed["arcs"]) == 1


def test_displacy_triggers_that_are_their_own_argument_have_the_role_below():
    parsed = parse_events(make(event("E", 7, 8, arg("Effect", 7, 8))))
    assert tags_of(parsed) == {"rash": "E, Effect"} and not parsed["arcs"]


def test_displacy_draws_a_part_of_the_doc_and_some_events():
    doc = make(
        event("E", 5, 6, arg("Subject", 0, 5), arg("Gender", 4, 5, parent=0), arg("Effect", 7, 8)),
        event("Stop", 10, 12, arg("Drug", 9, 10)),
    )
    assert arcs_of(parse_events(doc, labels=["Stop"])) == {("was stopped", "amoxicillin", "Drug")}
    parsed = parse_events(doc, start=4, end=10)
    assert [word["text"] for word in parsed["words"]] == WORDS[4:10]
    assert arcs_of(parsed) == {("had", "rash", "Effect")} and tags_of(parsed) == {"had": "E"}


spans = st.tuples(st.integers(0, 9), st.integers(1, 3)).map(lambda one: (one[0], one[0] + one[1]))


@settings(max_examples=100)
@given(st.lists(st.tuples(spans, st.lists(spans, max_size=4)), max_size=3))
def test_displacy_draws_each_token_once_and_each_argument_as_an_arc_or_below(triggers):
    roles = iter("abcdefghijkl")
    events = [event("E", *trigger, *(arg(next(roles), *span) for span in spans)) for trigger, spans in triggers]
    parsed = parse_events(make(*events))
    assert " ".join(word["text"] for word in parsed["words"]).split() == WORDS
    drawn = [arc["label"] for arc in parsed["arcs"]] + [tag for word in parsed["words"] for tag in word["tag"].split(", ")]
    assert {one["role"] for event in events for one in event["arguments"]} == {one for one in drawn if one not in ("", "E")}
    assert all(0 <= arc["start"] < arc["end"] < len(parsed["words"]) for arc in parsed["arcs"])


def boxes(svg):
    """RETURNS (Tuple): The width of a picture, and the ends of its words and of what is below them, each line from the left."""
    root = ElementTree.fromstring(svg)
    lines = {"displacy-word": [], "displacy-tag": []}
    for text in root.iter("{http://www.w3.org/2000/svg}tspan"):
        half = LETTER * len(text.text or "") / 2
        lines[text.get("class")].append((float(text.get("x")) - half, float(text.get("x")) + half))
    return float(root.get("width")), lines.values()


@pytest.mark.parametrize("place", [0, 5, 11])
def test_displacy_long_words_and_labels_stay_in_the_picture_and_apart(place):
    width, lines = boxes(render_events(make(event("A_label_of_an_event_longer_than_most", place, place + 1, Negated=True))))
    for line in lines:
        assert line[0][0] >= 0 and line[-1][1] <= width
        assert all(one[1] < other[0] for one, other in zip(line, line[1:]))


def test_displacy_long_roles_fit_on_their_arcs():
    role = "A_role_of_an_argument_longer_than_most"
    root = ElementTree.fromstring(render_events(make(event("E", 5, 6, arg(role, 6, 7)))))
    (arc,) = [one.get("d") for one in root.iter("{http://www.w3.org/2000/svg}path") if one.get("class") == "displacy-arc"]
    left, right = (float(arc.lstrip("M").split()[i].split(",")[0]) for i in (0, -1))
    assert right - left > 8 * len(role)


def test_displacy_labels_are_escaped():
    odd = event("A<B", 5, 6, arg("x&y", 7, 8), Severity="<3")
    words = "".join(ElementTree.fromstring(render_events(make(odd))).itertext())
    assert all(one in words for one in ("A<B (Severity: <3)", "x&y"))
    relations.install_extensions()
    doc = make()
    doc.ents = [Span(doc, 7, 8, "A&B")]
    doc._.relations = [{"head": [7, 8], "child": [9, 10], "label": "<-"}]
    assert "A&B" in "".join(ElementTree.fromstring(render_relations(doc)).itertext())


def test_displacy_events_take_options_and_docs_without_events():
    assert float(ElementTree.fromstring(render_events(make(), options={"distance": 60})).get("width")) == 50 + 12 * 60
    assert render_events(NLP.make_doc("")).startswith("<svg")
