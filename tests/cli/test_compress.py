"""`python -m spacy epee compress`"""

import json

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner
from util import SENTENCES, make_nlp

from spacy_epee.cli import epee
from spacy_epee.cli.compress import read_size
from spacy_epee.exits.rules.patience import Patience

LABELS = ["ACUTE", "STABLE", "HISTORY"]


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    """A pipeline with a rule that was set on it, and documents with its own answers as labels."""
    folder = tmp_path_factory.mktemp("compress")
    nlp = make_nlp(backbone, LABELS, spread=4.0, lexical=50)
    nlp.get_pipe("epee_textcat").set_exit(Patience(2))
    docs = list(nlp.pipe(SENTENCES))
    for doc in docs:
        best = max(doc.cats, key=doc.cats.get)
        doc.cats = {label: float(label == best) for label in LABELS}
    DocBin(docs=docs).to_disk(folder / "dev.spacy")
    DocBin(docs=docs[:6]).to_disk(folder / "train.spacy")
    nlp.to_disk(folder / "model")
    return folder


def run(folder, *arguments, code=0):
    command = ["compress", str(folder / "model"), str(folder / "dev.spacy"), *map(str, arguments)]
    found = CliRunner().invoke(epee, [*command, "--timed", "4"])
    assert found.exit_code == code, found.output
    return " ".join(found.output.split())


def size(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def test_a_smaller_pipeline_is_written_with_a_table_a_picture_and_its_rule(folder, tmp_path):
    pytest.importorskip("matplotlib")
    options = ["--train", folder / "train.spacy", "--steps", "vocabulary,embeddings,weights", "--max-drop", "900"]
    options += ["--picture", tmp_path / "steps.png", "--output", tmp_path / "steps.json"]
    output = run(folder, tmp_path / "small", *options)
    assert "vocabulary" in output and "ms a note" in output and "of the wordpieces of these documents were dropped" in output
    assert not any(sentence in output for sentence in SENTENCES)
    assert (tmp_path / "steps.png").read_bytes().startswith(b"\x89PNG")
    steps = json.loads((tmp_path / "steps.json").read_text())["steps"]
    assert [step["name"] for step in steps] == ["", "vocabulary", "embeddings", "weights"]
    assert size(tmp_path / "small") < size(folder / "model")
    loaded = spacy.load(tmp_path / "small")
    assert loaded.get_pipe("epee_textcat").exit == Patience(2) and loaded(SENTENCES[0]).cats


def test_all_steps_are_tried_by_default(folder, tmp_path):
    options = ["--train", folder / "train.spacy", "--max-drop", "900", "--output", tmp_path / "steps.json"]
    run(folder, tmp_path / "small", *options)
    steps = json.loads((tmp_path / "steps.json").read_text())["steps"]
    tried = [step["name"] for step in steps]
    assert tried == ["", "vocabulary", "layers", "heads", "width", "embeddings", "weights", "export"]
    assert spacy.load(tmp_path / "small")("Cough.").cats


def test_documents_of_which_wordpieces_stay_need_no_labels(folder, tmp_path):
    train = tmp_path / "train.jsonl"
    train.write_text("".join(json.dumps({"text": text}) + "\n" for text in SENTENCES[:6]), encoding="utf-8")
    output = run(folder, tmp_path / "small", "--train", train, "--steps", "vocabulary", "--max-drop", "900")
    assert "of the wordpieces of these documents were dropped" in output


def test_a_goal_out_of_reach_is_said_and_the_nearest_is_written(folder, tmp_path):
    output = run(folder, tmp_path / "small", "--steps", "weights", "--target-size", "1KB", "--max-drop", "900")
    assert "The goal was not reached" in output and "MB and not 0.001 MB" in output and (tmp_path / "small").is_dir()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--target-size", "small"], "give a size such as '20MB'"),
        (["--steps", "weights,shorten"], "give some of embeddings, export"),
        (["--steps", "weights,weights"], "each once"),
        (["--picture", "."], "which is a folder"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_is_run(folder, tmp_path, options, message):
    assert message in run(folder, tmp_path / "small", *options, code=1)
    assert not (tmp_path / "small").exists()


def test_what_was_quantized_is_not_quantized_again(folder, tmp_path):
    run(folder, tmp_path / "once", "--steps", "weights", "--max-drop", "900")
    command = ["compress", str(tmp_path / "once"), str(folder / "dev.spacy"), str(tmp_path / "twice"), "--steps", "weights"]
    found = CliRunner().invoke(epee, [*command, "--timed", "4"])
    assert "are in int8 already" in " ".join(found.output.split()) and size(tmp_path / "twice") == size(tmp_path / "once")


def test_sizes_are_read():
    assert [read_size(text) for text in (None, "20MB", "1.5 gb", "3kb")] == [None, 20e6, 1.5e9, 3e3]
