"""`python -m spacy epee annotate`: rows of all notes, whatever happens."""

import gzip
import json
import math
import os
import random
import shutil
import signal
import time

import pytest
import spacy
from annotate_util import annotate, done, read_rows, refused, write_notes, write_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kills_util import fork, kills_at_random, wait
from util import SENTENCES, make_nlp, make_texts

from spacy_epee.scale import journal, run, workers
from spacy_epee.scale.journal import Journal
from spacy_epee.scale.notes import COLUMNS, chunks
from spacy_epee.scale.reading import Columns, read_notes
from spacy_epee.scale.version import load_pipeline

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system")


@pytest.fixture(scope="module")
def loaded(model):
    return load_pipeline(str(model))


@pytest.fixture(scope="module")
def whole(loaded, tmp_path_factory):
    """Sixty notes, and the output of one run."""
    folder = tmp_path_factory.mktemp("whole")
    write_notes(folder / "in.jsonl", make_texts(60, seed=3, longest=50))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spacy_epee.scale.notes.CHUNK_NOTES", 7)
        patch.setattr("spacy_epee.scale.notes.CHUNK_CHARACTERS", 900)
        run.annotate_file(loaded, folder / "in.jsonl", folder / "out.jsonl", Columns())
    return folder


def go(loaded, folder, target="out.jsonl", **options):
    return run.annotate_file(loaded, folder / "in.jsonl", folder / target, Columns(), **options)


def test_annotate_writes_what_the_pipeline_says(model, source, tmp_path):
    found = done(model, source, tmp_path / "out.jsonl", "--batch-size", 8)
    assert "60 notes in" in found.output and "notes a second" in found.output
    rows = read_rows(tmp_path / "out.jsonl")
    nlp = spacy.load(model)
    texts = {row["id"]: row["text"] for row in map(json.loads, source.read_text().splitlines())}
    assert [row["id"] for row in rows] == list(texts)
    pipe = nlp.get_pipe("epee_textcat")
    for row, doc in zip(rows, nlp.pipe(texts.values())):
        entry = doc._.exits["epee_textcat"]["textcat"]
        assert list(row) == list(COLUMNS)
        assert all(math.isclose(row["answers"]["cats"][label], score, abs_tol=1e-5) for label, score in doc.cats.items())
        assert row["answers"]["labels"] == pipe.labels_of(doc)
        assert (row["layer"], row["uncertain"], row["error"]) == (entry["layer"], entry["uncertain"], None)
        assert row["reason"] == entry["units"][0]["reason"]
        assert row["exits"]["epee_textcat"]["textcat"]["units"][0]["layer"] == entry["layer"]
        assert row["version"].startswith("en-pipeline-0.0.0-")
    assert len({row["layer"] for row in rows}) > 1
    assert not list(tmp_path.glob("out.jsonl.*"))
    assert not any(text in (tmp_path / "out.jsonl").read_text() for text in texts.values() if len(text) > 20)


def test_annotate_writes_texts_when_asked(model, source, tmp_path):
    done(model, source, tmp_path / "out.jsonl", "--text")
    texts = [json.loads(line)["text"] for line in source.read_text().splitlines()]
    assert [row["text"] for row in read_rows(tmp_path / "out.jsonl")] == texts


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl.gz"])
def test_annotate_writes_the_same_in_each_format(suffix, loaded, source, tmp_path):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    with source.open("a") as file:
        file.write("no note\n")
    go(loaded, tmp_path)
    go(loaded, tmp_path, f"out{suffix}")
    if suffix == ".jsonl.gz":
        (tmp_path / "plain.jsonl").write_bytes(gzip.decompress((tmp_path / f"out{suffix}").read_bytes()))
        assert (tmp_path / "plain.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()
    else:
        assert read_rows(tmp_path / f"out{suffix}") == read_rows(tmp_path / "out.jsonl")


def test_annotate_processes_give_the_rows_of_one(loaded, whole, tmp_path, small_chunks):
    shutil.copy(whole / "in.jsonl", tmp_path)
    assert go(loaded, tmp_path, n_process=2).notes == 60
    assert (tmp_path / "out.jsonl").read_bytes() == (whole / "out.jsonl").read_bytes()


class Stopped(Exception):
    pass


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([1, 2])), max_size=4), end=st.booleans())
def test_annotate_resumed_in_any_way_gives_the_rows_of_one_run(stops, end, loaded, whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resumed")
    shutil.copy(whole / "in.jsonl", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spacy_epee.scale.notes.CHUNK_NOTES", 7)
        patch.setattr("spacy_epee.scale.notes.CHUNK_CHARACTERS", 900)
        for count, n_process in stops:
            stop_after(patch, count)
            try:
                go(loaded, folder, n_process=n_process, batch_size=8)
            except Stopped:
                assert not (folder / "out.jsonl").exists()
            else:
                break
            patch.setattr(Journal, "add", ADD)
        if end and not (folder / "out.jsonl").exists():  # stopped between the output and the end
            patch.setattr(Journal, "remove", lambda self: self.close())
            go(loaded, folder, batch_size=8)
            patch.setattr(Journal, "remove", REMOVE)
        if not (folder / "out.jsonl").exists() or (folder / "out.jsonl.unfinished").exists():
            go(loaded, folder, batch_size=8)
    rows, expected = read_rows(folder / "out.jsonl"), read_rows(whole / "out.jsonl")
    assert [row["id"] for row in rows] == [row["id"] for row in expected]
    assert [row["answers"]["labels"] for row in rows] == [row["answers"]["labels"] for row in expected]
    assert [row["layer"] for row in rows] == [row["layer"] for row in expected]
    assert sorted(os.listdir(folder)) == ["in.jsonl", "out.jsonl"]


ADD, REMOVE = Journal.add, Journal.remove


def stop_after(patch, count):
    """Stop when so many chunks are taken down."""
    left = [count]

    def add(self, rows):
        if not left[0]:
            raise Stopped
        left[0] -= 1
        ADD(self, rows)

    patch.setattr(Journal, "add", add)


@pytest.mark.hard
@forks
def test_annotate_killed_again_and_again_loses_and_doubles_nothing(loaded, whole, tmp_path, small_chunks):
    assert kill_until_done(loaded, whole, tmp_path, kills=10) == 10


@forks
@pytest.mark.hard
@pytest.mark.parametrize("n_process", [1, 2])
def test_annotate_killed_a_hundred_times_loses_and_doubles_nothing(n_process, loaded, whole, tmp_path, small_chunks):
    assert kill_until_done(loaded, whole, tmp_path, 100, n_process, seed=n_process) == 100


def kill_until_done(loaded, whole, folder, kills, n_process=1, seed=0):
    """Kill runs at random moments, anew when one is through, and compare every output with that of one run.

    RETURNS (int): How many were killed.
    """
    shutil.copy(whole / "in.jsonl", folder)
    expected = (whole / "out.jsonl").read_bytes()
    target, unfinished = folder / "out.jsonl", folder / "out.jsonl.unfinished"

    def act():
        if target.exists() and not unfinished.exists():
            target.unlink()
        go(loaded, folder, n_process=n_process)

    killed = outputs = 0
    for killed in kills_at_random(act, kills, seed=seed):
        if target.exists():
            assert target.read_bytes() == expected
            outputs += 1
    assert wait(fork(act)) == 0
    assert target.read_bytes() == expected and not unfinished.exists() and outputs
    return killed


@forks
def test_annotate_workers_end_with_the_process_that_began_them(loaded, whole, tmp_path, small_chunks):
    shutil.copy(whole / "in.jsonl", tmp_path)
    numbers = tmp_path / "numbers"
    numbers.mkdir()

    def slow(nlp, notes, version, batch_size):
        (numbers / str(os.getpid())).touch()
        time.sleep(60)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "annotate_alone", slow)
        child = fork(lambda: go(loaded, tmp_path, n_process=2))
        until(lambda: len(list(numbers.iterdir())) == 2)
        os.kill(child, signal.SIGKILL)
        assert wait(child) == -signal.SIGKILL
    until(lambda: not any(map(is_alive, numbers.iterdir())))
    go(loaded, tmp_path)
    assert (tmp_path / "out.jsonl").read_bytes() == (whole / "out.jsonl").read_bytes()


def is_alive(path):
    """Whether a process runs, and is no zombie that nobody waits for."""
    try:
        return open(f"/proc/{path.name}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Deadly:
    """A component that kills its process at some notes."""

    def __init__(self, word):
        self.word = word

    def __call__(self, doc):
        if self.word in doc.text:
            os.kill(os.getpid(), signal.SIGKILL)
        return doc


@pytest.fixture
def deadly(backbone, tmp_path):
    spacy.Language.component("test_deadly", func=Deadly("DEADLY"))
    nlp = make_nlp(backbone)
    nlp.add_pipe("test_deadly", first=True)
    nlp.to_disk(tmp_path / "model")
    return load_pipeline(str(tmp_path / "model"))


@forks
def test_annotate_a_note_that_kills_its_process_costs_no_other(deadly, tmp_path, small_chunks):
    texts = SENTENCES * 2
    texts[3] = texts[17] = "DEADLY"
    write_notes(tmp_path / "in.jsonl", texts)
    assert go(deadly, tmp_path, n_process=2).failed == 2
    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [f"n{number}" for number in range(1, 25)]
    assert [row["id"] for row in rows if row["error"]] == ["n4", "n18"]
    assert rows[3]["error"] == workers.DIED and rows[3]["uncertain"] and rows[3]["version"]


@forks
def test_annotate_a_worker_that_is_killed_once_costs_nothing(loaded, whole, tmp_path, small_chunks, monkeypatch):
    shutil.copy(whole / "in.jsonl", tmp_path)
    flag, answer = tmp_path / "flag", workers.annotate_alone

    def once(nlp, notes, version, batch_size):
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return answer(nlp, notes, version, batch_size)

    monkeypatch.setattr(workers, "annotate_alone", once)
    assert go(loaded, tmp_path, n_process=2).failed == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (whole / "out.jsonl").read_bytes()


def stop(loaded, folder, count=3, **options):
    """Have a run stopped behind some chunks."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, count)
        with pytest.raises(Stopped):
            go(loaded, folder, **options)


def test_annotate_goes_on_behind_what_is_done(loaded, whole, tmp_path, small_chunks):
    shutil.copy(whole / "in.jsonl", tmp_path)
    stop(loaded, tmp_path)
    expected = sum(len(chunk) for _, chunk in zip(range(3), chunks(read_notes(whole / "in.jsonl", Columns()))))
    found = go(loaded, tmp_path)
    assert 0 < expected < 22 and found.now == 60 - expected


@pytest.mark.parametrize("change", ["pipeline", "notes", "more notes", "text", "format"])
def test_annotate_goes_on_with_the_same_alone(change, loaded, model, source, tmp_path, small_chunks):
    stop(loaded, tmp_path)
    options = []
    if change == "pipeline":
        shutil.copytree(model, tmp_path / "other")
        model = tmp_path / "other"
        with (model / "meta.json").open("a") as file:
            file.write("\n")
    elif change == "notes":
        source.write_text(source.read_text().replace('"n50"', '"m50"'))
    elif change == "more notes":
        with source.open("a") as file:
            file.write('{"id": "n61", "text": "Fever."}\n')
    elif change == "text":
        options = ["--text"]
    else:
        (tmp_path / "out.jsonl.unfinished").rename(tmp_path / "out.csv.unfinished")
    what = {"text": "the settings", "format": "the format of the output", "more notes": "the notes"}.get(change, f"the {change}")
    target = tmp_path / ("out.csv" if change == "format" else "out.jsonl")
    said = refused(model, source, target, *options)
    assert f"was begun with another value of: {what}." in said and not target.exists()


def test_annotate_goes_on_with_other_batches_and_processes(loaded, source, tmp_path, small_chunks):
    stop(loaded, tmp_path)
    assert go(loaded, tmp_path, batch_size=3, n_process=2).notes == 60


def test_annotate_leaves_what_is_whole(model, source, tmp_path):
    (tmp_path / "out.jsonl").write_text("mine")
    assert "is there already, and all of it is written" in refused(model, source, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "mine"


def test_annotate_leaves_what_another_process_has_written_meanwhile(loaded, whole, tmp_path):
    shutil.copy(whole / "in.jsonl", tmp_path)
    run.check_places(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    (tmp_path / "out.jsonl").write_text("of another process")  # while the pipeline was loaded
    with pytest.raises(ValueError, match="is there already, and all of it is written"):
        go(loaded, tmp_path)
    assert (tmp_path / "out.jsonl").read_text() == "of another process"
    assert not (tmp_path / "out.jsonl.unfinished").exists()


@forks
def test_annotate_by_who_waited_for_another_process_ends_well(loaded, whole, tmp_path, monkeypatch):
    shutil.copy(whole / "in.jsonl", tmp_path)
    write = run.write_rows

    def other_first(target, *rest):
        journal.unfinished(target).unlink()  # as a process that has let go of it, and removes it then
        write(target, *rest)

    monkeypatch.setattr(run, "write_rows", other_first)
    assert go(loaded, tmp_path).notes == 60
    assert len(read_rows(tmp_path / "out.jsonl")) == 60


def test_annotate_is_written_by_one_process_at_a_time(loaded, model, source, tmp_path, small_chunks, monkeypatch):
    monkeypatch.setattr(journal, "WAIT", 0.1)
    stop(loaded, tmp_path)
    other = os.fork() if hasattr(os, "fork") else pytest.skip("forks")
    if not other:  # holds it until it is killed
        kept = Journal(tmp_path / "out.jsonl", settings_of(tmp_path / "out.jsonl.unfinished"))
        (tmp_path / "held").touch()
        time.sleep(60)
        os._exit(len(kept))
    try:
        until((tmp_path / "held").exists)
        assert "Another process is writing to" in refused(model, source, tmp_path / "out.jsonl")
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    assert go(loaded, tmp_path).notes == 60


def settings_of(path):
    import sqlite3

    base = sqlite3.connect(path)
    found = dict(base.execute("SELECT name, value FROM settings"))
    base.close()
    return found


def test_annotate_refuses_what_is_no_journal(model, source, tmp_path):
    (tmp_path / "out.jsonl.unfinished").write_bytes(random.Random(0).randbytes(8192))
    assert "is damaged, or no file of this command" in refused(model, source, tmp_path / "out.jsonl")


def test_annotate_says_when_the_pipeline_is_replaced(model, source, tmp_path, monkeypatch):
    shutil.copytree(model, tmp_path / "other")
    add = Journal.add

    def replace(self, rows):
        (tmp_path / "other" / "meta.json").write_text((model / "meta.json").read_text() + "\n")
        add(self, rows)

    monkeypatch.setattr(Journal, "add", replace)
    found = done(tmp_path / "other", source, tmp_path / "out.jsonl")
    assert "The pipeline was replaced meanwhile. All notes were read by en-pipeline-0.0.0-" in " ".join(found.output.split())
    assert len({row["version"] for row in read_rows(tmp_path / "out.jsonl")}) == 1


def test_annotate_refuses_a_pipeline_that_is_replaced_while_it_is_loaded(model, source, tmp_path, monkeypatch):
    shutil.copytree(model, tmp_path / "other")
    from spacy_epee.scale import version

    load = version.load_model

    def replace(name):
        nlp = load(name)
        (tmp_path / "other" / "meta.json").write_text("{}")
        return nlp

    monkeypatch.setattr(version, "load_model", replace)
    assert "was replaced while it was loaded" in refused(tmp_path / "other", source, tmp_path / "out.jsonl")


def test_annotate_refuses_notes_that_change_while_they_are_read(model, source, tmp_path, monkeypatch):
    look = run.scan

    def change(notes):
        found = look(notes)
        source.write_text(source.read_text().replace('"n60"', '"m60"'))
        return found

    monkeypatch.setattr(run, "scan", change)
    assert "was changed while it was read" in refused(model, source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_annotate_ids_that_are_there_twice_are_answered_once(loaded, tmp_path, small_chunks):
    rows = [{"id": f"n{number % 20}", "text": text} for number, text in enumerate(make_texts(24))]
    write_rows(tmp_path / "in.jsonl", rows)
    assert go(loaded, tmp_path).failed == 4
    found = read_rows(tmp_path / "out.jsonl")
    assert [row["id"] for row in found[:20]] == [row["id"] for row in rows[:20]]
    for number, row in enumerate(found[20:]):
        assert row["id"] is None and row["answers"] is None and row["uncertain"]
        assert row["error"] == f"its id is that of note {number + 1}, and this is note {number + 21}"


def test_annotate_no_notes_are_no_rows(loaded, tmp_path):
    (tmp_path / "in.jsonl").write_text("")
    assert go(loaded, tmp_path).notes == 0 and (tmp_path / "out.jsonl").read_text() == ""


def test_annotate_notes_of_which_none_can_be_read_are_refused(model, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id": "1", "text": "Fever."}\n' * 3, encoding="utf-16")
    said = refused(model, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert "None of the" in said and "not UTF-8, but UTF-16" in said and not list(tmp_path.glob("out*"))


def test_annotate_help_names_in_and_out():
    found = annotate("--help")
    assert "IN" in found.output and "OUT" in found.output


@pytest.mark.parametrize(
    "target,said",
    [("out.txt", "does not end in any of"), ("notes/out.jsonl", "lies in the folder that is read"), ("notes", "is a folder")],
)
def test_annotate_refuses_places(target, said, model, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "1.txt").write_text("Fever.")
    assert said in refused(model, tmp_path / "notes", tmp_path / target)


def test_annotate_refuses_settings_that_mean_nothing(model, source, tmp_path):
    assert "--delimiter is 'ab'; give one character" in refused(model, source, tmp_path / "o.csv", "--delimiter", "ab")
    assert "--n-process is for CPUs" in refused(model, source, tmp_path / "o.csv", "--gpu-id", 0, "--n-process", 2)
    assert "There is no file or folder" in refused(model, tmp_path / "none.csv", tmp_path / "o.csv")


def test_annotate_refuses_a_pipeline_without_exits(source, tmp_path):
    spacy.blank("en").to_disk(tmp_path / "blank")
    assert "has no early-exiting component" in refused(tmp_path / "blank", source, tmp_path / "out.jsonl")
