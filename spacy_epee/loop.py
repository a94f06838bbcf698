"""The early-exit loop. Nothing else decides who leaves the batch."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Literal, Optional, Sequence, Tuple

import numpy
import torch
from scipy.special import expit
from torch import Tensor

from .exits.evidence import Evidence, Reduction
from .exits.rules import ExitRule
from .exits.structure import Graph
from .heads.base import ExitHeads
from .items import Items, ranges
from .threads import cached_property
from .trunk.onnx_stepper import Runner
from .trunk.stepper import LayerState
from .windows import Windows, pack

DEPTH, JOINT = "depth", "joint"
"""The reasons of a unit that reached the last layer, and of one that left with those of another task."""

Joint = Literal["all", "any"]

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
    temperatures (Dict[int, float]): What the logits of the exit after a layer are divided by; 1 for those not named.
    """

    exclusive: bool = True
    threshold: float = 0.5
    reduce: Reduction = "mean"
    temperatures: Dict[int, float] = field(default_factory=dict)

    def evidence(self, logits: numpy.ndarray, *, layer: int, asked: Any = None, link: Any = None, **context: Any) -> Evidence:
        """Make evidence of the logits of an exit.

        logits (ndarray): The logits of some items, (N, K).
        layer (int): The layer of the exit. 0 for none: there is no temperature then.
        asked (Optional[Items]): What is asked about the batch, and
        link (Optional[Callable]): what looks at links, both of no use here (see tasks/events.py).
        context (Any): What else the evidence is made of.
        RETURNS (Evidence): What a rule may look at.
        """
        return Evidence(
            logits,
            layer=layer,
            exclusive=self.exclusive,
            threshold=self.threshold,
            temperature=self.temperatures.get(layer, 1.0),
            reduce=self.reduce,
            **context,
        )


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
    def places(self) -> Dict[Tuple[int, ...], int]:
        """RETURNS (Dict[Tuple[int, ...], int]): The row of each pair of nodes."""
        return {tuple(pair): place for place, pair in enumerate(numpy.hstack((self.heads, self.children)).tolist())}

    def __call__(self, heads: numpy.ndarray, children: numpy.ndarray) -> numpy.ndarray:
        """RETURNS (ndarray): The logits of some of the links, (P', outputs)."""
        return self.logits[[self.places[tuple(pair)] for pair in numpy.hstack((heads, children)).tolist()]]


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
    broken (ndarray): Which units left with logits that are NaN or infinite, (U,) bool.
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
    broken: numpy.ndarray
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
            broken=numpy.zeros(items.n_units, dtype=bool),
        )

    def write(self, evidence: Evidence, done: numpy.ndarray, reasons: Sequence[str]) -> None:
        """Write down the units that leave.

        evidence (Evidence): This exit's evidence.
        done (ndarray): Which of its units leave, (U,) bool.
        reasons (Sequence[str]): Why each of them does.
        """
        evidence.write_to(self, done)
        units = evidence.units[done]
        self.broken[units] = ~evidence.finite[done]
        self.layers[units] = evidence.layer
        self.entropy[units] = evidence.entropy[done]
        for unit, reason in zip(units, reasons):
            self.reasons[unit] = reason


class Pack:
    """Windows of about the same length on their way up together."""

    def __init__(self, stepper: Runner, windows: Windows, rows: numpy.ndarray, others: Sequence["Part"] = ()):
        """
        stepper (Runner): The trunk.
        windows (Windows): The windows of the batch.
        rows (ndarray): Which of them are in this pack.
        others (Sequence[Part]): Where they are in other packs on the same layer: it goes on from there. Without any it is below
            the first layer.
        """
        lengths = windows.lengths[rows]
        self.longest = int(lengths.max())
        padded = bool(lengths.min() < self.longest)
        device = stepper.device
        # Some families derive positions from the padding wordpiece.
        batch = windows.batch(rows, getattr(stepper.model.config, "pad_token_id", None) or 0)
        inputs = [torch.from_numpy(part).to(device) for part in batch]
        self.rows = rows
        self.lengths = torch.from_numpy(lengths).to(device)
        if others:
            self.state: LayerState = stepper.resume(self._states(others), others[0][0].state.layer, *inputs)
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

    def _states(self, others: Sequence["Part"]) -> Tensor:
        """Where other packs are, with zeros as padding, (W', T, H)."""
        source = others[0][0].state.hidden
        states = source.new_zeros((len(self.rows), self.longest, source.shape[2]))
        for other, here, there in others:
            width = min(self.longest, other.longest)  # what is cut off is padding
            index = torch.from_numpy(here).to(states.device)
            states[index, :width] = other.state.hidden[torch.from_numpy(there).to(states.device), :width]
        return states


Part = Tuple[Pack, numpy.ndarray, numpy.ndarray]
"""A pack, places in another one, and the places of the same windows in this."""


class Climb:
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
        self.packs = [Pack(stepper, windows, rows[members]) for members in self._plan(rows)]

    def _plan(self, rows: numpy.ndarray) -> List[numpy.ndarray]:
        """Which of some windows go into a pack together, as places in `rows`."""
        return pack(self.windows.lengths[rows], self.wordpieces, self.call)

    def step(self) -> None:
        """Run the next layer on all that still climb."""
        for members in self.packs:
            self.stepper.step(members.state)

    def states(self) -> List[Tensor]:
        """RETURNS (List[Tensor]): The states of each pack as heads should see them, (W', T, H)."""
        return [self.stepper.read(members.state) for members in self.packs]

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
        if (now - then) * left > REBUILD * now:
            self.packs = list(self._move(rows, planned))

    def _move(self, rows: numpy.ndarray, plan: List[numpy.ndarray]) -> Iterator[Pack]:
        """Windows in new packs, where they are. What has been moved is let go before the next is made."""
        others: Dict[int, Pack] = dict(enumerate(self.packs))
        self.packs = []
        sizes = numpy.array([len(other) for other in others.values()])
        owners, places = numpy.repeat(numpy.arange(len(sizes)), sizes), ranges(numpy.zeros_like(sizes), sizes)
        for members in plan:
            parts: List[Part] = []
            for number in numpy.unique(owners[members]).tolist():
                here = numpy.flatnonzero(owners[members] == number)
                parts.append((others[number], here, places[members[here]]))
                sizes[number] -= len(here)
                if not sizes[number]:
                    del others[number]
            yield Pack(self.stepper, self.windows, rows[members], parts)


class TaskRun:
    """A task's way through the exits with a batch.

    live (ndarray): The units that climb, in order. Set for each climb.
    """

    def __init__(
        self,
        heads: ExitHeads,
        answers: Answers,
        rule: Optional[ExitRule],
        began: float,
        *,
        device: torch.device,
        priority: int = 0,
    ):
        """
        heads (ExitHeads): The classifiers.
        answers (Answers): The answers of the batch, to be written.
        rule (Optional[ExitRule]): When to leave; None runs the full depth.
        began (float): When work on the batch began, by `time.perf_counter`.
        device (torch.device): Where the trunk is.
        priority (int): Of the tasks that ask about a window, those with the highest say when it leaves.
        """
        self.heads = heads
        self.answers = answers
        self.items = answers.items
        self.rule = rule
        self.counters = None if rule is None else rule.start(answers.items.n_units, began)
        self.priority = priority
        self.question = heads.prepare(answers.items, device) if len(answers.items) else None
        self.live = answers.items.live[:0]
        self.previous: Optional[Evidence] = None

    def enter(self, climb: Climb) -> None:
        """Climb with some windows.

        climb (Climb): The windows, below the first layer.
        """
        rows = numpy.concatenate([members.rows for members in climb.packs])
        units = numpy.unique(self.items.window_units[rows])
        live = self.items.live
        self.live = units[live[numpy.minimum(numpy.searchsorted(live, units), len(live) - 1)] == units] if len(live) else live
        self.previous = None

    def wants(self, layer: int) -> bool:
        """RETURNS (bool): Whether the rule wants to look at an exit."""
        return self.rule is not None and layer >= getattr(self.rule, "first_layer", 1)

    def windows(self) -> numpy.ndarray:
        """RETURNS (ndarray): Which windows of the batch are of units that climb, (W,) bool."""
        return self.items.windows_of(self.live)

    def look(self, climb: Climb, states: List[Tensor], exit: int, layer: int) -> Evidence:
        """Look at the units through one exit.

        climb (Climb): The windows.
        states (List[Tensor]): Their states.
        exit (int): The exit, from 0.
        layer (int): Its layer.
        RETURNS (Evidence): What a rule may look at.
        """
        items, live = self.items, self.live
        logits, doubt = self.heads.answer(exit, climb.packs, states, self.question, live)
        link = self.heads.linker(exit, climb.packs, states, self.question)
        return self.answers.reading.evidence(
            logits,
            asked=items,
            link=None if link is None else partial(_to_numpy, link),
            layer=layer,
            units=live,
            previous=self.previous,
            doubt=expit(doubt) if len(doubt) else None,
            items=None if items.one_each else items.of_units(live),
            counts=None if items.one_each else items.counts[live],
        )

    def leave(self, evidence: Evidence, done: numpy.ndarray, codes: numpy.ndarray, other: str) -> None:
        """Write down the units that leave.

        evidence (Evidence): What they leave with.
        done (ndarray): Which of those that climb leave, (U,) bool.
        codes (ndarray): The rule's reasons, from 1, (U,).
        other (str): The reason of those for which the rule has none.
        """
        if done.any():
            reasons = [self.rule.reasons[code - 1] if code else other for code in codes[done]]  # type: ignore[union-attr]
            self.answers.write(evidence, done, reasons)
            self.live = self.live[~done]
            self.previous = evidence.keep(~done) if len(self.live) else None
        else:
            self.previous = evidence
        if self.previous is not None:
            self.previous.previous = None  # only neighbouring exits are compared


@torch.inference_mode()
def run_exits(
    stepper: Runner,
    runs: Sequence[TaskRun],
    rows: numpy.ndarray,
    *,
    exit_layers: Sequence[int],
    wordpieces: int,
    joint: Joint = "all",
) -> None:
    """Answer all that is asked about some windows, each unit from the first exit at which its task's rule finds it settled.

    A window climbs while any task needs it. A task that is settled keeps its answer. See `_ended` for when the others must
    answer early.

    stepper (Runner): The trunk.
    runs (Sequence[TaskRun]): The tasks, all on the same windows.
    rows (ndarray): The windows, in order: all windows of any unit that has one of them.
    exit_layers (Sequence[int]): The layers with an exit, the last one among them.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    joint (str): "all", a window climbs until all tasks are settled that decide, or "any", until one is.
    """
    climb = Climb(stepper, runs[0].items.windows, rows, wordpieces)
    for run in runs:
        run.enter(climb)
    together = [run for run in runs if len(run.live)]
    if not together:
        return
    forced = len(together) > 1 and (joint == "any" or len({run.priority for run in together}) > 1)
    groups = groups_of([run.items for run in together]) if forced else None
    for layer in range(1, stepper.depth + 1):
        climb.step()
        last = layer == stepper.depth
        if layer not in exit_layers or not (last or any(run.wants(layer) for run in together)):
            continue
        exit, states = exit_layers.index(layer), climb.states()
        seen = {}
        for number, run in enumerate(together):
            if run.wants(layer) or last or forced:
                evidence = run.look(climb, states, exit, layer)
                codes = numpy.zeros(len(run.live), dtype=int) if run.rule is None else run.rule.step(evidence, run.counters)
                seen[number] = evidence, codes, (codes > 0) | last
        del states  # or they would be there beside those of the next layer, as they are for links
        if groups is not None and not last:
            _send_off(together, [done for _, _, done in seen.values()], groups, joint)
        for number, (evidence, codes, done) in seen.items():
            together[number].leave(evidence, done, codes, DEPTH if last else JOINT)
        left = [run for run in together if len(run.live)]
        if not left:
            break
        if any(done.any() for _, _, done in seen.values()):
            climb.keep(numpy.logical_or.reduce([run.windows() for run in left]))
        together = left


def groups_of(items: Sequence[Items]) -> numpy.ndarray:
    """Which windows belong together: those of a Doc if any task has units of several windows, and otherwise each is alone.

    items (Sequence[Items]): What each task asks, about the same windows.
    RETURNS (ndarray): The group of each window of the batch, (W,).
    """
    windows = items[0].windows
    whole = any((own.window_counts > 1).any() for own in items)
    return windows.docs if whole else numpy.arange(len(windows))


def _send_off(runs: Sequence[TaskRun], done: Sequence[numpy.ndarray], groups: numpy.ndarray, joint: Joint) -> None:
    """Add the units that must answer because those tasks are settled that decide: of the tasks that ask about a group, those
    with the highest priority; all of them, or any.

    runs (Sequence[TaskRun]): The tasks.
    done (Sequence[ndarray]): Which units of each leave, which is added to, (U,) bool.
    groups (ndarray): The group of each window of the batch, (W,).
    joint (str): "all" or "any".
    """
    size = int(groups.max()) + 1
    asks, climbs = numpy.zeros((2, len(runs), size), dtype=bool)
    own = []
    for number, (run, leaves) in enumerate(zip(runs, done)):
        asked = numpy.flatnonzero(run.items.window_units >= 0)
        unit_groups = numpy.zeros(run.items.n_units, dtype="int64")
        unit_groups[run.items.window_units[asked]] = groups[asked]
        own.append(unit_groups[run.live])
        asks[number, unit_groups[run.items.live]] = True
        climbs[number, own[-1][~leaves]] = True
    priorities = numpy.array([run.priority for run in runs])
    decides = asks & (priorities[:, None] == numpy.where(asks, priorities[:, None], priorities.min()).max(axis=0))
    settled = decides & ~climbs
    ended = settled.any(axis=0) if joint == "any" else (settled == decides).all(axis=0)
    for mine, leaves in zip(own, done):
        leaves |= ended[mine]


def _to_numpy(link: Callable[..., Tensor], *pairs: numpy.ndarray) -> numpy.ndarray:
    return link(*pairs).float().cpu().numpy()


@dataclass
class Said:
    """What all exits say about the items of a task.

    logits (Tensor): Logits, (E, N, K). Zeros for items of units without a window.
    doubt (Tensor): Logits of being wrong, (E, N) or (E, 0).
    links (List[Links]): If the task has links, those of each exit.
    """

    logits: Tensor
    doubt: Tensor
    links: List[Links]


def all_exits(
    stepper: Runner, heads: Sequence[ExitHeads], asked: Sequence[Items], *, exit_layers: Sequence[int], wordpieces: int
) -> List[Said]:
    """Run the full depth and look through every exit, for training and for stored logits.

    stepper (Runner): The trunk.
    heads (Sequence[ExitHeads]): The classifiers of each task.
    asked (Sequence[Items]): What each asks, about the same windows.
    exit_layers (Sequence[int]): The layers with an exit.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    RETURNS (List[Said]): What the exits say, for each task.
    """
    said = []
    for own, items in zip(heads, asked):
        logits = torch.zeros(len(exit_layers), len(items), own.n_labels, device=stepper.device)
        said.append(Said(logits, torch.zeros(len(exit_layers), len(items) * (own.doubt is not None), device=stepper.device), []))
    wanted = numpy.logical_or.reduce([items.windows_of(items.live) for items in asked])
    if not wanted.any():
        return said
    climb = Climb(stepper, asked[0].windows, numpy.flatnonzero(wanted), wordpieces)
    tasks = [
        (own, items, own.prepare(items, stepper.device), items.of_units(items.live), found, [])
        for own, items, found in zip(heads, asked, said)
        if len(items.live)
    ]
    for layer in range(1, stepper.depth + 1):
        climb.step()
        if layer not in exit_layers:
            continue
        exit, states = exit_layers.index(layer), climb.states()
        for own, items, question, rows, found, looks in tasks:
            looks.append(own(exit, climb.packs, states, question, items.live))
            link = own.linker(exit, climb.packs, states, question)
            if link is not None:
                pairs = items.taught_pairs(looks[-1][0].detach().float().cpu().numpy(), rows)  # type: ignore[attr-defined]
                found.links.append(Links(*pairs, link(*pairs).float()))
    for own, _, _, rows, found, looks in tasks:
        index = torch.from_numpy(rows).to(stepper.device)
        found.logits = found.logits.index_copy(1, index, torch.stack([logits.float() for logits, _ in looks]))
        if own.doubt is not None:
            found.doubt = found.doubt.index_copy(1, index, torch.stack([doubt.float() for _, doubt in looks]))
    return said
