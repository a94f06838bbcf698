"""The peak of memory."""

import multiprocessing
import os
import select
import signal
import time

import numpy
import pytest
from kills_util import fork, wait

from spacy_epee.benchmark import memory

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system")


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


@pytest.fixture
def forked(monkeypatch):
    """Processes are copies of this one, for there is nothing to measure."""
    monkeypatch.setattr(memory, "get_context", lambda method: multiprocessing.get_context("fork"))


@posix
def test_a_process_that_dies_costs_no_more_than_what_it_was_to_tell(forked):
    assert memory.apart(os.getpid) != os.getpid()
    assert memory.apart(os._exit, 9) is None


def say_and_wait(pipe):
    os.write(pipe, b"!")
    time.sleep(60)


@posix
def test_a_process_ends_with_the_one_that_began_it(forked):
    reads, writes = os.pipe()
    child = fork(lambda: memory.apart(say_and_wait, writes))
    os.close(writes)
    assert os.read(reads, 1) == b"!"
    os.kill(child, signal.SIGKILL)
    assert wait(child) == -signal.SIGKILL
    assert select.select([reads], [], [], 20)[0] and os.read(reads, 1) == b""  # nobody holds the other end
