"""Padded batches of windows on their way up, and how they are made anew when windows leave."""

from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy
import torch
from torch import Tensor

from ..inputs.packing import pack
from ..inputs.ranges import ranges
from ..inputs.windows import Windows
from .base import Runner, State

CALL, CALL_GPU = 32, 4096
"""What a call of a layer costs beside its wordpieces, in wordpieces (measured on 12 x 384 on a CPU: 20 to 40)."""

REPACK_COST = 0.2
"""What making packs anew costs, in layers."""


def climb(stepper: Runner, state: State, layers: int) -> None:
    """Run the next layers on a batch.

    stepper (Runner): The trunk. With a method `climb`, as that of ONNX Runtime has it, it runs all of them in one call.
    state (State): The batch, moved up in place.
    layers (int): How many.
    """
    together = getattr(stepper, "climb", None)
    if together is not None:
        together(state, layers)
        return
    for _ in range(layers):
        stepper.step(state)


class PaddedBatch:
    """Windows of about the same length on their way up together."""

    def __init__(self, stepper: Runner, windows: Windows, rows: numpy.ndarray, others: Sequence["BatchPart"] = ()):
        """
        stepper (Runner): The trunk.
        windows (Windows): The windows of the batch.
        rows (ndarray): Which of them are in this pack.
        others (Sequence[BatchPart]): Where they are in other packs on the same layer: it goes on from there. Without any it is
            below the first layer.
        """
        lengths = windows.lengths[rows]
        self.longest = int(lengths.max())
        padded = bool(lengths.min() < self.longest)
        device = stepper.device
        batch = windows.batch(rows, stepper.padding)
        inputs = [torch.from_numpy(part).to(device) for part in batch]
        self.rows = rows
        self.lengths = torch.from_numpy(lengths).to(device)
        if others:
            self.state: State = stepper.restart_at(self._states(others), others[0][0].state.layer, *inputs)
        else:
            self.state = stepper.embed(*inputs)
        self.mask: Optional[Tensor] = None
        if padded:
            given = torch.arange(self.longest, device=device) < self.lengths[:, None]
            self.mask = given[:, None].float()

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, wanted: numpy.ndarray) -> None:
        """Drop windows.

        wanted (ndarray): For each window of the batch whether it climbs on, (W,) bool.
        """
        kept = wanted[self.rows]
        if kept.all():
            return
        kept = numpy.flatnonzero(kept)
        self.rows = self.rows[kept]
        if len(kept):
            index = torch.from_numpy(kept).to(self.lengths.device)
            self.lengths = self.lengths[index]
            self.mask = None if self.mask is None else self.mask[index]
            self.state.keep(index)

    def _states(self, others: Sequence["BatchPart"]) -> Tensor:
        """Where other packs are, with zeros as padding, (W', T, H)."""
        source = others[0][0].state.hidden
        states = source.new_zeros((len(self.rows), self.longest, source.shape[2]))
        for other, here, there in others:
            width = min(self.longest, other.longest)  # what is cut off is padding
            index = torch.from_numpy(here).to(states.device)
            states[index, :width] = other.state.hidden[torch.from_numpy(there).to(states.device), :width]
        return states


BatchPart = Tuple[PaddedBatch, numpy.ndarray, numpy.ndarray]
"""A pack, places in another one, and the places of the same windows in this."""


class ActiveBatches:
    """Some windows of a batch climbing the trunk together."""

    def __init__(self, stepper: Runner, windows: Windows, rows: numpy.ndarray, wordpieces: int):
        """
        stepper (Runner): The trunk.
        windows (Windows): The windows of the batch, W of them.
        rows (ndarray): Those that climb, in order.
        wordpieces (int): The most wordpieces that run through a layer in one call.
        """
        self.stepper = stepper
        self.windows = windows
        self.wordpieces = wordpieces
        self.call = CALL if stepper.device.type == "cpu" else CALL_GPU
        self.packs = [PaddedBatch(stepper, windows, rows[members]) for members in self._plan(rows)]

    def _plan(self, rows: numpy.ndarray) -> List[numpy.ndarray]:
        """Which of some windows go into a pack together, as places in `rows`."""
        return pack(self.windows.lengths[rows], self.wordpieces, self.call)

    def step(self, layers: int = 1) -> None:
        """Run the next layers on all that still climb."""
        for members in self.packs:
            climb(self.stepper, members.state, layers)

    def states(self) -> List[Tensor]:
        """RETURNS (List[Tensor]): The states of each pack as heads should see them, (W', T, H)."""
        return [self.stepper.final_hidden(members.state) for members in self.packs]

    def keep(self, wanted: numpy.ndarray) -> None:
        """Drop the windows that nobody needs any more.

        wanted (ndarray): Which windows of the batch climb on, at least one, (W,) bool.
        """
        for members in self.packs:
            members.keep(wanted)
        self.packs = [members for members in self.packs if len(members)]
        if len(self.packs) > 1 or self.packs[0].mask is not None:
            self._repack()

    def _repack(self) -> None:
        """Join packs that have become small, and trim the padding that only those who left needed."""
        rows = numpy.concatenate([members.rows for members in self.packs])
        lengths = self.windows.lengths[rows]
        planned = self._plan(rows)
        now = sum(len(members) * members.longest + self.call for members in self.packs)
        then = sum(len(members) * int(lengths[members].max()) + self.call for members in planned)
        left = self.stepper.depth - self.packs[0].state.layer
        if (now - then) * left > REPACK_COST * now:
            self.packs = list(self._move(rows, planned))

    def _move(self, rows: numpy.ndarray, plan: List[numpy.ndarray]) -> Iterator[PaddedBatch]:
        """Windows in new packs, where they are. What has been moved is let go before the next is made."""
        others: Dict[int, PaddedBatch] = dict(enumerate(self.packs))
        self.packs = []
        sizes = numpy.array([len(other) for other in others.values()])
        owners, places = numpy.repeat(numpy.arange(len(sizes)), sizes), ranges(numpy.zeros_like(sizes), sizes)
        for members in plan:
            parts: List[BatchPart] = []
            for number in numpy.unique(owners[members]).tolist():
                here = numpy.flatnonzero(owners[members] == number)
                parts.append((others[number], here, places[members[here]]))
                sizes[number] -= len(here)
                if not sizes[number]:
                    del others[number]
            yield PaddedBatch(self.stepper, self.windows, rows[members], parts)
