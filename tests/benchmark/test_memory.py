"""The peak of memory."""

import numpy
import pytest

from spacy_epee.benchmark import memory


def test_memory_counts_what_is_gone_again():
    with memory.watch_memory() as peak:
        numpy.ones(25_000_000).sum()  # 200 MB
    if peak.bytes is None:
        pytest.skip("this system does not tell")
    assert 150e6 < peak.bytes < 400e6


def test_memory_does_not_count_what_was_there_before():
    kept = numpy.ones(25_000_000)
    with memory.watch_memory() as peak:
        kept[:10].sum()
    assert peak.bytes is None or peak.bytes < 50e6


def test_memory_is_not_known_on_other_systems(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "SELF", tmp_path / "none")
    with memory.watch_memory() as peak:
        pass
    assert peak.bytes is None
