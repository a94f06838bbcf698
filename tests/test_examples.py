"""The programs in examples/ do what they say."""

import json
import runpy
from pathlib import Path

import pytest
import spacy
import typer
from typer.testing import CliRunner
from util import SENTENCES, make_nlp

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def run(name, *words):
    """Run a program in this process."""
    [path] = [path for path in EXAMPLES if path.stem == name]
    app = typer.Typer()
    app.command()(runpy.run_path(str(path))["main"])
    found = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_train_and_tune_makes_a_pipeline(backbone, tmp_path):
    rows = [json.dumps({"text": text, "cats": "AB"[number % 2]}) + "\n" for number, text in enumerate(SENTENCES)]
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(rows))
    few = ("--data", tmp_path, "--cats", "cats", "--steps", "2")
    said = run("train_and_tune", backbone, tmp_path / "tuned", *few)
    assert "test: macro F" in said
    nlp = spacy.load(tmp_path / "tuned")
    assert nlp("Palpitations.").cats.keys() == {*nlp.get_pipe("epee_textcat").labels}


def test_watch_folder_answers_what_is_there(backbone, tmp_path):
    make_nlp(backbone).to_disk(tmp_path / "model")
    (tmp_path / "in").mkdir()
    for number, text in enumerate(SENTENCES):
        (tmp_path / "in" / f"{number}.txt").write_text(text)
    (tmp_path / "in" / "odd.txt").write_bytes(b"\xff\xfeSecret")
    run("watch_folder", tmp_path / "model", tmp_path / "in", tmp_path / "out", "--once")
    rows = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").iterdir()}
    assert not list((tmp_path / "in").iterdir()) and len(rows) == len(SENTENCES) + 1
    odd = rows.pop("odd")
    assert odd["error"] == "the file cannot be read (UnicodeDecodeError)" and odd["answers"] is None
    assert all(row["id"] == stem and row["answers"]["labels"] for stem, row in rows.items())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_tested_and_named_in_the_docs(path):
    assert path.name in (Path(__file__).parents[1] / "docs" / "embedding.md").read_text(encoding="utf-8")
    assert f'run("{path.stem}"' in Path(__file__).read_text(encoding="utf-8")
