"""What is left where a process is killed at a random moment while it writes: the old one or the new one, a hundred times of a
hundred. Processes are copies of this one, so that nothing has to be started and loaded each time."""

import json
import os
import shutil

import pytest
import spacy
from kills_util import Marks, contents, kills_at_random, make_trainable, mark
from spacy.tokens import DocBin
from spacy.training import loop
from typer.testing import CliRunner
from util import SENTENCES, make_nlp, make_texts

from spacy_epee.cli import epee, export, tune
from spacy_epee.component.saving import save_pipeline

pytestmark = [pytest.mark.hard, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system")]

LABELS = ["ACUTE", "STABLE", "HISTORY"]
KILLS = 100


def run(command, *arguments):
    found = CliRunner().invoke(epee, [command, *map(str, arguments)], catch_exceptions=False)
    assert found.exit_code == 0, found.output


def put_back(kept, path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kept.exists():
        shutil.copytree(kept, path)


def kill(save, path, kept):
    """Kill what saves something.

    save (Callable[[], Any]): What saves it.
    path (Path): The place.
    kept (Path): A copy of what was there before; it need not be.
    RETURNS (Set[Optional[str]]): Digests of what was there afterwards.
    """
    found, unfinished = set(), 0
    for _ in kills_at_random(save, KILLS):
        found.add(contents(path))
        unfinished += any(path.parent.glob("*.part"))
        put_back(kept, path)
    assert unfinished >= 3  # of the kills some did hit it while it was writing
    return found


@pytest.fixture
def folder(backbone, tmp_path):
    """A pipeline, and documents with its own answers as labels."""
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    docs = list(nlp.pipe([*SENTENCES, *make_texts(40, seed=3)]))
    for number, doc in enumerate(docs):
        best = max(doc.cats, key=doc.cats.get) if number % 5 else LABELS[number % 3]
        doc.cats = {label: float(label == best) for label in LABELS}
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    nlp.to_disk(tmp_path / "model")
    nlp.to_disk(tmp_path / "kept")
    return tmp_path


@pytest.fixture
def saves(monkeypatch):
    """Have what saves a pipeline killed again and again, before it does so. RETURNS (List): The digests of what was there."""
    found = []

    def save(nlp, path, *settings):
        kept = path.parent / "kept" if path.exists() else path / "none"
        found.extend(kill(lambda: save_pipeline(nlp, path, *settings), path, kept))
        save_pipeline(nlp, path, *settings)

    for command in (export, tune):
        monkeypatch.setattr(command, "save_pipeline", save)
    return found


def test_to_disk(backbone, tmp_path):
    nlp, path = make_nlp(backbone), tmp_path / "model"
    mark(nlp, 1)
    nlp.to_disk(path)
    nlp.to_disk(tmp_path / "kept")
    mark(nlp, 2)
    found = kill(lambda: nlp.to_disk(path), path, tmp_path / "kept")
    before = contents(path)
    nlp.to_disk(path)
    assert found <= {before, contents(path)} and Marks()(path) == 2 and Marks()(tmp_path / "kept") == 1


def test_tune_in_place(folder, saves):
    before = contents(folder / "model")
    settings = ("--min-speedup", "1.5", "--calibrate", "--in-place", "--no-time", "--steps", "3")
    run("tune", folder / "model", folder / "dev.spacy", *settings)
    assert saves and set(saves) <= {before, contents(folder / "model")}
    pipe = spacy.load(folder / "model").get_pipe("epee_textcat")
    assert pipe.exit is not None and "temperatures" in pipe.cfg
    assert spacy.load(folder / "kept").get_pipe("epee_textcat").exit is None


def test_export(folder, saves):
    pytest.importorskip("onnxruntime")
    run("export", folder / "model", folder / "new")
    assert saves and set(saves) <= {None, contents(folder / "new")}
    assert spacy.load(folder / "new").get_pipe("epee_textcat").model.get_ref("trunk").shims[0].exported is not None


@pytest.mark.parametrize("target", ["out.jsonl", "out.spacy", "brat"])
def test_convert(target, tmp_path):
    rows = [{"id": str(number), "text": text} for number, text in enumerate(make_texts(60, seed=1))]
    for row in rows:
        row["entities"] = [{"start": 0, "end": len(word), "label": "Part"} for word in row["text"].split()[:1]]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / target
    command = ["convert", tmp_path / "in.jsonl", path, *(["--to", "brat"] if target == "brat" else [])]
    found = kill(lambda: run(*command), path, path / "none")
    run(*command)
    assert found <= {None, contents(path)}


def test_spacy_train(backbone, tmp_path):
    nlp, out = make_trainable(backbone, tmp_path), tmp_path / "out"
    out.mkdir()
    with open(os.devnull, "w") as nothing:
        found, marks, unfinished = [], Marks(), 0
        for _ in kills_at_random(lambda: loop.train(nlp, out, stdout=nothing, stderr=nothing), KILLS):
            found.append((marks(out / "model-last"), marks(out / "model-best")))
            unfinished += any(out.glob("*.part"))
    assert len(found) > KILLS and None not in found[0]
    assert unfinished >= 3 and len({best for _, best in found}) > 2  # they hit checkpoints, and different ones
