"""The results of benchmarks appear whole or not at all."""

import json
import re
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def written(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import written

    return written


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


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_write_nothing_in_place(path):
    """A pipeline is saved whole by `to_disk`."""
    content = path.read_text(encoding="utf-8")
    writes = re.findall(r"write_(?:json|jsonl)\((\w+)|(\S+)\.write_(?:text|bytes)\(|savefig\((\w+)", content)
    allowed = {"part", "path"} if "whole_file" in content else set()
    assert {name for groups in writes for name in groups if name} <= allowed
