"""What rules would do, from the logits of all exits, without running the model."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable, Dict, List, Optional, Protocol, Sequence, Union

import numpy

from ..exits.divergence import Divergence
from ..exits.evidence import Evidence, EvidenceMaker
from ..exits.features import Features
from ..exits.rules.base import ExitRule, complete, step
from ..inputs.instances import Instances
from ..inputs.ranges import firsts, ranges
from ..threads import cached_property
from .before import first_doubt
from .gate import has_gate
from .results import Graph, LinkLogits


class Replay:
    """The evidence of all units at all exits, worked out once, for any number of rules.

    owners (ndarray): The unit of each item, (N,).
    left (ndarray): The units that leave before the first layer by rules with a gate, (U,) bool.
    judge (Optional[Judge]): Tells by annotation where an exit is worse than the last one; None if nothing does.
    kept (Dict[str, Any]): What tasks have worked out about it.
    """

    def __init__(
        self,
        logits: numpy.ndarray,
        *,
        exit_layers: Sequence[int],
        reading: EvidenceMaker,
        doubt: Optional[numpy.ndarray] = None,
        counts: Optional[numpy.ndarray] = None,
        asked: Optional[Instances] = None,
        units: Optional[numpy.ndarray] = None,
        links: Optional[Sequence[LinkLogits]] = None,
        blind: Optional[numpy.ndarray] = None,
        settled: Optional[numpy.ndarray] = None,
        nothing: Optional[numpy.ndarray] = None,
        chances: Optional[numpy.ndarray] = None,
        judge: Optional["Judge"] = None,
    ):
        """
        logits (ndarray): The logits of all exits, (E, N, K).
        exit_layers (Sequence[int]): The layer of each exit.
        reading (EvidenceMaker): How the logits are to be read.
        doubt (Optional[ndarray]): The learned estimates of being wrong, in [0, 1], (E, N).
        counts (Optional[ndarray]): How many items each unit has, at least one, (U,). None if each has one.
        asked (Optional[Instances]): What was asked, where the answer is a structure.
        units (Optional[ndarray]): Which of its units these are, in order, (U,); None for all.
        links (Optional[Sequence[LinkLogits]]): The stored links of each exit, E of them.
        blind (Optional[ndarray]): Of which units nothing is known before the first layer, (U,) bool.
        settled (Optional[ndarray]): The items in which there is nothing to find, where rules with a gate do not look, (N,) bool.
        nothing (Optional[ndarray]): The logits that they get then, (K,).
        chances (Optional[ndarray]): How likely there is anything to find in each item, by words alone, (N,). None without a gate.
        judge (Optional[Judge]): See above.
        """
        if len(logits) != len(exit_layers):
            raise ValueError(
                f"There are logits of {len(logits)} exits and {len(exit_layers)} layers; give those of `TaskSlot.exit_layers`."
            )
        self.judge = judge
        self.kept: Dict[str, Any] = {}
        self.logits = logits
        self.layers = numpy.array(exit_layers)
        self.counts = counts
        self.n_units = logits.shape[1] if counts is None else len(counts)
        places = numpy.arange(self.n_units) if units is None else units
        rows = numpy.arange(logits.shape[1]) if asked is None else asked.of_units(places)

        def read(seen: Any, seen_counts: Optional[numpy.ndarray]) -> List[Evidence]:
            """The evidence of all exits, of some of the items."""
            found: List[Evidence] = []
            for exit, layer in enumerate(exit_layers):
                found.append(
                    reading.evidence(
                        logits[exit][seen],
                        asked=asked,
                        link=None if not links else links[exit],
                        layer=layer,
                        units=places,
                        previous=found[-1] if exit else None,
                        doubt=None if doubt is None else doubt[exit][seen],
                        items=None if counts is None else rows[seen],
                        counts=seen_counts,
                        **({} if layer or blind is None else {"blind": blind}),
                    )
                )
                found[-1].chances = None if chances is None else chances[seen]
                if not layer and doubt is not None:  # it is made of confidence, which temperatures change
                    found[-1].item_doubt = first_doubt(found[-1])
            return found

        every = slice(None)
        self.evidence: List[Evidence] = read(every, counts)
        self.settled = numpy.zeros(logits.shape[1], dtype=bool) if settled is None else settled
        units_of = numpy.arange(self.n_units)
        self.owners = units_of if counts is None else numpy.repeat(units_of, counts)
        self.left: numpy.ndarray = numpy.bincount(self.owners, ~self.settled, minlength=self.n_units) == 0
        self.nothing: Optional[Evidence] = None
        seen = ~self.settled | self.left[self.owners]  # what leaves is not looked at, and has a place all the same
        if self.settled.any():
            self.nothing = reading.evidence(
                numpy.broadcast_to(nothing, logits.shape[1:]),  # type: ignore[arg-type]  # given with `settled`
                asked=asked,
                layer=0,
                units=places,
                items=None if counts is None else rows,
                counts=counts,
            )
        looked = self.evidence if seen.all() else read(seen, numpy.bincount(self.owners[seen], minlength=self.n_units))
        self.views = [CachedEvidence(evidence) for evidence in looked]

    @cached_property
    def mixed(self) -> numpy.ndarray:
        """RETURNS (ndarray): The units that climb, and of which some items do not, (U,) bool."""
        return (numpy.bincount(self.owners, self.settled, minlength=self.n_units) > 0) & ~self.left

    @cached_property
    def answers(self) -> List[Evidence]:
        """RETURNS (List[Evidence]): What all exits say. Behind the last one, so that it is at -1, that there is nothing, if any
        unit or item may leave with that."""
        return self.evidence if self.nothing is None else [*self.evidence, self.nothing]

    def all_at(self, exit: int) -> numpy.ndarray:
        """RETURNS (ndarray): The exits taken if all that climb leave at one, (U,)."""
        return numpy.where(self.left, -1, exit)

    def layers_of(self, exits: numpy.ndarray) -> numpy.ndarray:
        """RETURNS (ndarray): The layer of exits, 0 for -1."""
        return numpy.where(exits < 0, 0, self.layers[exits])

    @cached_property
    def differs(self) -> numpy.ndarray:
        """RETURNS (ndarray): Where a unit's answer (the label, label set, or events, of any item) is not that of the last exit,
        (E, U) bool; a row more with that of nothing, see `answers`."""
        last = self.evidence[-1]
        differs = numpy.zeros((len(self.answers), self.n_units), dtype=bool)
        for exit, evidence in enumerate(self.answers):
            differs[exit] = evidence is not last and ~evidence.same_answer(last)
        return differs

    @cached_property
    def looked_differs(self) -> numpy.ndarray:
        """RETURNS (ndarray): The same of the items that rules with a gate look at: the others have one answer at all exits,
        (E, U) bool."""
        if self.views[-1].evidence is self.evidence[-1]:
            return self.differs[: len(self.layers)]
        *exits, last = [view.evidence for view in self.views]
        return numpy.array([*(~exit.same_answer(last) for exit in exits), numpy.zeros(self.n_units, dtype=bool)])

    def worse(self, units: numpy.ndarray) -> numpy.ndarray:
        """Tell where units should not leave: where their answers are worse than those of the last exit or, if nobody can tell,
        others.

        units (ndarray): The units that count, (U,) bool. What is said of them does not depend on the others.
        RETURNS (ndarray): Where, (E, U) bool.
        """
        return self.looked_differs if self.judge is None else self.judge(self, units)

    @cached_property
    def probabilities(self) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities of the items at all exits, see `answers`, (E, N, K) float32."""
        return numpy.stack([evidence.probabilities for evidence in self.answers]).astype("float32")

    @cached_property
    def decisions(self) -> numpy.ndarray:
        """RETURNS (ndarray): The labels given at all exits, see `answers`, (E, N, K) bool."""
        return numpy.stack([evidence.decision for evidence in self.answers])

    @cached_property
    def entropies(self) -> numpy.ndarray:
        """RETURNS (ndarray): The normalised entropy of the units at all exits, (E, U)."""
        return numpy.stack([evidence.entropy for evidence in self.evidence])

    @cached_property
    def looked_entropies(self) -> numpy.ndarray:
        """RETURNS (ndarray): The same of the items that rules with a gate look at, (E, U)."""
        return numpy.stack([view.evidence.entropy for view in self.views])

    def run(self, rule: Optional[ExitRule]) -> "ReplayResult":
        """Run a rule.

        rule (Optional[ExitRule]): The rule; None takes the full depth.
        RETURNS (ReplayResult): The exits taken.
        """
        taken = numpy.full(self.n_units, len(self.views) - 1)
        codes = numpy.zeros(self.n_units, dtype=int)
        gated = has_gate(rule) and self.nothing is not None
        taken[self.left & gated] = -1
        live = numpy.flatnonzero(taken >= 0)
        completed = None if rule is None else complete(rule)
        counters = None if completed is None else completed.start(self.n_units, 0.0)
        for exit, stored in enumerate(self.views):
            if completed is None or not len(live):
                break
            reasons = step(completed, stored.of(live), counters)
            done = reasons > 0
            taken[live[done]] = exit
            codes[live[done]] = reasons[done]
            live = live[~done]
        return ReplayResult(self, taken, codes, gated)


@dataclass
class ReplayResult:
    """The exits that a rule takes.

    replay (Replay): Where it ran.
    exits (ndarray): The index of the exit of each unit, from 0; -1 for those that leave before the first layer as there is
        nothing to find, (U,).
    codes (ndarray): The number of the reason, from 1; 0 for the full depth, (U,).
    gated (bool): Whether items that are settled are answered so.
    """

    replay: Replay
    exits: numpy.ndarray
    codes: numpy.ndarray
    gated: bool = False

    @property
    def layers(self) -> numpy.ndarray:
        """RETURNS (ndarray): The layer of each unit's exit, (U,)."""
        return self.replay.layers_of(self.exits)

    @property
    def differs(self) -> numpy.ndarray:
        """RETURNS (ndarray): Whose answer is not that of the last exit, (U,) bool."""
        differs = self.replay.differs[self.exits, numpy.arange(len(self.exits))]
        if self.gated and self.replay.mixed.any():
            same = (self.decision == self.replay.evidence[-1].decision).all(axis=1)
            mixed = numpy.bincount(self.replay.owners, ~same, minlength=len(differs)) > 0
            differs = numpy.where(self.replay.mixed, mixed, differs)
        return differs

    @property
    def logits(self) -> numpy.ndarray:
        """RETURNS (ndarray): The logits of the items there, (N, K)."""
        replay = self.replay
        return self._there(replay.logits if replay.nothing is None else [*replay.logits, replay.nothing.logits])

    @property
    def probabilities(self) -> numpy.ndarray:
        """RETURNS (ndarray): Their probabilities as they are written, (N, K) float32."""
        return self._there(self.replay.probabilities)

    @property
    def decision(self) -> numpy.ndarray:
        """RETURNS (ndarray): The labels given there, (N, K) bool."""
        return self._there(self.replay.decisions)

    @property
    def entropy(self) -> numpy.ndarray:
        """RETURNS (ndarray): The normalised entropy of each unit there, (U,)."""
        replay = self.replay
        entropies = replay.looked_entropies if self.gated else replay.entropies
        return numpy.where(self.exits < 0, 0.0, entropies[self.exits, numpy.arange(len(self.exits))])

    def _there(self, values: Any) -> numpy.ndarray:
        """Of values at all exits those at the exits taken."""
        chosen = self.exits[self.replay.owners]
        if self.gated:
            chosen[self.replay.settled] = -1
        return numpy.asarray(values)[chosen, numpy.arange(len(chosen))]

    @property
    def graphs(self) -> List[Graph]:
        """RETURNS (List[Graph]): Where the answer is a structure, what each unit says there, U of them."""
        return [self.replay.answers[exit].graph(unit) for unit, exit in enumerate(self.exits)]


def simulate(logits: numpy.ndarray, rule: Optional[ExitRule], **settings: Any) -> ReplayResult:
    """Run one exit rule over stored logits.

    logits (ndarray): The logits of all exits, (E, N, K).
    rule (Optional[ExitRule]): The rule; None takes the full depth.
    settings (Any): More of `Replay`.
    RETURNS (ReplayResult): The exits taken.
    """
    return Replay(logits, **settings).run(rule)


class CachedEvidence:
    """Evidence whose divergences are kept too."""

    def __init__(self, evidence: Evidence):
        self.evidence = evidence
        self.divergence = lru_cache(maxsize=None)(evidence.divergence)

    @cached_property
    def starts(self) -> Optional[numpy.ndarray]:
        """RETURNS (Optional[ndarray]): The first item of each unit; None if they are the units."""
        counts = self.evidence.counts
        return None if counts is None else firsts(counts)

    def of(self, units: numpy.ndarray) -> Evidence:
        """RETURNS (Evidence): That of some of the units, in order, as a rule looks at it."""
        return _View(self, units)  # type: ignore[return-value]


class _View:
    """The stored evidence of the units still climbing, for a rule to look at."""

    def __init__(self, stored: CachedEvidence, units: numpy.ndarray):
        self.stored = stored
        self.units = units
        self.layer = stored.evidence.layer
        self.previous = stored.evidence.previous  # to know its layer
        self.exclusive = stored.evidence.exclusive
        self.threshold = stored.evidence.threshold
        self.counts = None if stored.evidence.counts is None else stored.evidence.counts[units]
        self.blind = None if stored.evidence.blind is None else stored.evidence.blind[units]

    def __len__(self) -> int:
        return len(self.units)

    @cached_property
    def items(self) -> numpy.ndarray:
        if self.counts is None:
            return self.units
        return ranges(self.stored.starts[self.units], self.counts)  # type: ignore[index]

    @property
    def entropy(self) -> numpy.ndarray:
        return self.stored.evidence.entropy[self.units]

    @property
    def confidence(self) -> numpy.ndarray:
        return self.stored.evidence.confidence[self.units]

    @property
    def margin(self) -> numpy.ndarray:
        return self.stored.evidence.margin[self.units]

    @property
    def energy(self) -> numpy.ndarray:
        return self.stored.evidence.energy[self.units]

    @property
    def agrees(self) -> numpy.ndarray:
        return self.stored.evidence.agrees[self.units]

    @property
    def doubt(self) -> Optional[numpy.ndarray]:
        doubt = self.stored.evidence.doubt
        return None if doubt is None else doubt[self.units]

    @property
    def features(self) -> Optional[Features]:
        features = self.stored.evidence.features
        return None if features is None else features.of(self.units)

    @property
    def logits(self) -> numpy.ndarray:
        return self.stored.evidence.logits[self.items]

    @property
    def probabilities(self) -> numpy.ndarray:
        return self.stored.evidence.probabilities[self.items]

    @property
    def decision(self) -> numpy.ndarray:
        return self.stored.evidence.decision[self.items]

    def divergence(self, kind: Divergence) -> numpy.ndarray:
        return self.stored.divergence(kind)[self.units]

    def entropy_below(self, threshold: Union[float, numpy.ndarray]) -> numpy.ndarray:
        return self.entropy < threshold

    def remember(self) -> None:
        """All is there."""

    def least(self, values: numpy.ndarray) -> numpy.ndarray:
        if self.counts is None:
            return values
        return numpy.minimum.reduceat(values, firsts(self.counts))


Judge = Callable[[Replay, numpy.ndarray], numpy.ndarray]
"""See `Replay.worse`."""


class Score(Protocol):
    """A figure of the answers that a rule gives."""

    def __call__(self, simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        """RETURNS (float): The figure, on all documents or some of them, (D,) bool."""
