"""`spacy train` with the configs of the project, from end to end on tiny data."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.cli.train import train
from util import SENTENCES

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
    row = next(line.split() for line in printed.splitlines() if line.split()[1:2] == ["4"])
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
