"""What an exit says about units whose answer is a structure, in a few numbers each: what `SettledStructure` weighs."""

from dataclasses import dataclass
from typing import Callable, Optional

import numpy

from ..inputs.ranges import firsts
from ..threads import cached_property

FEATURES = ("found", "margin", "entropy", "missed", "wrong", "size")
"""The columns of `Features.values`, of spans or of pairs of entities:

found: the logarithm of one more than how many there are;
margin: of these the one that is the least ahead of what comes second, as a difference of logits;
entropy: the largest one at these and beside them;
missed: the log-odds of the nearest one that is not given;
wrong: the logarithm of how many tags, or labels, are wrong if each is as likely right as it says;
size: the logarithm of how many tokens, or pairs, there are.
"""

LINK_FEATURES = ("margin", "wrong")
"""The columns of `Features.links`: the same of links."""

MOST = 12.0
"""The largest difference of logits that counts, and what stands for "none"."""


@dataclass
class Features:
    """The numbers of some units.

    found (ndarray): Which of them have any span that makes an event, or any pair that is related, (U,) bool.
    values (ndarray): See `FEATURES`, (U, F).
    keys (ndarray): A number for what is found, the same for the same and never 0, (U,) int64. Links are no part of it: they are
        dear.
    links (Optional[Callable[[ndarray], ndarray]]): From units (U,) bool to what links say of these, see `LINK_FEATURES`,
        (U', G). None where nothing is linked.
    chance (Optional[ndarray]): The log-odds that there is anything to find, by words alone, (U,); None where nobody asks.
    """

    found: numpy.ndarray
    values: numpy.ndarray
    keys: numpy.ndarray
    links: Optional[Callable[[numpy.ndarray], numpy.ndarray]] = None
    chance: Optional[numpy.ndarray] = None

    @property
    def missed(self) -> numpy.ndarray:
        """RETURNS (ndarray): The log-odds of the nearest that is not given, (U,)."""
        return self.values[:, FEATURES.index("missed")]

    @cached_property
    def all_links(self) -> numpy.ndarray:
        """RETURNS (ndarray): What links say of all units, (U, G)."""
        assert self.links is not None
        return self.links(numpy.ones(len(self.found), dtype=bool))

    def of(self, units: numpy.ndarray) -> "Features":
        """RETURNS (Features): Those of some units, by their places, (U',)."""

        def links(wanted: numpy.ndarray) -> numpy.ndarray:
            return self.all_links[units[wanted]]

        return Features(
            self.found[units],
            self.values[units],
            self.keys[units],
            None if self.links is None else links,
            None if self.chance is None else self.chance[units],
        )


def bounded(values: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): Logits, or differences of them, within bounds."""
    return numpy.clip(numpy.nan_to_num(values, nan=-MOST), -MOST, MOST)


def odds_against(logs: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): The log-odds of anything else, by the logarithms of probabilities."""
    return numpy.log(-numpy.expm1(numpy.minimum(logs, -1e-9))) - logs


def log_sum(values: numpy.ndarray, counts: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): The logarithm of the sum of the values of each unit, which has so many in a row, (U,)."""
    return numpy.maximum(numpy.log(numpy.maximum(numpy.add.reduceat(values, firsts(counts)), 1e-9)), -MOST)


def keys_of(given: numpy.ndarray, counts: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): A number for what is given in each unit, which has so many rows, (U,) int64; never 0."""
    rows = numpy.ascontiguousarray(given, dtype="int8")
    starts = firsts(counts)
    keys = [hash(rows[start : start + count].tobytes()) or 1 for start, count in zip(starts.tolist(), counts.tolist())]
    return numpy.array(keys, dtype="int64")
