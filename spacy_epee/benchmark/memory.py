"""How much memory work takes at its peak, on Linux."""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional

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


def read_status(name: str) -> int:
    """RETURNS (int): A figure of /proc/self/status, in bytes: "VmRSS" is what is held, "VmHWM" the peak.
    RAISES OSError: The system does not tell."""
    for line in (SELF / "status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")
