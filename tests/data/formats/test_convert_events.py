"""Events in standoff: read, written, and the same after both."""

import gzip
import json
import re
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from spacy_epee.cli import epee
from spacy_epee.data.docs import annotate_doc
from spacy_epee.data.event_rows import read_events
from spacy_epee.data.formats.registry import get_format, guess_format
from spacy_epee.data.readers import EntityReader
from spacy_epee.tasks.events.docs import Event

ROOT = Path(__file__).parents[3]
CORPORA = ROOT.parent / "shared" / "corpora"
NLP = spacy.blank("en")
TEXT = "Codeine and senna caused SECRETNAME no rash, so both were stopped."
#       0       8   12    18     25         36 39    45  49   54   58

ENTITIES = """T1\tDrug 0 7\tCodeine
T2\tDrug 12 17\tsenna
T3\tProblem 39 43\trash
"""
EVENTS = """T4\tAdverse_event 18 24\tcaused
T5\tStop 58 65\tstopped
E1\tAdverse_event:T4 Treatment:T1 Treatment2:T2 Effect:T3
E2\tStop:T5 Treatment:T1 Reason:E1
E3\tStop:T5 Treatment:T2 Reason:E1
M1\tNegated E1
M2\tKind E2 stop
*\tEquiv T1 T2
R1\tCAUSES Arg1:T1 Arg2:T3\t
#1\tAnnotatorNotes E1\tSECRETNAME
"""


def write(folder, form, entities=ENTITIES, events=EVENTS):
    """A document in a format; the folder."""
    source = folder / "in"
    source.mkdir(exist_ok=True)
    (source / "note.txt").write_text(TEXT)
    if form == "brat":
        (source / "note.ann").write_text(entities + events.replace("M1", "A1").replace("M2", "A2"))
    else:
        (source / "note.a1").write_text(entities)
        (source / "note.a2").write_text(events)
    return source


def read(folder, form, **parts):
    ((_, row),) = get_format(form).read(write(folder, form, **parts))
    return row


def copy(row, form, folder):
    """A row that was written and read again."""
    get_format(form).write([("row 1", row)], folder / "out")
    ((_, again),) = get_format(form).read(folder / "out")
    return again


def plain(row):
    """What a row says, with places and labels instead of ids."""
    ids = {ent["id"]: ent for ent in row.get("ents", [])}
    places = {ent["id"]: (ent["start"], ent["end"]) for ent in row.get("ents", [])}
    names = {ent["id"]: (ent["start"], ent["end"], ent["label"]) for ent in row.get("ents", [])}

    def entity(entry, place):
        # An entity that is somewhere else than its argument is not kept.
        name = entry.get("ent")
        return names[name] if name is not None and places[name] == place else None

    def parts(entry, place):
        """The parts of a span, of the entity that it is if it is one."""
        name = entry.get("ent")
        found = (ids[name] if name is not None and places[name] == place else entry).get("parts", [])
        found = sorted((part["start"], part["end"]) for part in found)
        return found if found and (found[0][0], max(end for _, end in found)) == place else []

    events = []
    for entry, event in zip(row.get("events", []), read_events(row, "row", places)):
        arguments = [
            (
                *(found.role, found.place, found.parent, found.event),
                found.event is None and (entity(given, found.place), parts(given, found.place)),
            )
            for given, found in zip(entry["arguments"], event.arguments)
        ]
        flags = {name: (flag.value, flag.places) for name, flag in event.flags.items()}
        given = {"ent": entry.get("ent"), **entry["trigger"]}
        trigger = (entity(given, event.trigger), parts(given, event.trigger))
        events.append((event.trigger, event.label, trigger, arguments, flags))
    return {
        "text": row["text"],
        "ents": [(*names[ent["id"]], parts(ent, places[ent["id"]])) for ent in ids.values()],
        "flags": [ent.get("flags") or {} for ent in row.get("ents", [])],
        "relations": [(names[r["head"]], names[r["child"]], r["label"]) for r in row.get("relations", [])],
        "events": events,
        "equivalent": [[names[name] for name in members] for members in row.get("equivalent", [])],
    }


both = pytest.mark.parametrize("form", ["brat", "bionlp"])


@both
def test_standoff_events_have_triggers_arguments_and_flags(tmp_path, form):
    row = read(tmp_path, form)
    first, second, _ = row["events"]
    assert (first["label"], first["trigger"]) == ("Adverse_event", {"start": 18, "end": 24})
    assert [(found["role"], found["ent"]) for found in first["arguments"]] == [
        ("Treatment", "T1"),
        ("Treatment", "T2"),
        ("Effect", "T3"),
    ]
    assert first["flags"] == {"Negated": True} and second["flags"] == {"Kind": "stop"}


@both
def test_standoff_arguments_can_be_events(tmp_path, form):
    row = read(tmp_path, form)
    assert [event["arguments"][1].get("event") for event in row["events"][1:]] == [0, 0]


@both
def test_standoff_events_can_be_arguments_of_earlier_ones(tmp_path, form):
    lines = EVENTS.split("\n")
    row = read(tmp_path, form, events="\n".join([lines[3], *lines[:3], *lines[4:]]))
    assert [event["id"] for event in row["events"]] == ["E2", "E1", "E3"] and row["events"][0]["arguments"][1]["event"] == 1


@both
def test_standoff_triggers_are_no_entities(tmp_path, form):
    assert [ent["id"] for ent in read(tmp_path, form)["ents"]] == ["T1", "T2", "T3"]


@both
@pytest.mark.parametrize(
    "line", ["R2\tBEFORE Arg1:T4 Arg2:T1", "R2\tBEFORE Arg1:E1 Arg2:T1", "*\tEquiv T4 T1", "M3\tSure T4", "E4\tStop:T5 Reason:T4"]
)
def test_standoff_triggers_that_not_only_events_refer_to_are_entities(tmp_path, form, line):
    row = read(tmp_path, form, events=EVENTS + line + "\n")
    assert "T4" in [ent["id"] for ent in row["ents"]] and row["events"][0]["trigger"]["ent"] == "T4"


@both
def test_standoff_relations_of_events_are_of_their_triggers(tmp_path, form):
    row = read(tmp_path, form, events=EVENTS + "R2\tBEFORE Arg1:E1 Arg2:E2\n")
    assert row["relations"][1] == {"head": "T4", "child": "T5", "label": "BEFORE"}


def test_bionlp_events_on_one_trigger_stay_apart(tmp_path):
    lines = EVENTS.splitlines()
    again = next(line for line in lines if line.startswith("E1")).replace("E1", "E9", 1)
    row = read(tmp_path, "bionlp", events="\n".join([*lines, again]))
    first, *_, last = row["events"]
    assert last["trigger"] == first["trigger"] and last["arguments"] == first["arguments"]
    assert len(copy(row, "bionlp", tmp_path)["events"]) == len(row["events"])


def test_bionlp_entities_may_be_triggers(tmp_path):
    lines = EVENTS.split("\n")
    row = read(tmp_path, "bionlp", entities=ENTITIES + lines[0] + "\n", events="\n".join(lines[1:]))
    assert row["ents"][3]["id"] == row["events"][0]["trigger"]["ent"] == "T4"


def test_bionlp_without_answers_has_no_events(tmp_path):
    (write(tmp_path, "bionlp") / "note.a2").unlink()
    ((_, row),) = get_format("bionlp").read(tmp_path / "in")
    assert len(row["ents"]) == 3 and row["events"] == []


@both
def test_standoff_keeps_the_numbers_of_roles(tmp_path, form):
    arguments = read(tmp_path, form)["events"][0]["arguments"]
    assert [found.get("number") for found in arguments] == [None, 2, None]


@both
def test_standoff_roles_that_repeat_are_all_read(tmp_path, form):
    row = read(tmp_path, form, events=EVENTS.replace("Treatment2:T2", "Treatment:T2"))
    assert [(found["role"], found["ent"]) for found in row["events"][0]["arguments"][:2]] == [
        ("Treatment", "T1"),
        ("Treatment", "T2"),
    ]


@both
def test_standoff_flags_of_entities_are_kept(tmp_path, form):
    row = read(tmp_path, form, events=EVENTS + "M3\tSure T3 not at all\n")
    assert row["ents"][2]["flags"] == {"Sure": "not at all"} and "flags" not in row["ents"][0]


@both
def test_standoff_equivalences_are_kept(tmp_path, form):
    assert read(tmp_path, form)["equivalent"] == [["T1", "T2"]]


@both
def test_standoff_parts_of_triggers_are_kept(tmp_path, form):
    row = read(tmp_path, form, events=EVENTS.replace("58 65\t", "48 52;58 65\tboth "))
    assert row["events"][1]["trigger"] == {
        "start": 48,
        "end": 65,
        "parts": [{"start": 48, "end": 52}, {"start": 58, "end": 65}],
    }
    assert copy(row, form, tmp_path)["events"][1]["trigger"] == row["events"][1]["trigger"]


@both
@pytest.mark.parametrize(
    "old,new,message",
    [
        ("E1\tAdverse_event:T4", "E1\tAdverse_event", "not an event"),
        ("E1\tAdverse_event:T4", "E1 SECRETNAME", "not an event"),
        ("Adverse_event:T4", "Adverse_event:T9", "its trigger is no T line"),
        ("Treatment2:T2", "Treatment2:T9", "its argument 2 is no T or E line"),
        ("M1\tNegated E1", "M1\tSECRETNAME", "not an attribute"),
        ("Negated E1", "Negated E9", "what it is said of"),
        ("Equiv T1 T2", "Equiv T1 T9", "a part of it"),
        ("E2\tStop", "E1\tStop", "another line has the same id"),
        ("#1\tAnnotatorNotes E1\tSECRETNAME", "#1\tspacy_epee E1\tSECRETNAME", "not a note"),
        ("#1\tAnnotatorNotes E1\tSECRETNAME", "#1\tspacy_epee E1\t[1]", "not a note"),
    ],
)
def test_standoff_errors_name_the_line_and_show_no_text(tmp_path, form, old, new, message):
    events = EVENTS.replace(old, new)
    assert events != EVENTS
    line = next(i for i, found in enumerate(events.split("\n"), 1) if new in found) + 3 * (form == "brat")
    if form == "brat":
        message = message.replace("M1", "A1")
    with pytest.raises(ValueError, match=f"line {line}: {message}") as error:
        read(tmp_path, form, events=events)
    assert "SECRETNAME" not in str(error.value) and "senna" not in str(error.value)


def test_standoff_circles_are_refused_when_converting(tmp_path):
    source = write(tmp_path, "brat", events=EVENTS.replace("Effect:T3", "Effect:E2"))
    found = run(source, tmp_path / "out.jsonl")
    assert found.exit_code == 1 and "event 1, 2" in " ".join(found.output.split())


@both
def test_standoff_notes_say_nothing_of_lines_that_are_gone(tmp_path, form):
    row = example(flags={"Negated": {"value": True, "spans": [{"start": 36, "end": 38}]}})
    get_format(form).write([("row 1", row)], tmp_path / "out")
    file = tmp_path / "out" / ("1.ann" if form == "brat" else "1.a2")
    file.write_text(re.sub(r"[AM]1\tNegated E1\n| Dose:T\d+", "", file.read_text()))
    ((_, again),) = get_format(form).read(tmp_path / "out")
    assert again["events"][0]["flags"] == {} and len(again["events"][0]["arguments"]) == 1


def example(**event):
    """A row with one event, whose second argument is a part of the first."""
    arguments = [
        {"role": "Treatment", "start": 0, "end": 7, "parent": None},
        {"role": "Dose", "start": 12, "end": 17, "parent": "Treatment"},
    ]
    trigger = {"start": 18, "end": 24}
    whole = {"trigger": trigger, "label": "Adverse_event", "arguments": arguments, "flags": {}, **event}
    return {"text": TEXT, "events": [whole]}


@both
def test_standoff_sub_arguments_are_kept(tmp_path, form):
    assert [found["parent"] for found in copy(example(), form, tmp_path)["events"][0]["arguments"]] == [None, 0]


@both
def test_standoff_arguments_that_are_no_entities_stay_so(tmp_path, form):
    again = copy(example(), form, tmp_path)
    assert again["ents"] == [] and not any("ent" in found for found in again["events"][0]["arguments"])


@both
@pytest.mark.parametrize("key", ["trigger", "event"])
def test_standoff_triggers_that_are_entities_stay_so(tmp_path, form, key):
    row = {**example(), "ents": [{"id": 7, "start": 18, "end": 24, "label": "Verb"}]}
    (row["events"][0]["trigger"] if key == "trigger" else row["events"][0])["ent"] = 7
    again = copy(row, form, tmp_path)
    assert [(ent["id"], ent["label"]) for ent in again["ents"]] == [("T1", "Verb")]
    assert again["events"][0]["trigger"]["ent"] == "T1"


@both
@pytest.mark.parametrize(
    "flag",
    [True, "much", "much worse", {"value": True, "spans": [{"start": 36, "end": 38}]}, "a\tb"],
    ids=str,
)
def test_standoff_flags_stay_the_same(tmp_path, form, flag):
    found = copy(example(flags={"Sure": flag}), form, tmp_path)["events"][0]["flags"]["Sure"]
    assert found == flag


@both
def test_standoff_numbered_roles_stay_the_same(tmp_path, form):
    arguments = [
        {"role": role, "start": 0, "end": 7, "parent": None, **({"number": number} if number else {})}
        for role, number in [("Theme", None), ("Theme", 2), ("Site", 2), ("Arg1", None), ("Arg1", 3), ("Arg", 1)]
    ]
    again = copy(example(arguments=arguments), form, tmp_path)["events"][0]["arguments"]
    assert [(found["role"], found.get("number")) for found in again] == [
        ("Theme", None),
        ("Theme", 2),
        ("Site", 2),
        ("Arg1", 2),  # "Arg1" is already the first Arg
        ("Arg1", 3),
        ("Arg", 1),
    ]


@both
def test_standoff_events_share_a_trigger(tmp_path, form):
    row = read(tmp_path, form)
    get_format(form).write([("row 1", row)], tmp_path / "out")
    text = (tmp_path / "out" / ("note.ann" if form == "brat" else "note.a2")).read_text()
    assert len(re.findall(r"Stop:(T\d+)", text)) == 2 and len(set(re.findall(r"Stop:(T\d+)", text))) == 1


@both
@pytest.mark.parametrize(
    "event,named",
    [
        ({"label": "SECRETNAME event"}, "event 1.*'label'"),
        ({"label": "SECRETNAME:event"}, "event 1.*'label'"),
        ({"arguments": [{"role": "the SECRETNAME", "start": 0, "end": 7}]}, "event 1.*'role'"),
        ({"flags": {"not SECRETNAME": True}}, "event 1.*'flags'"),
    ],
)
def test_standoff_cannot_hold_some_labels(tmp_path, form, event, named):
    with pytest.raises(ValueError, match=f"row 1, {named}") as caught:
        get_format(form).write([("row 1", example(**event))], tmp_path / "out")
    assert "SECRETNAME" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@both
@pytest.mark.parametrize("names", [("a", "A"), ("..", "b"), ("a/../../b", "c"), ("/", "b")])
def test_standoff_refuses_names_that_are_no_files_of_their_own(tmp_path, form, names):
    with pytest.raises(ValueError, match="row [12]: .*'id'"):
        get_format(form).write([(f"row {i}", {**example(), "id": name}) for i, name in enumerate(names, 1)], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@both
def test_standoff_ids_are_names_of_files(tmp_path, form):
    names = ["first/PMC1.2", "9", "Ä b"]
    get_format(form).write([(name, {**example(), "id": name}) for name in names], tmp_path / "out")
    assert sorted(row["id"] for _, row in get_format(form).read(tmp_path / "out")) == ["9", "first/PMC1.2", "Ä_b"]


def run(*args):
    return CliRunner().invoke(epee, ["convert", *map(str, args)])


@both
def test_convert_guesses_standoff(tmp_path, form):
    assert guess_format(write(tmp_path, form)) == form


@pytest.mark.parametrize("suffix", [".jsonl", ".spacy"])
@both
def test_convert_keeps_events(tmp_path, form, suffix):
    target = tmp_path / f"notes{suffix}"
    found = run(write(tmp_path, form), target)
    assert "3 entities, 1 relations and 3 events" in " ".join(found.output.split())
    (eg,) = EntityReader(target)(NLP)
    assert [(event.label, event.trigger.text) for event in Event.of(eg.reference)] == [
        ("Adverse_event", "caused"),
        ("Stop", "stopped"),
        ("Stop", "stopped"),
    ]


@both
def test_convert_writes_standoff(tmp_path, form):
    other = "bionlp" if form == "brat" else "brat"
    found = run(write(tmp_path, form), tmp_path / "out", "--to", other)
    assert found.exit_code == 0 and "3 events" in " ".join(found.output.split())
    ((_, row),) = get_format(other).read(tmp_path / "out")
    assert plain(row) == plain(read(tmp_path, form))


@pytest.mark.parametrize("args", [("out",), ("out.jsonl", "--to", "brat"), ("out", "--to", "bioc"), ("in", "--to", "brat")])
def test_convert_refuses_targets_that_do_not_fit(tmp_path, args):
    source = write(tmp_path, "brat")
    found = run(source, tmp_path / args[0], *args[1:])
    assert found.exit_code == 1 and "--to" in found.output or "exists" in found.output
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_convert_counts_expanded_spans_once(tmp_path):
    entities, events = ENTITIES.replace("0 7\tCodeine", "0 4\tCode"), EVENTS.replace("58 65\tstopped", "58 62\tstop")
    source = write(tmp_path, "brat", entities=entities, events=events)
    with pytest.warns(UserWarning, match="2 spans of 1 documents") as caught:
        run(source, tmp_path / "out.jsonl")
    assert sum("were expanded" in str(warning.message) for warning in caught) == 1


WORDS = st.sampled_from(["A", "Be", "Theme", "Arg1", "x-2"])


@st.composite
def rows(draw):
    """Rows with all that standoff keeps. Parents are earlier arguments and events are earlier ones."""
    text = draw(st.text("ab Ä🙂\n\t\r\x85\u2028\u0301", min_size=1, max_size=20))

    def one_place():
        start = draw(st.integers(0, len(text) - 1))
        return {"start": start, "end": draw(st.integers(start + 1, len(text)))}

    def place():
        parts = [one_place() for _ in range(draw(st.sampled_from([1, 1, 2, 3])))]
        unique = [dict(part) for part in {tuple(part.items()): None for part in parts}]
        whole = {"start": min(part["start"] for part in parts), "end": max(part["end"] for part in parts)}
        return {**whole, "parts": unique} if len(unique) > 1 else whole

    def flags():
        value = st.sampled_from([True, "much", "much worse", " ", "_"])
        spans = draw(st.integers(0, 2))
        full = draw(st.booleans())
        names = draw(st.lists(WORDS, unique=True, max_size=2))
        return {
            name: {"value": draw(value), "spans": [one_place() for _ in range(spans)]} if full else draw(value) for name in names
        }

    ids = draw(st.lists(st.sampled_from(["T3", "T10", "e1", 1, 2, "1"]), unique=True, max_size=4))
    ents = [{"id": name, **place(), "label": draw(st.sampled_from(["Drug", "a:b", "A"]))} for name in ids]
    row = {"text": text, "ents": ents, "relations": [], "events": []}
    if ids:
        ends = st.sampled_from(ids)
        for _ in range(draw(st.integers(0, 2))):
            row["relations"].append({"head": draw(ends), "child": draw(ends), "label": draw(WORDS)})
        row["equivalent"] = draw(st.lists(st.lists(ends, min_size=2, max_size=3), max_size=1))

    def somewhere():
        if ids and draw(st.booleans()):
            return {"ent": draw(st.sampled_from(ids))}
        return place()

    for number in range(draw(st.integers(0, 3))):
        arguments = []
        for i in range(draw(st.integers(0, 4))):
            nested = number > 0 and draw(st.booleans())
            where = {"event": draw(st.integers(0, number - 1))} if nested else somewhere()
            parent = draw(st.none() | st.integers(0, i - 1)) if i else None
            arguments.append({"role": draw(WORDS), **where, "parent": parent})
        row["events"].append({"trigger": somewhere(), "label": draw(WORDS), "arguments": arguments, "flags": flags()})
    return row


def check_for_brat(text, lines):
    """What brat demands of files before it shows them: its manual, and the checks of its server."""
    assert lines.splitlines() == lines.split("\n")[:-1]
    spans, labels, triggers, named = {}, {}, {}, set()
    for line in lines.splitlines():
        number, data, *rest = line.split("\t", 2)
        assert re.fullmatch("([TEARM#][0-9]+|[*])", number) and number not in labels
        words = data.split(" ")
        labels[number] = words[0]
        if number[0] == "T":
            spans[number] = [tuple(map(int, part.split(" "))) for part in data.split(" ", 1)[1].split(";")]
            assert all(0 <= start <= end <= len(text) for start, end in spans[number])
            assert all(end <= start for (_, end), (start, _) in zip(spans[number], spans[number][1:]))
            assert rest == [" ".join(text[start:end] for start, end in spans[number])]
        elif number[0] == "E":
            (label, triggers[number]), *arguments = (word.split(":") for word in words)
            labels[number] = label
            assert all(role and end for role, end in arguments)
        elif number[0] == "R":
            assert [word.split(":")[0] for word in words[1:]] == ["Arg1", "Arg2"]
        elif number == "*":
            labels.pop(number)
        else:
            named.add(words[1])
    assert all(labels[trigger] == labels[event] for event, trigger in triggers.items())
    assert not named & set(triggers.values()) and named <= set(labels)


@both
@settings(max_examples=60)
@given(row=rows())
def test_standoff_gives_back_what_it_was_given(tmp_path_factory, form, row):
    folder = tmp_path_factory.mktemp("round")
    assert plain(copy(row, form, folder)) == plain(row)
    if form == "brat":
        check_for_brat(row["text"], (folder / "out" / "1.ann").read_bytes().decode())


@both
def test_standoff_gives_back_the_example_notes(tmp_path, form):
    written = [row for path in NOTES for row in lines(path)]
    get_format(form).write([("row", row) for row in written], tmp_path / "out")
    again = {row["id"]: row for _, row in get_format(form).read(tmp_path / "out")}
    assert all(plain(again[row["id"]]) == plain(row) for row in written)


NOTES = sorted((ROOT / "assets" / "notes").glob("*.jsonl"))


def lines(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as source:
        return [json.loads(line) for line in source]


def check_reading(path):
    for number, row in enumerate(lines(path), 1):
        doc = annotate_doc(NLP, row, f"line {number}", spans_key="entities")
        assert [event["label"] for event in doc._.events] == [event["label"] for event in row["events"]]
        for entry, event in zip(row["events"], doc._.events):
            assert {found["role"] for found in entry["arguments"]} == {found["role"] for found in event["arguments"]}
            assert set(event["attributes"]) == {name for name, value in (entry["flags"] or {}).items() if value}


@pytest.mark.filterwarnings("ignore:line")
@pytest.mark.parametrize("path", NOTES, ids=lambda path: path.name)
def test_every_example_note_is_read_with_its_events(path):
    check_reading(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:line")
@pytest.mark.parametrize("corpus", ["phee_v2", "genia_ge13", "maccrobat"])
def test_every_row_of_a_corpus_is_read_with_its_events(corpus):
    files = sorted((CORPORA / corpus / "normalised").glob("*.jsonl.gz"))
    if not files:
        pytest.skip(f"the corpus is not in {CORPORA}")
    for path in files:
        check_reading(path)
