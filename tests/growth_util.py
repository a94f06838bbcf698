"""How much longer work takes if there is more of it."""

import gc
import sys
import time

import pytest


def growth(work, count):
    """RETURNS (float): How much longer `work` takes for four times as much: about 4 if it grows as that does, 16 by squares."""

    def seconds(number):
        found = []
        for _ in range(2):
            began = time.process_time()
            work(number)
            found.append(time.process_time() - began)
        return min(found)

    if sys.platform == "win32":
        pytest.skip("CPU time is counted in steps of 16 ms")
    # Its pauses depend on all that other tests have left in memory.
    gc.collect()
    gc.disable()
    try:
        return seconds(4 * count) / seconds(count)
    finally:
        gc.enable()
