"""What the first documents should have, so that something is said if none does."""

from typing import Callable, Optional

EXPECTED = 10
"""After how many documents that lack something it is said."""


class FirstDocuments:
    """How many of the first documents lack what relations are found by."""

    def __init__(self) -> None:
        self._lacking: Optional[int] = 0

    def add(self, found: Callable[[], bool], lacking: Callable[[], int]) -> bool:
        """Count some more, until it is found or there are enough.

        found (Callable[[], bool]): Says whether these have it.
        lacking (Callable[[], int]): Says how many of them should have it, and do not.
        RETURNS (bool): Whether there are enough now, which is so once.
        """
        so_far = self._lacking  # other threads count, too
        if so_far is None:
            return False
        if found():
            self._lacking = None
            return False
        so_far += lacking()
        self._lacking = so_far if so_far < EXPECTED else None
        return so_far >= EXPECTED
