"""Exit rules: which units have their answer.

A rule holds its settings and no state: `start` makes the counters of a batch, `step` looks at one exit's evidence, moves
the counters of the units in it and says which of them leave, and why.
"""

import math
import time
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Dict, Iterator, List, Optional, Protocol, Sequence, Tuple, Union, runtime_checkable

import numpy
from spacy.util import registry
from thinc.api import Config

from .evidence import Divergence, Evidence

DEEPEST = 20
"""How deep rules can lie in rules. A config of more cannot be read."""

NEEDS_DOUBT = (
    "needs a model with a learned exit. Train with the setting `model.head.learned_exit = true`, or take another rule."
)


@runtime_checkable
class ExitRule(Protocol):
    """What the loop asks of a rule."""

    @property
    def reasons(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The names under which units leave."""

    def start(self, units: int, began: float) -> Any:
        """Make the counters of a new batch.

        units (int): How many units it has.
        began (float): When work on the batch began, by `time.perf_counter`.
        RETURNS (Any): Whatever `step` wants to remember from exit to exit.
        """

    def step(self, evidence: Evidence, counters: Any) -> numpy.ndarray:
        """Decide after one exit, moving the counters in place.

        evidence (Evidence): The units still climbing; `evidence.units` are their places in the counters.
        counters (Any): What `start` made.
        RETURNS (ndarray): 0 to go on, i to leave for the reason `reasons[i - 1]`, (U,) int.
        """

    def can_fire(self, layers: Sequence[int]) -> bool:
        """Whether any unit could ever leave before the last exit.

        layers (Sequence[int]): The layers with an exit, in order.
        RETURNS (bool): Whether one could.
        """


@dataclass(frozen=True)
class Rule:
    """Shared parts of the rules in this file. Rules of other packages need only follow `ExitRule`."""

    registered: ClassVar[str] = ""
    reason: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, (int, float)) and not math.isfinite(number):
                    raise ValueError(
                        f"The exit rule {self.registered} has {setting.name} = {number}; give a number. To run the full depth, "
                        "set `exit = null`."
                    )

    @property
    def first_layer(self) -> int:
        """RETURNS (int): The layer from which on the rule wants to look. The loop asks for it where a rule has it, and saves the
        checks below."""
        return 1

    @property
    def timed(self) -> bool:
        """RETURNS (bool): Whether the rule looks at the time spent on a batch. No more are read ahead then."""
        return False

    @property
    def learned(self) -> bool:
        """RETURNS (bool): Whether the rule needs a model with a learned exit."""
        return False

    @property
    def reasons(self) -> Tuple[str, ...]:
        return (self.reason,)

    def start(self, units: int, began: float) -> Any:
        return None

    def to_config(self) -> Optional[Dict[str, Any]]:
        """RETURNS (Optional[Dict[str, Any]]): The config block that makes this rule; None if a rule in it does not tell."""
        block: Dict[str, Any] = {"@misc": self.registered}
        values = {setting.name: getattr(self, setting.name) for setting in fields(self) if setting.init}
        block.update({name: list(value) if isinstance(value, tuple) else value for name, value in values.items()})
        return block


def _within(rule: Rule, setting: str, low: float, high: float) -> None:
    value = getattr(rule, setting)
    for number in value if isinstance(value, tuple) else (value,):
        if not low <= number <= high:
            raise ValueError(f"The exit rule {rule.registered} has {setting} = {number}; give a number from {low} to {high}.")


def _patience(rule: Rule, value: Optional[int]) -> None:
    if value is None or value != int(value) or value < 1:
        raise ValueError(
            f"The exit rule {rule.registered} has patience = {value}; give a whole number from 1 on. To run the full depth, set "
            "`exit = null`."
        )


def _layer(rule: Rule, value: int) -> None:
    if value != int(value) or value < 1:
        raise ValueError(f"The exit rule {rule.registered} has layer = {value}; give a layer from 1 on.")


def _count(counters: numpy.ndarray, evidence: Evidence, goes_on: numpy.ndarray) -> numpy.ndarray:
    """Lengthen or break the run of each unit."""
    runs = numpy.where(goes_on, counters[evidence.units] + 1, 0)
    counters[evidence.units] = runs
    return runs


@dataclass(frozen=True)
class _PerExit(Rule):
    """What rules share whose threshold may be a list of one number for each exit."""

    setting: ClassVar[str] = ""

    def __post_init__(self) -> None:
        value = getattr(self, self.setting)
        if numpy.ndim(value):
            object.__setattr__(self, self.setting, tuple(map(float, value)))  # so that nobody changes it later
        super().__post_init__()

    def start(self, units: int, began: float) -> Optional[numpy.ndarray]:
        """RETURNS (Optional[ndarray]): How many exits each unit has seen, if they have thresholds of their own."""
        return numpy.zeros(units, dtype=int) if isinstance(getattr(self, self.setting), tuple) else None

    def now(self, evidence: Evidence, counters: Optional[numpy.ndarray]) -> Any:
        """RETURNS (float or ndarray): The threshold of this exit."""
        threshold = getattr(self, self.setting)
        if counters is None:
            return threshold
        exits = counters[evidence.units]
        if exits.max(initial=0) >= len(threshold):
            self._refuse(f"more exits than these {len(threshold)}")
        counters[evidence.units] += 1
        return numpy.array(threshold)[exits]

    def before_last(self, layers: Sequence[int]) -> Tuple[float, ...]:
        """RETURNS (Tuple[float, ...]): The thresholds of all exits but the last."""
        threshold = getattr(self, self.setting)
        if not isinstance(threshold, tuple):
            return (threshold,) * (len(layers) - 1)
        if len(threshold) != len(layers):
            self._refuse(f"{len(layers)} exits, which are after the layers {list(layers)}")
        return threshold[:-1]

    def _refuse(self, found: str) -> None:
        numbers = list(getattr(self, self.setting))
        raise ValueError(
            f"The exit rule {self.registered} has {self.setting} = {numbers}, but the model has {found}. Give one number for all "
            "exits, or one for each; that of the last exit has no effect, as all leave there."
        )


@dataclass(frozen=True)
class Entropy(_PerExit):
    """Leave when the normalised entropy is below a threshold (DeeBERT, Xin et al. 2020; normalised as in FastBERT, Liu et
    al. 2020).

    entropy (Union[float, List[float]]): The threshold, or one for each exit (as in DeeBERT; that of the last exit has no
        effect). From 0 down it never fires, above 1 all leave there.
    """

    entropy: Union[float, List[float]] = 0.1
    registered: ClassVar[str] = "spacy-epee.Entropy.v1"
    reason: ClassVar[str] = "entropy"
    setting: ClassVar[str] = "entropy"

    def step(self, evidence: Evidence, counters: Optional[numpy.ndarray]) -> numpy.ndarray:
        return evidence.entropy_below(self.now(evidence, counters)).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return any(threshold > 0 for threshold in self.before_last(layers))


@dataclass(frozen=True)
class Confidence(_PerExit):
    """Leave when the largest probability is above a threshold (Schwartz et al. 2020, "The Right Tool for the Job").

    confidence (Union[float, List[float]]): The threshold, from 0 to 1, or one for each exit (that of the last exit has no
        effect).
    """

    confidence: Union[float, List[float]] = 0.9
    registered: ClassVar[str] = "spacy-epee.Confidence.v1"
    reason: ClassVar[str] = "confidence"
    setting: ClassVar[str] = "confidence"

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self, "confidence", 0.0, 1.0)

    def step(self, evidence: Evidence, counters: Optional[numpy.ndarray]) -> numpy.ndarray:
        return (evidence.confidence > self.now(evidence, counters)).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return any(threshold < 1 for threshold in self.before_last(layers))


@dataclass(frozen=True)
class Margin(Rule):
    """Leave when the best label is ahead of the second best by more than a threshold.

    margin (float): The threshold, a difference of probabilities from 0 to 1.
    """

    margin: float = 0.8
    registered: ClassVar[str] = "spacy-epee.Margin.v1"
    reason: ClassVar[str] = "margin"

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self, "margin", 0.0, 1.0)

    def step(self, evidence: Evidence, counters: Any) -> numpy.ndarray:
        return (evidence.margin > self.margin).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.margin < 1 and len(layers) > 1


@dataclass(frozen=True)
class Patience(Rule):
    """Leave when a number of exits in a row have repeated the decision of the one before (PABEE, Zhou et al. 2020).

    patience (int): How many. The earliest exit is patience + 1.
    """

    patience: int = 3
    registered: ClassVar[str] = "spacy-epee.Patience.v1"
    reason: ClassVar[str] = "patience"

    def __post_init__(self) -> None:
        super().__post_init__()
        _patience(self, self.patience)

    def start(self, units: int, began: float) -> numpy.ndarray:
        return numpy.zeros(units, dtype=int)

    def step(self, evidence: Evidence, counters: numpy.ndarray) -> numpy.ndarray:
        return (_count(counters, evidence, evidence.agrees) >= self.patience).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.patience + 1 < len(layers)


@dataclass(frozen=True)
class FlexiblePatience(Rule):
    """Leave when the distribution has hardly moved for a number of exits in a row (F-PABEE, Gao et al. 2023).

    divergence (float): How far is hardly: the threshold that the divergence from the previous exit must be below.
    patience (int): How many exits in a row.
    measure (str): "JSKD" (in [0, 1]), "KD", "ReKD" or "SymKD" (in nats).
    """

    divergence: float = 0.01
    patience: int = 2
    measure: Divergence = "JSKD"
    registered: ClassVar[str] = "spacy-epee.FlexiblePatience.v1"
    reason: ClassVar[str] = "flexible_patience"

    def __post_init__(self) -> None:
        super().__post_init__()
        _patience(self, self.patience)
        if self.measure not in ("KD", "ReKD", "SymKD", "JSKD"):
            raise ValueError(
                f"The exit rule {self.registered} has measure = '{self.measure}'; give 'KD', 'ReKD', 'SymKD' or 'JSKD'."
            )

    def start(self, units: int, began: float) -> numpy.ndarray:
        return numpy.zeros(units, dtype=int)

    def step(self, evidence: Evidence, counters: numpy.ndarray) -> numpy.ndarray:
        still = evidence.divergence(self.measure) < self.divergence
        return (_count(counters, evidence, still) >= self.patience).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.divergence > 0 and self.patience + 1 < len(layers)


@dataclass(frozen=True)
class ConfidentPatience(Rule):
    """Leave when a number of exits in a row had an entropy below a threshold (PCEE-BERT, Zhang et al. 2022).

    entropy (float): The threshold on the normalised entropy.
    patience (int): How many exits in a row.
    """

    entropy: float = 0.2
    patience: int = 2
    registered: ClassVar[str] = "spacy-epee.ConfidentPatience.v1"
    reason: ClassVar[str] = "confident_patience"

    def __post_init__(self) -> None:
        super().__post_init__()
        _patience(self, self.patience)

    def start(self, units: int, began: float) -> numpy.ndarray:
        return numpy.zeros(units, dtype=int)

    def step(self, evidence: Evidence, counters: numpy.ndarray) -> numpy.ndarray:
        return (_count(counters, evidence, evidence.entropy_below(self.entropy)) >= self.patience).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.entropy > 0 and self.patience < len(layers)


@dataclass(frozen=True)
class EntropyPatience(Rule):
    """Leave when the entropy is low or the decision has been stable, whichever comes first (EPEE, Zhan et al. 2025).

    entropy (float): The threshold on the normalised entropy. From 0 down this rule is patience alone.
    patience (int): How many exits in a row must repeat the decision; null, or as many as there are layers, is entropy alone.
    """

    entropy: float = 0.1
    patience: Optional[int] = 4
    registered: ClassVar[str] = "spacy-epee.EntropyPatience.v1"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience is not None:
            _patience(self, self.patience)

    @property
    def reasons(self) -> Tuple[str, ...]:
        return ("entropy", "patience")

    def start(self, units: int, began: float) -> numpy.ndarray:
        return numpy.zeros(units, dtype=int)

    def step(self, evidence: Evidence, counters: numpy.ndarray) -> numpy.ndarray:
        if self.patience is None:
            return evidence.entropy_below(self.entropy).astype(int)
        codes = (evidence.entropy < self.entropy).astype(int)
        stable = _count(counters, evidence, evidence.agrees) >= self.patience
        return numpy.where((codes == 0) & stable, 2, codes)

    def can_fire(self, layers: Sequence[int]) -> bool:
        counts = self.patience is not None and self.patience + 1 < len(layers)
        return len(layers) > 1 and (self.entropy > 0 or counts)


@dataclass(frozen=True)
class Voting(Rule):
    """Leave when the exits so far agree by a large enough vote (after Sun et al. 2021, "Early Exiting with Ensemble
    Internal Classifiers"; the answer is the last exit's, as with every rule here).

    votes (float): The threshold on the votes for the leading decision, over (exits so far) ** power. For labels that are
        not exclusive each label is voted on, and the label with the narrowest vote counts; of several items in a unit, the
        narrowest too.
    power (float): 0 counts votes; the nearer to 1, the more votes are asked for the later it gets.
    """

    votes: float = 3.0
    power: float = 0.0
    registered: ClassVar[str] = "spacy-epee.Voting.v1"
    reason: ClassVar[str] = "voting"

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self, "power", 0.0, 1.0)

    def start(self, units: int, began: float) -> Dict[str, Any]:
        return {"exits": numpy.zeros(units, dtype=int), "votes": numpy.zeros((0, 0))}

    def step(self, evidence: Evidence, counters: Dict[str, Any]) -> numpy.ndarray:
        items, labels = evidence.items, evidence.logits.shape[1]
        missing = int(items.max(initial=-1)) + 1 - len(counters["votes"])
        if missing > 0:  # only the evidence knows how many items there are
            counters["votes"] = numpy.vstack((counters["votes"].reshape(-1, labels), numpy.zeros((missing, labels))))
        counters["exits"][evidence.units] += 1
        exits = counters["exits"][evidence.units]
        counters["votes"][items] += evidence.decision
        votes = counters["votes"][items]
        if evidence.exclusive:
            leading = votes.max(axis=1)
        else:
            so_far = exits if evidence.counts is None else numpy.repeat(exits, evidence.counts)
            leading = numpy.maximum(votes, so_far[:, None] - votes).min(axis=1)
        return (evidence.least(leading) / exits**self.power >= self.votes).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return any(exit ** (1 - self.power) >= self.votes for exit in range(1, len(layers)))


@dataclass(frozen=True)
class Learned(Rule):
    """Leave when a small learned head thinks the answer is right (learning to exit, BERxiT, Xin et al. 2021).

    doubt (float): The threshold on the head's estimate of the answer being wrong, in [0, 1]. Needs a model trained with
        `learned_exit = true`.
    """

    doubt: float = 0.1
    registered: ClassVar[str] = "spacy-epee.Learned.v1"
    reason: ClassVar[str] = "learned"

    @property
    def learned(self) -> bool:
        return True

    def step(self, evidence: Evidence, counters: Any) -> numpy.ndarray:
        if evidence.doubt is None:
            raise ValueError(f"The exit rule {self.registered} {NEEDS_DOUBT}")
        return (evidence.doubt < self.doubt).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.doubt > 0 and len(layers) > 1


@dataclass(frozen=True)
class FixedDepth(Rule):
    """Leave at a fixed layer, or at the first exit above it.

    layer (int): The layer, from 1.
    """

    layer: int
    registered: ClassVar[str] = "spacy-epee.FixedDepth.v1"
    reason: ClassVar[str] = "fixed_depth"

    def __post_init__(self) -> None:
        super().__post_init__()
        _layer(self, self.layer)

    @property
    def first_layer(self) -> int:
        return self.layer

    def step(self, evidence: Evidence, counters: Any) -> numpy.ndarray:
        return numpy.full(len(evidence), int(evidence.layer >= self.layer))

    def can_fire(self, layers: Sequence[int]) -> bool:
        return len(layers) > 1 and self.layer <= layers[-2]


@dataclass(frozen=True)
class Deadline(Rule):
    """Answer from where one is when the time is spent.

    deadline_ms (float): Milliseconds for a batch (for `nlp.pipe` its `batch_size`), tokenization included. Every document
        gets to the first exit; the one at which the time is found to be spent is still finished. What it gives depends on
        the machine.
    """

    deadline_ms: float
    registered: ClassVar[str] = "spacy-epee.Deadline.v1"
    reason: ClassVar[str] = "deadline"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.deadline_ms < 0:
            raise ValueError(
                f"The exit rule {self.registered} has deadline_ms = {self.deadline_ms}; give milliseconds from 0 on."
            )

    @property
    def timed(self) -> bool:
        return True

    def start(self, units: int, began: float) -> float:
        return began

    def step(self, evidence: Evidence, counters: float) -> numpy.ndarray:
        spent = (time.perf_counter() - counters) * 1000 >= self.deadline_ms
        return numpy.full(len(evidence), int(spent))

    def can_fire(self, layers: Sequence[int]) -> bool:
        return len(layers) > 1


@dataclass(frozen=True)
class FromLayer(Rule):
    """Ask another rule, but only from a layer on. Where hardly anything leaves below, this saves the checks there.

    layer (int): The layer, from 1. Exits below it are not looked at: patience counts from here, and so do thresholds by exit.
    rule (ExitRule): The rule.
    """

    layer: int
    rule: Any
    registered: ClassVar[str] = "spacy-epee.FromLayer.v1"

    def __post_init__(self) -> None:
        super().__post_init__()
        _layer(self, self.layer)
        if not isinstance(self.rule, ExitRule):
            raise ValueError(f"The exit rule {self.registered} needs another rule; give one in the block `exit.rule`.")

    @property
    def first_layer(self) -> int:
        return max(self.layer, getattr(self.rule, "first_layer", 1))

    @property
    def timed(self) -> bool:
        return getattr(self.rule, "timed", False)

    @property
    def learned(self) -> bool:
        return getattr(self.rule, "learned", False)

    @property
    def reasons(self) -> Tuple[str, ...]:
        return self.rule.reasons

    def start(self, units: int, began: float) -> Dict[str, Any]:
        return {"rule": self.rule.start(units, began), "first": None}

    def step(self, evidence: Evidence, counters: Dict[str, Any]) -> numpy.ndarray:
        if evidence.layer < self.layer:
            return numpy.zeros(len(evidence), dtype=int)
        if counters["first"] is None:
            counters["first"] = evidence.layer
        first = evidence.layer == counters["first"]
        return self.rule.step(_First(evidence) if first else evidence, counters["rule"])

    def can_fire(self, layers: Sequence[int]) -> bool:
        seen = [layer for layer in layers if layer >= self.layer]
        return len(seen) > 1 and self.rule.can_fire(seen)

    def to_config(self) -> Optional[Dict[str, Any]]:
        block = self.rule.to_config() if hasattr(self.rule, "to_config") else None
        return None if block is None else {"@misc": self.registered, "layer": self.layer, "rule": block}


class _First:
    """Evidence without a previous one, for a rule that has not looked before."""

    def __init__(self, evidence: Evidence):
        self.evidence = evidence

    def __len__(self) -> int:
        return len(self.evidence)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.evidence, name)

    @property
    def agrees(self) -> numpy.ndarray:
        self.evidence.remember()
        return numpy.zeros(len(self.evidence), dtype=bool)

    def divergence(self, kind: Divergence) -> numpy.ndarray:
        self.evidence.remember()
        return numpy.full(len(self.evidence), numpy.inf)


@dataclass(frozen=True)
class _Joined(Rule):
    rules: Dict[str, Any] = field(default_factory=dict)

    @property
    def first_layer(self) -> int:
        return min(getattr(rule, "first_layer", 1) for rule in self.rules.values())

    @property
    def timed(self) -> bool:
        return any(getattr(rule, "timed", False) for rule in self.rules.values())

    @property
    def learned(self) -> bool:
        return any(getattr(rule, "learned", False) for rule in self.rules.values())

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.rules:
            raise ValueError(f"The exit rule {self.registered} joins no rules; name at least one under `exit.rules`.")
        if not all(isinstance(rule, ExitRule) for rule in self.rules.values()):
            raise ValueError(f"The exit rule {self.registered} joins something else than rules; give rules under `exit.rules`.")

    def start(self, units: int, began: float) -> List[Any]:
        return [rule.start(units, began) for rule in self.rules.values()]

    def _steps(self, evidence: Evidence, counters: List[Any]) -> List[numpy.ndarray]:
        # Every rule is stepped at every exit: its counters must see all of them.
        return [rule.step(evidence, count) for rule, count in zip(self.rules.values(), counters)]

    def to_config(self) -> Optional[Dict[str, Any]]:
        blocks = {name: rule.to_config() if hasattr(rule, "to_config") else None for name, rule in self.rules.items()}
        return None if None in blocks.values() else {"@misc": self.registered, "rules": blocks}


@dataclass(frozen=True)
class AnyOf(_Joined):
    """Leave when one of several rules says so; the first that does is the reason.

    rules (Dict[str, ExitRule]): The rules, under names of your own.
    """

    registered: ClassVar[str] = "spacy-epee.AnyOf.v1"

    @property
    def reasons(self) -> Tuple[str, ...]:
        return tuple(reason for rule in self.rules.values() for reason in rule.reasons)

    def step(self, evidence: Evidence, counters: List[Any]) -> numpy.ndarray:
        codes = numpy.zeros(len(evidence), dtype=int)
        offset = 0
        for rule, found in zip(self.rules.values(), self._steps(evidence, counters)):
            codes = numpy.where((codes == 0) & (found > 0), found + offset, codes)
            offset += len(rule.reasons)
        return codes

    def can_fire(self, layers: Sequence[int]) -> bool:
        return any([rule.can_fire(layers) for rule in self.rules.values()])  # a list, so that each checks its settings


@dataclass(frozen=True)
class AllOf(_Joined):
    """Leave when all of several rules say so at the same exit.

    rules (Dict[str, ExitRule]): The rules, under names of your own.
    """

    registered: ClassVar[str] = "spacy-epee.AllOf.v1"

    @property
    def reasons(self) -> Tuple[str, ...]:
        return (" and ".join("/".join(rule.reasons) for rule in self.rules.values()),)

    def step(self, evidence: Evidence, counters: List[Any]) -> numpy.ndarray:
        return numpy.all([found > 0 for found in self._steps(evidence, counters)], axis=0).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return all([rule.can_fire(layers) for rule in self.rules.values()])


def check_kept(rule: ExitRule) -> None:
    """Refuse a rule that would be saved with a pipeline, which then could not be loaded.

    rule (ExitRule): The rule. One without `to_config` is not saved.
    RAISES ValueError: It cannot be made again of its config.
    """
    try:
        block = rule.to_config() if hasattr(rule, "to_config") else None  # type: ignore[attr-defined]
        if block is None:
            return
        written = Config({"exit": block}).to_str() if _depth(block) <= DEEPEST else ""
        kept = _shape(resolve_rule(Config().from_str(written)["exit"]).to_config()) == _shape(block)
    except Exception:  # RecursionError, and what config parsers make of names
        kept = False
    if not kept:
        raise ValueError(
            f"The exit rule {type(rule).__name__} cannot be saved: a pipeline with it could not be loaded. Rules can lie "
            f"{DEEPEST} deep in rules, the names of joined rules are plain words, without dots, brackets and '@', and each rule "
            "is registered as '@misc' under its name."
        )


def _depth(block: Any) -> int:
    """How deep blocks lie in a block."""
    parts = list(block.values()) if isinstance(block, dict) else block if isinstance(block, list) else []
    return int(isinstance(block, dict) and "@misc" in block) + max(map(_depth, parts), default=0)


def _shape(block: Any) -> Any:
    """The names in a block. Numbers may be read back as their neighbours."""
    return {name: _shape(own) for name, own in block.items()} if isinstance(block, dict) else None


def resolve_rule(block: Any) -> Any:
    """Make a rule of its config block.

    block (Dict[str, Any]): The block.
    RETURNS (ExitRule): The rule.
    RAISES ValueError: It names functions of another kind than rules are.
    """
    kinds = {name for part in _blocks(block) for name in part if name.startswith("@")}
    if kinds - {"@misc"}:
        raise ValueError(f"The block of an exit rule names {sorted(kinds)}; rules are registered as '@misc' alone.")
    return registry.resolve({"exit": block})["exit"]


def _blocks(value: Any) -> Iterator[Dict[str, Any]]:
    """The blocks in a block, itself included."""
    if isinstance(value, dict):
        yield value
    for own in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _blocks(own)
