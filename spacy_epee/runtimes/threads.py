"""One pool of threads at a time."""

from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Iterator, List

import torch
from threadpoolctl import ThreadpoolController

from ..trunk.base import Runner


@contextmanager
def single_torch_thread(runner: Runner) -> Iterator[None]:
    """Keep torch to one thread while others run the layers, as those of ONNX Runtime do: after each small step of ours, torch's
    other threads wait busily, and take the cores from the next layer (measured on two cores: a fifth to a third more time).

    Only what is called from here is kept so. `torch.set_num_threads` is heard by other threads, too, and those that begin
    meanwhile would keep to one for good.

    runner (Runner): What runs.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not runner.own_threads:
        yield
        return
    pools = [(pool, pool.num_threads) for pool in _thread_pools()]
    for pool, _ in pools:
        pool.set_num_threads(1)
    try:
        yield
    finally:
        for pool, before in pools:
            pool.set_num_threads(before)


@lru_cache(maxsize=None)
def _thread_pools() -> List[Any]:
    """What runs torch's threads."""
    return ThreadpoolController().select(user_api="openmp").lib_controllers
