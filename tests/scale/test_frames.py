"""Tables of notes, as Spark, Dask and Ray hand them over."""

import pickle
import shutil
import subprocess
import sys

import pytest
from util import make_texts

from spacy_epee.scale import annotate, frames
from spacy_epee.scale.frames import SCHEMA, load_once
from spacy_epee.scale.notes import COLUMNS, Note, annotate_notes
from spacy_epee.scale.version import load_pipeline
from spacy_epee.scale.writing import flat

pandas = pytest.importorskip("pandas")


@pytest.fixture
def tables():
    texts = make_texts(23, seed=2)
    table = pandas.DataFrame({"id": [f"n{number}" for number in range(23)], "text": texts})
    return [table.iloc[:10], table.iloc[10:10], table.iloc[10:]]


def test_tables_have_the_rows_of_the_notes(model, tables):
    loaded = load_pipeline(str(model))
    found = list(annotate(iter(tables), str(model), batch_size=4))
    assert [len(table) for table in found] == [10, 0, 13]
    for table, answered in zip(tables, found):
        expected = annotate_notes(loaded.nlp, [Note(*pair) for pair in zip(table.id, table.text)], loaded.version, 4)
        assert list(answered.columns) == list(COLUMNS)
        assert answered.astype(object).where(answered.notna(), None).to_dict("records") == list(map(flat, expected))
    assert SCHEMA.startswith("id string, answers string, layer double")


def test_tables_with_bad_values_have_rows_that_say_so(model):
    table = pandas.DataFrame({"key": [1, 2, 3, 4], "note": ["Fever.", None, float("nan"), 5]}, dtype=object)
    [found] = annotate([table], str(model), id_column="key", text_column="note")
    assert found["id"].tolist() == ["1", "2", "3", "4"]
    assert found["error"].isna().tolist() == [True, False, False, False] and found["uncertain"].tolist()[1:] == [True] * 3
    assert found["error"][1:].tolist() == [
        f"a row of the table: there is no text ({kind})" for kind in ("NoneType", "float", "int")
    ]


@pytest.mark.parametrize("column", ["id", "text"])
def test_tables_without_a_column_are_refused(column, model, tables):
    with pytest.raises(ValueError, match=f"A table of notes has no column '{column}'."):
        list(annotate([tables[0].drop(columns=column)], str(model)))


def test_tables_are_answered_by_one_pipeline_a_process(model, tables, monkeypatch):
    loads = []
    monkeypatch.setattr(frames, "_load", frames.lru_cache(lambda path: loads.append(path) or load_pipeline(path)))
    for _ in range(3):
        list(annotate(iter(tables), str(model)))
    assert loads == [str(model)]


def test_tables_are_answered_by_the_version_that_is_asked_for(model, tables, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    path = str(tmp_path / "model")
    before = load_once(path).version
    with (tmp_path / "model" / "meta.json").open("a") as file:
        file.write("\n")
    after = load_pipeline(path).version
    assert before != after and load_once(path).version == before  # what the process has
    assert load_once(path, after).version == after  # it is replaced there, too
    with pytest.raises(ValueError, match=f"is {after} here, and is to be {before}: it was replaced meanwhile"):
        list(annotate(iter(tables), path, version=before))


def test_tables_function_can_be_sent_to_workers():
    assert pickle.loads(pickle.dumps(annotate)) is annotate


@pytest.mark.hard  # a process that loads everything anew
def test_tables_keep_their_process_to_one_thread(model, tmp_path):
    code = (
        "import pandas, torch; from spacy_epee.scale import annotate; torch.set_num_threads(2); "
        f"list(annotate([pandas.DataFrame({{'id': ['1'], 'text': ['Fever.']}})], {str(model)!r})); "
        "assert torch.get_num_threads() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tables_need_pandas(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ValueError, match=r'needs the library pandas: `pip install "spacy_epee\[spark\]"`'):
        next(annotate(iter([]), str(model)))
