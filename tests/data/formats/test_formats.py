"""Formats of other packages stand beside our own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import catalogue
import pytest
from typer.testing import CliRunner

from spacy_epee.cli import epee
from spacy_epee.data.formats.registry import Format, format_names, formats, get_format, guess_format

ROOT = Path(__file__).parents[3]
ROW = {"id": "1", "text": "Aspirin caused a rash.", "cats": "harm"}
PACKAGE = """
from spacy_epee.data.formats.registry import Format


def read_lines(path, between="|"):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        label, text = line.split(between)
        yield f"{path}, line {number}", {"id": str(number), "text": text, "cats": label}


def write_lines(rows, folder):
    folder.mkdir(exist_ok=True)
    lines = [f"{row['cats']}|{row['text']}" for _, row in rows]
    (folder / "notes.lines").write_text("\\n".join(lines), encoding="utf-8")
    return len(lines)


LINES = Format(read_lines, write_lines, suffixes=[".lines"], settings={"between": "What is between label and text"})
"""


@pytest.fixture
def installed(tmp_path):
    """Runs `convert` where another package with a format is installed."""
    folder = tmp_path / "site" / "other-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n", encoding="utf-8")
    (folder / "entry_points.txt").write_text("[spacy_epee_formats]\nlines = other:LINES\n", encoding="utf-8")
    (folder.parent / "other.py").write_text(PACKAGE, encoding="utf-8")
    paths = os.pathsep.join([str(folder.parent), str(ROOT)])

    def run(*words):
        command = [sys.executable, "-m", "spacy", "epee", "convert", *map(str, words)]
        env = {**os.environ, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=env, cwd=tmp_path)

    return run


def test_convert_finds_formats_of_other_packages(installed, tmp_path):
    found = installed("--help")
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("lines") >= 2  # read and written
    (tmp_path / "notes.lines").write_text("harm|Aspirin caused a rash.", encoding="utf-8")
    found = installed("notes.lines", "notes.jsonl")
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads((tmp_path / "notes.jsonl").read_text(encoding="utf-8")) == ROW
    assert installed("notes.jsonl", "out", "--to", "lines").returncode == 0
    assert (tmp_path / "out" / "notes.lines").read_text(encoding="utf-8") == "harm|Aspirin caused a rash."


@pytest.fixture
def register(monkeypatch):
    """Registers a format until the test ends."""
    return lambda name, form: monkeypatch.setitem(catalogue.REGISTRY, (*formats.namespace, name), form)


def read_with(path, label="none"):
    yield str(path), {**ROW, "cats": label}


def convert(*words):
    found = CliRunner().invoke(epee, ["convert", *map(str, words)])
    return found.exit_code, " ".join(found.output.split())


def test_a_format_takes_settings(register, tmp_path):
    register("plain", Format(read_with, suffixes=[".plain"], settings={"label": "The label of all"}))
    (tmp_path / "a.plain").touch()
    assert convert(tmp_path / "a.plain", tmp_path / "out.jsonl", "--set", "label=a=b")[0] == 0
    assert json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))["cats"] == "a=b"


@pytest.mark.parametrize("setting", ["Aspirin=1", "label"])
def test_a_setting_that_there_is_not_is_refused_and_not_shown(register, tmp_path, setting):
    register("plain", Format(read_with, suffixes=[".plain"], settings={"label": "The label of all"}))
    (tmp_path / "a.plain").touch()
    code, output = convert(tmp_path / "a.plain", tmp_path / "out.jsonl", "--set", setting)
    assert code == 1 and "label=VALUE, The label of all" in output and "Aspirin" not in output
    assert not (tmp_path / "out.jsonl").exists()


def test_errors_of_a_format_keep_no_text(register):
    def read(path):
        try:
            int(ROW["text"])
        except ValueError:
            raise ValueError("a.plain, line 1: no number.")
        yield

    def write(rows, folder):
        list(read(folder))

    register("plain", Format(read, write))
    for act in (lambda: list(get_format("plain").read(Path())), lambda: get_format("plain").write([], Path())):
        with pytest.raises(ValueError, match="no number") as caught:
            act()
        assert caught.value.__context__ is None and caught.value.__cause__ is None


def test_names_that_several_formats_have_are_not_guessed(register, tmp_path):
    register("plain", Format(read_with, suffixes=[".xml"]))
    (tmp_path / "a.xml").touch()
    with pytest.raises(ValueError, match="may be of the formats bioc and plain; name one"):
        guess_format(tmp_path)


def test_a_tool_of_another_package_is_known_by_its_first_object(register, tmp_path):
    register("tool", Format(read_with, suffixes=[".jsonl"], is_from=lambda row: "made by tool" in row))
    (tmp_path / "a.jsonl").write_text(json.dumps({**ROW, "made by tool": 1}) + "\n", encoding="utf-8")
    assert guess_format(tmp_path) == "tool"
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW) + "\n", encoding="utf-8")
    assert guess_format(tmp_path) == "jsonl"


def test_what_is_no_format_is_refused(register):
    register("plain", read_with)
    with pytest.raises(ValueError, match="no `Format`"):
        get_format("plain")
    with pytest.raises(ValueError, match="give one of bioc, .*, prodigy"):
        get_format("plian")


def test_formats_are_in_the_order_of_the_alphabet():
    assert format_names() == sorted(format_names())
    assert set(format_names(writable=True)) == {"bionlp", "brat"}
