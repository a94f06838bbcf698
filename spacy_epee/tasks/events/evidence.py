"""What an exit rule may look at when the answer is a structure: spans, and links between them."""

from typing import Callable, List, Optional, Set, Tuple, Union

import numpy
from scipy.special import entr, expit, logsumexp

from ...engine.results import Graph
from ...exits.divergence import Divergence, divergence_of
from ...exits.evidence import Evidence, Written
from ...exits.features import Features
from ...exits.scaling import pivot
from ...inputs.ranges import firsts
from ...threads import cached_property
from .features import link_values, span_values
from .instances import OUT, log_softmax
from .structure import Structure


class StructureEvidence(Evidence):
    """The tags of tokens, of which spans are read off, and the links of these spans.

    structure (Structure): The spans and links.
    """

    def __init__(
        self,
        structure: Structure,
        *,
        layer: int,
        reduce: Union[str, float] = "mean",
        previous: Optional["StructureEvidence"] = None,
        doubt: Optional[numpy.ndarray] = None,
    ):
        """
        structure (Structure): The spans and links.
        layer (int): The layer of this exit, from 1.
        reduce (Union[str, float]): How the tokens of a unit are joined, and its pairs: their "mean", "max" for the least
            settled one, or a quantile of their uncertainties, from 0 to 1 (after SENTEE, Li et al. 2021, which takes the
            largest).
        previous (Optional[StructureEvidence]): The evidence of the same units at the previous exit, None at the first one.
        doubt (Optional[ndarray]): The learned estimate of the answer being wrong, in [0, 1], (N,).
        """
        super().__init__(
            structure.logits,
            layer=layer,
            units=structure.units,
            exclusive=False,
            threshold=structure.threshold,
            temperature=structure.temperature,
            reduce=reduce,  # type: ignore[arg-type]
            previous=previous,
            doubt=doubt,
            items=structure.items,
            counts=structure.counts,
        )
        self.structure = structure
        self._part: Optional[Tuple[numpy.ndarray, "StructureEvidence"]] = None

    def keep(self, units: numpy.ndarray) -> "StructureEvidence":
        return self._of(self.structure.keep(units), units)

    def only(self, units: numpy.ndarray) -> "StructureEvidence":
        """Some of the units, whose spans can still be linked.

        units (ndarray): Which units, (U,) bool. Nothing is linked so far.
        RETURNS (StructureEvidence): Their evidence, kept for as long as no others are asked for.
        """
        if units.all():
            return self
        if self._part is None or not numpy.array_equal(self._part[0], units):
            self._part = units.copy(), self._of(self.structure.only(units), units)
        return self._part[1]

    def leaving(self, done: numpy.ndarray) -> Tuple["StructureEvidence", numpy.ndarray]:
        if self.structure.linked:
            return self, done
        if self._part is not None and self._part[0][done].all():  # those may be linked already
            units, part = self._part
            return part.leaving(done[units])
        return self.only(done), numpy.ones(int(done.sum()), dtype=bool)

    def _of(self, structure: Structure, units: numpy.ndarray) -> "StructureEvidence":
        """Evidence of some of the units, without a previous one."""
        doubt = None if self.item_doubt is None else self.item_doubt[self.rows(units)]
        return StructureEvidence(structure, layer=self.layer, reduce=self.reduce, doubt=doubt)

    def write_to(self, predictions: Written, done: numpy.ndarray) -> None:
        """Write down the spans and links that units leave with.

        predictions (Written): Where to.
        done (ndarray): Which of the units leave, (U,) bool.
        """
        structure = self.structure
        predictions.graphs = predictions.graphs or [None] * structure.asked.n_units
        for place in numpy.flatnonzero(done).tolist():
            predictions.graphs[structure.units[place]] = structure.graph(place)

    def graph(self, unit: int) -> Graph:
        """RETURNS (Graph): The spans and links of one of the units here, by its place."""
        return self.structure.graph(unit)

    def same_answer(self, other: "StructureEvidence") -> numpy.ndarray:  # type: ignore[override]
        """RETURNS (ndarray): Whether each unit has the same spans and links at another exit, (U,) bool."""
        return numpy.array([one == another for one, another in zip(self.structure.keys, other.structure.keys)], dtype=bool)

    @property
    def parts(self) -> List[Set[Tuple[int, ...]]]:  # type: ignore[override]
        return self.structure.keys

    @cached_property
    def agrees(self) -> numpy.ndarray:
        """RETURNS (ndarray): Whether the events are those of the previous exit, (U,) bool."""
        self.remember()  # also at the first exit: the next one compares
        if self.previous is None:
            return numpy.zeros(len(self), dtype=bool)
        return self.same_answer(self.previous)  # type: ignore[arg-type]

    @cached_property
    def finite(self) -> numpy.ndarray:
        finite = super().finite.copy()
        if self.structure.linked:
            pairs, _, logits, _ = self.structure.links
            finite[self.structure.places[self.structure.nodes[pairs[~numpy.isfinite(logits).all(axis=1), 0], 0]]] = False
        return finite

    @cached_property
    def features(self) -> Features:  # type: ignore[override]
        def of_links(units: numpy.ndarray) -> numpy.ndarray:
            whole = self if self.structure.linked else self.only(units)
            values = link_values(whole.structure)
            return values[units] if whole is self else values

        values, keys = span_values(self.structure)
        links = of_links if self.structure.asked.schema.outputs else None
        return Features(self.structure.open, values, keys, links, self.chance)

    @cached_property
    def decision(self) -> numpy.ndarray:
        """RETURNS (ndarray): The best tag of each layer, (N, K) bool; none of an argument where there is no event."""
        tags = self.structure.tags.copy()
        tags[~numpy.repeat(self.structure.open, self.structure.counts), self.structure.n_triggers :] = OUT
        return (numpy.arange(3) == tags[:, :, None]).reshape(len(self.logits), -1)

    @cached_property
    def probabilities(self) -> numpy.ndarray:
        """RETURNS (ndarray): The probability of each tag, (N, K)."""
        return numpy.exp(log_softmax(self.structure.scaled)).reshape(len(self.logits), -1)

    @cached_property
    def _tag_entropy(self) -> numpy.ndarray:
        """The entropy of each unit's tags, (U,)."""

        def of_tags(layers: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
            if layers[0, -1] < self.structure.n_triggers:
                logs = self.structure.trigger_logs[rows[:, 0]]
            else:
                logs = log_softmax(self.structure.scaled[rows, layers])
            return -(numpy.exp(logs) * logs).sum(axis=2) / numpy.log(3)

        return self._of_tags(of_tags)

    @cached_property
    def entropy(self) -> numpy.ndarray:
        def of_links(logits: numpy.ndarray) -> numpy.ndarray:
            return (entr(expit(logits)) + entr(expit(-logits))) / numpy.log(2)

        return numpy.clip(self._with_links(self._tag_entropy, of_links), 0.0, 1.0)

    def entropy_below(self, threshold: Union[float, numpy.ndarray]) -> numpy.ndarray:
        # An entropy is that of tags, or of links if that is more: spans are linked where the tags are settled.
        if not self.structure.may_link:
            return self.entropy < threshold
        limits = numpy.broadcast_to(threshold, len(self))
        below = numpy.clip(self._tag_entropy, 0.0, 1.0) < limits
        if below.any():
            below[below] = self.only(below).entropy < limits[below]
        return below

    @cached_property
    def confidence(self) -> numpy.ndarray:
        def of_tags(layers: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
            return 1 - numpy.exp(log_softmax(self.structure.scaled[rows, layers]).max(axis=2))

        return 1.0 - self._uncertainty(of_tags, lambda logits: expit(-numpy.abs(logits)))

    @cached_property
    def margin(self) -> numpy.ndarray:
        def of_tags(layers: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
            best = numpy.sort(numpy.exp(log_softmax(self.structure.scaled[rows, layers])), axis=2)
            return 1 - (best[:, :, 2] - best[:, :, 1])

        return 1.0 - self._uncertainty(of_tags, lambda logits: 2 * expit(-numpy.abs(logits)))

    @cached_property
    def energy(self) -> numpy.ndarray:
        def of_tags(layers: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
            return expit(-logsumexp(self.structure.scaled[rows, layers], axis=2))

        pivots = self.structure.of_links(pivot(self.threshold))
        return self._uncertainty(of_tags, lambda logits: expit(-numpy.abs(logits - pivots)))

    @cached_property
    def doubt(self) -> Optional[numpy.ndarray]:
        return None if self.item_doubt is None else self._over_units(self.item_doubt, self.structure.counts)

    def remember(self) -> None:
        """Link the spans and read off the events, while the states that links are made of are there."""
        self.structure.keys

    def divergence(self, kind: Divergence) -> numpy.ndarray:
        """How far the tags and links have moved since the previous exit; infinite if other spans are paired than then."""
        _, pairs, now, possible = self.structure.links  # also at the first exit: the next one compares
        if self.previous is None:
            return numpy.full(len(self), numpy.inf)
        before: StructureEvidence = self.previous  # type: ignore[assignment]
        _, old_pairs, old, _ = before.structure.links
        places = {tuple(pair): place for place, pair in enumerate(old_pairs.tolist())}
        matched = numpy.array([places.get(tuple(pair), -1) for pair in pairs.tolist()], dtype=int)

        def of_tags(layers: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
            then, now = (log_softmax(evidence.structure.scaled[rows, layers]) for evidence in (before, self))
            return divergence_of(then, now, kind)

        def of_links(logits: numpy.ndarray) -> numpy.ndarray:
            then, now = (-numpy.logaddexp(0.0, numpy.stack((-part, part), axis=-1)) for part in (old[matched], logits))
            moved = divergence_of(then, now, kind)
            moved[matched < 0] = numpy.inf
            return moved

        return self._uncertainty(of_tags, of_links if len(old_pairs) else lambda logits: numpy.full_like(logits, numpy.inf))

    def _uncertainty(
        self, of_tags: Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray], of_links: Callable[[numpy.ndarray], numpy.ndarray]
    ) -> numpy.ndarray:
        """Join what is uncertain about tags and links.

        of_tags (Callable): From layers and rows, to be used as indices, to a number for each, (N', L').
        of_links (Callable): From logits of links to a number for each, (P, outputs).
        RETURNS (ndarray): One for each unit: of its tokens, or of its links if that is more, (U,).
        """
        return self._with_links(self._of_tags(of_tags), of_links)

    def _of_tags(self, of_tags: Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]) -> numpy.ndarray:
        """What is uncertain about tags, (U,)."""
        total = numpy.zeros(len(self))
        n_triggers, has_trigger = self.structure.n_triggers, self.structure.open
        first = 0 if self.structure.asked.find_triggers else n_triggers
        for begin, end, units in ((first, n_triggers, ~has_trigger), (first, self.structure.tags.shape[1], has_trigger)):
            rows = numpy.flatnonzero(numpy.repeat(units, self.structure.counts))
            if begin < end and len(rows):
                values = of_tags(numpy.arange(begin, end)[None], rows[:, None]).max(axis=1)
                total[units] = self._over_units(values, self.structure.counts[units])
        return total

    def _with_links(self, total: numpy.ndarray, of_links: Callable[[numpy.ndarray], numpy.ndarray]) -> numpy.ndarray:
        """What is uncertain about tags, or about links if that is more, (U,)."""
        total = total.copy()
        _, pairs, logits, possible = self.structure.links
        if len(pairs):
            values = numpy.where(possible, of_links(logits), 0.0).max(axis=1)
            linked, counts = numpy.unique(self.structure.places[pairs[:, 0]], return_counts=True)  # pairs come by window
            total[linked] = numpy.maximum(total[linked], self._over_units(values, counts))
        return total

    def _over_units(self, values: numpy.ndarray, counts: numpy.ndarray) -> numpy.ndarray:
        """Join the values of each unit, which has so many of them in a row."""
        starts = firsts(counts)
        if self.reduce == "max":
            return numpy.maximum.reduceat(values, starts)
        if self.reduce == "mean":
            return numpy.add.reduceat(values, starts) / counts
        return numpy.array([numpy.quantile(part, float(self.reduce)) for part in numpy.split(values, starts[1:])])
