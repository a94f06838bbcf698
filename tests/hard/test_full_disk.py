"""What a full disk leaves: the old one, and one line that says so. On a file system of a few megabytes, which root can mount."""

import json
import os
import shutil
from itertools import count

import pytest
import spacy
from disk_util import fill, small_disk
from kills_util import Marks, contents, left_behind, make_trainable, mark
from spacy.tokens import DocBin
from spacy.training import loop
from typer.testing import CliRunner
from util import SENTENCES, make_nlp, make_texts

from spacy_epee.cli import epee
from spacy_epee.files import whole_file

pytestmark = pytest.mark.hard

LABELS = ["ACUTE", "STABLE", "HISTORY"]
FAST = ("--rounds", "1", "--batch-sizes", "4")


@pytest.fixture
def small(tmp_path):
    """A file system of 4 MB."""
    with small_disk(tmp_path / "small", "4m") as place:
        yield place


def refused(*arguments):
    """RETURNS (str): What a command says that could not write, a single line."""
    found = CliRunner().invoke(epee, [str(argument) for argument in arguments])
    assert found.exit_code == 1 and isinstance(found.exception, SystemExit), found.output
    lines = [line for line in found.output.splitlines() if "✘" in line]
    assert len(lines) == 1 and "Errno" not in found.output and "Traceback" not in found.output
    return " ".join(found.output.split())


def fails_until_it_fits(save, path, small, step=16384):
    """Save with more and more of the disk left.

    RETURNS (int): How often there was too little.
    """
    before = contents(path)
    for tries in count():
        fill(small, tries * step)
        try:
            save()
            return tries
        except OSError as error:
            assert str(error) == f"'{path}' was not written, for the disk is full; what was there before is as it was"
        assert contents(path) == before and not left_behind(small)


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("there", [True, False])
def test_to_disk(there, vectors, backbone, small):
    nlp, path = make_nlp(backbone), small / "model"
    if vectors:
        nlp.vocab.reset_vectors(width=300)
        for number in range(200):
            nlp.vocab.set_vector(f"word{number}", [1.0] * 300)
    if there:
        mark(nlp, 1)
        nlp.to_disk(path)
    mark(nlp, 2)
    assert fails_until_it_fits(lambda: nlp.to_disk(path), path, small) > 5
    assert Marks()(path) == 2


def test_component_to_disk(backbone, small):
    nlp = make_nlp(backbone)
    ((name, pipe),) = nlp.pipeline
    nlp.to_disk(small / "model")
    path = small / "model" / name
    assert fails_until_it_fits(lambda: pipe.to_disk(path), path, small) > 2
    spacy.load(small / "model")


def test_copy_to_model_best(backbone, small):
    nlp = make_nlp(backbone)
    mark(nlp, 1)
    for name in ("model-last", "model-best"):
        nlp.to_disk(small / name)
    mark(nlp, 2)
    nlp.to_disk(small / "model-last")

    def copy():
        loop.shutil.rmtree(small / "model-best")
        loop.shutil.copytree(small / "model-last", small / "model-best")

    assert fails_until_it_fits(copy, small / "model-best", small) > 5
    assert Marks()(small / "model-best") == 2


def test_spacy_train(backbone, tmp_path, small):
    nlp = make_trainable(backbone, tmp_path, steps=2)
    with open(os.devnull, "w") as nothing:
        loop.train(nlp, small, stdout=nothing, stderr=nothing)
        fill(small, 4096)
        before = contents(small)
        with pytest.raises(OSError, match="'.*model-last' was not written, for the disk is full"):
            loop.train(nlp, small, stdout=nothing, stderr=nothing)
    assert contents(small) == before and not left_behind(small)
    assert Marks()(small / "model-best") == 3


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    """A pipeline, and documents with its own answers as labels."""
    folder = tmp_path_factory.mktemp("full")
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    docs = list(nlp.pipe([*SENTENCES, *make_texts(40, seed=3)]))
    for number, doc in enumerate(docs):
        best = max(doc.cats, key=doc.cats.get) if number % 5 else LABELS[number % 3]
        doc.cats = {label: float(label == best) for label in LABELS}
    DocBin(docs=docs).to_disk(folder / "dev.spacy")
    nlp.to_disk(folder / "model")
    return folder


def test_tune_in_place(folder, small):
    shutil.copytree(folder / "model", small / "model")
    before = contents(small / "model")
    fill(small, 100_000)
    settings = ("--min-speedup", "1.5", "--in-place", "--no-time", "--steps", "3")
    said = refused("tune", small / "model", folder / "dev.spacy", *settings)
    assert "model' was not written, for the disk is full; what was there before is as it was" in said
    assert contents(small / "model") == before and not left_behind(small)


def figures_of(command):
    return [command, "{model}", "{data}", *(() if command == "report" else ("--output",)), "{new}"]


COMMANDS = {
    "tune": [*figures_of("tune"), *FAST, "--steps", "3", "--timed", "4"],
    "tune a copy": ["tune", "{model}", "{data}", "--min-speedup", "1.5", "--no-time", "--steps", "3", "--output-model", "{new}"],
    "evaluate": [*figures_of("evaluate"), *FAST],
    "report": [*figures_of("report"), "--no-time", "--steps", "3"],
    "benchmark": [*figures_of("benchmark"), *FAST, "--contestants", "full"],
    "export": ["export", "{model}", "{new}"],
    "convert": ["convert", "{rows}", "{new}.jsonl"],
    "convert to .spacy": ["convert", "{rows}", "{new}.spacy"],
    "convert to brat": ["convert", "{rows}", "{new}", "--to", "brat"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name, folder, small):
    if name == "export":
        pytest.importorskip("onnxruntime")
    if name == "report":
        pytest.importorskip("matplotlib")
    rows = [{"id": str(number), "text": text, "entities": []} for number, text in enumerate(SENTENCES)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    places = {"model": folder / "model", "data": folder / "dev.spacy", "rows": folder / "in.jsonl", "new": small / "new"}
    fill(small, 0)
    said = refused(*(part.format(**places) for part in COMMANDS[name]))
    assert "was not written, for the disk is full" in said and "small/new" in said.replace(" ", "")
    assert [place.name for place in small.iterdir()] == ["filler"]


def test_figures_that_are_there_stay(folder, small):
    with whole_file(small / "new") as part:
        part.write_text("old")
    fill(small, 0)
    refused("evaluate", folder / "model", folder / "dev.spacy", *FAST, "--output", small / "new")
    assert (small / "new").read_text() == "old"
