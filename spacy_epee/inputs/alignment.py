"""Where tokens are among wordpieces."""

from dataclasses import dataclass
from typing import Sequence

import numpy

NO_CHARACTERS = numpy.zeros((0, 2), dtype="int64")


def behind_one_another(parts: Sequence[numpy.ndarray], counts: numpy.ndarray, shift: numpy.ndarray) -> numpy.ndarray:
    """Put Docs one behind the other.

    parts (Sequence[ndarray]): Characters of each, start and end, (n, 2).
    counts (ndarray): How many each has, (D,).
    shift (ndarray): Where each begins, (D,).
    RETURNS (ndarray): The characters, as if the Docs were one, (N, 2).
    """
    if len(parts) == 1:
        return parts[0]
    return numpy.concatenate([NO_CHARACTERS, *parts]) + numpy.repeat(shift, counts)[:, None]


def first_pieces(offsets: numpy.ndarray, starts: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): Of wordpieces (n, 2) the first that ends behind each of some characters, (S,)."""
    # A wordpiece that a byte-level tokenizer makes of a part of a character can begin where the one before it does.
    return numpy.searchsorted(numpy.maximum.accumulate(offsets[:, 1]), starts, side="right")


def first_behind(offsets: numpy.ndarray, ends: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): Of wordpieces (n, 2) the first that begins behind some characters, or where they end, (S,)."""
    return numpy.searchsorted(numpy.maximum.accumulate(offsets[:, 0]), ends, side="left")


def farthest_from_edges(
    places: numpy.ndarray, starts: numpy.ndarray, stops: numpy.ndarray, low: numpy.ndarray, high: numpy.ndarray
) -> numpy.ndarray:
    """Find the windows in which places are farthest from an edge. A matrix of places and windows would grow with their product.

    places (ndarray): The places, (P,).
    starts (ndarray): Where windows start, in rising order, (W,), at least one.
    stops (ndarray): The places behind their ends, in rising order, (W,).
    low (ndarray): The first window that each place may be in, (P,).
    high (ndarray): The one behind the last; where that is the same, any is given, (P,).
    RETURNS (ndarray): The window of each place, the first of two that are as good, (P,).
    """
    # The later a window, the nearer is its left edge: it is the first with the place in its left half, or the one before.
    after = numpy.minimum(numpy.searchsorted(starts + stops, 2 * places), high - 1)
    before = numpy.maximum(after - 1, low)
    before, after = (numpy.minimum(which, len(starts) - 1) for which in (before, after))
    room = [numpy.minimum(places - starts[which], stops[which] - places) for which in (before, after)]
    return numpy.where(room[0] >= room[1], before, after)


@dataclass
class Alignment:
    """Where each token of some Docs is found.

    window (ndarray): The window in which the token is farthest from an edge, or -1 for a token without a wordpiece
        (white space, control characters), (T,).
    first (ndarray): The token's first position in that window, (T,).
    last (ndarray): The position behind its last one, (T,).
    docs (ndarray): Which of the Docs it is of, (T,).
    pieces (ndarray): Its first wordpiece and the one behind the last, which is not above the first if it has none, where those
        of all these Docs lie one behind the other, (T, 2).
    rows (ndarray): The windows of the Docs, in order, (W',).
    asked (ndarray): What these are asked about, as `Windows.asked`, counted as `pieces` are, (W', 2).
    before (ndarray): How many wordpieces there are before those of each Doc, (D',).
    """

    window: numpy.ndarray
    first: numpy.ndarray
    last: numpy.ndarray
    docs: numpy.ndarray
    pieces: numpy.ndarray
    rows: numpy.ndarray
    asked: numpy.ndarray
    before: numpy.ndarray
