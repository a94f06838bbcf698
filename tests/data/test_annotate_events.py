"""Events of rows and .spacy files on Docs."""

import json

import pytest
import spacy
from growth_util import growth
from spacy.tokens import Doc, DocBin
from typer.testing import CliRunner

from spacy_epee.cli import epee
from spacy_epee.data.docs import annotate_doc, install_extensions
from spacy_epee.data.event_docs import annotate_events, as_lists, check_events
from spacy_epee.data.event_rows import read_events
from spacy_epee.data.readers import EntityReader

NLP = spacy.blank("en")
TEXT = "Codeine 30mg and senna caused SECRETNAME no rash, so both were stopped."
#       0       8    13  17    23     30         41 44    50  53   59   63
ENTS = [
    {"id": "T1", "start": 0, "end": 7, "label": "Drug"},
    {"id": "T2", "start": 17, "end": 22, "label": "Drug"},
    {"id": 3, "start": 44, "end": 48, "label": "Problem"},
]
TRIGGER = {"start": 23, "end": 29}
# Tokens: Codeine 0, 30 1, mg 2, and 3, senna 4, caused 5, SECRETNAME 6, no 7, rash 8, "," 9, so 10, both 11, were 12, stopped 13


def arg(role, start=None, end=None, **more):
    return {"role": role, **({} if start is None else {"start": start, "end": end}), **more}


def event(*arguments, label="Harm", trigger=TRIGGER, **more):
    return {"trigger": trigger, "label": label, "arguments": list(arguments), **more}


def annotate(*events, align="expand", **more):
    return annotate_doc(NLP, {"text": TEXT, "ents": ENTS, "events": list(events)}, "row 1", align=align, **more)._.events


def arguments(*given):
    (found,) = annotate(event(*given))
    return found["arguments"]


def test_events_are_plain_data_in_tokens():
    first = event(arg("Effect", ent=3), flags={"Negated": {"value": True, "spans": [{"start": 41, "end": 43}]}})
    assert annotate(first) == [
        {
            "trigger": [5, 6],
            "label": "Harm",
            "score": 1.0,
            "arguments": [{"role": "Effect", "span": [8, 9], "score": 1.0, "parent": None, "event": None}],
            "attributes": {"Negated": {"value": True, "score": 1.0, "spans": [[7, 8]]}},
        }
    ]


def test_rows_without_events_have_none():
    assert annotate_doc(NLP, {"text": TEXT}, "row 1")._.events == []


def test_events_need_no_arguments():
    assert annotate({"trigger": TRIGGER, "label": "Harm"})[0]["arguments"] == []


def test_triggers_can_be_entities():
    assert annotate(event(trigger={"ent": 3}))[0]["trigger"] == [8, 9]


def test_offsets_count_more_than_the_entity():
    assert arguments(arg("Drug", 0, 12, ent="T1"))[0]["span"] == [0, 3]


def test_arguments_can_be_later_events():
    found = annotate(event(arg("Cause", event=1)), event(trigger={"start": 63, "end": 70}))
    assert found[0]["arguments"] == [{"role": "Cause", "span": [13, 14], "score": 1.0, "parent": None, "event": 1}]


def test_extra_fields_are_allowed():
    assert len(arguments(arg("Drug", 0, 7, text="Codeine", group=1, number=2, id="A1"))) == 1


def test_parent_by_number():
    assert arguments(arg("Dose", 8, 12, parent=1), arg("Drug", ent="T1"))[0]["parent"] == 1


def test_parent_by_role_is_the_one_that_holds_the_argument():
    found = arguments(arg("Drug", ent="T2"), arg("Drug", 0, 12), arg("Dose", 8, 12, parent="Drug"))
    assert found[2]["parent"] == 1


def test_parent_by_role_is_the_shortest_that_holds_the_argument():
    found = arguments(arg("Drug", 0, 22), arg("Drug", 0, 12), arg("Dose", 8, 12, parent="Drug"))
    assert found[2]["parent"] == 1


@pytest.mark.parametrize("dose,nearest", [((8, 12), 0), ((13, 16), 1)])
def test_parent_by_role_is_the_nearest_if_none_holds_the_argument(dose, nearest):
    found = arguments(arg("Drug", ent="T1"), arg("Drug", ent="T2"), arg("Dose", *dose, parent="Drug"))
    assert found[2]["parent"] == nearest


def test_parent_by_role_is_another_argument():
    found = arguments(arg("Drug", ent="T1", parent="Drug"), arg("Drug", ent="T2"))
    assert found[0]["parent"] == 1


def test_same_arguments_become_one_and_indices_stay_right():
    found = arguments(
        arg("Drug", ent="T1"),
        arg("Dose", 8, 10, parent=0),
        arg("Drug", 0, 7),
        arg("Dose", 8, 10, parent=2),
        arg("Drug", ent="T2"),
        arg("Dose", 8, 10, parent=4),
    )
    assert [(entry["role"], entry["span"], entry["parent"]) for entry in found] == [
        ("Drug", [0, 1], None),
        ("Dose", [1, 2], 0),
        ("Drug", [4, 5], None),
        ("Dose", [1, 2], 2),
    ]


@pytest.mark.parametrize(
    "flag,expected",
    [(True, True), ("High", "High"), ({"value": "High"}, "High"), ({"value": True, "spans": []}, True)],
    ids=str,
)
def test_flags_are_attributes(flag, expected):
    attributes = annotate(event(flags={"Severity": flag}))[0]["attributes"]
    assert attributes == {"Severity": {"value": expected, "score": 1.0, "spans": []}}


@pytest.mark.parametrize("flag", [False, None, {"value": False}, {"value": None, "spans": []}], ids=str)
def test_flags_that_are_not_set_are_left_out(flag):
    assert annotate(event(flags={"Severity": flag}))[0]["attributes"] == {}


def test_spans_end_with_tokens():
    found = annotate(event(arg("Drug", 0, 4), trigger={"start": 24, "end": 29}))
    assert found[0]["trigger"] == [5, 6] and found[0]["arguments"][0]["span"] == [0, 1]


@pytest.mark.parametrize("first", [event(trigger={"start": 24, "end": 29}), event(arg("Drug", 0, 4))], ids=["trigger", "arg"])
def test_strict_alignment_refuses_parts_of_tokens(first):
    with pytest.raises(ValueError, match="row 1, event 1.*align"):
        annotate(first, align="strict")


OTHER = event(arg("Cause", event=0))


@pytest.mark.parametrize(
    "events,message",
    [
        ([{"label": "Harm", "arguments": [arg("Drug", 0, 7)]}], "event 1: it has no trigger"),
        ([event(trigger=None)], "event 1: it has no trigger"),
        ([event(trigger={"start": 1})], "event 1, its trigger: the field 'end' is missing"),
        ([event(trigger={"start": 20, "end": 900})], "event 1, its trigger.*not in the text"),
        ([event(trigger={"ent": "SECRETNAME"})], "event 1, its trigger: its 'ent' is no entity"),
        ([event(label="SECRETNAME " * 20)], "event 1: the field 'label' is no string"),
        ([{"trigger": TRIGGER}], "event 1: the field 'label' is missing"),
        (["SECRETNAME"], "the field 'events' is not a list of objects"),
        ([{**event(), "arguments": "SECRETNAME"}], "event 1: the field 'arguments' is not a list"),
        ([event({"start": 0, "end": 7})], "event 1, argument 1: the field 'role' is missing"),
        ([event(arg("SECRETNAME\n", 0, 7))], "event 1, argument 1: the field 'role' is no string"),
        ([event(arg("Drug"))], "event 1, argument 1: the field 'start' is missing"),
        ([event(arg("Drug", 0, 900))], "event 1, argument 1.*not in the text"),
        ([event(arg("Drug", 7, 7))], "event 1, argument 1.*not in the text"),
        ([event(arg("Drug", "SECRETNAME", 7))], "event 1, argument 1.*whole number"),
        ([event(arg("Drug", 7, 8))], "event 1, argument 1.*hold no token"),
        ([event(arg("Drug", ent="SECRETNAME"))], "event 1, argument 1: its 'ent' is no entity"),
        ([event(arg("Drug", ent=["T1"]))], "event 1, argument 1: its 'ent' is no entity"),
        ([event(arg("Cause", event=5))], "event 1, argument 1: its event is number 5, and there are 1"),
        ([event(arg("Cause", event=-1))], "event 1, argument 1: its event is number -1"),
        ([event(arg("Cause", event="SECRETNAME"))], "event 1, argument 1: its event is not a whole number"),
        ([event(arg("Cause", event=0))], "event 1: it is, by way of arguments, an argument of itself"),
        ([event(arg("Cause", event=1)), OTHER], "event 1, 2: it is, by way of arguments, an argument of itself"),
        ([event(arg("Drug", 0, 7, parent=0))], "event 1, argument 1: it is, by way of its parents, a part of itself"),
        ([event(arg("A", 0, 7, parent="B"), arg("B", 0, 7, parent="A"))], "event 1, argument 1, 2: it is, by way of its parents"),
        ([event(arg("Drug", 0, 7, parent=3))], "event 1, argument 1: its parent is number 3, and there are 1"),
        ([event(arg("Drug", 0, 7, parent=1.5))], "event 1, argument 1: its parent is not a whole number"),
        ([event(arg("Drug", 0, 7, parent="SECRETNAME"))], "event 1, argument 1: its parent is a string, and no other"),
        ([event(arg("Drug", 0, 7, parent="SECRETNAME\n"))], "event 1, argument 1: its parent is a string, and no other"),
        ([event(flags=["SECRETNAME"])], "event 1: the field 'flags' is not an object"),
        ([event(flags={"SECRETNAME\n": True})], "event 1, flag 1: its name"),
        ([event(flags={"Severity": 3})], "event 1, flag 1: its value"),
        ([event(flags={"Severity": "SECRETNAME " * 20})], "event 1, flag 1: its value"),
        ([event(flags={"Severity": {"value": True, "spans": [{"start": 0}]}})], "event 1, flag 1, span 1: the field 'end'"),
        ([event(flags={"Severity": {"value": True, "spans": [{"start": 0, "end": 900}]}})], "event 1, flag 1, span 1.*not in"),
        ([event(), event(arg("Drug", 0, 900))], "event 2, argument 1"),
    ],
)
def test_bad_events_are_refused_without_text(events, message):
    with pytest.raises(ValueError, match=f"row 1.*{message}") as error:
        annotate(*events)
    assert "SECRETNAME" not in str(error.value) and "senna" not in str(error.value)


def save(tmp_path, form, row=None):
    row = row or {"text": TEXT, "ents": ENTS, "events": [event(arg("Effect", ent=3)), event(arg("Cause", event=0), label="Stop")]}
    if form == "jsonl":
        (tmp_path / "notes.jsonl").write_text(json.dumps(row) + "\n")
    else:
        DocBin(docs=[annotate_doc(NLP, row, "row 1")], store_user_data=True).to_disk(tmp_path / "notes.spacy")
    return tmp_path / f"notes.{form}"


both = pytest.mark.parametrize("form", ["jsonl", "spacy"])


def test_reader_reads_the_same_from_both_forms(tmp_path):
    first, second = (list(EntityReader(save(tmp_path, form))(NLP))[0].reference for form in ("jsonl", "spacy"))
    assert first._.events == second._.events


@both
def test_reader_puts_events_on_the_reference_alone(tmp_path, form):
    (eg,) = EntityReader(save(tmp_path, form))(NLP)
    assert [(entry["label"], entry["trigger"]) for entry in eg.reference._.events] == [("Harm", [5, 6]), ("Stop", [5, 6])]
    assert eg.reference._.events[1]["arguments"][0]["event"] == 0
    assert eg.predicted._.events == [] and not eg.predicted.spans


@both
@pytest.mark.parametrize("gold_entities", [True, False])
def test_reader_gives_triggers_to_components(tmp_path, form, gold_entities):
    (eg,) = EntityReader(save(tmp_path, form), gold_entities=gold_entities, triggers_key="triggers")(NLP)
    assert [(span.text, span.label_) for span in eg.predicted.spans["triggers"]] == [("caused", "Harm"), ("caused", "Stop")]
    assert "triggers" not in eg.reference.spans


def test_reader_gives_a_trigger_of_several_events_once(tmp_path):
    path = save(tmp_path, "jsonl", {"text": TEXT, "events": [event(), event()]})
    (eg,) = EntityReader(path, triggers_key="triggers")(NLP)
    assert len(eg.predicted.spans["triggers"]) == 1


def test_reader_gives_an_empty_group_without_events(tmp_path):
    (eg,) = EntityReader(save(tmp_path, "jsonl", {"text": TEXT}), triggers_key="triggers")(NLP)
    assert list(eg.predicted.spans["triggers"]) == []


def test_reader_keeps_triggers_and_entities_apart(tmp_path):
    with pytest.raises(ValueError, match="triggers_key"):
        EntityReader(tmp_path / "notes.jsonl", spans_key="all", triggers_key="all")


def test_reader_counts_expanded_spans_once(tmp_path):
    path = save(tmp_path, "jsonl")
    cut = {"text": TEXT, "ents": [{**ENTS[0], "end": 4}], "events": [event(arg("Drug", ent="T1"), arg("Drug", 18, 22))]}
    path.write_text(path.read_text() + (json.dumps(cut) + "\n") * 2)
    with pytest.warns(UserWarning) as caught:
        list(EntityReader(path)(NLP))
    (message,) = [str(warning.message) for warning in caught]
    assert "4 spans of 2 documents" in message and "line 2" in message


def test_reader_says_nothing_if_no_span_is_expanded(tmp_path, recwarn):
    list(EntityReader(save(tmp_path, "jsonl"))(NLP))
    assert not recwarn.list


DOUBLES = {"text": TEXT, "events": [event(), event(arg("Drug", 0, 7)), event(label="Stop"), event(arg("Drug", 17, 22))]}


def write_rows(tmp_path, form, *rows):
    if form == "jsonl":
        (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        docs = [annotate_doc(NLP, row, "row") for row in rows]
        DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "notes.spacy")
    return tmp_path / f"notes.{form}"


@both
def test_events_on_one_trigger_are_counted_once_for_a_corpus(tmp_path, form):
    path = write_rows(tmp_path, form, {"text": TEXT, "events": [event()]}, DOUBLES, DOUBLES)
    with pytest.warns(UserWarning) as caught:
        assert len(list(EntityReader(path)(NLP))) == 3
    [message] = [str(warning.message) for warning in caught]
    assert message.startswith("4 events of 2 documents have the trigger and the label of another one, the first in ")
    assert ("line 2" if form == "jsonl" else "document 2") in message


def test_converting_counts_events_on_one_trigger(tmp_path):
    path = write_rows(tmp_path, "jsonl", DOUBLES, DOUBLES)
    with pytest.warns(UserWarning, match="^4 events of 2 documents have the trigger") as caught:
        assert CliRunner().invoke(epee, ["convert", str(path), str(tmp_path / "out.spacy")]).exit_code == 0
    assert len(caught) == 1


def test_events_on_one_trigger_with_other_labels_need_no_warning(tmp_path, recwarn):
    list(EntityReader(write_rows(tmp_path, "jsonl", {"text": TEXT, "events": [event(), event(label="Stop")]}))(NLP))
    assert not recwarn.list


LONG = ["chain of parents", "chain of parents backwards", "nested", "equal roles", "flags"]


def long_row(what, count):
    places = [{"start": 7 * i, "end": 7 * i + 5} for i in range(count)]
    first = {"trigger": places[0], "label": "Harm"}
    events = {
        "chain of parents": [{**first, "arguments": [arg("A", **p, parent=i - 1 if i else None) for i, p in enumerate(places)]}],
        "chain of parents backwards": [
            {**first, "arguments": [arg("A", **p, parent=i + 1 if i < count - 1 else None) for i, p in enumerate(places)]}
        ],
        "nested": [{**first, "arguments": [arg("A", event=i + 1)] if i < count - 1 else []} for i in range(count)],
        "equal roles": [{**first, "arguments": [arg("A", **places[0]) for _ in range(count)]}],
        "flags": [{**first, "flags": {f"F{i}": {"value": True, "spans": [p]} for i, p in enumerate(places)}}],
    }
    return {"text": "Fever. " * count, "events": events[what]}


class Tokens:
    """An aligner that knows that each word is two tokens."""

    def __call__(self, start, end, label, where):
        self.start = 2 * (start // 7)
        self.end = self.start + 1
        return self


@pytest.mark.parametrize("what", LONG)
def test_annotating_grows_with_the_events(what):
    def work(count):
        annotate_events(long_row(what, count), "row 1", {}, Tokens())

    assert growth(work, 2000) < 9


@pytest.mark.parametrize("what", LONG)
def test_checking_grows_with_the_events(what):
    install_extensions()
    docs = {}
    for count in (2000, 8000):
        docs[count] = Doc(NLP.vocab, words=["Fever", "."] * count)
        docs[count]._.events = annotate_events(long_row(what, count), "row 1", {}, Tokens())

    def work(count):
        check_events(docs[count], "document 1")
        as_lists(docs[count]._.events)

    assert growth(work, 2000) < 9


def test_many_parents_given_by_roles_are_found_fast_and_too_many_are_refused():
    places = [{"start": 7 * i, "end": 7 * i + 5} for i in range(10_001)]
    arguments = [arg("Drug", **place) if i % 2 else arg("Dose", **place, parent="Drug") for i, place in enumerate(places)]
    row = {"text": "Fever. " * len(places), "events": [event(*arguments[:-1])]}
    assert [found.parent for found in read_events(row, "row 1", {})[0].arguments[:5]] == [1, None, 1, None, 3]
    row["events"] = [event(*arguments)]
    with pytest.raises(ValueError, match="argument 1: its parent is a string, and the event has over 10000 arguments"):
        read_events(row, "row 1", {})


def test_circles_of_any_length_are_named_briefly():
    with pytest.raises(ValueError, match=r"row 1, event 1, 2, 3, 4, 5, \.\.\.: it is") as caught:
        annotate(*[event(arg("A", event=(i + 1) % 5000)) for i in range(5000)])
    assert len(str(caught.value)) < 200


def test_extra_fields_of_docbins_may_be_as_deep_as_docbins_allow(tmp_path):
    (doc,) = DocBin().from_disk(save(tmp_path, "spacy")).get_docs(NLP.vocab)
    deep = []
    for _ in range(480):
        deep = [deep]
    doc._.events = [{**entry, "more": deep} for entry in as_lists(doc._.events)]
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "notes.spacy")
    [eg] = EntityReader(tmp_path / "notes.spacy")(NLP)
    assert isinstance(eg.reference._.events[0]["more"], list)


@pytest.mark.parametrize(
    "place,value,message",
    [
        (("trigger",), [5, 500], "event 1: its trigger, tokens 5 to 500"),
        (("trigger",), "SECRETNAME", "event 1: its trigger is not a pair"),
        (("label",), "", "event 1: the field 'label'"),
        (("attributes",), None, "event 1: its arguments are not a list or its attributes"),
        (("attributes",), {"Negated": {"value": 3, "spans": []}}, "event 1, attribute 1: its name or value"),
        (("attributes",), {"Negated": {"value": True, "spans": [[0, 0]]}}, "event 1, attribute 1: its span, tokens 0 to 0"),
        (("arguments", 0, "role"), 3, "event 1, argument 1: the field 'role'"),
        (("arguments", 0, "span"), [8, 8], "event 1, argument 1: its span, tokens 8 to 8"),
        (("arguments", 0, "parent"), 4, "event 1, argument 1: its parent is number 4"),
        (("arguments", 0, "parent"), 0, "event 1, argument 1: it is, by way of its parents"),
        (("arguments", 0, "event"), 9, "event 1, argument 1: its event is number 9"),
        (("arguments", 0, "event"), 1, "event 1, argument 1: its span is not the trigger"),
        (("arguments", 0), {"role": "A", "span": [5, 6], "parent": None, "event": 1}, "event 1, 2: it is, by way of arguments"),
        (("arguments", 0), {"role": "Effect", "span": [5, 6]}, "event 1, argument 1: the field 'parent' is missing"),
    ],
)
def test_reader_refuses_bad_events_of_docbins(tmp_path, place, value, message):
    (doc,) = DocBin().from_disk(save(tmp_path, "spacy")).get_docs(NLP.vocab)
    events = as_lists(doc._.events)
    *path, last = place
    target = events[0]
    for step in path:
        target = target[step]
    target[last] = value
    doc._.events = events
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "notes.spacy")
    with pytest.raises(ValueError, match=f"notes.spacy, document 1, {message}") as error:
        list(EntityReader(tmp_path / "notes.spacy")(NLP))
    assert "SECRETNAME" not in str(error.value)
