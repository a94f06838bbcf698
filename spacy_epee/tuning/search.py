"""Choosing the exit rule and its thresholds from stored logits, by what the user asks for."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy
import tqdm

from ..engine.replay import Replay, ReplayResult
from ..exits.risk_control import Certificate, certify, documents_needed
from ..exits.rules.base import ExitRule, complete
from ..exits.rules.depth import FixedDepth
from .grids import is_simple, rule_grids

NEAR = 0.05
"""By what share of the fewest layers another setting may run more and is still as fast."""


@dataclass
class Candidate:
    """What a setting does.

    name (str): The name of its rule.
    rule (Optional[ExitRule]): The setting; None is the full depth.
    layers (float): The mean layer, over units.
    wordpiece_layers (float): The same over wordpieces: long documents cost more, so seconds follow this.
    score (float): The score.
    disagreement (float): The share of documents whose answer is not that of the full depth.
    """

    name: str
    rule: Optional[ExitRule]
    layers: float
    wordpiece_layers: float
    score: float
    disagreement: float

    def row(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The same as plain values, the rule as its config block."""
        config = None if self.rule is None else complete(self.rule).to_config()
        return {**vars(self), "rule": config}


@dataclass
class Candidates:
    """What all settings do.

    full (Candidate): The full depth.
    trials (List[Candidate]): The others, S of them.
    differs (ndarray): Whose answers are not those of the full depth, (S, D) bool.
    first (ndarray): The documents that the settings were made from, (D,) bool.
    first_layers (ndarray): The mean layer over their wordpieces, (S,).
    """

    full: Candidate
    trials: List[Candidate]
    differs: numpy.ndarray
    first: numpy.ndarray
    first_layers: numpy.ndarray

    def table(self) -> List[Dict[str, Any]]:
        """RETURNS (List[Dict[str, Any]]): A row for each setting, the full depth first."""
        return [trial.row() for trial in (self.full, *self.trials)]

    def front(self) -> List[Candidate]:
        """RETURNS (List[Candidate]): The settings for which no other has a better score with as few layers by wordpieces, from
        few layers to many (the Pareto front)."""
        everything = [*self.trials, self.full]
        places = pareto_front([trial.wordpiece_layers for trial in everything], [-trial.score for trial in everything])
        return [everything[place] for place in places]

    def curves(self) -> Dict[str, List[List[float]]]:
        """RETURNS (Dict[str, List[List[float]]]): By the name of each rule its own Pareto front: layers and score."""
        found = {}
        for name in dict.fromkeys(trial.name for trial in self.trials):
            own = [trial for trial in self.trials if trial.name == name]
            front = pareto_front([trial.wordpiece_layers for trial in own], [-trial.score for trial in own])
            found[name] = [[own[place].wordpiece_layers, own[place].score] for place in front]
        return found

    def fixed_depth(self) -> Candidate:
        """RETURNS (Candidate): What a user can have without any rule: of all fixed depths, the full one among them, that with the
        best score; of equals the one with the fewest layers."""
        fixed = [trial for trial in self.trials if isinstance(trial.rule, FixedDepth)]
        return max([*fixed, self.full], key=lambda trial: (trial.score, -trial.wordpiece_layers))

    def within_drop(self, max_drop: float) -> Candidate:
        """A fast setting that loses little.

        max_drop (float): By how much the score may be below that of the full depth, in its own unit. The search is among
            many, so on new documents it will be somewhat more.
        RETURNS (Candidate): Of those that are as fast as the fastest (see `NEAR`) the one with the fewest other answers than the
            full depth; of equals the fastest, of these the one with the best score.
        """
        floor = self.full.score - max_drop - 1e-9
        return _calmest([trial for trial in (self.full, *self.trials) if trial.score >= floor or trial is self.full])

    def at_speedup(self, min_speedup: float) -> Candidate:
        """A good setting that is fast enough. The best of a thousand scores is luck: on resampled dev sets of 128 notes it loses
        2 points on test, where the one with the fewest other answers loses 0.2.

        min_speedup (float): The layers of the full depth over those of the setting, both over wordpieces.
        RETURNS (Candidate): Of those of a simple kind (see `is_simple`) or at a fixed depth, or of all if none of these is fast
            enough, the one with the fewest other answers than the full depth; of equals the one with the best score, of these
            the one with the fewest layers.
        RAISES ValueError: None is as fast as that.
        """
        depth = self.full.wordpiece_layers
        fast = [t for t in (self.full, *self.trials) if depth >= min_speedup * t.wordpiece_layers - 1e-9]
        if not fast:
            most = depth / min(trial.wordpiece_layers for trial in self.trials) if self.trials else 1.0
            raise ValueError(
                f"No exit rule runs {min_speedup} times fewer layers than the full depth; {most:.2f} times is the most here. "
                "Lower `min_speedup`, or train with exits after earlier layers."
            )
        simple = [trial for trial in fast if is_simple(trial.name) or isinstance(trial.rule, FixedDepth) or trial is self.full]
        return min(simple or fast, key=lambda trial: (trial.disagreement, -trial.score, trial.wordpiece_layers))

    def certified(self, max_disagreement: float, confidence: float = 0.9) -> Tuple[Candidate, Certificate]:
        """A fast setting that comes with a promise: on documents like these at most this share of answers is not that of
        the full depth, and with the stated confidence this is true.

        Settings of several numbers have no natural order, so the documents are split (Pareto Testing, Laufer-Goldshtein et al.
        2023): on the first half, from which the thresholds came too, the settings are found that are fastest for how much they
        disagree, and put in order of that. On the second half they are tested in this order up to the first that fails
        (`exits.risk_control.certify`). This is valid because nothing about the order comes from the second half, and because all
        that passed keep the promise at once, so that one of them may be taken by any figure: of those that are as fast as the
        fastest (see `NEAR`) the one with the fewest other answers. It needs no annotation.

        The promise covers documents drawn as these were, and only if they were not used in training, nor to choose the
        checkpoint.

        max_disagreement (float): The share of documents, above 0 and up to 1.
        confidence (float): How surely, above 0 and below 1.
        RETURNS (Tuple[Candidate, Certificate]): The setting, which is the full depth if no other keeps the promise, and the
            outcome of the tests.
        RAISES ValueError: Too few documents for this promise.
        """
        second = ~self.first
        require_documents(len(second), max_disagreement, confidence)
        risks = self.differs[:, self.first].mean(axis=1) if self.first.any() else numpy.zeros(len(self.trials))
        order = pareto_front(risks.tolist(), self.first_layers.tolist())
        certificate = certify(self.differs[order][:, second], max_disagreement, confidence)
        passed = [] if certificate.chosen is None else order[: certificate.chosen + 1]
        return _calmest([self.full, *(self.trials[place] for place in passed)]), certificate

    def pick(
        self,
        *,
        max_drop: Optional[float] = None,
        min_speedup: Optional[float] = None,
        max_disagreement: Optional[float] = None,
        confidence: float = 0.9,
    ) -> Candidate:
        """Choose by one wish.

        max_drop (Optional[float]): See `within_drop`.
        min_speedup (Optional[float]): See `at_speedup`.
        max_disagreement (Optional[float]): See `certified`.
        confidence (float): That of `max_disagreement`.
        RETURNS (Candidate): The setting.
        RAISES ValueError: Not exactly one wish, or one that cannot be met.
        """
        if sum(wish is not None for wish in (max_drop, min_speedup, max_disagreement)) != 1:
            raise ValueError("Give one of `max_drop`, `min_speedup` and `max_disagreement`.")
        if max_drop is not None:
            return self.within_drop(max_drop)
        if min_speedup is not None:
            return self.at_speedup(min_speedup)
        return self.certified(max_disagreement, confidence)[0]  # type: ignore[arg-type]


def search(
    replay: Replay,
    score: Callable[[ReplayResult], float],
    *,
    docs: Optional[numpy.ndarray] = None,
    n_docs: Optional[int] = None,
    wordpieces: Optional[numpy.ndarray] = None,
    grids: Optional[Dict[str, Sequence[ExitRule]]] = None,
    steps: int = 16,
    seed: int = 0,
    progress: bool = False,
) -> Candidates:
    """Try all exit rules.

    replay (Replay): The evidence of the dev documents.
    score (Callable[[ReplayResult], float]): The score of the answers that a rule gives; more is better.
    docs (Optional[ndarray]): The number of the document that each unit is of, (U,); None if the units are the documents. Give
        that of the patient where documents of a patient are not independent: what is promised is then about patients.
    n_docs (Optional[int]): How many documents there are, if the last ones may have no unit: those always agree.
    wordpieces (Optional[ndarray]): How many wordpieces each unit runs, (U,); None if all the same.
    grids (Optional[Dict[str, Sequence[ExitRule]]]): The settings by name of the rule. None for all rules of the package, with
        thresholds by the evidence of one half of the documents.
    steps (int): How many values of each threshold are tried, if there are no grids.
    seed (int): The seed of the split into halves.
    progress (bool): Whether to show a progress bar.
    RETURNS (Candidates): The settings, and ways to choose.
    RAISES ValueError: There are no documents.
    """
    if not replay.n_units:
        raise ValueError("There is nothing to tune on: none of the documents has anything to answer.")
    docs = numpy.arange(replay.n_units) if docs is None else numpy.asarray(docs)
    n_docs = int(docs.max()) + 1 if n_docs is None else n_docs
    wordpieces = numpy.ones(replay.n_units) if wordpieces is None else numpy.asarray(wordpieces, dtype="float64")
    first = first_half(n_docs, seed)
    chosen = first[docs]
    tried: Mapping[str, Sequence[ExitRule]]
    tried = rule_grids(replay, chosen if chosen.any() else None, steps, wordpieces) if grids is None else grids
    settings: List[Tuple[str, Optional[ExitRule]]] = [("full depth", None)]
    settings += [(name, rule) for name, grid in tried.items() for rule in grid]
    scores: Dict[bytes, float] = {}
    trials: List[Candidate] = []
    differs = numpy.zeros((len(settings), n_docs), dtype=bool)
    first_layers = numpy.zeros(len(settings))
    for place, (name, rule) in enumerate(tqdm.tqdm(settings, desc="Settings", disable=not progress, leave=False)):
        simulation = replay.run(rule)
        key = bytes([simulation.gated]) + simulation.exits.astype("uint16").tobytes()  # many settings come to the same
        if key not in scores:
            scores[key] = score(simulation)
        differs[place] = _changed_docs(simulation, docs, n_docs)
        first_layers[place] = _mean(simulation.layers[chosen], wordpieces[chosen])
        trials.append(_candidate(name, rule, simulation, scores[key], differs[place], wordpieces))
    return Candidates(trials[0], trials[1:], differs[1:], first, first_layers[1:])


def try_setting(
    replay: Replay,
    score: Callable[[ReplayResult], float],
    name: str,
    rule: Optional[ExitRule],
    *,
    docs: numpy.ndarray,
    n_docs: int,
    wordpieces: numpy.ndarray,
) -> Candidate:
    """RETURNS (Candidate): What one setting does; the arguments are those of `search`."""
    simulation = replay.run(rule)
    return _candidate(name, rule, simulation, score(simulation), _changed_docs(simulation, docs, n_docs), wordpieces)


def _candidate(
    name: str,
    rule: Optional[ExitRule],
    simulation: ReplayResult,
    score: float,
    differs: numpy.ndarray,
    wordpieces: numpy.ndarray,
) -> Candidate:
    """What a setting does, by what came of it."""
    layers, weighted = float(simulation.layers.mean()), _mean(simulation.layers, wordpieces)
    return Candidate(name, rule, layers, weighted, score, float(differs.mean()))


def _changed_docs(simulation: ReplayResult, docs: numpy.ndarray, n_docs: int) -> numpy.ndarray:
    """Which documents have an answer that is not that of the full depth, (D,) bool."""
    changed = numpy.zeros(n_docs, dtype=bool)
    changed[docs[simulation.differs]] = True
    return changed


def first_half(n_docs: int, seed: int = 0) -> numpy.ndarray:
    """RETURNS (ndarray): The documents that settings are made from; on the others promises are tested, (D,) bool."""
    first = numpy.zeros(n_docs, dtype=bool)
    first[numpy.random.default_rng(seed).permutation(n_docs)[: n_docs // 2]] = True
    return first


def require_documents(n_docs: int, max_disagreement: float, confidence: float) -> None:
    """Refuse a promise that no outcome could support.

    n_docs (int): How many documents there are.
    max_disagreement (float): The share of documents that is promised.
    confidence (float): How surely.
    RAISES ValueError: Too few documents.
    """
    needed = documents_needed(max_disagreement, confidence)
    if n_docs - n_docs // 2 < needed:
        raise ValueError(
            f"A dev set of {n_docs} documents is too small to promise max_disagreement = {max_disagreement} with "
            f"confidence = {confidence}: half of it is for choosing, and the other half must have {needed} documents at the "
            f"least. Give {2 * needed} documents or more (with several times as many, rules come near the limit), or "
            "promise less."
        )


def pareto_front(first: Sequence[float], second: Sequence[float]) -> List[int]:
    """Which pairs of costs no other beats: less of one and not more of the other.

    first (Sequence[float]): One cost, (S,).
    second (Sequence[float]): The other, (S,).
    RETURNS (List[int]): Their places, in rising order of the first cost; of equal pairs the first one.
    """
    front: List[int] = []
    for place in numpy.lexsort((second, first)).tolist():
        if not front or second[place] < second[front[-1]]:
            front.append(place)
    return front


def _calmest(trials: Sequence[Candidate]) -> Candidate:
    """The calmest of some settings, of equals the one with the best score."""
    layers, changed, scores = (
        numpy.array([getattr(trial, name) for trial in trials]) for name in ("wordpiece_layers", "disagreement", "score")
    )
    return trials[calmest(layers, changed, scores)]


def calmest(layers: numpy.ndarray, changed: numpy.ndarray, scores: Optional[numpy.ndarray] = None) -> int:
    """Of the settings that are about as fast as the fastest (see `NEAR`) find the one with the fewest other answers. A score can
    be kept by luck, as much being lost as gained; other answers cannot.

    layers (ndarray): The mean layer of each, (S,).
    changed (ndarray): The share of documents with another answer, (S,).
    scores (Optional[ndarray]): The scores, which settle what is equal in both, (S,).
    RETURNS (int): Its place; of equals the first.
    """
    near = numpy.flatnonzero(layers <= (1 + NEAR) * layers.min() + 1e-9)
    better = numpy.zeros(len(near)) if scores is None else -scores[near]
    return int(near[numpy.lexsort((better, layers[near], changed[near]))[0]])


def _mean(layers: numpy.ndarray, wordpieces: numpy.ndarray) -> float:
    """The mean layer over wordpieces."""
    return float(wordpieces @ layers / max(wordpieces.sum(), 1e-9))
