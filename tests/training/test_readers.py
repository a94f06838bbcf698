"""Reading JSONL."""

import gzip
import json

import pytest
import spacy

from spacy_epee.training.readers import JsonlReader


def write(path, rows):
    lines = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8").write(lines)
    return path


@pytest.mark.parametrize("values,expected", [
    ([{"a": 1, "b": 0}, {"a": 0}], [{"a": 1.0, "b": 0.0}, {"a": 0.0}]),  # what is not named is not known
    ([["a"], ["b", "a"], []], [{"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 0.0}]),
    (["a", "b"], [{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}]),
])
def test_readers_labels(tmp_path, values, expected):
    path = write(tmp_path / "data.jsonl", [{"text": "fever", "cats": value} for value in values])
    examples = list(JsonlReader(path)(spacy.blank("en")))
    assert [eg.reference.cats for eg in examples] == expected
    assert not any(eg.predicted.cats for eg in examples)


def test_readers_field_and_limit(tmp_path):
    path = write(tmp_path / "data.jsonl", [{"text": "rash", "kind": kind} for kind in "xyz"])
    assert len(list(JsonlReader(path, cats="kind", limit=2)(spacy.blank("en")))) == 2


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_readers_compressed(tmp_path, name):
    write(tmp_path / "data.jsonl.gz", [{"text": "rash", "cats": "a"}])
    assert len(list(JsonlReader(tmp_path / name)(spacy.blank("en")))) == 1


@pytest.mark.parametrize("line,problem", [
    ('{"text": "Secretname", ', "not JSON"),
    ('["Secretname"]', "expected an object"),
    ('{"text": "Secretname"}', "'cats' is missing"),
    ('{"cats": "a"}', "'text' is missing"),
    ('{"text": 3, "cats": "a"}', "not a string"),
    ('{"text": "fever", "cats": null}', "'cats' holds no labels"),
    ('{"text": "fever", "cats": 3}', "'cats' holds no labels"),
    ('{"text": "fever", "cats": {"x": "Secretname"}}', "'cats' holds no labels"),
    ('{"text": "fever", "cats": ["Secretname", 2]}', "'cats' holds no labels"),
    (json.dumps({"text": "fever", "cats": "Secretname " * 20}), "'cats' holds no labels"),
])
def test_readers_bad_line_is_named_without_its_text(tmp_path, line, problem):
    path = write(tmp_path / "data.jsonl", ['{"text": "fever", "cats": "a"}', "", line])
    with pytest.raises(ValueError, match=f"data.jsonl, line 3: .*{problem}") as error:
        list(JsonlReader(path)(spacy.blank("en")))
    assert "Secretname" not in str(error.value)


def test_readers_missing_file(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        list(JsonlReader(tmp_path / "none.jsonl")(spacy.blank("en")))
