"""No part of a note is in what `annotate` prints, raises, logs and writes, and a disk that is full costs nothing that is done."""

import json
import os
import sqlite3

import pytest
import typer
from annotate_util import read_rows, write_notes, write_rows
from canary import CANARY, NUMBER, assert_silent, shows
from disk_util import fill, small_disk
from util import make_texts

from spacy_epee.cli import epee
from spacy_epee.files import NotWritten
from spacy_epee.scale import run
from spacy_epee.scale.journal import Journal
from spacy_epee.scale.reading import Columns
from spacy_epee.scale.version import load_pipeline

TEXT = f"Fever {CANARY} and rash."
ROWS = [
    {"id": "1", "text": TEXT, CANARY: CANARY},
    f'{{"id": "2", "text": "{CANARY}',
    f'["{CANARY}"]',
    {"id": "3", "text": [CANARY]},
    {"id": "4", "text": {CANARY: NUMBER}},
    {"id": [CANARY], "text": TEXT},
    {"id": "5", CANARY: TEXT},
    f'{{"id": "6", "text": "{CANARY} \\ud800"}}',
    {"id": "1", "text": TEXT},
    {"id": "7", "text": f"{CANARY} " * 3000},
]
CSV = f'id,text,{CANARY}\n1,{TEXT},{CANARY}\n2,{CANARY}\n3,"{CANARY}\n{CANARY}",{CANARY}\n'


@pytest.fixture(scope="module")
def loaded(model):
    return load_pipeline(str(model))


def command(*arguments):
    return lambda: typer.main.get_command(epee)(["annotate", *map(str, arguments)], standalone_mode=True)


@pytest.mark.parametrize("n_process", [1, 2])
@pytest.mark.parametrize("target", ["out.jsonl", "out.csv", "out.parquet"])
def test_annotate_shows_and_writes_nothing_of_a_note(target, n_process, model, tmp_path):
    if target.endswith("parquet"):
        pytest.importorskip("pyarrow")
    write_rows(tmp_path / "in.jsonl", ROWS)
    error = assert_silent(command(model, tmp_path / "in.jsonl", tmp_path / target, "--n-process", n_process))
    assert getattr(error, "code", 0) == 0
    assert not shows((tmp_path / target).read_bytes().decode("utf-8", "replace"))
    rows = read_rows(tmp_path / target)
    assert len(rows) == len(ROWS) and [row["id"] for row in rows if not row["error"]] == ["1", "7"]


@pytest.mark.parametrize(
    "text",
    [
        CSV,
        CSV + f'4,"{CANARY}',
        CSV + f'4,"{CANARY}"x,{CANARY}\n',
        CSV.replace("id,", f"{CANARY},"),
        CANARY,
        f"{CANARY}\0{CANARY}",
        f'"{CANARY}',
        "",
    ],
)
def test_annotate_shows_nothing_of_a_table_that_cannot_be_read(text, model, tmp_path):
    (tmp_path / "in.csv").write_text(text)
    assert_silent(command(model, tmp_path / "in.csv", tmp_path / "out.jsonl"))
    if (tmp_path / "out.jsonl").exists():
        assert not shows((tmp_path / "out.jsonl").read_text())


def test_annotate_leaves_nothing_of_a_note_beside_the_output(loaded, tmp_path, small_chunks, monkeypatch):
    write_notes(tmp_path / "in.jsonl", [f"{CANARY} {text}" for text in make_texts(20)])
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "remove", lambda self: self.close())
        run.annotate_file(loaded, tmp_path / "in.jsonl", tmp_path / "out.jsonl", Columns())
    assert not shows((tmp_path / "out.jsonl.unfinished").read_bytes().decode("utf-8", "replace"))


def limited(size, action):
    """Run something in a process that can write no file of more bytes. RETURNS (Tuple[int, str]): Its exit code, and what it
    raised."""
    import resource

    read, write = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            action()
            code = 0
        except (NotWritten, OSError) as error:
            os.write(write, str(error).encode())
            code = 3
        finally:
            os._exit(code)
    os.close(write)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(read) as pipe:
        return code, pipe.read()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system")
def test_annotate_goes_on_when_there_is_room_again(loaded, tmp_path, small_chunks):
    write_notes(tmp_path / "in.jsonl", make_texts(60, longest=20))
    run.annotate_file(loaded, tmp_path / "in.jsonl", tmp_path / "expected.jsonl", Columns())

    def act():
        run.annotate_file(loaded, tmp_path / "in.jsonl", tmp_path / "out.jsonl", Columns())

    counts, said = [], []
    for size in range(8192, 120_000, 8192):
        code, message = limited(size, act)
        if code == 0:
            break
        assert code == 3
        said.append(message)
        if (tmp_path / "out.jsonl.unfinished").stat().st_size:
            base = sqlite3.connect(tmp_path / "out.jsonl.unfinished")
            tables = [name for (name,) in base.execute("SELECT name FROM sqlite_master")]
            counts.append(base.execute("SELECT count(*) FROM rows").fetchone()[0] if "rows" in tables else 0)
            base.close()
    assert code == 0 and counts == sorted(counts) and len(set(counts)) > 2
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "expected.jsonl").read_bytes()
    assert all("out.jsonl" in one and "Traceback" not in one for one in said)
    assert any("What is in it is kept: make room, and give the same command again to go on" in one for one in said)


@pytest.mark.hard
def test_annotate_on_a_full_disk(loaded, tmp_path, small_chunks):
    with small_disk(tmp_path / "small", "1m") as small:
        write_notes(tmp_path / "in.jsonl", make_texts(400, longest=20))
        run.annotate_file(loaded, tmp_path / "in.jsonl", tmp_path / "expected.jsonl", Columns())
        said = []
        for left in range(0, 800_000, 60_000):
            fill(small, left)
            try:
                run.annotate_file(loaded, tmp_path / "in.jsonl", small / "out.jsonl", Columns())
                break
            except OSError as error:
                said.append(str(error))
                assert not (small / "out.jsonl").exists()
        assert (small / "out.jsonl").read_bytes() == (tmp_path / "expected.jsonl").read_bytes()
        assert len(said) > 2 and all("for the disk is full" in one for one in said)
        assert sorted(os.listdir(small)) == ["filler", "out.jsonl"]


def test_annotate_rows_are_plain_json(loaded, tmp_path):
    write_notes(tmp_path / "in.jsonl", make_texts(5))
    run.annotate_file(loaded, tmp_path / "in.jsonl", tmp_path / "out.jsonl", Columns())
    for line in (tmp_path / "out.jsonl").read_text().splitlines():
        assert json.loads(line, parse_constant=pytest.fail)
