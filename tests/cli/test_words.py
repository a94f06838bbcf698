"""No word of the documents that a command is given stands in what it saves."""

import json
import shutil
from pathlib import Path

import pytest
import spacy
from saved.make import answers
from typer.testing import CliRunner
from util import SENTENCES

from spacy_epee.cli import epee

SAVED = Path(__file__).parents[1] / "saved" / "v0.1.0" / "textcat"
CANARY = "Zxqvcanary"


@pytest.fixture
def data(tmp_path):
    labels = ["ACUTE", "STABLE", "HISTORY"]
    rows = []
    for number, sentence in enumerate(SENTENCES * 4):
        cats = {label: float(label == labels[number % 3]) for label in labels}
        rows.append({"text": f"{CANARY}{number} {sentence} {CANARY.lower()}", "cats": cats})
    path = tmp_path / "data" / "dev.jsonl"
    path.parent.mkdir()
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def words_in(folder):
    return [path for path in folder.rglob("*") if path.is_file() and CANARY.lower().encode() in path.read_bytes().lower()]


def run(*arguments):
    found = CliRunner().invoke(epee, [str(part) for part in arguments])
    assert found.exit_code == 0, found.output
    assert CANARY.lower() not in found.output.lower()


TUNE = ["--max-drop", "50", "--no-time", "--steps", "3", "--calibrate", "--missing-labels"]


def test_tune_keeps_no_word_of_the_documents(data, tmp_path):
    run("tune", SAVED, data, *TUNE, "--output-model", tmp_path / "new", "--output", tmp_path / "figures.json")
    assert not words_in(tmp_path / "new") and CANARY not in (tmp_path / "figures.json").read_text()
    assert "temperatures" in spacy.load(tmp_path / "new").get_pipe("epee_textcat").cfg
    strings = (tmp_path / "new" / "vocab" / "strings.json").read_text()
    assert set(json.loads(strings)) == set(json.loads((SAVED / "vocab" / "strings.json").read_text()))


def test_tune_in_place_keeps_no_word_of_the_documents(data, tmp_path):
    shutil.copytree(SAVED, tmp_path / "model")
    run("tune", tmp_path / "model", data, *TUNE, "--in-place")
    assert not words_in(tmp_path / "model")
    assert len(answers(spacy.load(tmp_path / "model"))) == len(answers(spacy.load(SAVED)))


def test_export_keeps_no_word_of_the_documents(data, tmp_path):
    pytest.importorskip("onnxruntime")
    run("export", SAVED, tmp_path / "new", "--data", data, "--precision", "fp32")
    assert not words_in(tmp_path / "new")
    found = spacy.load(tmp_path / "new")
    assert found.get_pipe("epee_textcat").model.get_ref("trunk").shims[0].exported is not None
    assert found(SENTENCES[0]).text == SENTENCES[0]


def test_evaluate_keeps_no_word_of_the_documents(data, tmp_path):
    shutil.copytree(SAVED, tmp_path / "model")
    run("evaluate", tmp_path / "model", data, "--output", tmp_path / "figures.json", "--rounds", "1")
    assert not words_in(tmp_path / "model") and not words_in(tmp_path / "figures.json")
    assert CANARY not in (tmp_path / "figures.json").read_text()


def test_a_pipeline_of_ours_answers_without_the_words_of_its_training(tmp_path):
    """What SECURITY.md says of pipelines that `spacy train` saved."""
    for name in ("textcat", "relations", "events", "joint"):
        shutil.copytree(SAVED.parent / name, tmp_path / name)
        spacy.blank("en").vocab.strings.to_disk(tmp_path / name / "vocab" / "strings.json")
        assert answers(spacy.load(tmp_path / name)) == answers(spacy.load(SAVED.parent / name))
