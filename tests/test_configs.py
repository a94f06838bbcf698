"""spaCy's own tools on the configs of the project, and training of their pipelines in Python."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import spacy
from events_util import TEXTS
from images_util import make_image_backbone, make_pixels
from PIL import Image
from spacy.cli.debug_config import debug_config
from spacy.cli.debug_data import debug_data
from spacy.cli.debug_model import debug_model_cli
from spacy.cli.init_config import fill_config, init_config
from spacy.training.initialize import init_nlp
from spacy.util import load_config, resolve_dot_names

from spacy_epee.data.readers import EntityReader, JsonlReader
from spacy_epee.training.logger import check_steps

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.cfg"))

# What configs with several tasks of documents ask about, and the labels of each
LABELS = {
    kind: {task: [f"{task} A", f"{task} B"] for task in tasks}
    for kind, tasks in {
        "outcomes": ["outcomes", "stay", "symptoms"],
        "admissions": ["mortality", "stay", "diagnoses", "procedures"],
    }.items()
}


def write_rows(folder, kind):
    """Some rows with everything that a config reads."""
    rows = []
    for number, text in enumerate([*TEXTS, *TEXTS]):
        row = {"text": text, "cats": {"A": number % 2, "B": 1 - number % 2}}
        if kind == "imagecat":
            name = f"{number}.png"
            Image.fromarray((make_pixels(1, number)[0] * 255).astype("uint8")).save(folder / name)
            row["image"] = name
        if kind in ("relations", "events", "joint"):
            words = [(text.index(word), word) for word in text.replace(".", "").replace(";", "").split()[:2] if word in text]
            row["ents"] = [
                {"id": f"T{i}", "start": start, "end": start + len(word), "label": "WORD"}
                for i, (start, word) in enumerate(words)
            ]
            row["relations"] = [{"head": "T0", "child": "T1", "label": "NEXT"}] if len(words) > 1 else []
            row["events"] = [
                {
                    "trigger": {"start": words[0][0], "end": words[0][0] + len(words[0][1])},
                    "label": "SAID",
                    "arguments": [{"role": "What", "ent": "T1"}] if len(words) > 1 else [],
                }
            ]
        for task, (one, other) in LABELS.get(kind, {}).items():
            row[task] = one if task == "stay" else {one: number % 2, other: 1 - number % 2}
        rows.append(row)
    path = folder / "notes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def overrides(request, backbone, tmp_path):
    kind = request.getfixturevalue("path").stem
    folder = make_image_backbone(tmp_path / "vit") if kind == "imagecat" else backbone
    data = write_rows(tmp_path, kind)
    found = {"paths.train": data, "paths.dev": data, "paths.backbone": str(folder)}
    config = load_config(request.getfixturevalue("path"))
    if "labels" in config["paths"]:
        (tmp_path / "labels.json").write_text(json.dumps(LABELS[kind]))
        found["paths.labels"] = str(tmp_path / "labels.json")
    for name, block in config["components"].items():  # the tiny backbones have fewer layers
        if "exit" in block:
            found[f"components.{name}.exit.patience"] = 1
        for task in block.get("tasks", {}):
            found[f"components.{name}.tasks.{task}.exit.patience"] = 1
    return found


@pytest.fixture(params=CONFIGS, ids=[path.stem for path in CONFIGS])
def path(request):
    return request.param


def test_config_is_filled_and_valid_before_there_are_data(path, tmp_path):
    _, filled = fill_config(tmp_path / "filled.cfg", path, silent=True)
    assert filled["components"].keys() == load_config(path)["components"].keys()
    debug_config(path)
    debug_config(tmp_path / "filled.cfg")


def test_config_is_debugged_with_data(path, overrides, capsys):
    [name] = load_config(path)["nlp"]["pipeline"]
    with suppress(SystemExit):  # it fails data that are few
        debug_data(path, config_overrides=overrides, silent=False)
    assert "Pipeline can be initialized with data" in capsys.readouterr().out
    context = type("Context", (), {"args": [part for key, value in overrides.items() for part in (f"--{key}", str(value))]})
    flags = dict.fromkeys(("dimensions", "parameters", "gradients", "attributes", "P0", "P1", "P2"), True)
    debug_model_cli(context, path, name, layers="", **flags, P3=False, use_gpu=-1)
    assert "model looks good" in capsys.readouterr().out


def test_config_makes_pipelines_that_are_trained_on_in_python(path, overrides, tmp_path):
    nlp = init_nlp(load_config(path, overrides=overrides))
    [corpus] = resolve_dot_names(nlp.config.interpolate(), [nlp.config["training"]["train_corpus"]])
    nlp.to_disk(tmp_path / "model")
    nlp = spacy.load(tmp_path / "model")
    [name] = nlp.pipe_names
    examples = list(corpus(nlp))
    before = nlp.to_bytes()
    assert nlp.create_optimizer() is not None
    optimizer = nlp.resume_training()
    assert nlp.to_bytes() == before
    assert nlp.update(examples, sgd=optimizer)[name] > 0
    assert nlp.initialize(lambda: examples) is not None


@pytest.mark.parametrize("reader", [JsonlReader, EntityReader])
def test_reader_without_a_path_says_so_when_it_reads(reader):
    corpus = reader(None)
    with pytest.raises(ValueError, match="--paths.train FILE"):
        list(corpus(spacy.blank("en")))


def test_config_links_the_steps_and_the_rate(path):
    config = load_config(path, overrides={"training.optimizer.learn_rate.total_steps": 70}, interpolate=True)
    assert config["training"]["max_steps"] == 70
    check_steps(config["training"])
    with pytest.warns(UserWarning, match="0 from step 70 on, and training goes on to step 100"):
        check_steps({**config["training"], "max_steps": 100})


@pytest.mark.parametrize("pipes", [["epee"], ["epee_textcat"], ["epee_textcat_multilabel"], ["epee_relations"], ["epee_events"]])
def test_config_is_made_by_spacy_for_each_component(pipes):
    config = init_config(lang="en", pipeline=pipes, silent=True)
    assert config["nlp"]["pipeline"] == pipes
    assert [config["components"][name]["factory"] for name in pipes] == pipes
