"""The spaCy project is valid, and its parts are where it says."""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

import pytest
import typer
from packaging.version import Version
from spacy.cli._util import parse_config_overrides
from spacy.schemas import ConfigSchemaTraining
from spacy.util import load_config, load_model_from_config, registry
from weasel.cli import app as weasel
from weasel.schemas import ProjectConfigSchema, validate
from weasel.util import load_project_config

from spacy_epee.cli import epee

ROOT = Path(__file__).parent.parent
CORPORA = ROOT.parent / "shared" / "corpora"
PAGE = ROOT / "docs" / "projects.md"


def load_project():
    """project.yml as weasel reads it, from a copy: it makes the project's folders where it reads."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "project.yml", folder)
        return load_project_config(Path(folder))


COMMANDS = {command["name"]: command for command in load_project()["commands"]}
TRAININGS = [name for name, command in COMMANDS.items() if " spacy train " in command["script"][0]]
PIPES = ["epee_textcat", "epee_textcat_multilabel", "epee_relations", "epee_events", "epee_imagecat", "epee"]
# The workflows that train as the benchmarks do
BENCHMARKS = ["ddi2013", "ade_relations", "bc5cdr", "phee", "genia", "maccrobat"]


def words(name):
    """The words of a command behind `python -m spacy`."""
    [script] = COMMANDS[name]["script"]
    return shlex.split(script)[3:]


def configure(name, backbone=None):
    """The configuration that a command trains with."""
    _, path, *overrides = words(name)
    # These are options of the command itself.
    settings = parse_config_overrides(
        [word for option in zip(overrides[::2], overrides[1::2]) if option[0] not in ("--output", "--gpu-id") for word in option]
    )
    if backbone is not None:
        settings["paths.backbone"] = str(backbone)
    return load_config(ROOT / path, overrides=settings), settings


def test_project_is_valid():
    config = load_project()
    assert validate(ProjectConfigSchema, config) == []
    commands = {command["name"] for command in config["commands"]}
    for steps in config["workflows"].values():
        assert set(steps) <= commands


def test_project_workflows_have_what_they_need():
    for steps in load_project()["workflows"].values():
        made = set()
        for step in steps:
            for need in set(COMMANDS[step].get("deps", [])) - made:
                assert need.startswith(("assets/", "configs/")) and (ROOT / need).exists()
            made |= set(COMMANDS[step].get("outputs", []))


@pytest.mark.parametrize("name", TRAININGS)
def test_project_trains_with_settings_that_there_are(name, backbone):
    config, settings = configure(name, backbone)
    nlp = load_model_from_config(config, auto_fill=True, validate=True)
    [pipe] = nlp.pipe_names
    assert pipe in PIPES
    filled, written = nlp.config.interpolate(), load_config(ROOT / words(name)[1])
    registry.resolve(filled["training"], schema=ConfigSchemaTraining)
    registry.resolve({"corpora": filled["corpora"]})
    # Functions and schemas refuse what they do not know; these two sections would take any name.
    for section, key in (setting.split(".", 1) for setting in settings):
        assert section not in ("paths", "vars") or key in written[section]
    steps, every = settings["training.optimizer.learn_rate.total_steps"], settings["training.eval_frequency"]
    assert every <= steps
    assert settings.get("training.optimizer.learn_rate.warmup_steps", 0) < steps


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("evaluate")])
def test_project_evaluates_what_it_trains(name):
    command = typer.main.get_command(epee).get_command(None, "evaluate")
    model, data = command.make_context("evaluate", words(name)[2:]).params["model"], words(name)[3]
    train, tune = COMMANDS[name.replace("evaluate", "train")], COMMANDS.get(name.replace("evaluate", "tune"), {"outputs": []})
    assert model in [*train["outputs"], *tune["outputs"]] and model in COMMANDS[name]["deps"]
    assert data.replace("test.jsonl", "train.jsonl") in words(train["name"])


def test_project_commands_in_the_docs_are_understood():
    known = {*COMMANDS, *load_project()["workflows"]}
    lines = re.findall(r"^python -m spacy project run (.*)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in lines:
        context = typer.main.get_command(weasel).commands["run"].make_context("run", shlex.split(line, comments=True))
        assert context.params["subcommand"] in known
    assert lines


@pytest.mark.slow
@pytest.mark.skipif(not CORPORA.exists(), reason=f"there are no corpora in {CORPORA}")
@pytest.mark.parametrize("corpus", BENCHMARKS)
def test_project_trains_as_the_benchmarks_do(corpus, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where what is derived goes
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "corpora", raising=False)
    monkeypatch.delitem(sys.modules, "train", raising=False)
    from train import configure as benchmark

    expected = benchmark(Path("backbones/minilm-l6"), CORPORA, corpus, "exits")
    found, _ = configure(f"train-{corpus.replace('_', '-')}")
    [pipe] = expected["components"]
    assert expected["components"][pipe]["model"]["trunk"].pop("max_wordpieces") == 4096  # the default
    # srsly reads 0.3 of a command line as 0.30000000000000004
    found, expected = (
        json.loads(json.dumps({**config, "paths": None}), parse_float=lambda number: round(float(number), 9))
        for config in (found, expected)
    )
    assert found == expected


def test_project_names_files_that_exist():
    text = (ROOT / "project.yml").read_text(encoding="utf-8")
    for name in set(re.findall(r"(?:configs|scripts|assets)/[\w/.]+", text)):
        assert (ROOT / name).exists(), name


def test_project_ci_runs_the_readme_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "`make test`" in (ROOT / "README.md").read_text(encoding="utf-8")


TEXTS = [path for folder in ("spacy_epee", "scripts", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_project_says_how_text_files_are_encoded(path):
    """What is not said is another encoding on Windows."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "write_text"):
            assert "encoding" in {keyword.arg for keyword in node.keywords}, f"line {node.lineno}"


def test_project_checks_the_style_first():
    steps = (ROOT / "Makefile").read_text(encoding="utf-8").split("\n\n")
    assert any(re.search("^test: lint$", step, flags=re.MULTILINE) for step in steps)
    [lint] = [step for step in steps if step.startswith("lint:")]
    assert "ruff check ." in lint and "ruff format --check ." in lint


def test_project_keeps_no_corpus():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in files if name.startswith(("corpora/", "corpora_derived/", "backbones/", "training/"))]


def test_project_image_takes_what_there_is_and_runs_without_rights():
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (.+)$", text, flags=re.MULTILINE) for word in line.split()[:-1]]
    assert copied and all((ROOT / name).exists() for name in copied)
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(let_through) == sorted(copied)  # neither environments nor notes go to the builder
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    [extras] = re.findall(r'"/source\[(.+)\]"', text)
    assert set(extras.split(",")) <= set(setup["options.extras_require"])
    assert {setup["metadata"]["license_files"], setup["metadata"]["long_description"].removeprefix("file: ")} <= set(copied)
    assert re.findall(r"^USER (.+)$", text, flags=re.MULTILINE)[-1] not in ("root", "0")
    [entry] = re.findall(r"^ENTRYPOINT (.+)$", text, flags=re.MULTILINE)
    [given] = re.findall(r"^CMD (.+)$", text, flags=re.MULTILINE)
    words = json.loads(entry) + json.loads(given)
    assert words[:4] == ["python", "-m", "spacy", "epee"]
    typer.main.get_command(epee).get_command(None, words[4]).make_context(words[4], words[5:])


def test_project_tests_the_low_end_of_its_ranges():
    """What `make test-oldest` installs is what setup.cfg allows at least, but for torch: older builds for CPUs are not on the
    registry."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lowest = versions(setup["options"]["install_requires"], ">=")
    tried = versions((ROOT / "requirements-oldest.txt").read_text(encoding="utf-8"), "==")
    assert {name: tried[name] for name in {*lowest} - {"torch"}} == {name: lowest[name] for name in {*lowest} - {"torch"}}


def versions(text, sign):
    """RETURNS (Dict[str, Version]): The versions behind a sign, by the names of packages."""
    return {name: Version(number) for name, number in re.findall(rf"^([\w-]+){sign}([\d.]+)", text, flags=re.MULTILINE)}
