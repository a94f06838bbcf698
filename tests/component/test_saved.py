"""Pipelines that earlier versions saved go on loading, and answer as they did."""

import json
import warnings
from pathlib import Path

import pytest
import spacy
from saved.make import answers

FOLDERS = sorted(Path(__file__).parents[1].glob("saved/v*/*"))


def approximately(value):
    """The same with room for rounding in its numbers."""
    if isinstance(value, dict):
        return {name: approximately(own) for name, own in value.items()}
    if isinstance(value, list):
        return [approximately(own) for own in value]
    return pytest.approx(value, abs=1e-4) if isinstance(value, float) else value


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_saved_pipelines_answer_as_they_did(folder):
    if folder.name == "exported":
        pytest.importorskip("onnxruntime")
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    assert answers(spacy.load(folder)) == approximately(expected)


def test_saved_pipelines_are_of_every_kind():
    names = {path.parent.name for path in (Path(__file__).parents[1] / "saved" / "v0.1.0").glob("*/config.cfg")}
    assert {"textcat", "textcat_multilabel", "relations", "events", "imagecat", "joint", "fitted", "exported"} <= names


def test_graphs_of_an_older_version_say_that_they_are_slower():
    pytest.importorskip("onnxruntime")
    folder = Path(__file__).parents[1] / "saved" / "v0.1.0" / "exported"
    nlp = spacy.load(folder)
    with pytest.warns(UserWarning, match="one layer in a call"):
        nlp("Aspirin was given.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp("Aspirin was given.")
