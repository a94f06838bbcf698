"""A choice that holds on documents that it was not made on.

The fastest of a thousand settings that lose nothing on some hundred documents is partly luck. Three things are done against it:
exits above the first one that is as good as any are left out, few kinds of rules take part, and how many answers a setting may
change is decided on documents that settings were not made on (cross-fitting, in folds)."""

from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Tuple

import numpy

from ..engine.replay import Replay, ReplayResult, Score
from ..evaluation.spread import spread
from ..exits.label_thresholds import f_scores
from ..exits.rules.base import ExitRule
from ..exits.rules.composite import AnyOf
from ..exits.rules.depth import FixedDepth
from .grids import is_simple, rule_grids
from .search import calmest

LIMITS = (0.0, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.2)
"""Shares of documents whose answers may change among those that a setting is made on."""

NOISE, TOLERANCE = 0.0025, 0.004
"""By how much more than is allowed the score may fall in the folds, and if all answers that change were right before. Without the
first, settings that lose nothing would be refused half of the time."""

Setting = Tuple[str, Optional[ExitRule], numpy.ndarray]
"""What a rule is called, the rule, None for the full depth, and the exits that units take by it, (U,)."""

NORMAL, UNSURE = 1.96, 0.01
"""Standard errors in half a 95 % interval, and how large one may be of what is lost by an exit in place of the last one."""

FOLDS = 5
"""In how many parts documents are put."""


@dataclass
class CarefulChoice:
    """A setting, and what it does to documents that its thresholds were not made on.

    rule (Optional[ExitRule]): The setting; None for the full depth.
    name (str): What it is called.
    deepest (int): The layer of the first exit that is as good as any, above which none is used.
    limit (float): The share of documents whose answers may change, among those that it was made on; -1 if none may.
    drop (float): By how much the score falls in the folds against the full depth.
    changed (float): The share of documents whose answer there is not that of the deepest exit.
    worst (float): By how much the score would fall if all of those were right at the deepest exit.
    """

    rule: Optional[ExitRule]
    name: str
    deepest: int
    limit: float
    drop: float
    changed: float
    worst: float


class CarefulChooser:
    """The search for a rule by what may be lost."""

    def __init__(
        self,
        replay: Replay,
        score: Score,
        losses: numpy.ndarray,
        *,
        docs: numpy.ndarray,
        n_docs: int,
        wordpieces: numpy.ndarray,
        wanted: Optional[numpy.ndarray] = None,
        steps: int = 16,
        seed: int = 0,
    ):
        """
        replay (Replay): The evidence.
        score (Score): The figure of the answers that a rule gives.
        losses (ndarray): The negative log-likelihood of each document at each exit, (E, D).
        docs (ndarray): The document of each unit, (U,).
        n_docs (int): The number of documents, D.
        wordpieces (ndarray): What a layer costs each unit, (U,).
        wanted (Optional[ndarray]): The documents to choose on, (D,) bool; None for all.
        steps (int): How many values of each threshold.
        seed (int): The seed of the folds.
        """
        self.replay, self.score, self.docs, self.n_docs, self.steps = replay, score, docs, n_docs, steps
        self.wordpieces = wordpieces.astype("float64")
        self.wanted = numpy.ones(n_docs, dtype=bool) if wanted is None else wanted
        self.as_good = first_as_good(losses[:, self.wanted])
        self.folds = self._folds(seed)
        self._limits: Dict[int, Limits] = {}
        self._drops: Dict[Optional[bytes], float] = {}  # what all documents lose at some exits

    def choose(self, max_drop: float) -> CarefulChoice:
        """Choose a fast setting that loses little, on documents that it was not made on.

        max_drop (float): By how much the score may fall, in its own unit.
        RETURNS (CarefulChoice): Of the settings that change as few answers as must be, one of the fastest. That is the deepest
            exit for all if any loses too much, or if there are too few documents to put apart.
        """
        last = len(self.replay.layers) - 1
        deepest = next(exit for exit in range(self.as_good, last + 1) if exit == last or self._is_safe(exit, max_drop))
        return self._within(max_drop, deepest, None)

    def by_kind(self, max_drop: float, deepest: int) -> List[CarefulChoice]:
        """Choose in the same way among the settings of each kind alone: where looks cost time, layers do not tell the fastest.

        max_drop (float): By how much the score may fall, in its own unit.
        deepest (int): The layer above which none goes.
        RETURNS (List[CarefulChoice]): Of each kind that has a setting which holds, that setting.
        """
        exit = self.replay.layers.tolist().index(deepest)
        found = [self._within(max_drop, exit, kind) for kind in self._limits[exit].kinds]
        return [choice for choice in found if choice.limit >= 0 and choice.rule is not None]

    def _within(self, max_drop: float, deepest: int, kind: Optional[str]) -> CarefulChoice:
        """The choice below an exit, among the settings of a kind; None for all."""
        limits = self._limits[deepest] = self._limits.get(deepest) or Limits(self, deepest)
        name, rule, exits = limits.all_deepest
        layer = int(self.replay.layers[deepest])
        best = CarefulChoice(rule, name, layer, -1.0, self.drop(exits), 0.0, 0.0)
        for limit, exits in zip(LIMITS, limits.held_out(kind)):
            drop, worst = self.drop(exits), self.worst(exits, deepest)
            if drop <= max_drop + NOISE and worst <= max_drop + TOLERANCE + 1e-9:
                changed = float(limits.changed(exits[None], self.wanted)[0])
                best = replace(best, limit=limit, drop=drop, changed=changed, worst=worst)
        if best.limit >= 0:
            best.name, best.rule, _ = limits.fastest(self.wanted, kind)[LIMITS.index(best.limit)]
        return best

    def drop(self, exits: numpy.ndarray, docs: Optional[numpy.ndarray] = None) -> float:
        """RETURNS (float): By how much the score of the wanted documents, or some of them, falls if units leave at some exits,
        (U,). What has nothing to find leaves before the first layer in both: what that costs is not up to the rule."""
        key = None if docs is not None else exits.tobytes()
        if key in self._drops:
            return self._drops[key]
        full = self.replay.all_at(len(self.replay.layers) - 1)
        mask = self.wanted if docs is None else self.wanted & docs
        before, now = (self.score(self._result(places), mask) for places in (full, exits))
        if key is not None:
            self._drops[key] = before - now
        return before - now

    def _is_safe(self, exit: int, max_drop: float) -> bool:
        """Whether an exit in place of the last one loses no more than allowed, and surely: one that is better by so much may be
        so much less sure."""
        exits = self.replay.all_at(exit)
        drop = self.drop(exits)
        error = (spread(lambda docs: self.drop(exits, docs), self.n_docs) or 0.0) / NORMAL
        return drop <= max_drop + NOISE and error + min(drop, 0.0) <= max_drop + UNSURE

    def worst(self, exits: numpy.ndarray, deepest: int) -> float:
        """RETURNS (float): How far the answers at some exits are from those of the deepest one, as one less macro F with these as
        the truth; of structures one less F of all their parts."""
        parts = self.replay.evidence[deepest].parts
        if parts is not None:
            units = numpy.flatnonzero(self.wanted[self.docs] & (exits >= 0)).tolist()  # those of the gate say nothing in both
            pairs = [(parts[unit], self.replay.evidence[exits[unit]].parts[unit]) for unit in units]
            total = sum(len(true) + len(given) for true, given in pairs)
            return 1 - 2 * sum(len(true & given) for true, given in pairs) / total if total else 0.0
        rows = self.wanted[self.docs[self.replay.owners]]
        right, given = (self._result(places).decision[rows] for places in (self.replay.all_at(deepest), exits))
        there = right.any(axis=0)
        if not there.any():
            return float(given.any())
        return float(1 - f_scores(given, right)[there].mean())

    def _result(self, exits: numpy.ndarray) -> ReplayResult:
        """What is answered at some exits, (U,)."""
        return ReplayResult(self.replay, exits, numpy.zeros(len(exits), dtype=int), self.replay.nothing is not None)

    def _folds(self, seed: int) -> List[numpy.ndarray]:
        """The documents of each fold, (D,) bool; none if there are too few to put apart."""
        places = numpy.random.default_rng(seed).permutation(numpy.flatnonzero(self.wanted))
        parts = [part for part in numpy.array_split(places, FOLDS) if len(part)]
        folds = [numpy.isin(numpy.arange(self.n_docs), part) for part in parts]
        return folds if len(folds) > 1 else []


class Limits:
    """The fastest settings that change so many answers, none of which goes above an exit."""

    def __init__(self, chooser: CarefulChooser, deepest: int):
        self.chooser, self.replay, self.deepest = chooser, chooser.replay, deepest
        self.differs = numpy.zeros((deepest + 2, self.replay.n_units), dtype=bool)  # the last row is that of the gate, at -1
        looked = [view.evidence for view in self.replay.views]
        for exit in range(deepest):
            self.differs[exit] = ~looked[exit].same_answer(looked[deepest])
        is_last = deepest == len(self.replay.layers) - 1
        self.last = None if is_last else FixedDepth(int(self.replay.layers[deepest]))
        deepest_exits = self.replay.all_at(deepest)
        self._made: Dict[bytes, Dict[str, List[Setting]]] = {}
        self.all_deepest: Setting = ("full depth" if is_last else "fixed depth", self.last, deepest_exits)

    @property
    def kinds(self) -> List[str]:
        """RETURNS (List[str]): The kinds of settings."""
        return list(self._settings(self.chooser.wanted))

    def held_out(self, kind: Optional[str] = None) -> List[numpy.ndarray]:
        """Run settings on documents that they were not made on.

        kind (Optional[str]): Their kind; None for all.
        RETURNS (List[ndarray]): For each limit the exits that units take by settings that were made on the other folds, (U,);
            none without folds.
        """
        chooser = self.chooser
        by_fold = [self.fastest(chooser.wanted & ~fold, kind) for fold in chooser.folds]
        held_out = []
        for place in range(len(LIMITS) if by_fold else 0):
            exits = self.all_deepest[2].copy()
            for fold, settings in zip(chooser.folds, by_fold):
                mine = fold[chooser.docs]
                exits[mine] = settings[place][2][mine]
            held_out.append(exits)
        return held_out

    def fastest(self, chosen: numpy.ndarray, kind: Optional[str] = None) -> List[Setting]:
        """Find the fastest of the settings that are made on some documents.

        chosen (ndarray): The documents, (D,) bool.
        kind (Optional[str]): The kind of these settings; None for all.
        RETURNS (List[Tuple[str, Optional[ExitRule], ndarray]]): For each limit on the share of their answers that may change, of
            the settings that are about as fast as the fastest, the one that changes the fewest.
        """
        chooser = self.chooser
        units = chosen[chooser.docs]
        if not units.any():
            return [self.all_deepest] * len(LIMITS)
        made = self._settings(chosen)
        settings: Dict[bytes, Setting] = {self.all_deepest[2].tobytes(): self.all_deepest}  # many come to the same
        for setting in (one for name, grid in made.items() if kind in (None, name) for one in grid):
            settings.setdefault(setting[2].tobytes(), setting)
        named = list(settings.values())
        every = numpy.array([exits for _, _, exits in named])
        costs = chooser.wordpieces[units] / max(chooser.wordpieces[units].sum(), 1e-9)
        layers, changed = self.replay.layers_of(every[:, units]) @ costs, self.changed(every, chosen)
        allowed = (numpy.flatnonzero(changed <= limit + 1e-9) for limit in LIMITS)
        return [named[places[calmest(layers[places], changed[places])]] for places in allowed]

    def _settings(self, chosen: numpy.ndarray) -> Dict[str, List[Setting]]:
        """Settings that are made on some documents (D,) bool, by their kind."""
        made = self._made.get(chosen.tobytes())
        if made is None:
            chooser, made = self.chooser, {}
            for name, grid in rule_grids(self.replay, chosen[chooser.docs], chooser.steps, chooser.wordpieces).items():
                for rule in grid if is_simple(name) else ():
                    whole = rule if self.last is None else AnyOf({"settled": rule, "deepest": self.last})
                    exits = numpy.minimum(self.replay.run(rule).exits, self.deepest)
                    made.setdefault(name, []).append((name, whole, exits))
            self._made[chosen.tobytes()] = made
        return made

    def changed(self, exits: numpy.ndarray, chosen: numpy.ndarray) -> numpy.ndarray:
        """RETURNS (ndarray): The share of some documents whose answers at some exits (S, U) are not those of the deepest one,
        (S,)."""
        docs = numpy.zeros((len(exits), self.chooser.n_docs), dtype=bool)
        settings, units = numpy.nonzero(self.differs[exits, numpy.arange(exits.shape[1])])
        docs[settings, self.chooser.docs[units]] = True
        return docs[:, chosen].mean(axis=1)


def first_as_good(losses: numpy.ndarray) -> int:
    """Find the first exit that is as good as any: whose mean loss is within one standard error of the least (Breiman et al. 1984,
    "Classification and Regression Trees", section 3.4.3, of the difference to it).

    losses (ndarray): The loss of each document at each exit, (E, D).
    RETURNS (int): The exit, from 0.
    """
    best = losses[losses.mean(axis=1).argmin()]
    more = losses - best
    errors = more.std(axis=1) / max(numpy.sqrt(losses.shape[1]), 1.0)
    return int((more.mean(axis=1) <= errors + 1e-12).argmax())
