"""The spaCy project is valid, and its parts are where it says."""

import re
import subprocess
from pathlib import Path

from weasel.schemas import ProjectConfigSchema, validate
from weasel.util import load_project_config

ROOT = Path(__file__).parent.parent


def test_project_is_valid():
    config = load_project_config(ROOT)
    assert validate(ProjectConfigSchema, config) == []
    commands = {command["name"] for command in config["commands"]}
    for steps in config["workflows"].values():
        assert set(steps) <= commands


def test_project_names_files_that_exist():
    text = (ROOT / "project.yml").read_text(encoding="utf-8")
    for name in set(re.findall(r"(?:configs|scripts|assets)/[\w/.]+", text)):
        assert (ROOT / name).exists(), name


def test_project_ci_runs_the_readme_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "`make test`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_project_keeps_no_corpus():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in files if name.startswith(("corpora/", "backbones/", "training/"))]
