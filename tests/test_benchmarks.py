"""Benchmarks start, and their results appear whole or not at all."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COMMANDS = [path for path in sorted(BENCHMARKS.glob("*.py")) if "typer.run(main)" in path.read_text(encoding="utf-8")]
NAMES = {path.stem for path in BENCHMARKS.glob("*.py")}


@pytest.fixture
def importable(monkeypatch):
    """What benchmarks share can be imported by its name, and nothing else of that name is meant afterwards."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    others = {name: sys.modules.pop(name) for name in NAMES & set(sys.modules)}
    yield
    for name in NAMES & set(sys.modules):
        del sys.modules[name]
    sys.modules.update(others)


@pytest.fixture
def written(importable):
    import written

    return written


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_benchmarks_say_what_they_are_given(path, importable, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code in (0, None) and "Usage" in capsys.readouterr().out


def test_pages_say_how_they_were_made(importable, monkeypatch):
    from machine import command, machine
    from tables import made_by, table

    monkeypatch.setattr(sys, "argv", ["benchmarks/rules.py", "--name", "textcat"])
    made = made_by(command(), machine())
    assert made[0] == "Made by `python benchmarks/rules.py --name textcat`"
    assert re.fullmatch(r"on .+, \d+ cores, \d+ threads, Python \S+, torch \S+, transformers \S+, spacy .+\.", made[1])
    assert table(["", "a"], [["b", 1]]) == ["|  | a |", "|---|---|", "| b | 1 |"]


def test_results_are_a_json_file_and_a_page(written, tmp_path):
    written.write_results("speed", {"seconds": 1.5}, "# Speed\n", folder=tmp_path / "new")
    assert json.loads((tmp_path / "new" / "speed.json").read_text()) == {"seconds": 1.5}
    assert (tmp_path / "new" / "speed.md").read_text() == "# Speed\n"
    written.write_results("score", {}, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "score.json"]


def test_a_benchmark_that_is_stopped_leaves_the_last_results(written, tmp_path, monkeypatch):
    written.write_results("speed", {"seconds": 1.5}, "# Speed", folder=tmp_path)

    def stop(path, figures):
        path.write_text('{"seco')
        raise KeyboardInterrupt

    monkeypatch.setattr(written.srsly, "write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        written.write_results("speed", {"seconds": 2}, "# Other", folder=tmp_path)
    assert json.loads((tmp_path / "speed.json").read_text()) == {"seconds": 1.5}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["speed.json", "speed.md"]


def test_what_further_notes_cost_is_told_apart_from_the_start(importable):
    from bulk import costs_of

    assert costs_of([8.0 + 10.0, 8.0 + 20.0], [5_000, 10_000]) == pytest.approx((0.0028, 0.002, 8.0))


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_write_nothing_in_place(path):
    """A pipeline is saved whole by `to_disk`."""
    content = path.read_text(encoding="utf-8")
    writes = re.findall(r"write_(?:json|jsonl)\((\w+)|(\S+)\.write_(?:text|bytes)\(|savefig\((\w+)", content)
    allowed = {"part", "path"} if "whole_file" in content else set()
    assert {name for groups in writes for name in groups if name} <= allowed


def test_encoders_of_clinicians_are_those_of_the_page_and_step(importable):
    from clinical import SHAPES, make, windows

    from spacy_epee.trunk.verification import make_stepper

    page = (BENCHMARKS.parent / "docs" / "choosing-a-backbone.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\S+)` \|", page, flags=re.MULTILINE) == [*SHAPES]
    for name, shape in SHAPES.items():
        narrow = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4, "vocab_size": 60, "pad_token_id": 1}
        model = make(shape, **narrow)
        sizes = re.search(rf"`{name}` .*\| (\d+) x (\d+) \|", page)
        assert make_stepper(model).depth == int(sizes[1])
        assert shape.settings.get("hidden_size", 768) == int(sizes[2])
    assert windows(1000, 256) == (5, 256) and windows(100, 256) == (1, 100)
