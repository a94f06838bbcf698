"""Things of several owners that lie one behind the other in an array."""

import numpy


def firsts(counts: numpy.ndarray) -> numpy.ndarray:
    """Find where the things of each of some owners begin, if they lie one behind the other: the items of units, say.

    counts (ndarray): How many things each owner has, (U,).
    RETURNS (ndarray): The place of its first, or of the next owner's if it has none, (U,).
    """
    return numpy.cumsum(counts) - counts


def ranges(starts: numpy.ndarray, counts: numpy.ndarray) -> numpy.ndarray:
    """Put ranges of numbers one behind the other.

    starts (ndarray): The first number of each.
    counts (ndarray): How many each has.
    RETURNS (ndarray): All of them.
    """
    return numpy.arange(counts.sum()) + numpy.repeat(starts - firsts(counts), counts)
