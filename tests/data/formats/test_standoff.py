"""What files of other tools hold: spans in other countings, lines that rows have no place for, and files that grow."""

import json
import time
import warnings
from pathlib import Path

import pytest
from growth_util import growth

from spacy_epee.data.formats.registry import get_format

TEXT = "Fever and cough and rash today."
#       0         10        20   25
LINES = "T1\tProblem 0 5\tFever\nT2\tProblem 10 15\tcough\nT3\tProblem 20 24\trash\n"


def write(folder, lines, text=TEXT, name="note"):
    for suffix, content in ((".txt", text), (".ann", lines)):
        (folder / f"{name}{suffix}").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder, lines, text=TEXT):
    """The row of a document, and what was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        [(_, row)] = get_format("brat").read(write(folder, lines, text))
    return row, [str(warning.message) for warning in caught]


def texts(row):
    return [row["text"][ent["start"] : ent["end"]] for ent in row["ents"]]


def test_a_span_with_the_text_of_another_place_is_refused_without_a_text(tmp_path):
    with pytest.raises(ValueError, match="note.ann, line 2, T2: .* at 10 to 15 ") as caught:
        read(tmp_path, "T1\tProblem 0 5\tFever\nT2\tProblem 10 15\trash\n")
    assert not any(word in str(caught.value) for word in ("Fever", "cough", "rash", "today"))


def test_ids_that_may_be_text_are_not_shown(tmp_path):
    with pytest.raises(ValueError, match="note.ann, line 1: ") as caught:
        read(tmp_path, "T1SECRETNAME\tProblem 10 15\trash\n")
    assert "SECRETNAME" not in str(caught.value)


@pytest.mark.parametrize(
    "text, counted, counting",
    [
        ("Fever\r\n\r\nand rash", "Fever\n\nand rash", "line ends as one character"),
        ("Fever\n\nand rash", "Fever\r\n\r\nand rash", "line ends as two characters"),
        ("\U0001f912 and rash", "\U0001f912\0 and rash", "UTF-16 units"),
        ("\U0001f912\U0001f912\r\nand rash", "\0\0\0\0\nand rash", "UTF-16 units, line ends as one"),
        ("Fièvre, rash", "Fièvre,\0 rash", "bytes of UTF-8"),
        ("\ufeffFever, rash", "Fever, rash", ""),
        ("\ufeffFever, rash", "\ufeffFever, rash", "characters, and the byte order mark"),
        ("\ufeffFièvre, rash", "\0\0\ufeffFièvre,\0 rash", "bytes of UTF-8, and the byte order mark"),
    ],
)
def test_offsets_in_another_counting_are_understood_and_said(tmp_path, text, counted, counting):
    start = counted.index("rash")
    row, said = read(tmp_path, f"T1\tProblem {start} {start + 4}\trash\n", text)
    assert texts(row) == ["rash"] and row["text"] == text.removeprefix("\ufeff")
    assert [counting in message for message in said] == [True] * bool(counting)


def test_another_counting_is_said_once_for_all_documents(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path, "T1\tProblem 7 11\trash\n", "Fever\r\nrash" if name == "a" else "\U0001f912 and rash", name)
    with pytest.warns(UserWarning) as caught:
        list(get_format("brat").read(write(tmp_path, "T1\tProblem 6 10\trash\n", "Fever\r\nrash", "a")))
    [message] = [str(warning.message) for warning in caught]
    assert "line ends as one character: 1, the first in" in message and "UTF-16 units: 2, the first in" in message


@pytest.mark.parametrize("text", ["Fever rash", "Feverrash", "fever\u00a0 rash"])
def test_the_text_of_fragments_is_theirs_one_after_the_other(tmp_path, text):
    row, _ = read(tmp_path, f"T1\tProblem 0 5;20 24\t{text}\n")
    assert row["ents"][0]["parts"] == [{"start": 0, "end": 5}, {"start": 20, "end": 24}]


def test_the_text_of_fragments_is_compared(tmp_path):
    with pytest.raises(ValueError, match="line 1, T1: "):
        read(tmp_path, "T1\tProblem 0 5;20 24\tFever cough\n")


def test_a_text_that_goes_on_in_the_next_line_is_one(tmp_path):
    text = "High\n\nfever\n\nT2 rash"
    row, said = read(tmp_path, f"T1\tProblem 0 20\t{text}\nT3\tProblem 16 20\trash\n", text)
    assert texts(row) == [text, "rash"] and not said


def test_spans_without_a_text_are_taken_as_they_are(tmp_path):
    row, said = read(tmp_path, "T1\tProblem 10 15\nT2\tProblem 20 24\t\n")
    assert texts(row) == ["cough", "rash"] and not said


@pytest.mark.parametrize("offsets", ["20 40", "20 20", "24 20", "-4 3", "20 999999999999999999", "20 " + "9" * 5000])
def test_offsets_that_are_no_span_are_refused_with_their_line(tmp_path, offsets):
    with pytest.raises(ValueError, match="note.ann, line 1"):
        read(tmp_path, f"T1\tProblem {offsets}\n")


@pytest.mark.parametrize("change", [lambda s: "\ufeff" + s, lambda s: s.replace("\n", "\r"), lambda s: s.replace("\n", "\r\n")])
def test_marks_and_line_ends_of_other_systems_lose_no_line(tmp_path, change):
    row, said = read(tmp_path, change(LINES))
    assert texts(row) == ["Fever", "cough", "rash"] and not said


def test_a_line_behind_spaces_is_read(tmp_path):
    row, said = read(tmp_path, LINES.replace("T2", " \tT2"))
    assert len(row["ents"]) == 3 and not said


@pytest.mark.parametrize(
    "lines, kind",
    [
        ("*\tAlias T1 T2\n*\tAlias T1 T3\n", "sets of another type than Equiv: 2"),
        ("R1\tCAUSES Arg1:T1 Arg2:T2\nA1\tSure R1\nA2\tKind R1 much\n", "attributes of relations: 2"),
        ("A1\tKind T1 one\nA2\tKind T1 two\n", "second values of attributes: 1"),
        ("N1\tReference T1 UMLS:C0015967\tfever\n", "normalizations: 1"),
        ("#1\tAnnotatorNotes T1\tSECRETNAME\n# SECRETNAME\n", "notes: 2"),
        ("X1\tOther T1\nSECRETNAME\n", "lines of no known kind: 2"),
        ("A1\tSure T1\tSECRETNAME\n", "comments behind annotations: 1"),
        ("T4\tProblem 0 5\tFever\tSECRETNAME\n", "comments behind annotations: 1"),
    ],
)
def test_lines_that_rows_have_no_place_for_are_counted_by_kind(tmp_path, lines, kind):
    row, [message] = read(tmp_path, LINES + lines)
    assert kind in message and "note.ann, line " in message and "SECRETNAME" not in message
    assert texts(row)[:3] == ["Fever", "cough", "rash"]


def test_what_is_left_out_is_said_once_for_all_documents(tmp_path):
    for name in ("a", "b"):
        write(tmp_path, LINES + "N1\tReference T1 UMLS:C0015967\tfever\n#1\tAnnotatorNotes T1\tpoor\n", name=name)
    with pytest.warns(UserWarning) as caught:
        list(get_format("brat").read(tmp_path))
    [message] = [str(warning.message) for warning in caught]
    assert "normalizations: 2, the first in" in message and "notes: 2, the first in" in message


def test_the_first_value_of_an_attribute_is_kept_and_the_same_one_twice_is_no_loss(tmp_path):
    row, said = read(tmp_path, LINES + "A1\tKind T1 one\nA2\tKind T1 one\n")
    assert row["ents"][0]["flags"] == {"Kind": "one"} and not said


@pytest.mark.parametrize(
    "arguments, head, said",
    [("Arg1:T1 Arg2:T2", "T1", False), ("Arg2:T1 Arg1:T2", "T2", False), ("Subject:T1 Object:T2", "T1", True)],
)
def test_a_relation_goes_from_its_first_argument_whatever_the_order_on_the_line(tmp_path, arguments, head, said):
    row, messages = read(tmp_path, f"{LINES}R1\tCAUSES {arguments}\n")
    assert (row["relations"][0]["head"], len(messages)) == (head, said)
    assert all("not called Arg1 and Arg2" in message and "relations: 1" in message for message in messages)


@pytest.mark.parametrize("arguments", ["Arg1:T1 Arg2:T9", "Arg1:T1 Arg1:T2", "Arg1:T1 Arg2:T2 Arg3:T3"])
def test_relations_that_are_not_of_two_are_refused_with_their_line(tmp_path, arguments):
    with pytest.raises(ValueError, match="note.ann, line 4: "):
        read(tmp_path, f"{LINES}R1\tCAUSES {arguments}\n")


def test_names_of_files_in_capitals_are_found(tmp_path):
    (tmp_path / "NOTE.1.ANN").write_text(LINES)
    (tmp_path / "NOTE.1.TXT").write_text(TEXT)
    (tmp_path / "folder.ann").mkdir()
    [(where, row)] = get_format("brat").read(tmp_path)
    assert (row["id"], len(row["ents"])) == ("NOTE.1", 3)
    assert (tmp_path / "NOTE.1.ANN").samefile(where)  # some systems do not tell upper from lower case


def test_a_text_without_lines_is_refused(tmp_path):
    (tmp_path / "note.txt").write_text(TEXT)
    with pytest.raises(ValueError, match="there is no 'note.a1' beside it"):
        list(get_format("bionlp").read(tmp_path / "note.txt"))


HOSTILE = [
    (LINES.encode() + "T4\tKäse 0 5\tFever".encode("latin-1"), "line 4: not UTF-8"),
    ("#1\tspacy_epee T1\t" + "[" * 100_000, "line 1: not a note"),
    ('#1\tspacy_epee T1\t{"SECRETNAME', "line 1: not a note"),
    ('#1\tspacy_epee T1\t{"place": "SECRETNAME"}', "line 1: not a note"),
    ('#1\tspacy_epee T1\t{"a": ' + "1" * 5000 + "}", "line 1: not a note"),
    (f"{LINES}E1\tProblem:T1 SECRETNAME", "line 4: not an event"),
    (f"{LINES}A1\tSECRETNAME", "line 4: not an attribute"),
    (f"{LINES}*\tEquiv", "line 4: not an equivalence"),
    ("T1 SECRETNAME", "line 1: not an entity"),
]


@pytest.mark.parametrize("lines, message", HOSTILE, ids=[message for _, message in HOSTILE])
def test_errors_name_the_line_and_hold_nothing_of_it(tmp_path, lines, message):
    with pytest.raises(ValueError, match=f"note.ann, {message}") as caught:
        read(tmp_path, lines)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert "SECRETNAME" not in str(caught.value)


@pytest.mark.parametrize("note", [{"parents": {"Drug": ["x"]}}, {"roles": {"Drug": 1}}, {"ent": ["T1"]}, {"flags": {"A": 1}}])
def test_notes_that_make_no_sense_say_nothing(tmp_path, note):
    row, said = read(tmp_path, f"{LINES}E1\tProblem:T1 Drug:T2\n#1\tspacy_epee E1\t{json.dumps(note)}\n")
    assert row["events"][0]["arguments"][0]["parent"] is None and not said


def test_numbers_of_roles_may_be_of_any_length(tmp_path):
    row, _ = read(tmp_path, f"{LINES}E1\tProblem:T1 Drug{'9' * 5000}:T2\n")
    assert "number" not in row["events"][0]["arguments"][0]


def span(start, end, **more):
    return {"start": start, "end": end, **more}


def written(folder, row):
    """The lines of a row, and the row that is read from them."""
    get_format("brat").write([("row 1", {"id": "note", **row})], folder / "out")
    [(_, again)] = get_format("brat").read(folder / "out")
    return (folder / "out" / "note.ann").read_bytes().decode(), again


def test_an_entity_over_line_ends_is_written_as_fragments(tmp_path):
    ent = span(0, 12, id="T1", label="Problem")
    lines, again = written(tmp_path, {"text": "High\r\nfever\n", "ents": [ent]})
    assert lines.startswith("T1\tProblem 0 4;6 11\tHigh fever\n") and again["ents"] == [ent]


def test_fragments_that_were_moved_count_more_than_the_note(tmp_path):
    written(tmp_path, {"text": "High\nfever, cough", "ents": [span(0, 10, id="T1", label="Problem")]})
    file = tmp_path / "out" / "note.ann"
    file.write_text(file.read_text().replace("0 4;5 10\tHigh fever", "5 10\tfever"))
    [(_, again)] = get_format("brat").read(tmp_path / "out")
    assert again["ents"] == [span(5, 10, id="T1", label="Problem")]


def test_parts_that_overlap_are_written_so_that_they_do_not(tmp_path):
    ent = span(0, 15, id="T1", label="Problem", parts=[span(0, 9), span(6, 15)])
    lines, again = written(tmp_path, {"text": TEXT, "ents": [ent]})
    assert lines.startswith("T1\tProblem 0 9;9 15\tFever and  cough\n") and again["ents"] == [ent]


def test_a_trigger_has_the_label_of_its_event_and_nothing_else_refers_to_it(tmp_path):
    ents = [span(0, 5, id="T1", label="Problem", flags={"Sure": True}), span(10, 15, id="T2", label="Problem")]
    event = {"trigger": {"ent": "T1"}, "label": "Onset", "arguments": [{"role": "With", "ent": "T2"}]}
    relations = [{"head": "T1", "child": "T2", "label": "WITH"}]
    lines, again = written(tmp_path, {"text": TEXT, "ents": ents, "relations": relations, "events": [event]})
    assert "T3\tOnset 0 5\tFever\n" in lines and "Onset:T3 With:T2" in lines and "A1\tSure T1\n" in lines
    assert again["events"][0]["trigger"] == span(0, 5, ent="T1") and again["ents"] == ents and again["relations"] == relations


def test_an_entity_of_an_event_that_is_no_id_is_none(tmp_path):
    event = {"ent": ["T1"], "trigger": span(0, 5), "label": "Onset"}
    assert written(tmp_path, {"text": TEXT, "events": [event]})[1]["events"][0]["trigger"] == span(0, 5)


@pytest.mark.parametrize("text, label, place", [("a\ud800", "A", "its text, character 2,"), ("ab", "\ud800", "its annotation")])
@pytest.mark.parametrize("form", ["brat", "bionlp"])
def test_half_a_character_is_refused_with_its_row_and_nothing_is_written(tmp_path, text, label, place, form):
    with pytest.raises(ValueError, match=f"row 1: {place}") as caught:
        get_format(form).write([("row 1", {"text": text, "ents": [span(0, 1, id="T1", label=label)]})], tmp_path / "out")
    assert caught.value.__context__ is None and not list(tmp_path.iterdir())


def test_a_folder_with_files_is_left_as_it_is(tmp_path):
    (tmp_path / "precious").write_text("yes")
    with pytest.raises(ValueError, match="is not empty"):
        get_format("brat").write([("row 1", {"text": TEXT})], tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["precious"]


def test_a_folder_that_cannot_be_written_whole_is_not_written(tmp_path, monkeypatch):
    plain = Path.write_bytes

    def fail(path, content):
        if path.name == "b.ann":
            raise OSError(28, "No space left on device")
        return plain(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="the disk is full"):
        get_format("brat").write([("row", {"id": name, "text": TEXT}) for name in "ab"], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_spans_that_would_make_files_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("spacy_epee.data.formats.standoff.writing.MOST_QUOTED", 99)
    ents = [span(0, len(TEXT), id=number, label="Problem") for number in range(4)]
    with pytest.raises(ValueError, match="row 1: its spans have over 99 characters together"):
        get_format("brat").write([("row 1", {"text": TEXT, "ents": ents})], tmp_path / "out")


def many(what, count):
    text = "Fever. " * count
    mentions = "".join(f"T{i + 1}\tProblem {7 * i} {7 * i + 5}\tFever\n" for i in range(count))
    events = {
        "entities": "",
        "events": "".join(f"E{i}\tProblem:T{i} With:T{i + 1}\n" for i in range(1, count)),
        "equal roles": "E1\tProblem:T1 " + " ".join(f"With:T{i}" for i in range(2, count)) + "\n",
        "nested events": "".join(f"E{i}\tProblem:T{i} With:E{i + 1}\n" for i in range(1, count)) + f"E{count}\tProblem:T1\n",
        "attributes": "".join(f"A{i}\tSure T{i}\n" for i in range(1, count)),
        "sets": "*\tEquiv " + " ".join(f"T{i}" for i in range(1, count)) + "\n",
        "notes": "".join(f"#{i}\tspacy_epee T{i}\t{json.dumps({'entity': True})}\n" for i in range(1, count)),
    }
    return mentions + events[what], text


KINDS = ["entities", "events", "equal roles", "nested events", "attributes", "sets", "notes"]


@pytest.mark.parametrize("what", KINDS)
def test_reading_grows_with_the_file(tmp_path, what):
    def work(count):
        read(tmp_path, *many(what, count))

    assert growth(work, 1500) < 9


@pytest.mark.hard
@pytest.mark.parametrize("what", KINDS)
def test_writing_grows_with_the_row(tmp_path, what):
    rows = {count: read(tmp_path, *many(what, count))[0] for count in (1500, 6000)}

    def work(count):
        folder = tmp_path / f"{count}-{time.monotonic_ns()}"
        assert get_format("brat").write([("row 1", rows[count])], folder) == 1

    assert growth(work, 1500) < 9


def test_texts_without_annotations_are_counted(tmp_path):
    for name in ("README.txt", "more/unread.TXT"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(TEXT)
    row, said = read(tmp_path, LINES)
    assert texts(row) == ["Fever", "cough", "rash"]
    assert said == [f"Texts without a file of annotations beside them, left out. texts: 2, the first in {tmp_path}/README.txt."]


@pytest.mark.parametrize("name", ["._note", ".ipynb_checkpoints/note-checkpoint"])
def test_hidden_files_are_no_documents(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write(tmp_path, LINES, name=name)
    row, said = read(tmp_path, LINES)
    assert row["id"] == "note" and not said
