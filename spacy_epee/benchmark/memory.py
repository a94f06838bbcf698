"""How much memory work takes at its peak, on Linux."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

from ..threads import end_with_parent

SELF = Path("/proc/self")


@dataclass
class Peak:
    """The most memory that was held at a time.

    bytes (Optional[int]): Above what was held before. None where the system does not tell.
    """

    bytes: Optional[int] = None


@contextmanager
def watch_memory() -> Iterator[Peak]:
    """Find the peak of this process in a context.

    YIELDS (Peak): The peak, known behind the context.
    """
    peak = Peak()
    try:
        (SELF / "clear_refs").write_text("5", encoding="ascii")  # sets the peak to what is held now (man 5 proc)
        before = read_status("VmRSS")
    except OSError:
        yield peak
        return
    yield peak
    peak.bytes = max(read_status("VmHWM") - before, 0)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own, which begins with nothing.

    function (Callable): The function.
    arguments (Any): What it is given.
    RETURNS (Any): What it returns. None if the process died, as it does where there is too little memory.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            return None


def read_status(name: str) -> int:
    """RETURNS (int): A figure of /proc/self/status, in bytes: "VmRSS" is what is held, "VmHWM" the peak.
    RAISES OSError: The system does not tell."""
    for line in (SELF / "status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")
