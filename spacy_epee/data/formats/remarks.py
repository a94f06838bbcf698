"""What a conversion says once, with counts, and not for each line or document."""

import warnings
from collections import Counter
from typing import Dict, Tuple

LEFT_OUT = "Left out, for rows have no place for it"

OFFSETS = "Offsets that do not count characters, as the texts of the spans show"

DIRECTION = "Relations whose arguments are not called Arg1 and Arg2; the one that comes first on the line is the head"


class Remarks:
    """Counts what there is to say."""

    def __init__(self) -> None:
        self.counts: Dict[str, Counter] = {}
        self.first: Dict[Tuple[str, str], str] = {}

    def add(self, topic: str, what: str, where: str, count: int = 1) -> None:
        """Take something down.

        topic (str): The sentence that it belongs to.
        what (str): What it is: a kind, and nothing of a file.
        where (str): The file, and the line if it is one.
        count (int): How many there are; nothing is said of none.
        """
        if count:
            self.counts.setdefault(topic, Counter())[what] += count
            self.first.setdefault((topic, what), where)

    def warn(self) -> None:
        """Say it, in one warning for each topic."""
        for topic, counts in self.counts.items():
            said = [f"{what}: {count}, the first in {self.first[topic, what]}" for what, count in counts.items()]
            warnings.warn(f"{topic}. {'; '.join(said)}.")
