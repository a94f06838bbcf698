"""What comes of a climb: links and graphs of one exit, all exits, and the predictions of a batch."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple, cast

import numpy

from ..exits.evidence import EVERY, Evidence, EvidenceMaker
from ..inputs.instances import Instances
from ..threads import cached_property


@dataclass
class Graph:
    """The spans and links found in a window.

    nodes (ndarray): The spans: unit, first item, the one behind the last, and the number of the kind, (M, 4).
    scores (ndarray): How sure each is, (M,).
    links (ndarray): Places of head and child in `nodes`, and the output, (L, 3).
    link_scores (ndarray): How sure each is, (L,).
    """

    nodes: numpy.ndarray
    scores: numpy.ndarray
    links: numpy.ndarray
    link_scores: numpy.ndarray

    def same(self, other: "Graph") -> bool:
        """RETURNS (bool): Whether another graph has the same spans and links."""
        return numpy.array_equal(self.nodes, other.nodes) and numpy.array_equal(self.links, other.links)


_LEFT = numpy.ones(1, dtype=bool)


@dataclass
class LinkLogits:
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
class Predictions:
    """What the units of a batch left with.

    items (Instances): What was asked.
    logits (ndarray): The logits of the exit that each took, (N, K) float32. Zeros for an item without a window.
    probabilities (ndarray): The same as probabilities, (N, K). Zeros for an item without a window.
    layers (ndarray): The layer of that exit, (U,) from 0, which is before the first layer, to `depth`.
    ran (ndarray): Which units have left by an exit, (U,) bool. The others have nothing to answer.
    entropy (ndarray): The normalised entropy there, (U,).
    reasons (List[str]): Why each left: a reason of the rule, "joint" where other tasks decided, or "depth".
    depth (int): The number of layers.
    reading (EvidenceMaker): How the logits are to be read.
    broken (ndarray): Which units left with logits that are NaN or infinite, (U,) bool.
    graphs (Optional[List[Optional[Graph]]]): What each unit says where that is a structure, and logits and probabilities are
        zeros. None for units that did not climb.
    """

    items: Instances
    logits: numpy.ndarray
    probabilities: numpy.ndarray
    layers: numpy.ndarray
    ran: numpy.ndarray
    entropy: numpy.ndarray
    reasons: List[str]
    depth: int
    reading: EvidenceMaker
    broken: numpy.ndarray
    graphs: Optional[List[Optional[Graph]]] = None

    @classmethod
    def empty(cls, items: Instances, labels: int, depth: int, reading: EvidenceMaker) -> "Predictions":
        """RETURNS (Predictions): Those of units that have not climbed."""
        return cls(
            items=items,
            logits=numpy.zeros((len(items), labels), dtype="float32"),
            probabilities=numpy.zeros((len(items), labels), dtype="float32"),
            layers=numpy.zeros(items.n_units, dtype="int64"),
            ran=numpy.zeros(items.n_units, dtype=bool),
            entropy=numpy.zeros(items.n_units, dtype="float64"),
            reasons=[""] * items.n_units,
            depth=depth,
            reading=reading,
            broken=numpy.zeros(items.n_units, dtype=bool),
        )

    @classmethod
    def of_one(cls, items: Instances, evidence: Evidence, reason: str, depth: int, reading: EvidenceMaker) -> "Predictions":
        """RETURNS (Predictions): That of one unit with one item, from what it has left with and why."""
        return cls(
            items=items,
            logits=evidence.logits.astype("float32"),
            probabilities=evidence.probabilities.astype("float32"),
            layers=numpy.array([evidence.layer]),
            ran=_LEFT.copy(),
            entropy=evidence.entropy,
            reasons=[reason],
            depth=depth,
            reading=reading,
            broken=~evidence.finite,
        )

    @property
    def given(self) -> numpy.ndarray:
        """RETURNS (ndarray): The labels that each item is given, (N, K) bool."""
        evidence = self.reading.evidence(self.logits, layer=0, units=numpy.arange(len(self.logits)))
        return evidence.decision & (self.probabilities >= evidence.unknown) if evidence.unknown else evidence.decision

    def write(self, evidence: Evidence, done: numpy.ndarray, reasons: Sequence[str]) -> None:
        """Write down the units that leave.

        evidence (Evidence): This exit's evidence.
        done (ndarray): Which of its units leave, (U,) bool.
        reasons (Sequence[str]): Why each of them does.
        """
        evidence, done = evidence.leaving(done)
        evidence.write_to(self, done)
        units, rows = cast(Any, evidence.units[done]), cast(Any, done)
        for unit, reason in zip(units.tolist(), reasons):
            self.reasons[unit] = reason
        if len(units) == len(self.ran):  # all of them, in order: a slice costs less
            units = rows = EVERY
        self.broken[units] = ~evidence.finite[rows]
        self.layers[units] = evidence.layer
        self.ran[units] = True
        self.entropy[units] = evidence.entropy[rows]


@dataclass
class ExitOutputs:
    """What all exits say about some items, or the gradient of it.

    logits (Tensor or Floats3d): Logits, (E, N, K). Zeros for items of units without a window.
    doubt (Tensor or Floats2d): Logits of the answer being wrong, (E, N), or (E, 0) without a learned exit.
    items (Instances): What was asked.
    links (List[LinkLogits]): What each exit says about links, if the task has any.
    """

    logits: Any
    doubt: Any
    items: Instances
    links: List[LinkLogits] = field(default_factory=list)
