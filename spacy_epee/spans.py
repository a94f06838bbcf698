"""Vectors of spans of wordpieces."""

from typing import TYPE_CHECKING, Sequence, Tuple

import numpy
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from .loop import Pack


def locate(pack: "Pack", spans: numpy.ndarray) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Find the spans that are in the windows of a pack.

    pack (Pack): The pack.
    spans (ndarray): Window of the batch, first wordpiece and the one behind the last, (S, 3).
    RETURNS (Tuple[ndarray, ndarray]): Which of the spans (S',), and the row of the pack that each is in (S',).
    """
    order = numpy.argsort(pack.rows)
    places = numpy.searchsorted(pack.rows[order], spans[:, 0])
    places = numpy.minimum(places, len(order) - 1)
    rows = order[places]
    here = numpy.flatnonzero(pack.rows[rows] == spans[:, 0])
    return here, rows[here]


def pool_spans(
    packs: Sequence["Pack"], states: Sequence[Tensor], spans: numpy.ndarray, fixed: bool = True
) -> Tuple[Tensor, numpy.ndarray, Tensor]:
    """Average the states of spans.

    packs (Sequence[Pack]): The windows.
    states (Sequence[Tensor]): Their states, (W, T, H) for each pack.
    spans (ndarray): Window of the batch, first wordpiece and the one behind the last, (S, 3). An empty one gives zeros.
    fixed (bool): Whether the spans are the same at every exit, so that it is worked out once where they are.
    RETURNS (Tuple[Tensor, ndarray, Tensor]): The vectors of the spans in these windows, (S', H) in float32; for each span the
        place of its vector, -1 if it is not in these windows, (S,); and which of the vectors are of empty spans, (S',) bool.
    """
    parts, numbers, empty = [], [], []
    for members, hidden in zip(packs, states):
        found = members.note("spans", lambda pack: _indices(pack, spans)) if fixed else _indices(members, spans)
        here, rows, starts, stops, lengths = found
        # Running sums make the work independent of how long the spans are and how much they overlap.
        sums = F.pad(hidden.float().cumsum(dim=1), (0, 0, 1, 0))
        parts.append((sums[rows, stops] - sums[rows, starts]) / lengths)
        numbers.append(here)
        empty.append(starts == stops)
    places = numpy.full(len(spans), -1)
    places[numpy.concatenate(numbers)] = numpy.arange(sum(map(len, numbers)))
    return torch.cat(parts), places, torch.cat(empty)


def _indices(pack: "Pack", spans: numpy.ndarray) -> Tuple[numpy.ndarray, Tensor, Tensor, Tensor, Tensor]:
    here, rows = locate(pack, spans)
    starts, stops = spans[here, 1], spans[here, 2]
    lengths = numpy.maximum(stops - starts, 1).astype("float32")[:, None]
    device = pack.lengths.device
    return (here, *(torch.from_numpy(part).to(device) for part in (rows, starts, stops, lengths)))  # type: ignore[return-value]
