"""`spacy train` with the configs of the project, from end to end on tiny data."""

import errno
import json
from pathlib import Path

import pytest
import spacy
import torch
from spacy.cli import app
from spacy.cli.train import train
from thinc.api import Adam
from typer.testing import CliRunner
from util import SENTENCES, make_examples, make_nlp

CONFIGS = Path(__file__).parent.parent.parent / "configs"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "notes.jsonl"
    rows = [{"text": text, "cats": {"A": int("a" in text[:12]), "B": int("a" not in text[:12])}} for text in SENTENCES]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def short(data, backbone):
    """Overrides for four steps on some data."""
    return {
        "paths.train": str(data),
        "paths.dev": str(data),
        "paths.backbone": str(backbone),
        "training.max_steps": 4,
        "training.eval_frequency": 2,
        "training.optimizer.learn_rate.warmup_steps": 1,
    }


@pytest.mark.parametrize("name", ["textcat", "textcat_multilabel"])
def test_train_table_shows_full_depth_and_layers(name, data, backbone, tmp_path, capsys):
    overrides = {
        **short(data, backbone),
        f"components.epee_{name}.model.trunk.window": 32,
        f"components.epee_{name}.model.trunk.overlap": 8,
        f"components.epee_{name}.exit.patience": 2,
    }
    train(CONFIGS / f"{name}.cfg", tmp_path / "out", overrides=overrides)
    printed = capsys.readouterr().out
    assert "CATS_SCORE" in printed and "CATS_FULL" in printed and "EXIT_LAYER" in printed
    row = next(line.split() for line in printed.splitlines() if line.split()[1:2] == ["4"] and line[:3].strip().isdecimal())
    assert 1 <= float(row[5]) <= 4  # a plain number of layers, not times 100
    nlp = spacy.load(tmp_path / "out" / "model-best")
    assert set(nlp("fever").cats) == {"A", "B"}
    assert {"cats_full", "exit_layer"} <= nlp.meta["performance"].keys()


def test_train_two_stages_from_config(data, backbone, tmp_path):
    config = spacy.util.load_config(CONFIGS / "textcat.cfg")
    config["training"]["before_update"] = {"@callbacks": "spacy-epee.two_stage.v1", "pipe": "epee_textcat", "exits_from_step": 2}
    config["components"]["epee_textcat"]["model"]["trunk"].update(window=32, overlap=8)
    config["components"]["epee_textcat"]["exit"]["patience"] = 2
    config.to_disk(tmp_path / "config.cfg")
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=short(data, backbone))
    assert spacy.load(tmp_path / "out" / "model-last").get_pipe("epee_textcat").stage == "joint"


def test_train_averages_are_used_and_given_back(backbone):
    nlp = make_nlp(backbone, ["A", "B"])
    ((_, pipe),) = nlp.pipeline
    examples = make_examples(nlp, ["A", "B"])
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    modules = [layer.shims[0]._model for layer in pipe.model.layers]
    before = [{name: part.clone() for name, part in module.state_dict().items()} for module in modules]
    averaged = 0
    with nlp.use_params(optimizer.averages):
        for layer, module, weights in zip(pipe.model.layers, modules, before):
            for name, part in module.named_parameters():
                average = optimizer.averages.get((layer.shims[0].id, name))
                if average is not None:
                    averaged += int(not torch.equal(part.data, weights[name]))
                    assert torch.allclose(part.data, torch.as_tensor(average))
    assert averaged > 10
    for module, weights in zip(modules, before):
        assert all(torch.equal(part, weights[name]) for name, part in module.state_dict().items())


@pytest.mark.parametrize("saves", [0, 2])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_train_ends_on_a_full_disk_with_a_line(number, saves, data, backbone, tmp_path, monkeypatch):
    """The last save, here the third, is after the training loop."""
    write, written = Path.write_bytes, []

    def fill(path, data):
        if path.name == "model" and len(written) == saves:
            raise OSError(number, "No space left on device", str(path))
        written.extend([path] if path.name == "model" else [])
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill)
    settings = [part for name, value in short(data, backbone).items() for part in (f"--{name}", str(value))]
    arguments = ["train", str(CONFIGS / "textcat.cfg"), "--output", str(tmp_path / "out"), *settings]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 1 and isinstance(found.exception, SystemExit), repr(found.exception)
    said = " ".join(found.output.replace("│", " ").split()).replace(" /", "/")
    assert "model-last' was not written, for the disk is full; what was there before is as it was" in said
    assert "Traceback" not in said and "Errno" not in said
    assert (tmp_path / "out" / "model-last").exists() == bool(saves)
