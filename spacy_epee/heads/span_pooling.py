"""Vectors of spans of wordpieces."""

from typing import TYPE_CHECKING, List, Sequence, Tuple

import numpy
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from ..trunk.batch import PaddedBatch


def locate(pack: "PaddedBatch", spans: numpy.ndarray) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Find the spans that are in the windows of a pack.

    pack (PaddedBatch): The pack.
    spans (ndarray): Window of the batch, first wordpiece and the one behind the last, (S, 3).
    RETURNS (Tuple[ndarray, ndarray]): Which of the spans (S',), and the row of the pack that each is in (S',).
    """
    order = numpy.argsort(pack.rows)
    places = numpy.searchsorted(pack.rows[order], spans[:, 0])
    places = numpy.minimum(places, len(order) - 1)
    rows = order[places]
    here = numpy.flatnonzero(pack.rows[rows] == spans[:, 0])
    return here, rows[here]


class SpanPooling:
    """Averages the states of spans; where these are is worked out once, for as long as the packs stay the same.

    places (ndarray): For each span the place of its vector, -1 if it is not in these windows, (S,).
    empty (Optional[Tensor]): Which of the vectors are of empty spans, (S',) bool; None if none is.
    """

    def __init__(self, packs: Sequence["PaddedBatch"], spans: numpy.ndarray):
        """
        packs (Sequence[PaddedBatch]): The windows.
        spans (ndarray): Window of the batch, first wordpiece and the one behind the last, (S, 3). An empty one gives zeros.
        """
        self.indices: List[Tuple[Tensor, ...]] = []
        numbers = []
        for members in packs:
            here, rows = locate(members, spans)
            starts, stops = spans[here, 1], spans[here, 2]
            lengths = numpy.maximum(stops - starts, 1).astype("float32")[:, None]
            device = members.lengths.device
            self.indices.append(tuple(torch.from_numpy(part).to(device) for part in (rows, starts, stops, lengths)))
            numbers.append(here)
        found = numpy.concatenate(numbers)
        self.places = numpy.full(len(spans), -1)
        self.places[found] = numpy.arange(len(found))
        empty = spans[found, 1] == spans[found, 2]
        self.empty = torch.from_numpy(empty).to(packs[0].lengths.device) if empty.any() else None

    def __call__(self, states: Sequence[Tensor]) -> Tensor:
        """Average.

        states (Sequence[Tensor]): The states of the packs, (W, T, H) each.
        RETURNS (Tensor): The vectors of the spans in these windows, (S', H) in float32.
        """
        parts = []
        for hidden, (rows, starts, stops, lengths) in zip(states, self.indices):
            # Running sums make the work independent of how long the spans are and how much they overlap.
            sums = F.pad(hidden.float().cumsum(dim=1), (0, 0, 1, 0))
            parts.append((sums[rows, stops] - sums[rows, starts]) / lengths)
        return torch.cat(parts) if len(parts) > 1 else parts[0]
