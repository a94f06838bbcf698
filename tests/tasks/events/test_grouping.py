"""Several events on one trigger: which arguments belong to one event."""

from dataclasses import replace

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from test_event_answers import LABELS, make_graph
from test_event_items import SCHEMA, make_items

from spacy_epee.doc_attributes import annotation
from spacy_epee.tasks.events.decoder import write_events
from spacy_epee.tasks.events.grouping import MOST_EVENTS, RoleCounter, count_lost, join_events, number_events, split_events
from spacy_epee.tasks.events.schema import EventSchema

NLP = spacy.blank("en")


def arg(role, start, parent=None, event=None):
    return {"role": role, "span": [start, start + 1], "parent": parent, "event": event}


def event(label, start, *arguments, **attributes):
    given = {name: {"value": value} for name, value in attributes.items()}
    return {"trigger": [start, start + 1], "label": label, "arguments": [*arguments], "attributes": given}


def roles(*docs):
    counter = RoleCounter()
    for events in docs:
        counter.add(events)
    return counter.apart()


def sets(events):
    return [{(argument["role"], argument["span"][0]) for argument in one["arguments"]} for one in events]


ONE_EACH = [event("Made", 0, arg("Theme", 1)), event("Made", 0, arg("Theme", 2))]
TOGETHER = [event("Bound", 5, arg("Theme", 1), arg("Theme", 2))]


def test_roles_of_which_events_mostly_have_one_argument_are_learned_by_label():
    assert roles(ONE_EACH, TOGETHER) == {("Made", "Theme")}
    assert roles(ONE_EACH, [event("Made", 0, arg("Theme", 1), arg("Theme", 2))]) == {("Made", "Theme")}
    assert roles([event("Made", 0, arg("Theme", 1))]) == set()  # nothing to tell apart


def test_a_trigger_has_an_event_for_each_argument_and_the_others_in_all():
    [joined] = join_events([event("Made", 0, arg("Theme", 1), arg("Site", 3)), event("Made", 0, arg("Theme", 2))])
    assert sets([joined]) == [{("Theme", 1), ("Theme", 2), ("Site", 3)}]
    assert sets(split_events([joined], {("Made", "Theme")})) == [{("Theme", 1), ("Site", 3)}, {("Theme", 2), ("Site", 3)}]
    assert split_events([joined], {("Other", "Theme")}) == [joined]


def test_several_roles_make_events_of_all_their_pairs():
    one = event("Regulated", 0, arg("Cause", 1), arg("Cause", 2), arg("Theme", 3), arg("Theme", 4))
    found = sets(split_events([one], {("Regulated", "Cause"), ("Regulated", "Theme")}))
    assert len(found) == 4 and all(len(own) == 2 for own in found)


def test_an_event_has_each_of_the_events_that_its_argument_becomes():
    outer = event("Regulated", 9, arg("Theme", 0, event=1))
    inner = event("Made", 0, arg("Theme", 1), arg("Theme", 2))
    apart = split_events([outer, inner], {("Made", "Theme"), ("Regulated", "Theme")})
    assert [one["label"] for one in apart] == ["Regulated", "Regulated", "Made", "Made"]
    assert [one["arguments"][0]["event"] for one in apart[:2]] == [2, 3]
    together = split_events([outer, inner], {("Made", "Theme")})
    assert [one["event"] for one in together[0]["arguments"]] == [1, 2]


def test_parts_of_arguments_stay_with_them():
    one = event("Made", 0, arg("Dose", 4, parent=1), arg("Theme", 3), arg("Theme", 1))
    first, second = split_events([one], {("Made", "Theme")})
    assert sets([first, second]) == [{("Theme", 3), ("Dose", 4)}, {("Theme", 1)}]
    assert first["arguments"][0]["parent"] == 1 and first["arguments"][1]["parent"] is None


def test_too_many_events_on_one_trigger_stay_one():
    one = event("Made", 0, *(arg(role, place) for role in ("A", "B") for place in range(1, MOST_EVENTS)))
    assert split_events([one], {("Made", "A"), ("Made", "B")}) == [one]


def test_events_that_are_grouped_otherwise_are_counted():
    assert count_lost(ONE_EACH, roles(ONE_EACH)) == 0 and count_lost(ONE_EACH, set()) == 2
    assert count_lost([event("Made", 0, arg("Theme", 1))] * 2, {("Made", "Theme")}) == 1


def test_events_that_are_arguments_of_themselves_are_refused():
    with pytest.raises(ValueError, match="an argument of itself"):
        number_events([event("A", 0, arg("X", 1, event=1)), event("B", 1, arg("X", 0, event=0))], {})


def test_events_that_joining_would_make_arguments_of_themselves_are_counted_as_lost():
    of_its_own_trigger = [event("Up", 0, arg("Theme", 3)), event("Up", 0, arg("Theme", 0, event=0))]
    assert count_lost(of_its_own_trigger, set()) == 2
    [joined] = join_events(of_its_own_trigger)
    assert [(one["span"], one["event"]) for one in joined["arguments"]] == [([3, 4], None), ([0, 1], None)]
    crossed = [event("Up", 0), event("Up", 1), event("Up", 0, arg("Theme", 1, event=1)), event("Up", 1, arg("Theme", 0, event=0))]
    one, other = join_events(crossed)
    assert [part["event"] for part in (*one["arguments"], *other["arguments"])] == [1, None]
    assert crossed[2]["arguments"][0]["event"] == 1  # the annotation is as it was


def test_a_schema_keeps_the_roles_and_older_ones_have_none():
    schema = replace(SCHEMA, apart=(("Harm", "Drug"),))
    assert EventSchema.from_plain(SCHEMA.events, schema.to_plain()) == schema
    plain = SCHEMA.to_plain()
    del plain["apart"]
    assert EventSchema.from_plain(SCHEMA.events, plain).apart == ()


def test_events_of_one_trigger_are_written_apart():
    doc = NLP("w w w")
    items = make_items([3])
    items.schema = replace(SCHEMA, apart=(("Harm", "Drug"),))
    write_events(doc, [make_graph(3, [(0, 1), (0, 2)])], items, LABELS)
    events = annotation(doc, "events")
    assert sets(events) == [{("Drug", 1)}, {("Drug", 2)}]
    assert [span.text for span in doc.spans["events"]] == ["w", "w"] and len(doc.spans["events"].attrs["scores"]) == 2


places = st.integers(1, 4)


@settings(max_examples=60)
@given(st.lists(st.lists(st.tuples(st.sampled_from("AB"), places), min_size=1, max_size=4, unique=True), min_size=1, max_size=4))
def test_no_argument_is_lost_or_added_by_splitting(arguments):
    joined = join_events([event("Made", 0, *(arg(*one) for one in own)) for own in arguments])
    for apart in (set(), {("Made", "A")}, {("Made", "A"), ("Made", "B")}):
        found = split_events(joined, apart)
        assert set().union(*sets(found)) == {(role, place) for own in arguments for role, place in own}
        assert all(sum(one["role"] == role for one in each["arguments"]) <= 1 for each in found for _, role in apart)
        assert sets(split_events(join_events(found), apart)) == sets(found)
