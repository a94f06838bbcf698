"""Cutting sequences into windows, and windows into padded batches."""

from typing import List, Sequence, Tuple, Union

import numpy


def cut(length: int, room: int, overlap: int) -> List[Tuple[int, int]]:
    """Cut a sequence into the fewest windows that overlap enough, all of about the same size.

    length (int): The length of the sequence.
    room (int): The longest window.
    overlap (int): The shortest overlap of neighbours.
    RETURNS (List[Tuple[int, int]]): Start and stop of each window; none for an empty sequence.
    """
    if length <= room:
        return [(0, length)] if length else []
    count = -(-(length - overlap) // (room - overlap))
    size = min(room, -(-(length + (count - 1) * overlap) // count))
    starts = numpy.linspace(0, length - size, count).astype(int)
    return [(int(start), int(start) + size) for start in starts]


def cut_at(bounds: numpy.ndarray, length: int, room: int, overlap: int, context: int) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Cut a sequence where its parts begin, each part with some of what is beside it. What it takes grows with the sequence.

    bounds (ndarray): Where parts begin, (P,). What comes before the first is a part too, and one without anything is none.
    length (int): The length of the sequence.
    room (int): The longest window. A longer part is cut as `cut` does.
    overlap (int): The shortest overlap of neighbours within a part.
    context (int): How much of what is beside it a window has at each side at the most.
    RETURNS (Tuple[ndarray, ndarray]): Start and stop of each window, and of what it is a window for, in order, (W, 2) each.
    """
    bounds = numpy.unique(numpy.concatenate(([0], bounds, [length])))
    cores = numpy.column_stack((bounds[:-1], bounds[1:]))
    long = cores[:, 1] - cores[:, 0] > room
    if long.any():
        pieces = [numpy.array(cut(stop - start, room, overlap)) + start for start, stop in cores[long].tolist()]
        cores = numpy.concatenate((cores[~long], *pieces))
        cores = cores[numpy.argsort(cores[:, 0])]
    starts, stops = cores.T
    left, right, spare = numpy.minimum(context, starts), numpy.minimum(context, length - stops), room - (stops - starts)
    # If there is no room for both, each gets half, and what one does not need the other gets.
    left = numpy.minimum(left, numpy.maximum(spare // 2, spare - right))
    right = numpy.minimum(right, spare - left)
    return numpy.column_stack((starts - left, stops + right)), cores


def pack(lengths: Union[Sequence[int], numpy.ndarray], most: int, call: int) -> List[numpy.ndarray]:
    """Sort sequences by length into padded batches.

    lengths (Union[Sequence[int], ndarray]): The length of each sequence.
    most (int): The most positions in a batch, padding included. A longer sequence gets a batch of its own.
    call (int): What a batch costs beside its positions, in positions: the padding that is cheaper than another batch.
    RETURNS (List[ndarray]): The indices of each batch.
    """
    order = numpy.argsort(lengths, kind="stable")
    batches: List[numpy.ndarray] = []
    begin, filled = 0, 0
    for i, length in enumerate(numpy.asarray(lengths)[order].tolist()):
        size = length * (i - begin + 1)
        if i > begin and (size > most or size - filled - length > call):
            batches.append(order[begin:i])
            begin, filled = i, 0
        filled += length
    if begin < len(order):
        batches.append(order[begin:])
    return batches
