"""The early-exit loop. Nothing else decides who leaves the batch."""

from functools import partial
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import numpy
import torch
from scipy.special import expit
from torch import Tensor

from ..exits.evidence import Evidence
from ..exits.reasons import DEPTH, JOINT
from ..exits.rules.base import ExitRule, complete, step
from ..heads.base import ExitHeads
from ..inputs.instances import Instances
from ..threads import cached_property
from ..trunk.base import Runner
from ..trunk.batch import ActiveBatches
from .before import FirstLook
from .joint import Joint, ended_groups
from .results import ExitOutputs, LinkLogits, Predictions

NO_UNITS = numpy.zeros(0, dtype="int64")


class TaskRun:
    """A task's way through the exits with a batch.

    live (ndarray): The units that climb, in order. Set for each climb.
    """

    def __init__(
        self,
        heads: ExitHeads,
        answers: Predictions,
        rule: Optional[ExitRule],
        began: float,
        *,
        device: torch.device,
        priority: int = 0,
        look: Optional[FirstLook] = None,
    ):
        """
        heads (ExitHeads): The classifiers.
        answers (Predictions): The answers of the batch, to be written.
        rule (Optional[ExitRule]): When to leave; None runs the full depth.
        began (float): When work on the batch began, by `time.perf_counter`.
        device (torch.device): Where the trunk is.
        priority (int): Of the tasks that ask about a window, those with the highest say when it leaves.
        look (Optional[FirstLook]): What was said before the first layer, and who has left there.
        """
        self.heads = heads
        self.answers = answers
        self.items = answers.items
        self.rule = None if rule is None else complete(rule)
        if look is not None:
            self.counters = look.counters
        else:
            self.counters = None if self.rule is None else self.rule.start(answers.items.n_units, began)
        self.look = look
        self.priority = priority
        self.device = device
        self.live = NO_UNITS
        self.previous: Optional[Evidence] = None
        if look is not None:
            self.write(look.evidence, look.done, look.codes, JOINT)

    @cached_property
    def inputs(self) -> Any:
        """RETURNS (Any): What the classifiers want at every exit; None if nothing is asked."""
        return self.heads.prepare(self.items, self.device) if len(self.items) else None

    def start_pass(self, climb: ActiveBatches) -> None:
        """Climb with some windows.

        climb (ActiveBatches): The windows, below the first layer.
        """
        rows = numpy.concatenate([members.rows for members in climb.packs])
        units = numpy.unique(self.items.window_units[rows])
        live = self.items.live
        self.live = units[live[numpy.minimum(numpy.searchsorted(live, units), len(live) - 1)] == units] if len(live) else live
        self.previous = None
        if self.look is not None:
            self.live = self.live[~self.look.done[self.live]]
            self.previous = self.look.evidence.keep(numpy.isin(self.look.evidence.units, self.live))

    def checks_layer(self, layer: int) -> bool:
        """RETURNS (bool): Whether the rule wants to look at an exit."""
        return self.rule is not None and self.rule.looks_at(layer)

    def windows(self) -> numpy.ndarray:
        """RETURNS (ndarray): Which windows of the batch are of units that climb, (W,) bool."""
        return self.items.windows_of(self.live)

    def evaluate_exit(self, climb: ActiveBatches, states: List[Tensor], exit: int, layer: int) -> Evidence:
        """Look at the units through one exit.

        climb (ActiveBatches): The windows.
        states (List[Tensor]): Their states.
        exit (int): The exit, from 0.
        layer (int): Its layer.
        RETURNS (Evidence): What a rule may look at.
        """
        items, live = self.items, self.live
        logits, doubt = self.heads.answer(exit, climb.packs, states, self.inputs, live)
        link = self.heads.link_scorer(exit, climb.packs, states, self.inputs)
        rows = items.of_units(live)
        evidence: Evidence = self.answers.reading.evidence(
            logits,
            asked=items,
            link=None if link is None else partial(_to_numpy, link),
            layer=layer,
            units=live,
            previous=self.previous,
            doubt=expit(doubt) if len(doubt) else None,
            items=None if items.one_each else rows,
            counts=None if items.one_each else items.counts[live],
        )
        if items.chances is not None:
            evidence.chances = items.chances[rows]
        return evidence

    def release(self, evidence: Evidence, done: numpy.ndarray, codes: numpy.ndarray, other: str) -> None:
        """Write down the units that leave.

        evidence (Evidence): What they leave with.
        done (ndarray): Which of those that climb leave, (U,) bool.
        codes (ndarray): The rule's reasons, from 1, (U,).
        other (str): The reason of those for which the rule has none.
        """
        self.write(evidence, done, codes, other)
        if done.any():
            self.live = self.live[~done]
            self.previous = evidence.keep(~done) if len(self.live) else None
        else:
            self.previous = evidence
        if self.previous is not None:
            self.previous.previous = None

    def write(self, evidence: Evidence, done: numpy.ndarray, codes: numpy.ndarray, other: str) -> None:
        """Write down the units that leave; the arguments are those of `release`."""
        leaving = codes[done].tolist()
        if leaving:
            reasons = [self.rule.reasons[code - 1] if code else other for code in leaving]  # type: ignore[union-attr]
            self.answers.write(evidence, done, reasons)


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

    A window climbs while any task needs it. A task that is settled keeps its answer. When the others must answer early is up to
    `apply_joint_exit`.

    stepper (Runner): The trunk.
    runs (Sequence[TaskRun]): The tasks, all on the same windows.
    rows (ndarray): The windows, in order: all windows of any unit that has one of them.
    exit_layers (Sequence[int]): The layers with an exit, the last one among them.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    joint (str): "all", a window climbs until all tasks are settled that decide, or "any", until one is.
    """
    climb = ActiveBatches(stepper, runs[0].items.windows, rows, wordpieces)
    for run in runs:
        run.start_pass(climb)
    together = [run for run in runs if len(run.live)]
    if not together:
        return
    forced = len(together) > 1 and (joint == "any" or len({run.priority for run in together}) > 1)
    groups = exit_groups([run.items for run in together]) if forced else None
    below = 0
    for exit, layer in enumerate(exit_layers):
        last = layer == stepper.depth
        if not (last or any(run.checks_layer(layer) for run in together)):
            for run in together:
                run.previous = None  # only neighbouring exits are compared
            continue
        climb.step(layer - below)
        below, states = layer, climb.states()
        seen = {}
        for number, run in enumerate(together):
            if run.checks_layer(layer) or last or forced:
                evidence = run.evaluate_exit(climb, states, exit, layer)
                codes = numpy.zeros(len(run.live), dtype=int) if run.rule is None else step(run.rule, evidence, run.counters)
                seen[number] = evidence, codes, (codes > 0) | last
            else:
                run.previous = None
        del states  # or they would be there beside those of the next layer, as they are for links
        if groups is not None and not last:
            apply_joint_exit(together, [done for _, _, done in seen.values()], groups, joint)
        for number, (evidence, codes, done) in seen.items():
            together[number].release(evidence, done, codes, DEPTH if last else JOINT)
        left = [run for run in together if len(run.live)]
        if not left:
            break
        if any(done.any() for _, _, done in seen.values()):
            climb.keep(numpy.logical_or.reduce([run.windows() for run in left]))
        together = left


def exit_groups(items: Sequence[Instances]) -> numpy.ndarray:
    """Which windows belong together: those of a Doc if any task has units of several windows, and otherwise each is alone.

    items (Sequence[Instances]): What each task asks, about the same windows.
    RETURNS (ndarray): The group of each window of the batch, (W,).
    """
    windows = items[0].windows
    whole = any((task_items.window_counts > 1).any() for task_items in items)
    return windows.docs if whole else numpy.arange(len(windows))


def apply_joint_exit(runs: Sequence[TaskRun], done: Sequence[numpy.ndarray], groups: numpy.ndarray, joint: Joint) -> None:
    """Add the units that must answer because those tasks are settled that decide: of the tasks that ask about a group, those
    with the highest priority; all of them, or any.

    runs (Sequence[TaskRun]): The tasks.
    done (Sequence[ndarray]): Which units of each leave, which is added to, (U,) bool.
    groups (ndarray): The group of each window of the batch, (W,).
    joint (str): "all" or "any".
    """
    size = int(groups.max()) + 1
    asks, climbs = numpy.zeros((2, len(runs), size), dtype=bool)
    live_groups = []
    for number, (run, leaves) in enumerate(zip(runs, done)):
        asked = numpy.flatnonzero(run.items.window_units >= 0)
        unit_groups = numpy.zeros(run.items.n_units, dtype="int64")
        unit_groups[run.items.window_units[asked]] = groups[asked]
        live_groups.append(unit_groups[run.live])
        asks[number, unit_groups[run.items.live]] = True
        climbs[number, live_groups[-1][~leaves]] = True
    ended = ended_groups(asks, climbs, [run.priority for run in runs], joint)
    for run_groups, leaves in zip(live_groups, done):
        leaves |= ended[run_groups]


def _to_numpy(link: Callable[..., Tensor], *pairs: numpy.ndarray) -> numpy.ndarray:
    return link(*pairs).float().cpu().numpy()


def all_exits(
    stepper: Runner, heads: Sequence[ExitHeads], asked: Sequence[Instances], *, exit_layers: Sequence[int], wordpieces: int
) -> List[ExitOutputs]:
    """Run the full depth and look through every exit, for training and for stored logits.

    stepper (Runner): The trunk.
    heads (Sequence[ExitHeads]): The classifiers of each task.
    asked (Sequence[Instances]): What each asks, about the same windows.
    exit_layers (Sequence[int]): The layers with an exit.
    wordpieces (int): The most wordpieces that run through a layer in one call.
    RETURNS (List[ExitOutputs]): What the exits say, for each task.
    """
    outputs = []
    for classifiers, items in zip(heads, asked):
        logits = torch.zeros(len(exit_layers), len(items), classifiers.n_labels, device=stepper.device)
        doubts = len(items) if classifiers.doubt is not None else 0
        outputs.append(ExitOutputs(logits, torch.zeros(len(exit_layers), doubts, device=stepper.device), items))
    wanted = numpy.logical_or.reduce([items.windows_of(items.live) for items in asked])
    if not wanted.any():
        return outputs
    climb = ActiveBatches(stepper, asked[0].windows, numpy.flatnonzero(wanted), wordpieces)
    tasks: List[Tuple[ExitHeads, Instances, Any, numpy.ndarray, ExitOutputs, List[Tuple[Tensor, Tensor]]]] = [
        (classifiers, items, classifiers.prepare(items, stepper.device), items.of_units(items.live), output, [])
        for classifiers, items, output in zip(heads, asked, outputs)
        if len(items.live)
    ]
    for exit, (below, layer) in enumerate(zip([0, *exit_layers], exit_layers)):
        climb.step(layer - below)
        states = climb.states()
        for classifiers, items, inputs, rows, output, looks in tasks:
            looks.append(classifiers(exit, climb.packs, states, inputs, items.live))
            link = classifiers.link_scorer(exit, climb.packs, states, inputs)
            if link is not None:
                latest = looks[-1][0].detach().float().cpu().numpy()
                parents, children = items.taught_pairs(latest, rows)  # type: ignore[attr-defined]  # of a task with links
                output.links.append(LinkLogits(parents, children, link(parents, children).float()))
    for classifiers, _, _, rows, output, looks in tasks:
        index = torch.from_numpy(rows).to(stepper.device)
        output.logits = output.logits.index_copy(1, index, torch.stack([logits.float() for logits, _ in looks]))
        if classifiers.doubt is not None:
            output.doubt = output.doubt.index_copy(1, index, torch.stack([doubt.float() for _, doubt in looks]))
    return outputs


CALLS_PER_PASS = 8
"""How many calls' worth of wordpieces climb together. More share exits better, fewer hold less memory."""


def plan_passes(asked: Sequence[Instances], most: int) -> Iterator[numpy.ndarray]:
    """Group windows, sorted by length, by the wordpieces that may climb together; an item counts as a wordpiece. Windows of one
    unit stay together.

    asked (Sequence[Instances]): What is asked, about the same windows.
    most (int): The most wordpieces.
    YIELDS (ndarray): Windows, in order.
    """
    windows = asked[0].windows
    if not len(windows):
        return
    wanted = numpy.logical_or.reduce([items.windows_of(items.live) for items in asked])
    rows = numpy.flatnonzero(wanted)
    if not len(rows):
        return
    if windows.lengths[rows].sum() + sum(map(len, asked)) <= most:
        yield rows
        return
    groups = exit_groups(asked)
    costs = numpy.zeros(int(groups.max(initial=-1)) + 1)
    for items in asked:
        places = numpy.zeros(items.n_units, dtype="int64")
        places[items.window_units[items.window_units >= 0]] = groups[items.window_units >= 0]
        costs += numpy.bincount(places[items.live], items.counts[items.live], minlength=len(costs))
    costs += numpy.bincount(groups, windows.lengths * wanted, minlength=len(costs))
    members = numpy.unique(groups[rows])
    batch, filled, number = numpy.zeros(len(costs), dtype="int64"), 0.0, 0
    for group in members[numpy.argsort(costs[members], kind="stable")].tolist():
        if filled and filled + costs[group] > most:
            number, filled = number + 1, 0.0
        batch[group] = number
        filled += costs[group]
    batches = batch[groups[rows]]
    order = numpy.argsort(batches, kind="stable")
    yield from numpy.split(rows[order], numpy.searchsorted(batches[order], numpy.arange(1, number + 1)))
