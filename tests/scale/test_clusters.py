"""What docs/bulk.md shows for Spark, Dask and Ray works."""

import shutil
import sys

import pytest
from annotate_util import write_notes
from docs_util import blocks
from util import make_texts

from spacy_epee.scale.notes import COLUMNS, Note, annotate_notes
from spacy_epee.scale.version import load_pipeline

TEXTS = make_texts(20, seed=6)


@pytest.fixture
def shown(model, tmp_path, monkeypatch):
    """What the page defines, with a pipeline of its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, tmp_path / "tuned")
    namespace = {"__name__": "__main__"}
    for block in blocks("docs/bulk.md", "python"):
        exec(compile(block.code, "shown.py", "exec", dont_inherit=True), namespace)
    return namespace


def table():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"id": [f"n{number}" for number in range(1, 21)], "text": TEXTS})


def check(rows, model):
    """Rows are those of one process."""
    loaded = load_pipeline(str(model))
    expected = annotate_notes(loaded.nlp, [Note(f"n{number}", text) for number, text in enumerate(TEXTS, 1)], loaded.version)
    found = {row["id"]: row for row in rows}
    assert len(rows) == 20 and all(list(row) == list(COLUMNS) for row in rows)
    for row in expected:
        assert found[row["id"]]["layer"] == row["layer"] and found[row["id"]]["version"] == row["version"]


def test_page_shows_what_works_in_dask(shown, model):
    dask = pytest.importorskip("dask.dataframe")
    shown["MODEL"] = str(model)
    answered = shown["with_dask"](dask.from_pandas(table(), npartitions=3)).compute(scheduler="sync")
    check(answered.to_dict("records"), model)


@pytest.mark.slow
def test_page_shows_what_works_in_ray(shown, model, monkeypatch):
    ray = pytest.importorskip("ray")
    shown["MODEL"] = str(model)
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        dataset = ray.data.from_pandas(table()).repartition(4)
        check(shown["with_ray"](dataset).take_all(), model)
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_page_shows_what_works_in_spark(shown, model, tmp_path, monkeypatch):
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    from pyspark.sql import SparkSession

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    shown["MODEL"] = str(model)
    write_notes(tmp_path / "notes.jsonl", TEXTS)
    session = SparkSession.builder.master("local[2]").getOrCreate()
    try:
        rows = shown["with_spark"](session, str(tmp_path / "notes.jsonl")).collect()
    finally:
        session.stop()
    check([row.asDict() for row in rows], model)
