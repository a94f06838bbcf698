"""Whether several threads are slower than one."""

from types import SimpleNamespace

import pytest
import torch

from spacy_epee.runtimes import cores


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def test_slowdown_is_measured_and_threads_stay_as_they_were(two_threads):
    assert cores.slowdown() > 0 and torch.get_num_threads() == 2


def test_one_thread_is_not_compared_with_itself(two_threads):
    torch.set_num_threads(1)
    assert cores.slowdown() is None and cores.describe_slowdown() is None


def test_threads_stay_as_they_were_after_an_error(two_threads, monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "gelu", None)
    with pytest.raises(TypeError):
        cores.slowdown()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("seconds,said", [({1: 0.001, 2: 0.004}, True), ({1: 0.004, 2: 0.002}, False)])
def test_threads_that_wait_are_told_of(two_threads, monkeypatch, seconds, said):
    now = [0.0]

    def gelu(states):
        now[0] += seconds[torch.get_num_threads()]
        return states

    monkeypatch.setattr(cores, "WIDTH", 8)
    monkeypatch.setattr(cores, "time", SimpleNamespace(perf_counter=lambda: now[0]))  # so that a busy machine changes nothing
    monkeypatch.setattr(torch.nn.functional, "gelu", gelu)
    found = cores.describe_slowdown()
    assert (found is not None) == said
    if said:
        assert found.startswith("2 threads take 4.0 times ") and "OMP_NUM_THREADS=1" in found
