"""How many kernels oneDNN, which computes for torch on CPUs, may keep in memory."""

import os

KERNELS = 64
"""It makes new ones for each shape of a batch, and by default keeps 1,024, of which hardly any is needed again. In training in
bfloat16 (two layers of width 32, 100 updates) it took 1,667 MB and 34 s, with 64 of them 1,121 MB and 32 s. 26,000 sentences on
an AMD EPYC, where it computes in float32, too, took 1,606 MB and 166 s, with one of them 757 MB and 170 s."""


def bound_kernels() -> None:
    """Let it keep fewer, unless the user has set how many. It looks once in a process, at the first that it makes."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))
