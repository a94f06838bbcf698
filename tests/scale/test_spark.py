"""Notes in files, answered by Spark on this machine."""

import os
import shutil
import signal
import sys

import pytest
from annotate_util import done, read_rows, refused, write_rows
from util import make_texts

from spacy_epee.scale import annotate as annotate_tables
from spacy_epee.scale import spark as on_spark
from spacy_epee.scale.reading import Columns
from spacy_epee.scale.spark import PARTITION, Counts, parts_of, run_spark
from spacy_epee.scale.version import load_pipeline

JAVA = shutil.which("java")


@pytest.fixture
def source(tmp_path):
    rows = [{"id": f"n{number}", "text": text} for number, text in enumerate(make_texts(40, seed=4, longest=40))]
    return write_rows(tmp_path / "in.jsonl", rows)


@pytest.fixture
def spark(monkeypatch):
    """Spark, whose workers are of this Python."""
    pytest.importorskip("pyspark")
    if JAVA is None:
        pytest.skip("Java is not installed")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)


def parts(path):
    """The rows that Spark wrote to a folder."""
    files = [file for file in sorted(path.iterdir()) if file.name.startswith("part-")]
    renamed = []
    for number, file in enumerate(files):
        suffix = next(suffix for suffix in (".parquet", ".csv", ".json") if file.name.endswith(suffix)).replace("json", "jsonl")
        renamed.append(file.with_name(f"{number}{suffix}"))
        shutil.copy(file, renamed[-1])
    return sorted((row for file in renamed for row in read_rows(file)), key=lambda row: row["id"] or "")


@pytest.mark.parametrize("suffix", [".csv", *(pytest.param(suffix, marks=pytest.mark.slow) for suffix in (".jsonl", ".parquet"))])
def test_spark_gives_the_rows_of_one_process(suffix, spark, model, source, tmp_path):
    if suffix == ".csv":
        with source.open("a") as file:
            file.write('{"id": "z1", "text": null}\nno note\n')
    found = done(model, source, tmp_path / f"out{suffix}", "--spark", "local[2]")
    done(model, source, tmp_path / "one.jsonl")
    rows = parts(tmp_path / f"out{suffix}")
    expected = sorted(read_rows(tmp_path / "one.jsonl"), key=lambda row: row["id"] or "")
    assert f"{len(expected)} notes in" in found.output
    assert [row["id"] for row in rows] == [row["id"] for row in expected]
    for row, other in zip(rows, expected):
        assert bool(row["error"]) == bool(other["error"])
        if not row["error"]:
            assert row["answers"]["labels"] == other["answers"]["labels"]
            assert row["answers"]["cats"] == pytest.approx(other["answers"]["cats"], abs=1e-5)
            assert (row["layer"], row["reason"], row["uncertain"], row["version"]) == (
                *(other[name] for name in ("layer", "reason", "uncertain", "version")),
            )
    if suffix == ".csv":
        assert [row["id"] for row in rows if row["error"]] == [None, "z1"]
        assert "2 of 42 notes have no answer" in found.output


@pytest.mark.parametrize(
    "notes, workers, expected",
    [(0, 1, 1), (1, 2, 2), (PARTITION, 1, 1), (PARTITION + 1, 1, 2), (48_400, 2, 6), (48_400, 1, 5), (10**6, 7, 105)],
)
def test_every_worker_has_as_many_parts(notes, workers, expected):
    parts = parts_of(notes, workers)
    assert parts == expected
    assert parts % workers == 0 and parts * PARTITION >= notes


def test_java_leaves_the_cores_of_this_machine_to_workers(spark):
    session = on_spark._session("local[1]")
    try:
        options = list(session._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments())
    finally:
        session.stop()
    assert on_spark.QUICK_JAVA in options


def test_columns_found_in_a_sample_hold_what_all_rows_have(spark, tmp_path):
    rows = [{"id": number, "text": f"Note {number}.", "other": [number]} for number in range(3000)]
    odd = [
        '{"id": "a12", "text": "No number."}',
        '{"id": 1.50, "text": null}',
        '{"text": "Without."}',
        '{"id": "x", "te',
    ]
    path = write_rows(tmp_path / "in.jsonl", rows)
    path.write_text(path.read_text() + "\n".join([*odd, '{"id": "z", "text": {"a": 1}}']))
    session = on_spark._session("local[1]")
    try:
        table = on_spark._read_jsonl(session, str(path), Columns())
        found = [(row.id, row.text) for row in table.select("id", "text").collect()]
        few = on_spark._read_jsonl(session, str(write_rows(tmp_path / "few.jsonl", rows[:1])), Columns()).columns
    finally:
        session.stop()
    assert table.columns == ["id", "text"] and few == ["id", "other", "text"]
    assert found[:3000] == [(str(row["id"]), row["text"]) for row in rows]
    broken = found.pop(3003)
    assert found[3000:] == [("a12", "No number."), ("1.50", None), (None, "Without."), ("z", '{"a": 1}')]
    assert broken[1] is None


def test_rows_of_csv_with_other_columns_have_no_text(spark, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text('id,text\n1,Stable, no pain.\n2\n3,"a, b\nc"\n4,Fever.\n')
    session = on_spark._session("local[1]")
    try:
        table = on_spark._read_csv(session, str(tmp_path / "in"), Columns())
        found = [(row.id, row.text) for row in table.select("id", "text").collect()]
        (tmp_path / "in" / "b.csv").write_text("text,id\nFever.,5\n")
        with pytest.raises(Exception, match="CSV header does not conform to the schema"):
            on_spark._read_csv(session, str(tmp_path / "in"), Columns()).collect()
    finally:
        session.stop()
    assert found == [("1", None), ("2", None), ("3", "a, b\nc"), ("4", "Fever.")]


def test_spark_tells_of_what_is_not_utf8(spark, model, tmp_path):
    (tmp_path / "in.csv").write_bytes("id,text\n1,fi\xe8vre\n2,Fever.\n".encode("latin-1"))
    version = load_pipeline(str(model)).version
    with pytest.warns(UserWarning, match="1 notes in .*in.csv' have characters that stand for what is not UTF-8"):
        run_spark("local[1]", str(model), version, str(tmp_path / "in.csv"), str(tmp_path / "out.jsonl"), Columns(), 32)


@pytest.mark.slow
def test_spark_loses_nothing_and_counts_nothing_twice_when_a_worker_dies(spark, model, source, tmp_path, monkeypatch):
    mark = tmp_path / "died"

    def dies_once(frames, **settings):
        for frame in frames:
            yield from annotate_tables(iter([frame]), **settings)
            if "n7" in list(frame["id"]) and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(on_spark, "annotate", dies_once)
    version = load_pipeline(str(model)).version
    found = run_spark("local[2,2]", str(model), version, str(source), str(tmp_path / "out.jsonl"), Columns(), 32)
    assert mark.exists() and found == Counts(40, 0)
    assert sorted(row["id"] for row in parts(tmp_path / "out.jsonl")) == sorted(f"n{number}" for number in range(40))


@pytest.mark.slow
def test_spark_answers_no_notes(spark, model, tmp_path):
    (tmp_path / "in.csv").write_text("id,text\n")
    found = done(model, tmp_path / "in.csv", tmp_path / "out.jsonl", "--spark", "local[2]")
    assert "0 notes in" in found.output and parts(tmp_path / "out.jsonl") == []


def test_spark_refuses_what_is_wrong_with_the_notes(spark, model, source, tmp_path):
    said = refused(model, source, tmp_path / "out.parquet", "--spark", "local[1]", "--text-column", "note")
    assert "has no column 'note'; name the one with the text by --text-column" in said
    source.write_text(source.read_text() + '{"id": "n3", "text": "Again."}\n')
    said = refused(model, source, tmp_path / "out.parquet", "--spark", "local[1]")
    assert "1 ids are there more than once" in said and not (tmp_path / "out.parquet").exists()
    said = refused(model, tmp_path / "none.jsonl", tmp_path / "out.parquet", "--spark", "local[1]")
    assert "Spark failed: AnalysisException PATH_NOT_FOUND" in said


def test_spark_needs_java(model, source, tmp_path, monkeypatch):
    for library in ("pyspark", "pandas", "pyarrow"):
        pytest.importorskip(library)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    said = refused(model, source, tmp_path / "out.parquet", "--spark", "local[1]")
    assert "There is no Java. Spark needs Java 17 or newer" in said and "JAVA_HOME" in said


def test_spark_needs_its_extra(model, source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    said = refused(model, source, tmp_path / "out.parquet", "--spark", "local[1]")
    assert 'Spark needs the library pyspark: `pip install "spacy_epee[spark]"`' in said


def test_spark_goes_without_what_it_cannot_do(spark, model, source, tmp_path):
    for option in ("--text", "--n-process=2", "--gpu-id=0"):
        assert "--spark goes without" in refused(model, source, tmp_path / "out.parquet", "--spark", "local[1]", option)
    assert "--number is for one process" in refused(model, source, tmp_path / "o.parquet", "--spark", "local[1]", "--number")
