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
