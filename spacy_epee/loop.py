"""The early-exit loop. Nothing else decides who leaves the batch."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy
import torch
from torch import Tensor

from .exits.evidence import Evidence, Reduction
from .exits.rules import ExitRule
from .exits.structure import Graph, StructureEvidence
from .heads.base import ExitHeads
from .items import Items
from .trunk.stepper import LayerState, LayerStepper
from .windows import Windows, pack

DEPTH = "depth"
"""The reason of a unit that reached the last layer."""

CALL, CALL_GPU = 32, 4096
"""What a call of a layer costs beside its wordpieces, in wordpieces (measured on 12 x 384 on a CPU: 20 to 40)."""

REBUILD = 0.2
"""What making packs anew costs, in layers."""


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

    def evidence(self, logits: numpy.ndarray, *, asked: Any = None, link: Any = None, **context: Any) -> Evidence:
        """Make evidence of the logits of an exit.

        logits (ndarray): The logits of some items, (N, K).
        asked (Optional[Items]): What is asked about the batch, and
        link (Optional[Callable]): what looks at links, both of no use here (see tasks/events.py).
        context (Any): What else the evidence is made of.
        RETURNS (Evidence): What a rule may look at.
        """
        return Evidence(logits, exclusive=self.exclusive, threshold=self.threshold, reduce=self.reduce, **context)


@dataclass
class Links:
    """What an exit says about the links of some spans.

    heads (ndarray): The nodes of the heads, (P, 4).
    children (ndarray): The nodes of the children, (P, 4).
    logits (Tensor or ndarray): The logits, (P, outputs).
    """

    heads: numpy.ndarray
    children: numpy.ndarray
    logits: Any

    @cached_property
    def _places(self) -> Dict[Tuple[int, ...], int]:
        return {tuple(pair): place for place, pair in enumerate(numpy.hstack((self.heads, self.children)).tolist())}

    def __call__(self, heads: numpy.ndarray, children: numpy.ndarray) -> numpy.ndarray:
        """RETURNS (ndarray): The logits of some of the links, (P', outputs)."""
        return self.logits[[self._places[tuple(pair)] for pair in numpy.hstack((heads, children)).tolist()]]


@dataclass
class Answers:
    """What the units of a batch left with.

    items (Items): What was asked.
    logits (ndarray): The logits of the exit that each took, (N, K) float32. Zeros for an item without a window.
    probabilities (ndarray): The same as probabilities, (N, K). Zeros for an item without a window.
    layers (ndarray): The layer of that exit, (U,) from 1 to `depth`. 0 for a unit that did not climb.
    entropy (ndarray): The normalised entropy there, (U,).
    reasons (List[str]): Why each left: a reason of the rule, or "depth".
    depth (int): The number of layers.
    reading (Reading): How the logits are to be read.
    graphs (Optional[List[Optional[Graph]]]): What each unit says where that is a structure, and logits and probabilities are
        zeros. None for units that did not climb.
    """

    items: Items
    logits: numpy.ndarray
    probabilities: numpy.ndarray
    layers: numpy.ndarray
    entropy: numpy.ndarray
    reasons: List[str]
    depth: int
    reading: Reading
    graphs: Optional[List[Optional[Graph]]] = None

    @classmethod
    def empty(cls, items: Items, labels: int, depth: int, reading: Reading) -> "Answers":
        """RETURNS (Answers): Answers of units that have not climbed."""
        return cls(
            items=items,
            logits=numpy.zeros((len(items), labels), dtype="float32"),
            probabilities=numpy.zeros((len(items), labels), dtype="float32"),
            layers=numpy.zeros(items.n_units, dtype="int64"),
            entropy=numpy.zeros(items.n_units, dtype="float64"),
            reasons=[""] * items.n_units,
            depth=depth,
            reading=reading,
        )

    def write(self, evidence: Evidence, done: numpy.ndarray, reasons: Sequence[str]) -> None:
        """Write down the units that leave.

        evidence (Evidence): This exit's evidence.
        done (ndarray): Which of its units leave, (U,) bool.
        reasons (Sequence[str]): Why each of them does.
        """
        units = evidence.units[done]
        if isinstance(evidence, StructureEvidence):
            self.graphs = self.graphs or [None] * self.items.n_units
            for place in numpy.flatnonzero(done):
                self.graphs[evidence.units[place]] = evidence.graph(place)
        else:
            rows = evidence.rows(done)
            items = evidence.items[rows]
            self.logits[items] = evidence.logits[rows]
            self.probabilities[items] = evidence.probabilities[rows]
        self.layers[units] = evidence.layer
        self.entropy[units] = evidence.entropy[done]
        for unit, reason in zip(units, reasons):
            self.reasons[unit] = reason


class Pack:
    """Windows of about the same length on their way up together."""

    def __init__(self, stepper: LayerStepper, windows: Windows, rows: numpy.ndarray):
        """
        stepper (LayerStepper): The trunk.
        windows (Windows): The windows of the batch.
        rows (ndarray): Which of them are in this pack.
        """
        lengths = windows.lengths[rows]
        self.longest = int(lengths.max())
        padded = bool(lengths.min() < self.longest)
        device = stepper.device
        # Some families derive positions from the padding wordpiece.
        inputs = windows.batch(rows, getattr(stepper.model.config, "pad_token_id", None) or 0)
        self.rows = rows
        self.lengths = torch.from_numpy(lengths).to(device)
        self.state: LayerState = stepper.embed(*(torch.from_numpy(part).to(device) for part in inputs))
        given = torch.arange(self.longest, device=device) < self.lengths[:, None]
        self.mask = given[:, None].to(self.state.hidden.dtype) if padded else None
        self.notes: Dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def note(self, name: str, make: Callable[["Pack"], Any]) -> Any:
        """Keep what follows from the windows that are in the pack for as long as it stays the same.

        name (str): What it is.
        make (Callable[[Pack], Any]): Makes it.
        RETURNS (Any): It.
        """
        if name not in self.notes:
            self.notes[name] = make(self)
        return self.notes[name]

    def keep(self, wanted: numpy.ndarray) -> None:
        """Drop the windows of units that have left.

        wanted (ndarray): For each window of the batch whether it climbs on, (W,) bool.
        """
        kept = wanted[self.rows]
        if kept.all():
            return
        kept = numpy.flatnonzero(kept)
        self.rows = self.rows[kept]
        self.notes = {}
        if len(kept):
            index = torch.from_numpy(kept).to(self.lengths.device)
            self.lengths = self.lengths[index]
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
    """Some units of a batch climbing the trunk together."""

    def __init__(self, stepper: LayerStepper, heads: ExitHeads, items: Items, units: numpy.ndarray, wordpieces: int):
        """
        stepper (LayerStepper): The trunk.
        heads (ExitHeads): The classifiers.
        items (Items): What is asked about the batch.
        units (ndarray): The units that climb, in order.
        wordpieces (int): The most wordpieces that run through a layer in one call.
        """
        self.stepper = stepper
        self.heads = heads
        self.items = items
        self.wordpieces = wordpieces
        self.call = CALL if stepper.device.type == "cpu" else CALL_GPU
        self.question = heads.prepare(items, stepper.device)
        rows = numpy.flatnonzero(self._windows_of(units))
        self.packs = self._embed(rows, self._plan(rows))
        for members in self.packs:
            heads.mark(members, self.question)

    def _windows_of(self, units: numpy.ndarray) -> numpy.ndarray:
        """Which of the windows are of some units, (W,) bool."""
        wanted = numpy.zeros(self.items.n_units + 1, dtype=bool)  # the last one is that of windows without a unit, -1
        wanted[units] = True
        return wanted[self.items.window_units]

    def _plan(self, rows: numpy.ndarray) -> List[numpy.ndarray]:
        """Which of some windows go into a pack together, as places in `rows`."""
        return pack(self.items.windows.lengths[rows], self.wordpieces, self.call)

    def _embed(self, rows: numpy.ndarray, plan: List[numpy.ndarray]) -> List[Pack]:
        """Embed some windows, in packs."""
        return [Pack(self.stepper, self.items.windows, rows[members]) for members in plan]

    def step(self) -> None:
        """Run the next layer on all that still climb."""
        for members in self.packs:
            self.stepper.step(members.state)

    def read(self, exit: int, units: numpy.ndarray) -> Tuple[Tensor, Tensor]:
        """Look at the units through one exit.

        exit (int): The exit, from 0.
        units (ndarray): The units still climbing, in order, (U,).
        RETURNS (Tuple[Tensor, Tensor]): The logits of their items (N, K) and the logits of being wrong (N,) or (0,).
        """
        states = [self.stepper.read(members.state) for members in self.packs]
        return self.heads(exit, self.packs, states, self.question, units)

    def linker(self, exit: int) -> Optional[Callable[[numpy.ndarray, numpy.ndarray], Tensor]]:
        """RETURNS (Optional[Callable]): Looks at links through an exit, while the units are on its layer. None if there are
        none."""
        states = [self.stepper.read(members.state) for members in self.packs]
        return self.heads.linker(exit, self.packs, states, self.question)

    def keep(self, units: numpy.ndarray) -> None:
        """Drop the units that have left.

        units (ndarray): Those that climb on, in order; at least one.
        """
        wanted = self._windows_of(units)
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
        lengths = self.items.windows.lengths[rows]
        planned = self._plan(rows)
        now = sum(len(members) * members.longest + self.call for members in self.packs)
        then = sum(len(members) * int(lengths[members].max()) + self.call for members in planned)
        left = self.stepper.depth - self.packs[0].state.layer
        if (now - then) * left > REBUILD * now:
            packs = self._embed(rows, planned)
            for members in packs:
                members.resume(self.packs)
            self.packs = packs


@torch.inference_mode()
def run_exits(
    stepper: LayerStepper,
    heads: ExitHeads,
    answers: Answers,
    units: numpy.ndarray,
    *,
    exit_layers: Sequence[int],
    rule: Optional[ExitRule],
    counters: Any,
    wordpieces: int,
) -> None:
    """Answer some units of a batch, each from the first exit at which the rule finds it settled.

    stepper (LayerStepper): The trunk.
    heads (ExitHeads): The classifiers.
    answers (Answers): The answers of the batch, to be written.
    units (ndarray): The units to answer, in order.
    exit_layers (Sequence[int]): The layers with an exit, the last one among them.
    rule (Optional[ExitRule]): When to leave; None runs the full depth.
    counters (Any): The rule's counters for the whole batch.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    """
    items = answers.items
    climb = Climb(stepper, heads, items, units, wordpieces)
    live = units
    previous: Optional[Evidence] = None
    for layer in range(1, stepper.depth + 1):
        climb.step()
        last = layer == stepper.depth
        if layer not in exit_layers or (rule is None and not last):
            continue
        logits, doubt = climb.read(exit_layers.index(layer), live)
        link = climb.linker(exit_layers.index(layer))
        evidence = answers.reading.evidence(
            logits.cpu().numpy(),
            asked=items,
            link=None if link is None else partial(_to_numpy, link),
            layer=layer,
            units=live,
            previous=previous,
            doubt=torch.sigmoid(doubt).cpu().numpy() if len(doubt) else None,
            items=None if items.one_each else items.of_units(live),
            counts=None if items.one_each else items.counts[live],
        )
        codes = numpy.zeros(len(live), dtype=int) if rule is None else rule.step(evidence, counters)
        done = numpy.ones(len(live), dtype=bool) if last else codes > 0
        if done.any():
            reasons = [DEPTH if code == 0 else rule.reasons[code - 1] for code in codes[done]]  # type: ignore
            answers.write(evidence, done, reasons)
            live = live[~done]
            if not len(live):
                break
            climb.keep(live)
        previous = evidence.keep(~done) if done.any() else evidence
        previous.previous = None  # only neighbouring exits are compared


def _to_numpy(link: Callable[..., Tensor], *pairs: numpy.ndarray) -> numpy.ndarray:
    return link(*pairs).float().cpu().numpy()


def all_exits(
    stepper: LayerStepper, heads: ExitHeads, items: Items, *, exit_layers: Sequence[int], wordpieces: int
) -> Tuple[Tensor, Tensor, List[Links]]:
    """Run the full depth and look through every exit, for training and for stored logits.

    stepper (LayerStepper): The trunk.
    heads (ExitHeads): The classifiers.
    items (Items): What is asked, at least one item. Those of units without a window get zeros.
    exit_layers (Sequence[int]): The layers with an exit.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    RETURNS (Tuple[Tensor, Tensor, List[Links]]): Logits (E, N, K), the logits of being wrong (E, N) or (E, 0), and, if the task
        has links, those of each exit.
    """
    logits = torch.zeros(len(exit_layers), len(items), heads.n_labels, device=stepper.device)
    doubt = torch.zeros(len(exit_layers), len(items) if heads.doubt is not None else 0, device=stepper.device)
    links: List[Links] = []
    if not len(items.live):
        return logits, doubt, links
    climb = Climb(stepper, heads, items, items.live, wordpieces)
    rows = items.of_units(items.live)
    found = []
    for layer in range(1, stepper.depth + 1):
        climb.step()
        if layer not in exit_layers:
            continue
        link = climb.linker(len(found))
        found.append(climb.read(len(found), items.live))
        if link is not None:
            pairs = items.taught_pairs(found[-1][0].detach().float().cpu().numpy(), rows)  # type: ignore[attr-defined]
            links.append(Links(*pairs, link(*pairs).float()))
    asked = torch.from_numpy(rows).to(stepper.device)
    logits = logits.index_copy(1, asked, torch.stack([part.float() for part, _ in found]))
    if heads.doubt is not None:
        doubt = doubt.index_copy(1, asked, torch.stack([part.float() for _, part in found]))
    return logits, doubt, links
