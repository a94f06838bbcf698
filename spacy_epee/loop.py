"""The early-exit loop. Nothing else decides who leaves the batch."""

from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

import numpy
import torch
from torch import Tensor

from .exits.evidence import Evidence, Reduction
from .exits.rules import ExitRule
from .heads import ExitHeads
from .trunk.stepper import LayerState, LayerStepper
from .windows import Windows, pack

DEPTH = "depth"
"""The reason of a unit that reached the last layer."""

CALL, CALL_GPU = 32, 4096
"""What a call of a layer costs beside its wordpieces, in wordpieces (measured on 12 x 384 on a CPU: 20 to 40)."""

WORTHWHILE = 0.85
"""Packs are made anew when that leaves this share of a layer's cost."""


@dataclass(frozen=True)
class Reading:
    """How logits are to be read.

    exclusive (bool): One label of K, or any number of them.
    threshold (float): The probability from which a label counts as given, if not exclusive.
    reduce (str): How the labels' uncertainties are joined, if not exclusive: "mean" or "max".
    """

    exclusive: bool = True
    threshold: float = 0.5
    reduce: Reduction = "mean"

    def evidence(self, logits: numpy.ndarray, **context) -> Evidence:
        """RETURNS (Evidence): What a rule may look at."""
        return Evidence(logits, exclusive=self.exclusive, threshold=self.threshold, reduce=self.reduce, **context)


@dataclass
class Answers:
    """What the units of a batch left with.

    logits (ndarray): The logits of the exit that each took, (U, K) float32. Zeros for a unit without a window.
    probabilities (ndarray): The same as probabilities, (U, K). Zeros for a unit without a window.
    layers (ndarray): The layer of that exit, (U,) from 1 to `depth`. 0 for a unit without a window.
    entropy (ndarray): The normalised entropy there, (U,).
    reasons (List[str]): Why each left: a reason of the rule, or "depth".
    depth (int): The number of layers.
    """

    logits: numpy.ndarray
    probabilities: numpy.ndarray
    layers: numpy.ndarray
    entropy: numpy.ndarray
    reasons: List[str]
    depth: int

    @classmethod
    def empty(cls, units: int, labels: int, depth: int) -> "Answers":
        """RETURNS (Answers): Answers of units that have not climbed."""
        return cls(
            logits=numpy.zeros((units, labels), dtype="float32"),
            probabilities=numpy.zeros((units, labels), dtype="float32"),
            layers=numpy.zeros(units, dtype="int64"),
            entropy=numpy.zeros(units, dtype="float64"),
            reasons=[""] * units,
            depth=depth,
        )

    def write(self, evidence: Evidence, rows: numpy.ndarray, reasons: Sequence[str]) -> None:
        """Write down the units that leave.

        evidence (Evidence): This exit's evidence.
        rows (ndarray): The rows of the evidence that leave.
        reasons (Sequence[str]): Why each of them does.
        """
        units = evidence.units[rows]
        self.logits[units] = evidence.logits[rows]
        self.probabilities[units] = evidence.probabilities[rows]
        self.layers[units] = evidence.layer
        self.entropy[units] = evidence.entropy[rows]
        for unit, reason in zip(units, reasons):
            self.reasons[unit] = reason


class Pack:
    """Windows of about the same length on their way up together."""

    def __init__(self, stepper: LayerStepper, windows: Windows, rows: numpy.ndarray, shares: numpy.ndarray):
        """
        stepper (LayerStepper): The trunk.
        windows (Windows): The windows of the batch.
        rows (ndarray): Which of them are in this pack.
        shares (ndarray): For each window of the batch the factor from its pooled sum to its part in its unit, (W, 1).
        """
        lengths = windows.lengths[rows]
        self.longest = int(lengths.max())
        padded = bool(lengths.min() < self.longest)
        ids = numpy.zeros((len(rows), self.longest), dtype="int64")
        for place, row in enumerate(rows):
            ids[place, : lengths[place]] = windows.ids[row]
        mask = numpy.arange(self.longest) < lengths[:, None]
        device = stepper.device
        padding = getattr(stepper.model.config, "pad_token_id", None)
        if padding and padded:  # some families derive positions from the padding wordpiece
            ids[~mask] = padding
        self.rows = rows
        self.units = windows.docs[rows]
        self.lengths = torch.from_numpy(lengths).to(device)
        self.shares = torch.from_numpy(shares[rows]).to(device)
        given = torch.from_numpy(mask).to(device)
        self.state: LayerState = stepper.embed(torch.from_numpy(ids).to(device), given.long())
        self.mask = given[:, None].to(self.state.hidden.dtype) if padded else None

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, wanted: numpy.ndarray) -> None:
        """Drop the windows of units that have left.

        wanted (ndarray): For each unit whether it climbs on, (U,) bool.
        """
        kept = wanted[self.units]
        if kept.all():
            return
        kept = numpy.flatnonzero(kept)
        self.rows, self.units = self.rows[kept], self.units[kept]
        if len(kept):
            index = torch.from_numpy(kept).to(self.lengths.device)
            self.lengths, self.shares = self.lengths[index], self.shares[index]
            self.mask = None if self.mask is None else self.mask[index]
            self.state.keep(index)

    def resume(self, others: Sequence["Pack"]) -> None:
        """Go on from where other packs are.

        others (Sequence[Pack]): Packs of the same batch and on the same layer, which have all windows of this one.
        """
        states = self.state.hidden.new_zeros(self.state.hidden.shape)
        for other in others:
            _, here, there = numpy.intersect1d(self.rows, other.rows, assume_unique=True, return_indices=True)
            width = min(self.longest, other.longest)  # what is cut off is padding
            index = torch.from_numpy(here).to(states.device)
            states[index, :width] = other.state.hidden[torch.from_numpy(there).to(states.device), :width]
        self.state.hidden, self.state.layer = states, others[0].state.layer


class Climb:
    """A batch of units climbing the trunk together."""

    def __init__(self, stepper: LayerStepper, heads: ExitHeads, windows: Windows, wordpieces: int):
        """
        stepper (LayerStepper): The trunk.
        heads (ExitHeads): The classifiers.
        windows (Windows): The windows; a unit is a Doc with all its windows.
        wordpieces (int): The most wordpieces that run through a layer in one call.
        """
        self.stepper = stepper
        self.heads = heads
        self.windows = windows
        self.wordpieces = wordpieces
        self.units = windows.n_docs
        self.device = stepper.device
        self.call = CALL if self.device.type == "cpu" else CALL_GPU
        weights = heads.weights(windows.lengths)
        totals = numpy.bincount(windows.docs, weights, minlength=windows.n_docs)
        self.shares = (1 / totals[windows.docs]).astype("float32")[:, None]
        self.packs = self._pack(numpy.arange(len(windows)))

    def _pack(self, rows: numpy.ndarray) -> List[Pack]:
        """Embed some windows, in packs."""
        found = pack(self.windows.lengths[rows], self.wordpieces, self.call)
        return [Pack(self.stepper, self.windows, rows[members], self.shares) for members in found]

    def step(self) -> None:
        """Run the next layer on all that still climb."""
        for members in self.packs:
            self.stepper.step(members.state)

    def read(self, exit: int, units: numpy.ndarray) -> Tuple[Tensor, Tensor]:
        """Look at the units through one exit.

        exit (int): The exit, from 0.
        units (ndarray): The units still climbing, in order, (U,).
        RETURNS (Tuple[Tensor, Tensor]): Logits (U, K) and the logit of being wrong (U,) or (0,).
        """
        parts = [
            self.heads.pool(self.stepper.read(members.state), members.lengths, members.mask) * members.shares
            for members in self.packs
        ]
        rows = numpy.concatenate([members.units for members in self.packs])
        pooled = parts[0] if len(parts) == 1 else torch.cat(parts)
        if not numpy.array_equal(rows, units):
            sums = torch.zeros(self.units, pooled.shape[1], device=self.device)
            sums = sums.index_add(0, torch.from_numpy(rows).to(self.device), pooled)
            pooled = sums[torch.from_numpy(units).to(self.device)]
        return self.heads(exit, pooled)

    def keep(self, wanted: numpy.ndarray) -> None:
        """Drop the units that have left.

        wanted (ndarray): For each unit whether it climbs on, (U,) bool.
        """
        for members in self.packs:
            members.keep(wanted)
        self.packs = [members for members in self.packs if len(members)]
        if len(self.packs) > 1 or self.packs[0].mask is not None:
            self._repack()

    def _repack(self) -> None:
        """Join packs that have become small, and trim the padding that only those who left needed.

        Embedding again gives the masks of the new shape in any family's own form. It costs a fraction of a layer.
        """
        rows = numpy.concatenate([members.rows for members in self.packs])
        lengths = self.windows.lengths[rows]
        planned = pack(lengths, self.wordpieces, self.call)
        now = sum(len(members) * members.longest + self.call for members in self.packs)
        then = sum(len(members) * int(lengths[members].max()) + self.call for members in planned)
        if then < WORTHWHILE * now:
            packs = self._pack(rows)
            for members in packs:
                members.resume(self.packs)
            self.packs = packs


@torch.inference_mode()
def run_exits(
    stepper: LayerStepper,
    heads: ExitHeads,
    windows: Windows,
    answers: Answers,
    units: numpy.ndarray,
    *,
    exit_layers: Sequence[int],
    rule: Optional[ExitRule],
    counters: Any,
    reading: Reading,
    wordpieces: int,
) -> None:
    """Answer some units of a batch, each from the first exit at which the rule finds it settled.

    stepper (LayerStepper): The trunk.
    heads (ExitHeads): The classifiers.
    windows (Windows): The windows of the units.
    answers (Answers): Where to write the answers of the batch.
    units (ndarray): The places of these units in the batch.
    exit_layers (Sequence[int]): The layers with an exit, the last one among them.
    rule (Optional[ExitRule]): When to leave; None runs the full depth.
    counters (Any): The rule's counters for the whole batch.
    reading (Reading): How logits are to be read.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    """
    live = numpy.unique(windows.docs)
    if not len(live):
        return
    climb = Climb(stepper, heads, windows, wordpieces)
    previous: Optional[Evidence] = None
    for layer in range(1, stepper.depth + 1):
        climb.step()
        last = layer == stepper.depth
        if layer not in exit_layers or (rule is None and not last):
            continue
        logits, doubt = climb.read(exit_layers.index(layer), live)
        evidence = reading.evidence(
            logits.cpu().numpy(),
            layer=layer,
            units=units[live],
            previous=previous,
            doubt=torch.sigmoid(doubt).cpu().numpy() if len(doubt) else None,
        )
        codes = numpy.zeros(len(live), dtype=int) if rule is None else rule.step(evidence, counters)
        done = numpy.ones(len(live), dtype=bool) if last else codes > 0
        if done.any():
            reasons = [DEPTH if code == 0 else rule.reasons[code - 1] for code in codes[done]]  # type: ignore
            answers.write(evidence, numpy.flatnonzero(done), reasons)
            live = live[~done]
            if not len(live):
                break
            wanted = numpy.zeros(windows.n_docs, dtype=bool)
            wanted[live] = True
            climb.keep(wanted)
        previous = evidence.keep(~done) if done.any() else evidence
        previous.previous = None  # only neighbouring exits are compared


def all_exits(
    stepper: LayerStepper, heads: ExitHeads, windows: Windows, *, exit_layers: Sequence[int], wordpieces: int
) -> Tuple[Tensor, Tensor]:
    """Run the full depth and look through every exit, for training and for stored logits.

    stepper (LayerStepper): The trunk.
    heads (ExitHeads): The classifiers.
    windows (Windows): The windows of the units, every unit with at least one.
    exit_layers (Sequence[int]): The layers with an exit.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    RETURNS (Tuple[Tensor, Tensor]): Logits (E, U, K), and the logits of being wrong (E, U) or (E, 0).
    """
    climb = Climb(stepper, heads, windows, wordpieces)
    units = numpy.arange(windows.n_docs)
    found = []
    for layer in range(1, stepper.depth + 1):
        climb.step()
        if layer in exit_layers:
            found.append(climb.read(len(found), units))
    return torch.stack([logits for logits, _ in found]), torch.stack([doubt for _, doubt in found])
