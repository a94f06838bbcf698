"""Whether torch has the cores that it has threads for. On a machine that others keep busy each small step waits for the thread
that is not let run, and many threads are slower than one.

It is said and not acted on: how many threads there are is the user's choice and holds for the whole process, and a machine that
is busy now may be free in a minute."""

import time
from typing import Optional

import torch

ROWS, WIDTH, LAYERS, ROUNDS = 64, 384, 4, 7
"""The size of the layers that are timed, which are those of a small transformer on a few dozen wordpieces; how many in a row; and
how often, by turns with one thread and with all. It takes about a tenth of a second where threads are not held up."""

LONGEST = 0.5
"""After how many seconds no other round begins."""

SLOW = 1.5
"""How many times longer it must take before anything is said."""


def slowdown() -> Optional[float]:
    """RETURNS (Optional[float]): How many times as long all threads take as one, now. None if there is one anyway."""
    threads = torch.get_num_threads()
    if threads == 1:
        return None
    states, inner, outer = torch.ones(ROWS, WIDTH), torch.ones(WIDTH, 4 * WIDTH), torch.ones(4 * WIDTH, WIDTH)
    seconds = {1: 0.0, threads: 0.0}
    started = time.perf_counter()
    try:
        for number in range(ROUNDS + 1):
            if number > 1 and time.perf_counter() - started > LONGEST:
                break
            for count in seconds:
                torch.set_num_threads(count)
                began = time.perf_counter()
                for _ in range(LAYERS):
                    torch.nn.functional.gelu(states @ inner) @ outer
                if number:  # the first round warms up
                    seconds[count] += time.perf_counter() - began
    finally:
        torch.set_num_threads(threads)
    return seconds[threads] / seconds[1]


def describe_slowdown() -> Optional[str]:
    """RETURNS (Optional[str]): What to say of threads that are slower than one; None if they are not. It means nothing where work
    is done on a GPU."""
    found = slowdown()
    if found is None or found < SLOW:
        return None
    return (
        f"{torch.get_num_threads()} threads take {found:.1f} times as long as one here, as other programs keep the cores busy. "
        "Set OMP_NUM_THREADS=1 in the environment, or leave this machine to one program."
    )
