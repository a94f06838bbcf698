"""What an exit rule may look at when the answer is a structure: spans, and links between them."""

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Set, Tuple, Union

import numpy
from scipy.special import entr, expit

from ...engine.results import Graph
from ...exits.evidence import Divergence, Evidence, Written, divergence_of
from ...threads import cached_property

if TYPE_CHECKING:
    from .instances import TokenInstances

Link = Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]
"""From heads and children (P, 4) to the logits of their links (P, outputs)."""


class StructureEvidence(Evidence):
    """The tags of tokens, of which spans are read off, and the links of these spans.

    Of a window without a trigger only the layers of triggers are looked at: what would be its arguments is of no interest, and
    nothing is linked.
    """

    def __init__(
        self,
        logits: numpy.ndarray,
        *,
        asked: "TokenInstances",
        link: Optional[Link] = None,
        reduce: Union[str, float] = "mean",
        **context: Any,
    ):
        """
        logits (ndarray): The logits of the tags of tokens, three for each layer, (N, K).
        asked (TokenInstances): What is asked about the batch.
        link (Optional[Link]): Looks at links. None if there are none.
        reduce (Union[str, float]): How the tokens of a unit are joined, and its pairs: their "mean", "max" for the least
            settled one, or a quantile of their uncertainties, from 0 to 1 (after SENTEE, Li et al. 2021, which takes the
            largest).
        context (Any): As for any evidence.
        """
        super().__init__(logits, reduce=reduce, **context)  # type: ignore[arg-type]
        self.exclusive = False
        self.asked = asked
        self.link = link
        self.n_triggers = len(asked.schema.events)

    def keep(self, units: numpy.ndarray) -> "StructureEvidence":
        rows = self.rows(units)
        kept = StructureEvidence(
            self.logits[rows],
            asked=self.asked,
            reduce=self.reduce,
            layer=self.layer,
            units=self.units[units],
            threshold=self.threshold,
            temperature=self.temperature,
            doubt=None if self.item_doubt is None else self.item_doubt[rows],
            items=self.items[rows],
            counts=self.row_counts[units],
        )
        # The states that links are made of have climbed on by then. What a rule compares it has looked at before.
        if "keys" in self.__dict__:
            kept.__dict__["keys"] = [key for key, wanted in zip(self.keys, units) if wanted]
        if "links" in self.__dict__:
            kept.__dict__["links"] = self.links
        return kept

    def only(self, units: numpy.ndarray) -> "StructureEvidence":
        """Some of the units, whose spans can still be linked.

        units (ndarray): Which units, (U,) bool. Nothing is linked so far.
        RETURNS (StructureEvidence): Their evidence.
        """
        kept = self.keep(units)
        kept.link = self.link
        return kept

    def write_to(self, predictions: Written, done: numpy.ndarray) -> None:
        """Write down the spans and links that units leave with.

        predictions (Written): Where to.
        done (ndarray): Which of the units leave, (U,) bool.
        """
        evidence = self
        if "links" not in vars(self):  # those that stay need none
            evidence, done = self.only(done), numpy.ones(int(done.sum()), dtype=bool)
        predictions.graphs = predictions.graphs or [None] * self.asked.n_units
        for place in numpy.flatnonzero(done):
            predictions.graphs[evidence.units[place]] = evidence.graph(place)

    def same_answer(self, other: "StructureEvidence") -> numpy.ndarray:  # type: ignore[override]
        """RETURNS (ndarray): Whether each unit has the same spans and links at another exit, (U,) bool."""
        return numpy.array([one == another for one, another in zip(self.keys, other.keys)], dtype=bool)

    @property
    def row_counts(self) -> numpy.ndarray:
        """RETURNS (ndarray): Instances per unit, (U,)."""
        return numpy.ones(len(self.units), dtype="int64") if self.counts is None else self.counts

    @cached_property
    def places(self) -> numpy.ndarray:
        """RETURNS (ndarray): Which of the units here each unit of the batch is, -1 for those that have left, (all units,)."""
        places = numpy.full(self.asked.n_units, -1)
        places[self.units] = numpy.arange(len(self.units))
        return places

    @cached_property
    def grouped(self) -> numpy.ndarray:
        """RETURNS (ndarray): The logits by layer, (N, L, 3)."""
        return self.logits.reshape(len(self.logits), -1, 3)

    @cached_property
    def scaled(self) -> numpy.ndarray:
        """RETURNS (ndarray): The same, over the temperature. Links are not scaled: it is fitted to tags."""
        return self.grouped if self.temperature == 1 else self.grouped / self.temperature

    @cached_property
    def tags(self) -> numpy.ndarray:
        """RETURNS (ndarray): The best tag in each layer, (N, L)."""
        return self.grouped.argmax(axis=2)

    @cached_property
    def triggers(self) -> numpy.ndarray:
        """RETURNS (ndarray): The triggers, given or found, as nodes, (M, 4)."""
        if not self.asked.find_triggers:
            given = self.asked.given_of(self.units)
            return given[given[:, 3] < self.n_triggers]
        return self.asked.nodes(self.tags[:, : self.n_triggers], self.items, numpy.arange(self.n_triggers))

    @cached_property
    def open(self) -> numpy.ndarray:
        """RETURNS (ndarray): Which units have a trigger, so that there may be arguments, (U,) bool."""
        found = numpy.zeros(len(self.units), dtype=bool)
        found[self.places[self.triggers[:, 0]]] = True
        return found

    @cached_property
    def nodes(self) -> numpy.ndarray:
        """RETURNS (ndarray): The triggers and what can be their arguments, (M, 4)."""
        open_rows = numpy.repeat(self.open, self.row_counts)
        layers = numpy.arange(self.n_triggers, self.tags.shape[1])
        tagged = self.asked.nodes(self.tags[open_rows][:, self.n_triggers :], self.items[open_rows], layers)
        given = self.asked.given_of(self.units[self.open])
        given = given[given[:, 3] >= self.n_triggers]
        return numpy.concatenate((self.triggers, tagged, given))

    def node_scores(self, places: numpy.ndarray, logits: Optional[numpy.ndarray] = None) -> numpy.ndarray:
        """How sure some nodes are.

        places (ndarray): Which of `nodes`, (M',).
        logits (Optional[ndarray]): The logits to go by; None for the scaled ones.
        RETURNS (ndarray): The mean probability of its tags, and 1 for one that is given, (M',).
        """
        logits = self.scaled if logits is None else logits
        scores = numpy.ones(len(places))
        nodes = self.nodes[places]
        firsts = numpy.searchsorted(self.items, nodes[:, 1]).tolist()
        for number, (first, (_, start, stop, kind)) in enumerate(zip(firsts, nodes.tolist())):
            if kind < self.grouped.shape[1] and (kind >= self.n_triggers or self.asked.find_triggers):
                scores[number] = numpy.exp(_log_softmax(logits[first : first + stop - start, kind]).max(axis=1)).mean()
        return scores

    @cached_property
    def links(self) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray, ndarray, ndarray]): Pairs, as places in `nodes` (P, 2); the nodes of head and child
        side by side (P, 8); the logits of their links (P, outputs); and which outputs are possible (P, outputs) bool."""
        outputs = len(self.asked.schema.outputs)
        # Of too many pairs the same ones are looked at whatever the temperature.
        scores = partial(self.node_scores, logits=self.grouped)
        pairs = self.asked.pair(self.nodes, scores) if self.link is not None else numpy.zeros((0, 2), dtype=int)
        if not len(pairs):
            nothing = numpy.zeros((0, outputs))
            return pairs, numpy.zeros((0, 8), dtype=int), nothing, nothing.astype(bool)
        heads, children = self.nodes[pairs[:, 0]], self.nodes[pairs[:, 1]]
        logits = numpy.asarray(self.link(heads, children), dtype="float64")  # type: ignore[misc]
        return pairs, numpy.hstack((heads, children)), logits, self.asked.possible(heads, children)

    @cached_property
    def accepted(self) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray]): The links that are given, as places of head and child in `nodes` and the output
        (L, 3), and how sure they are (L,)."""
        pairs, _, logits, possible = self.links
        scores = expit(logits)
        rows, outputs = numpy.nonzero(possible & (scores >= self.threshold))
        links = numpy.column_stack((pairs[rows], outputs)) if len(rows) else numpy.zeros((0, 3), dtype=int)
        reached = self._reached(links)
        return links[reached], scores[rows, outputs][reached]

    def graph(self, unit: int) -> Graph:
        """What a unit says.

        unit (int): Which of the units here.
        RETURNS (Graph): Its spans and links.
        """
        links, scores = self.accepted
        here, wanted = (places[unit] for places in self._by_unit)
        own = links[wanted]
        own = numpy.column_stack((numpy.searchsorted(here, own[:, 0]), numpy.searchsorted(here, own[:, 1]), own[:, 2]))
        return Graph(self.nodes[here], self.node_scores(here), own, scores[wanted])

    @cached_property
    def _by_unit(self) -> Tuple[List[numpy.ndarray], List[numpy.ndarray]]:
        """The places of the nodes of each unit, and of the links that are given."""
        units = self.places[self.nodes[:, 0]]
        found = []
        for owners in (units, units[self.accepted[0][:, 0]]):
            order = numpy.argsort(owners, kind="stable")
            found.append(numpy.split(order, numpy.searchsorted(owners[order], numpy.arange(1, len(self)))))
        return found[0], found[1]

    def _reached(self, links: numpy.ndarray) -> numpy.ndarray:
        """Which links are part of an event: parts of what is no argument are not, (L,) bool."""
        reached = self.nodes[:, 3] < self.n_triggers
        while True:
            more = links[:, 1][reached[links[:, 0]]]
            if reached[more].all():
                return reached[links[:, 0]]
            reached[more] = True

    @cached_property
    def keys(self) -> List[Set[Tuple[int, ...]]]:
        """RETURNS (List[Set[Tuple[int, ...]]]): What each unit says, without how sure it is: triggers and links. Spans that no
        link holds say nothing, unless they are triggers."""
        found: List[Set[Tuple[int, ...]]] = [set() for _ in self.units]
        places = self.places[self.nodes[:, 0]].tolist()
        nodes = self.nodes.tolist()
        for place, node in zip(places, nodes):
            if node[3] < self.n_triggers:
                found[place].add(tuple(node))
        for head, child, output in self.accepted[0].tolist():
            found[places[head]].add((*nodes[head], *nodes[child], output))
        return found

    @cached_property
    def agrees(self) -> numpy.ndarray:
        """RETURNS (ndarray): Whether the events are those of the previous exit, (U,) bool."""
        self.remember()  # also at the first exit: the next one compares
        if self.previous is None:
            return numpy.zeros(len(self), dtype=bool)
        return numpy.array([one == other for one, other in zip(self.keys, self.previous.keys)], dtype=bool)  # type: ignore

    @cached_property
    def finite(self) -> numpy.ndarray:
        finite = super().finite.copy()
        if "links" in vars(self):
            pairs, _, logits, _ = self.links
            finite[self.places[self.nodes[pairs[~numpy.isfinite(logits).all(axis=1), 0], 0]]] = False
        return finite

    @cached_property
    def decision(self) -> numpy.ndarray:
        """RETURNS (ndarray): The best tag of each layer, (N, K) bool."""
        return (numpy.arange(3) == self.tags[:, :, None]).reshape(len(self.logits), -1)

    @cached_property
    def probabilities(self) -> numpy.ndarray:
        """RETURNS (ndarray): The probability of each tag, (N, K)."""
        return numpy.exp(_log_softmax(self.scaled)).reshape(len(self.logits), -1)

    @cached_property
    def _tag_entropy(self) -> numpy.ndarray:
        """The entropy of each unit's tags, (U,)."""

        def of_tags(layers: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
            logs = _log_softmax(self.scaled[rows, layers])
            return -(numpy.exp(logs) * logs).sum(axis=2) / numpy.log(3)

        return self._of_tags(of_tags)

    @cached_property
    def entropy(self) -> numpy.ndarray:
        def of_links(logits: numpy.ndarray) -> numpy.ndarray:
            return (entr(expit(logits)) + entr(expit(-logits))) / numpy.log(2)

        return numpy.clip(self._with_links(self._tag_entropy, of_links), 0.0, 1.0)

    def entropy_below(self, threshold: Union[float, numpy.ndarray]) -> numpy.ndarray:
        # An entropy is that of tags, or of links if that is more: spans are linked where the tags are settled.
        if "links" in self.__dict__ or self.link is None:
            return self.entropy < threshold
        limits = numpy.broadcast_to(threshold, len(self))
        found = numpy.clip(self._tag_entropy, 0.0, 1.0) < limits
        if found.any():
            found[found] = self.only(found).entropy < limits[found]
        return found

    @cached_property
    def confidence(self) -> numpy.ndarray:
        def of_tags(layers: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
            return 1 - numpy.exp(_log_softmax(self.scaled[rows, layers]).max(axis=2))

        return 1.0 - self._uncertainty(of_tags, lambda logits: expit(-numpy.abs(logits)))

    @cached_property
    def margin(self) -> numpy.ndarray:
        def of_tags(layers: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
            best = numpy.sort(numpy.exp(_log_softmax(self.scaled[rows, layers])), axis=2)
            return 1 - (best[:, :, 2] - best[:, :, 1])

        return 1.0 - self._uncertainty(of_tags, lambda logits: 2 * expit(-numpy.abs(logits)))

    @cached_property
    def doubt(self) -> Optional[numpy.ndarray]:
        return None if self.item_doubt is None else self._over_units(self.item_doubt, self.row_counts)

    def remember(self) -> None:
        """Link the spans and read off the events, while the states that links are made of are there."""
        self.keys

    def divergence(self, kind: Divergence) -> numpy.ndarray:
        """How far the tags and links have moved since the previous exit; infinite if other spans are paired than then."""
        _, pairs, now, possible = self.links  # also at the first exit: the next one compares
        if self.previous is None:
            return numpy.full(len(self), numpy.inf)
        before: StructureEvidence = self.previous  # type: ignore[assignment]
        _, old_pairs, old, _ = before.links
        places = {tuple(pair): place for place, pair in enumerate(old_pairs.tolist())}
        matched = numpy.array([places.get(tuple(pair), -1) for pair in pairs.tolist()], dtype=int)

        def of_tags(layers: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
            both = (_log_softmax(evidence.scaled[rows, layers]) for evidence in (before, self))
            return divergence_of(*both, kind)

        def of_links(logits: numpy.ndarray) -> numpy.ndarray:
            points = [-numpy.logaddexp(0.0, numpy.stack((-part, part), axis=-1)) for part in (old[matched], logits)]
            found = divergence_of(*points, kind)
            found[matched < 0] = numpy.inf
            return found

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
        first = 0 if self.asked.find_triggers else self.n_triggers
        for begin, end, units in ((first, self.n_triggers, ~self.open), (first, self.tags.shape[1], self.open)):
            rows = numpy.flatnonzero(numpy.repeat(units, self.row_counts))
            if begin < end and len(rows):
                values = of_tags(numpy.arange(begin, end)[None], rows[:, None]).max(axis=1)
                total[units] = self._over_units(values, self.row_counts[units])
        return total

    def _with_links(self, total: numpy.ndarray, of_links: Callable[[numpy.ndarray], numpy.ndarray]) -> numpy.ndarray:
        """What is uncertain about tags, or about links if that is more, (U,)."""
        total = total.copy()
        _, pairs, logits, possible = self.links
        if len(pairs):
            values = numpy.where(possible, of_links(logits), 0.0).max(axis=1)
            linked, counts = numpy.unique(self.places[pairs[:, 0]], return_counts=True)  # pairs come by window
            total[linked] = numpy.maximum(total[linked], self._over_units(values, counts))
        return total

    def _over_units(self, values: numpy.ndarray, counts: numpy.ndarray) -> numpy.ndarray:
        """Join the values of each unit, which has so many of them in a row."""
        starts = numpy.cumsum(counts) - counts
        if self.reduce == "max":
            return numpy.maximum.reduceat(values, starts)
        if self.reduce == "mean":
            return numpy.add.reduceat(values, starts) / counts
        return numpy.array([numpy.quantile(part, float(self.reduce)) for part in numpy.split(values, starts[1:])])


def _log_softmax(logits: numpy.ndarray) -> numpy.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - numpy.log(numpy.exp(shifted).sum(axis=-1, keepdims=True))
