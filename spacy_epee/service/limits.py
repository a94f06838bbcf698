"""How much one request may ask for, and all of them together."""

from dataclasses import dataclass
from typing import Optional

from ..settings import check_number


@dataclass(frozen=True)
class Limits:
    """The limits of a service.

    batch_size (int): The most notes that are answered together.
    wait_ms (float): How long the first note of a batch waits for others, in milliseconds.
    queue (int): The most notes that wait; more are refused.
    budget_ms (Optional[float]): The time of a request that names none, from its arrival; None for as long as it takes.
    max_notes (int): The most notes of a request.
    max_characters (int): The most characters of a note.
    max_bytes (int): The most bytes of a request.
    max_seconds (float): The most seconds for a request to arrive in.
    """

    batch_size: int = 32
    wait_ms: float = 2.0
    queue: int = 512
    budget_ms: Optional[float] = None
    max_notes: int = 128
    max_characters: int = 100_000
    max_bytes: int = 4_000_000
    max_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("batch_size", "queue", "max_notes", "max_characters", "max_bytes"):
            check_number(name, getattr(self, name), 1, whole=True)
        check_number("wait_ms", self.wait_ms, 0)
        check_number("max_seconds", self.max_seconds, 0, above=True)
        if self.budget_ms is not None:
            check_number("budget_ms", self.budget_ms, 0)
        if self.max_notes > self.queue:
            raise ValueError(f"A request may have {self.max_notes} notes, and only {self.queue} can wait; raise --queue.")
