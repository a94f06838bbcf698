"""What an exit rule may look at after each exit."""

import math
from dataclasses import dataclass, field
from typing import Any, Callable, ClassVar, Dict, List, Literal, Optional, Protocol, Set, Tuple, Type, Union, cast

import numpy
from scipy.special import entr, expit, logit

from ..inputs.ranges import firsts
from ..threads import cached_property
from .divergence import Divergence, divergence_of
from .features import Features, bounded
from .few import FEW, entropy, softmax
from .scaling import Threshold, pivot, scale

Reduction = Literal["mean", "max"]

EVERY = slice(None)


class Written(Protocol):
    """What is written down of the units of a batch.

    logits (ndarray): The logits of the exit that each item took, (N, K).
    probabilities (ndarray): The same as probabilities, (N, K).
    graphs (Optional[List[Any]]): What each unit says where that is a structure, (U,).
    """

    logits: numpy.ndarray
    probabilities: numpy.ndarray
    graphs: Optional[List[Any]]


class Evidence:
    """The answer of one exit for the units still climbing, as numbers that mean the same on every task.

    Everything is worked out when first asked for, so a rule pays for what it looks at. Plain numpy in float64: the arrays
    are a few numbers a unit, and the same code serves every runtime and the simulation from stored logits.

    features (Optional[Features]): What `SettledStructure` weighs; None for labels of documents.
    parts (Optional[List[Set[Any]]]): What each unit says, part by part, where that is a structure, U of them.
    chances (Optional[ndarray]): How likely there is anything to find in each row of logits, by words alone, (N,). It is set where
        a rule asks for it.
    unknown (float): The probability that the best of exclusive labels must have to be given.
    """

    unknown: float = 0.0
    features: Optional[Features] = None
    parts: Optional[List[Set[Any]]] = None
    chances: Optional[numpy.ndarray] = None

    def __init__(
        self,
        logits: numpy.ndarray,
        *,
        layer: int,
        units: numpy.ndarray,
        exclusive: bool = True,
        threshold: Threshold = 0.5,
        temperature: float = 1.0,
        reduce: Reduction = "mean",
        previous: Optional["Evidence"] = None,
        doubt: Optional[numpy.ndarray] = None,
        items: Optional[numpy.ndarray] = None,
        counts: Optional[numpy.ndarray] = None,
        blind: Optional[numpy.ndarray] = None,
    ):
        """
        logits (ndarray): This exit's logits, (N, K).
        layer (int): The layer of this exit, 0 for that before the first layer.
        units (ndarray): The place of each unit among all units of the batch, (U,).
        exclusive (bool): Whether one label of K is true (softmax), or any number of them (sigmoid for each label).
        threshold (Union[float, ndarray]): The probability from which a label counts as given, or one for each label (K,), if
            not exclusive.
        temperature (float): What the logits are divided by to be probabilities, see `scale`. Decisions do not depend on it.
        reduce (str): How labels that are not exclusive, and the items of a unit, are joined: their "mean", or "max" for the
            least settled one.
        previous (Evidence): The evidence of the same units at the previous exit, None at the first one.
        doubt (ndarray): The learned estimate of the answer being wrong, in [0, 1], (N,).
        items (ndarray): The place of each row of logits among all items of the batch, (N,). None if they are the units.
        counts (ndarray): How many rows each unit has, at least one, (U,). None if each has one.
        blind (ndarray): Of which units nothing is known at this exit, so that they do not leave, (U,) bool. None for none.
        """
        self.logits = numpy.asarray(logits, dtype="float64")
        self.layer = layer
        self.units = units
        self.exclusive = exclusive
        self.threshold = threshold
        self.temperature = temperature
        self.reduce = reduce
        self.previous = previous
        self.item_doubt = doubt
        self.items = units if items is None else items
        self.counts = counts
        self.blind = blind

    def __len__(self) -> int:
        return len(self.units)

    def keep(self, units: numpy.ndarray) -> "Evidence":
        """The evidence of some units, to be the next exit's previous one.

        units (ndarray): Which of the units, (U,) bool.
        RETURNS (Evidence): Theirs, without a previous one of its own.
        """
        rows = self.rows(units)
        return Evidence(
            self.logits[rows],
            layer=self.layer,
            units=self.units[units],
            exclusive=self.exclusive,
            threshold=self.threshold,
            temperature=self.temperature,
            reduce=self.reduce,
            doubt=None if self.item_doubt is None else self.item_doubt[rows],
            items=None if self.counts is None else self.items[rows],
            counts=None if self.counts is None else self.counts[units],
            blind=None if self.blind is None else self.blind[units],
        )

    def rows(self, units: numpy.ndarray) -> numpy.ndarray:
        """The rows of logits of some units.

        units (ndarray): Which of the units, (U,) bool.
        RETURNS (ndarray): Which of the rows, (N,) bool.
        """
        return units if self.counts is None else numpy.repeat(units, self.counts)

    def leaving(self, done: numpy.ndarray) -> Tuple["Evidence", numpy.ndarray]:
        """RETURNS (Tuple[Evidence, ndarray]): What units leave with, and which of those in it do. The others may be dear."""
        return self, done

    def write_to(self, predictions: "Written", done: numpy.ndarray) -> None:
        """Write down what units leave with.

        predictions (Written): Where to.
        done (ndarray): Which of the units leave, (U,) bool.
        """
        rows: Any = self.rows(done)
        items: Any = self.items[rows]
        if len(items) == len(predictions.logits):  # all of them, in order: a slice costs less
            rows = items = EVERY
        predictions.logits[items] = self.logits[rows]
        predictions.probabilities[items] = self.probabilities[rows]

    def same_answer(self, other: "Evidence") -> numpy.ndarray:
        """Compare the answers of two exits.

        other (Evidence): That of the same units at another exit.
        RETURNS (ndarray): Whether each unit's answer, the labels that it is given, is the same there, (U,) bool.
        """
        return self.least((self.given == other.given).all(axis=1))

    @property
    def given(self) -> numpy.ndarray:
        """RETURNS (ndarray): The labels that each item is given: what it decides for, if that is probable enough, (N, K) bool."""
        return self.decision & (self.probabilities >= self.unknown) if self.unknown else self.decision

    @cached_property
    def finite(self) -> numpy.ndarray:
        """RETURNS (ndarray): Whether no logit of a unit is NaN or infinite, (U,) bool."""
        if self.logits.size <= FEW:
            return self.least(numpy.array([all(map(math.isfinite, row)) for row in self.logits.tolist()], dtype=bool))
        return self.least(numpy.isfinite(self.logits).all(axis=1))

    @cached_property
    def scaled(self) -> numpy.ndarray:
        """RETURNS (ndarray): The logits that probabilities are made of, (N, K)."""
        return scale(self.logits, self.temperature, exclusive=self.exclusive, threshold=self.threshold)

    @cached_property
    def log_probabilities(self) -> numpy.ndarray:
        """RETURNS (ndarray): Log-softmax over the labels, or the log-sigmoid for each label, (N, K). Always finite.

        Plain numpy: scipy's takes ten times as long on arrays of this size, and this is paid at every exit.
        """
        if self.exclusive:
            shifted, _, totals = self._exponentials
            return shifted - numpy.log(totals)
        return -numpy.logaddexp(0.0, -self.scaled)

    @cached_property
    def probabilities(self) -> numpy.ndarray:
        """RETURNS (ndarray): Softmax over the labels, or a sigmoid for each label, (N, K)."""
        if self.exclusive and self.logits.size <= FEW:
            return numpy.array([softmax(row) for row in self.scaled.tolist()]).reshape(self.logits.shape)
        if self.exclusive:
            _, shares, totals = self._exponentials
            return shares / totals
        return expit(self.scaled)

    @cached_property
    def _exponentials(self) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """What a softmax is made of: logits up to 0 (N, K), their exponentials (N, K), and the sums of these (N, 1)."""
        shifted = self.scaled - self.scaled.max(axis=1, keepdims=True)
        shares = numpy.exp(shifted)
        return shifted, shares, shares.sum(axis=1, keepdims=True)

    @cached_property
    def best(self) -> numpy.ndarray:
        """RETURNS (ndarray): The index of the best label of each item, (N,)."""
        return self.logits.argmax(axis=1)

    @cached_property
    def decision(self) -> numpy.ndarray:
        """RETURNS (ndarray): The labels given: the best one, or all from the threshold on, (N, K) bool."""
        if self.exclusive:
            return numpy.arange(self.logits.shape[1]) == self.best[:, None]
        return (self.probabilities if self.temperature == 1 else expit(self.logits)) >= self.threshold

    @cached_property
    def entropy(self) -> numpy.ndarray:
        """RETURNS (ndarray): The entropy as a share of the largest one possible, in [0, 1], (U,)."""
        return self._over_items(self.item_entropy)

    @cached_property
    def item_entropy(self) -> numpy.ndarray:
        """RETURNS (ndarray): That of each item, (N,).

        Divided by ln K as in FastBERT and EPEE; for labels that are not exclusive the two-point entropy of each over ln 2.
        """
        labels = self.logits.shape[1]
        if self.exclusive and labels > 1 and self.logits.size <= FEW:
            return numpy.array([entropy(row) for row in self.scaled.tolist()])
        if self.exclusive and labels > 1:
            shifted, shares, totals = self._exponentials
            totals = totals[:, 0]
            share = (numpy.log(totals) - (shares * shifted).sum(axis=1) / totals) / math.log(labels)
        else:
            # expit(-z) and not 1 - expit(z), which is 0 for a confident label.
            yes, no = expit(self.scaled), expit(-self.scaled)
            share = self._join((entr(yes) + entr(no)) / math.log(2))
        return numpy.minimum(numpy.maximum(share, 0.0), 1.0)

    @cached_property
    def confidence(self) -> numpy.ndarray:
        """RETURNS (ndarray): The largest probability; of yes or no for labels that are not exclusive, (U,)."""
        if self.exclusive and self.logits.shape[1] > 1:
            return self._over_items(self.probabilities.max(axis=1), settled=True)
        return self._over_items(1.0 - self._join(expit(-numpy.abs(self.scaled))), settled=True)

    @cached_property
    def margin(self) -> numpy.ndarray:
        """RETURNS (ndarray): The best probability less the second best; of yes and no if not exclusive, (U,)."""
        if self.exclusive and self.logits.shape[1] > 1:
            best = numpy.partition(self.probabilities, -2, axis=1)
            return self._over_items(best[:, -1] - best[:, -2], settled=True)
        return self._over_items(1.0 - self._join(2 * expit(-numpy.abs(self.scaled))), settled=True)

    @cached_property
    def energy(self) -> numpy.ndarray:
        """RETURNS (ndarray): 1 / (1 + sum(exp(z))) of the logits, in [0, 1], (U,): the smaller the larger they are. Of a label
        that is not exclusive 1 / (1 + exp(|z|)), z counted from the logit of its threshold."""
        if self.exclusive and self.logits.shape[1] > 1:
            _, _, totals = self._exponentials
            return self._over_items(expit(-self.scaled.max(axis=1) - numpy.log(totals[:, 0])))
        return self._over_items(self._join(expit(-numpy.abs(self.scaled - pivot(self.threshold)))))

    @cached_property
    def agrees(self) -> numpy.ndarray:
        """RETURNS (ndarray): Whether the decision (label or label set, of every item) is that of the previous exit, (U,)
        bool."""
        if self.previous is None:
            return numpy.zeros(len(self), dtype=bool)
        if self.exclusive:
            same = self.best == self.previous.best
        else:
            same = (self.decision == self.previous.decision).all(axis=1)
        same = same if self.counts is None else numpy.logical_and.reduceat(same, self._starts)
        return same if self.previous.blind is None else same & ~self.previous.blind

    @cached_property
    def doubt(self) -> Optional[numpy.ndarray]:
        """RETURNS (Optional[ndarray]): The learned estimate of the answer being wrong, in [0, 1], (U,)."""
        return None if self.item_doubt is None else self._over_items(self.item_doubt)

    @property
    def chance(self) -> Optional[numpy.ndarray]:
        """RETURNS (Optional[ndarray]): The log-odds that there is anything to find in a unit, by words alone, within bounds,
        (U,)."""
        if self.chances is None:
            return None
        most = self.chances if self.counts is None else numpy.maximum.reduceat(self.chances, self._starts)
        return bounded(logit(most))

    def divergence(self, kind: Divergence) -> numpy.ndarray:
        """How far the distribution has moved since the previous exit (F-PABEE, Gao et al. 2023).

        kind (str): With p the previous and q this exit: KD = KL(p||q), ReKD = KL(q||p), SymKD = their sum, in nats;
            JSKD = the Jensen-Shannon divergence over ln 2, in [0, 1].
        RETURNS (ndarray): The divergence, infinite at the first exit, (U,).
        """
        if self.previous is None:
            return numpy.full(len(self), numpy.inf)
        if self.exclusive and self.logits.shape[1] > 1:
            moved = self._over_items(divergence_of(self.previous.log_probabilities, self.log_probabilities, kind))
        else:
            pair = (self.previous, self)
            before, now = (-numpy.logaddexp(0.0, numpy.stack((-exit.scaled, exit.scaled), axis=-1)) for exit in pair)
            moved = self._over_items(self._join(divergence_of(before, now, kind)))
        return moved if self.previous.blind is None else numpy.where(self.previous.blind, numpy.inf, moved)

    def entropy_below(self, threshold: Union[float, numpy.ndarray]) -> numpy.ndarray:
        """Which units have an entropy below a threshold. Where a part of it is dear, that is looked at only if it matters.

        threshold (Union[float, ndarray]): The threshold, or one for each unit (U,).
        RETURNS (ndarray): Whether it is below, (U,) bool.
        """
        return self.entropy < threshold

    def remember(self) -> None:
        """Work out what the next exit is compared with, if that cannot be done later. Here it can."""

    def least(self, values: numpy.ndarray) -> numpy.ndarray:
        """RETURNS (ndarray): The smallest of the values (N,) of each unit's items, (U,)."""
        return values if self.counts is None else numpy.minimum.reduceat(values, self._starts)

    def _join(self, values: numpy.ndarray) -> numpy.ndarray:
        """Join the uncertainties of labels that are not exclusive."""
        return values.max(axis=1) if self.reduce == "max" else values.mean(axis=1)

    def _over_items(self, values: numpy.ndarray, settled: bool = False) -> numpy.ndarray:
        """Join the items of each unit: uncertainties, or figures that are the larger the more settled an item is."""
        if self.counts is None:
            return values
        if self.reduce == "max":
            return self.least(values) if settled else numpy.maximum.reduceat(values, self._starts)
        return numpy.add.reduceat(values, self._starts) / self.counts

    @cached_property
    def _starts(self) -> numpy.ndarray:
        """The first row of each unit, where units have several."""
        return firsts(cast(numpy.ndarray, self.counts))


class EvidenceMaker(Protocol):
    """What says how the logits of a task are to be read: `EvidenceBuilder`, or a task's own."""

    @property
    def threshold(self) -> Threshold:
        """RETURNS (Union[float, ndarray]): The probability from which a label counts as given, or one for each label (K,)."""

    @property
    def reduce(self) -> Union[str, float]:
        """RETURNS (Union[str, float]): How the uncertainties of a unit are joined."""

    @property
    def temperatures(self) -> Dict[int, float]:
        """RETURNS (Dict[int, float]): What the logits of the exit after a layer are divided by; 1 for those not named."""

    @property
    def evidence(self) -> Callable[..., Any]:
        """RETURNS (Callable[..., Evidence]): The method that makes evidence of logits, see `EvidenceBuilder.evidence`."""


@dataclass(frozen=True)
class EvidenceBuilder:
    """How logits are to be read.

    exclusive (bool): One label of K, or any number of them.
    threshold (Union[float, ndarray]): The probability from which a label counts as given, or one for each label (K,), if not
        exclusive.
    reduce (str): How the labels' uncertainties are joined, if not exclusive: "mean" or "max".
    temperatures (Dict[int, float]): What the logits of the exit after a layer are divided by; 1 for those not named.
    unknown (float): The probability that the best of exclusive labels must have to be given.
    """

    made: ClassVar[Type[Evidence]] = Evidence
    exclusive: bool = True
    threshold: Threshold = 0.5
    reduce: Reduction = "mean"
    temperatures: Dict[int, float] = field(default_factory=dict)
    unknown: float = 0.0

    def evidence(self, logits: numpy.ndarray, *, layer: int, asked: Any = None, link: Any = None, **context: Any) -> Evidence:
        """Make evidence of the logits of an exit.

        logits (ndarray): The logits of some items, (N, K).
        layer (int): The layer of the exit, 0 for that before the first one.
        asked (Optional[Instances]): What is asked about the batch, and
        link (Optional[Callable]): what looks at links, both of no use here (see tasks/events/evidence.py).
        context (Any): What else the evidence is made of.
        RETURNS (Evidence): What a rule may look at.
        """
        found = self.made(
            logits,
            layer=layer,
            exclusive=self.exclusive,
            threshold=self.threshold,
            temperature=self.temperatures.get(layer, 1.0),
            reduce=self.reduce,
            **context,
        )
        found.unknown = self.unknown
        return found
