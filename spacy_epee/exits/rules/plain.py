"""Our rules as tests of plain numbers, for what looks between layers without coming back to Python."""

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Type

import numpy

from ...trunk.looks import Test
from .base import ExitRule
from .composite import AllOf, AnyOf
from .depth import FixedDepth, FromLayer
from .patience import ConfidentPatience, EntropyPatience, FlexiblePatience, Patience, Voting
from .thresholds import Confidence, Energy, Entropy, Learned, Margin

NEVER, ALWAYS = -numpy.inf, numpy.inf
"""Thresholds that nothing is below, and that everything is."""

Path = Tuple[Any, ...]
"""The keys to a counter in the counters of a rule."""


@dataclass(frozen=True)
class Asked:
    """At which exits a rule is asked.

    layers (ndarray): The layers of all exits behind layers, (E,).
    asked (ndarray): Whether it is asked there, (E,) bool.
    compared (ndarray): Whether there is an exit before to compare with, (E,) bool.
    seen (int): How many exits it has seen before the first layer.
    path (Path): The way to its counters.
    """

    layers: numpy.ndarray
    asked: numpy.ndarray
    compared: numpy.ndarray
    seen: int
    path: Path = ()

    def inside(self, key: Any, layer: int = 0) -> "Asked":
        """RETURNS (Asked): Those of a rule in this one, from a layer on. The first of them has none before it."""
        path = (*self.path, key)
        if not layer:
            return replace(self, path=path)
        asked = self.asked & (self.layers >= layer)
        return Asked(self.layers, asked, self.compared & (numpy.cumsum(asked) > 1), 0, path)

    @property
    def numbers(self) -> numpy.ndarray:
        """RETURNS (ndarray): How many exits the rule has seen with each, (E,)."""
        return self.seen + numpy.cumsum(self.asked)


@dataclass
class PlainRule:
    """A rule as tests.

    rows (List[ndarray]): The numbers that are compared with at each exit, (E,) each.
    runs (List[Path]): The way to each counter of exits in a row.
    votes (List[Path]): The way to each counter of votes.
    tests (Tuple[Test, ...]): A test for each reason.
    """

    rows: List[numpy.ndarray] = field(default_factory=list)
    runs: List[Path] = field(default_factory=list)
    votes: List[Path] = field(default_factory=list)
    tests: Tuple[Test, ...] = ()

    def row(self, values: Any, where: numpy.ndarray, otherwise: float) -> int:
        """Write numbers down.

        values (Union[float, ndarray]): The number of each exit.
        where (ndarray): Where they hold, (E,) bool.
        otherwise (float): The number elsewhere.
        RETURNS (int): Their row.
        """
        self.rows.append(numpy.where(where, numpy.asarray(values, dtype="float64"), otherwise))
        return len(self.rows) - 1

    def run(self, test: Test, patience: Optional[int], asked: Asked) -> Test:
        """RETURNS (Test): Whether a test says yes at so many exits in a row."""
        self.runs.append(asked.path)
        most = numpy.inf if patience is None else patience
        return ("run", test, self.row(most, asked.asked, numpy.inf), len(self.runs) - 1)

    def entropy(self, threshold: Any, asked: Asked) -> Test:
        """RETURNS (Test): Whether the entropy is below a threshold."""
        return ("below", "entropy", self.row(_limited(threshold), asked.asked, NEVER))

    def started(self, counters: Any, labels: int) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """Read the counters of one unit.

        counters (Any): The counters of the rule; None if it has not been asked.
        labels (int): The number of labels, K.
        RETURNS (Tuple[ndarray, ndarray]): The runs (runs,), and the votes (votes, K), so far.
        """
        if counters is None:
            return numpy.zeros(len(self.runs)), numpy.zeros((len(self.votes), labels))
        runs = [_find(counters, path)[0] for path in self.runs]
        votes = [_find(counters, path)["votes"] for path in self.votes]
        votes = [own if len(own) else numpy.zeros((1, labels)) for own in votes]
        return numpy.array(runs, dtype="float64"), numpy.concatenate(votes) if votes else numpy.zeros((0, labels))


def _find(counters: Any, path: Path) -> Any:
    for key in path:
        counters = counters[key]
    return counters


class NotPlain(Exception):
    """A rule cannot be told in such tests, or not for these exits."""


def as_tests(rule: ExitRule, layers: Sequence[int], looked: numpy.ndarray, before: bool, known: bool) -> Optional[PlainRule]:
    """Put a rule in tests.

    rule (ExitRule): The rule.
    layers (Sequence[int]): The layers of all exits behind layers, E of them.
    looked (ndarray): Which of these are looked through, (E,) bool.
    before (bool): Whether it has seen the exit before the first layer,
    known (bool): and whether anything was known there.
    RETURNS (Optional[PlainRule]): It; None for a rule that is not one of ours, or must be asked in Python for what it raises.
    """
    plain = PlainRule()
    compared = looked & (numpy.cumsum(looked) > (0 if before and known else 1))
    try:
        plain.tests = _tests(plain, rule, Asked(numpy.array(layers), looked, compared, int(before)))
    except NotPlain:
        return None
    return plain


def _tests(plain: PlainRule, rule: ExitRule, asked: Asked) -> Tuple[Test, ...]:
    """A test for each reason of a rule."""
    write = _WRITERS.get(type(rule))  # a subclass may do anything
    if write is None:
        raise NotPlain
    return write(plain, rule, asked)


def _by_exit(threshold: Any, asked: Asked) -> Any:
    """The threshold of each exit, by how many the rule has seen."""
    if not isinstance(threshold, tuple):
        return threshold
    places = asked.numbers - 1
    if places[asked.asked].max(initial=-1) >= len(threshold):
        raise NotPlain  # the rule says so
    return numpy.array(threshold)[numpy.clip(places, 0, len(threshold) - 1)]


def _limited(threshold: Any, most: float = 1.0) -> numpy.ndarray:
    """A threshold on what lies between 0 and a number but for rounding."""
    values = numpy.asarray(threshold, dtype="float64")
    return numpy.where(values <= 0, NEVER, numpy.where(values > most, ALWAYS, values))


def _entropy(plain: PlainRule, rule: Entropy, asked: Asked) -> Tuple[Test, ...]:
    return (plain.entropy(_by_exit(rule.entropy, asked), asked),)


def _confidence(plain: PlainRule, rule: Confidence, asked: Asked) -> Tuple[Test, ...]:
    return (("above", "confidence", plain.row(_by_exit(rule.confidence, asked), asked.asked, ALWAYS)),)


def _margin(plain: PlainRule, rule: Margin, asked: Asked) -> Tuple[Test, ...]:
    return (("above", "margin", plain.row(rule.margin, asked.asked, ALWAYS)),)


def _energy(plain: PlainRule, rule: Energy, asked: Asked) -> Tuple[Test, ...]:
    return (("below", "energy", plain.row(_by_exit(rule.energy, asked), asked.asked, NEVER)),)


def _learned(plain: PlainRule, rule: Learned, asked: Asked) -> Tuple[Test, ...]:
    return (("below", "doubt", plain.row(rule.doubt, asked.asked, NEVER)),)


def _patience(plain: PlainRule, rule: Patience, asked: Asked) -> Tuple[Test, ...]:
    return (plain.run(("repeats", plain.row(1.0, asked.compared, 0.0)), rule.patience, asked),)


def _flexible(plain: PlainRule, rule: FlexiblePatience, asked: Asked) -> Tuple[Test, ...]:
    most = 1.0 if rule.measure == "JSKD" else numpy.inf
    still = ("below", rule.measure, plain.row(_limited(rule.divergence, most), asked.compared, NEVER))
    return (plain.run(still, rule.patience, asked),)


def _confident(plain: PlainRule, rule: ConfidentPatience, asked: Asked) -> Tuple[Test, ...]:
    return (plain.run(plain.entropy(rule.entropy, asked), rule.patience, asked),)


def _entropy_patience(plain: PlainRule, rule: EntropyPatience, asked: Asked) -> Tuple[Test, ...]:
    repeats = ("repeats", plain.row(1.0, asked.compared, 0.0))
    return plain.entropy(rule.entropy, asked), plain.run(repeats, rule.patience, asked)


def _voting(plain: PlainRule, rule: Voting, asked: Asked) -> Tuple[Test, ...]:
    voters = asked.numbers
    first = plain.row(1.0, asked.asked, 0.0)
    plain.row(voters, asked.asked, 0.0)
    plain.row(numpy.maximum(voters, 1) ** rule.power, asked.asked, 1.0)
    plain.row(rule.votes, asked.asked, numpy.inf)
    plain.votes.append(asked.path)
    return (("votes", first, len(plain.votes) - 1),)


def _fixed(plain: PlainRule, rule: FixedDepth, asked: Asked) -> Tuple[Test, ...]:
    return (("on", plain.row(1.0, asked.asked & (asked.layers >= rule.layer), 0.0)),)


def _from_layer(plain: PlainRule, rule: FromLayer, asked: Asked) -> Tuple[Test, ...]:
    return _tests(plain, rule.rule, asked.inside("rule", rule.layer))


def _any_of(plain: PlainRule, rule: AnyOf, asked: Asked) -> Tuple[Test, ...]:
    parts = [_tests(plain, own, asked.inside(number)) for number, own in enumerate(rule.rules.values())]
    return tuple(test for tests in parts for test in tests)


def _all_of(plain: PlainRule, rule: AllOf, asked: Asked) -> Tuple[Test, ...]:
    parts = [_tests(plain, own, asked.inside(number)) for number, own in enumerate(rule.rules.values())]
    return (("all", *(("any", *tests) for tests in parts)),)


_Writer = Callable[[PlainRule, Any, Asked], Tuple[Test, ...]]

_WRITERS: Dict[Type[Any], _Writer] = {
    Entropy: _entropy,
    Confidence: _confidence,
    Margin: _margin,
    Energy: _energy,
    Learned: _learned,
    Patience: _patience,
    FlexiblePatience: _flexible,
    ConfidentPatience: _confident,
    EntropyPatience: _entropy_patience,
    Voting: _voting,
    FixedDepth: _fixed,
    FromLayer: _from_layer,
    AnyOf: _any_of,
    AllOf: _all_of,
}
