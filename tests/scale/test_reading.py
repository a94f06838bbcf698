"""Notes from files: every one of them, or a reason."""

import csv
import gzip
import json
import os

import pytest
from annotate_util import write_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_epee.scale.notes import Note
from spacy_epee.scale.reading import Columns, read_notes, scan

NOTES = [Note("1", "Fever, chills."), Note("b", 'A "dry" cough;\r\nsince May.\n'), Note("3", ""), Note("ä", "日本 µg")]


def read(path, **columns):
    return list(read_notes(path, Columns(**columns)))


def write(path, notes):
    """Write notes in the format of a file's name."""
    rows = [{"id": note.id, "text": note.text, "more": 1} for note in notes]
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, ["more", "text", "id"], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet

        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    else:
        write_rows(path, rows)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".csv", ".tsv", ".parquet"])
def test_notes_are_the_same_in_each_format(suffix, tmp_path):
    assert read(write(tmp_path / f"in{suffix}", NOTES)) == NOTES


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXT, min_size=1, max_size=5), suffix=st.sampled_from([".jsonl", ".csv", ".tsv"]))
def test_notes_of_any_text_come_back(texts, suffix, tmp_path):
    notes = [Note(str(number), text) for number, text in enumerate(texts)]
    assert read(write(tmp_path / f"in{suffix}", notes)) == notes


def test_notes_of_a_folder_are_in_order_of_their_names(tmp_path):
    for name in ("b.txt", "a.txt", "sub/c.txt", "a b/d.TXT", ".hidden.txt", "_logs/e.txt", "readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"note {name}\r\nover two lines", newline="")
    assert read(tmp_path) == [
        Note(name, f"note {name}\r\nover two lines") for name in ("a.txt", "b.txt", "a b/d.TXT", "sub/c.txt")
    ]
    assert read(tmp_path / "a.txt")[0].id == "a.txt"


def test_notes_of_parts_are_read_as_one_file(tmp_path):
    write(tmp_path / "part-1.jsonl", NOTES[:2])
    write(tmp_path / "part-2.jsonl", NOTES[2:])
    (tmp_path / "_SUCCESS").touch()
    assert read(tmp_path) == NOTES


def test_notes_of_two_kinds_are_refused(tmp_path):
    write(tmp_path / "1.jsonl", NOTES)
    write(tmp_path / "2.csv", NOTES)
    with pytest.raises(ValueError, match="files that end in '.jsonl' and in '.csv'"):
        read(tmp_path)


def test_notes_columns_and_numbers(tmp_path):
    write_rows(tmp_path / "in.jsonl", [{"key": 7, "note": "Fever."}, "no object", {"key": 8, "note": "Cough."}])
    found = read(tmp_path / "in.jsonl", id="key", text="note")
    assert [(note.id, note.text) for note in found] == [("7", "Fever."), (None, None), ("8", "Cough.")]
    assert [note.id for note in read(tmp_path / "in.jsonl", text="note", numbered=True)] == ["1", "2", "3"]
    (tmp_path / "in.csv").write_text("id;text\n1;Fever, chills.\n")
    assert read(tmp_path / "in.csv", delimiter=";") == [Note("1", "Fever, chills.")]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("missing", ["id", "text"])
def test_notes_without_a_column_are_refused(suffix, missing, tmp_path):
    path = write(tmp_path / f"in{suffix}", NOTES)
    number = ", or number the notes by --number" if missing == "id" else ""
    with pytest.raises(
        ValueError, match=f"there is no column 'x'; name the one with the {missing} by --{missing}-column{number}"
    ):
        read(path, **{missing: "x"})


BAD = {
    "{": "not JSON",
    "[1]": "not an object (list)",
    '{"id": "1"}': "there is no text (NoneType)",
    '{"id": "1", "text": null}': "there is no text (NoneType)",
    '{"id": "1", "text": ["a"]}': "there is no text (list)",
    '{"text": "a"}': "the id is empty",
    '{"id": "", "text": "a"}': "the id is empty",
    '{"id": 1.5, "text": "a"}': "neither text nor a whole number (float)",
    '{"id": true, "text": "a"}': "neither text nor a whole number (bool)",
    '{"id": "1", "text": "\\ud800"}': "half of a pair of UTF-16",
}


@pytest.mark.parametrize("line", BAD)
def test_notes_that_cannot_be_read_say_why(line, tmp_path):
    good = {"id": "0", "text": "Fever."}
    found = read(write_rows(tmp_path / "in.jsonl", [good, line, "", good]))
    assert len(found) == 3 and found[0] == found[2] == Note("0", "Fever.")
    assert found[1].text is None and BAD[line] in found[1].error
    assert found[1].error.startswith(f"{tmp_path / 'in.jsonl'}, line 2: ")


def test_notes_that_are_not_utf8_cost_no_other(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"id": 1, "text": "a"}\n{"id": 2, "text": "Gr\xf6\xdfe"}\n{"id": 3, "text": "c"}\n')
    (tmp_path / "in.csv").write_bytes(b"id,text\n1,a\n2,Gr\xf6\xdfe\n3,c\n")
    for found in (read(path), read(tmp_path / "in.csv")):
        assert [note.text for note in found] == ["a", None, "c"]
        assert "not UTF-8" in found[1].error
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "1.txt").write_bytes(b"Gr\xf6\xdfe")
    assert read(tmp_path / "t")[0].id == "1.txt" and "not UTF-8" in read(tmp_path / "t")[0].error


def test_notes_rows_of_csv_with_other_columns_say_so(tmp_path):
    (tmp_path / "in.csv").write_text('id,text\n1,"a\nb"\n2\n3,c,d\n4,e\n')
    found = read(tmp_path / "in.csv")
    assert [note.text for note in found] == ["a\nb", None, None, "e"]
    assert found[1].error.endswith("in.csv, line 4: the row has 1 values, and there are 2 columns")


def test_notes_of_csv_with_a_quote_too_few_are_refused(tmp_path):
    (tmp_path / "in.csv").write_text('id,text\n1,"a\n2,b\n3,c\n')
    with pytest.raises(ValueError, match=r"in.csv, line \d: not CSV .unexpected end of data."):
        read(tmp_path / "in.csv")


def test_notes_may_be_long(tmp_path):
    notes = [Note("1", "long " * 100_000)]
    assert read(write(tmp_path / "in.csv", notes)) == notes


def test_notes_of_damaged_files_are_refused(tmp_path):
    data = write(tmp_path / "in.jsonl.gz", [Note(str(number), f"text {number}") for number in range(2000)]).read_bytes()
    (tmp_path / "in.jsonl.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="the compressed file is damaged or cut off"):
        read(tmp_path / "in.jsonl.gz")
    pytest.importorskip("pyarrow")
    (tmp_path / "in.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match="in.parquet: not Parquet, or damaged"):
        read(tmp_path / "in.parquet")
    data = bytearray(write(tmp_path / "in.parquet", NOTES * 50).read_bytes())
    data[4:300] = bytes(296)
    (tmp_path / "in.parquet").write_bytes(data)
    with pytest.raises(ValueError, match="in.parquet, after row 0: the file is damaged"):
        read(tmp_path / "in.parquet")


def test_notes_of_a_folder_without_any_are_refused(tmp_path):
    with pytest.raises(ValueError, match="has no file that ends in .jsonl"):
        read(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="names are text elsewhere")
def test_notes_files_whose_names_are_no_text_say_so(tmp_path):
    (tmp_path / os.fsdecode(b"\xf6.txt")).write_text("Fever.")
    assert read(tmp_path) == [Note(None, None, "the name of the file is not UTF-8")]


def test_notes_are_told_from_others_by_their_digest():
    digests = {
        str(scan(notes)) for notes in ([], NOTES, NOTES[:3], NOTES[::-1], [Note("1", None)], [Note("", ""), Note(None, "")])
    }
    assert len(digests) == 6 and str(scan(NOTES)) == str(scan(list(NOTES)))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("twice", ["id", "text"])
def test_notes_of_a_table_that_has_a_column_twice_are_refused(suffix, twice, tmp_path):
    path, names = tmp_path / f"in{suffix}", ["id", "text", twice]
    if suffix == ".csv":
        path.write_text(f"{','.join(names)}\n1,Fever.,SECRETNAME\n")
    else:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet

        pyarrow.parquet.write_table(pa.Table.from_arrays([pa.array([value]) for value in "abc"], names=names), path)
    with pytest.raises(ValueError, match=f"in{suffix}.*: the column '{twice}' is there 2 times. Rename"):
        read(path)
    assert read(path, **{twice: {"id": "text", "text": "id"}[twice]})  # what is not read may be there twice


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_notes_of_csv_in_utf16_are_refused_as_such(encoding, tmp_path):
    (tmp_path / "in.csv").write_bytes("id,text\r\n1,Fever.\r\n".encode(encoding))
    with pytest.raises(ValueError, match="in.csv, line 1: not UTF-8, but UTF-16. Convert the file"):
        read(tmp_path / "in.csv")


def test_notes_files_of_a_folder_that_are_left_out_are_counted(tmp_path):
    for name in ("a.csv", "b.csv.gz", "c.rtf", "d.json", ".hidden.doc", "_SUCCESS"):
        (tmp_path / name).write_text("id,text\n1,Fever.\n")
    with pytest.warns(UserWarning, match="3 files in .* are left out, one is .*b.csv.gz'"):
        assert read(tmp_path) == [Note("1", "Fever.")]
