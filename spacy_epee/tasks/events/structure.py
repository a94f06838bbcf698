"""From the tags of tokens to spans, and to the links between them: what the windows still climbing say at an exit."""

from functools import partial
from typing import Callable, List, Optional, Set, Tuple

import numpy
from scipy.special import expit

from ...engine.results import Graph
from ...exits.scaling import Threshold
from ...threads import cached_property
from .instances import KIND, NO_NODES, TokenInstances, log_softmax

Link = Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]
"""From heads and children (P, 4) to the logits of their links (P, outputs)."""

NO_PAIRS, NO_LINKS = numpy.zeros((0, 2), dtype="int64"), numpy.zeros((0, 3), dtype="int64")
NO_GRAPH = Graph(NO_NODES, numpy.zeros(0), NO_LINKS, numpy.zeros(0))
"""That of a window without a trigger."""


class Structure:
    """The spans that are read off tags, and their links.

    Of a window without a trigger only the layers of triggers are looked at: what would be its arguments is of no interest, and
    nothing is linked.
    """

    def __init__(
        self,
        logits: numpy.ndarray,
        *,
        asked: TokenInstances,
        units: numpy.ndarray,
        items: numpy.ndarray,
        counts: numpy.ndarray,
        threshold: Threshold,
        temperature: float,
        link: Optional[Link] = None,
    ):
        """
        logits (ndarray): The logits of the tags of tokens, three for each layer, (N, K).
        asked (TokenInstances): What is asked about the batch.
        units (ndarray): The place of each unit among all units of the batch, (U,).
        items (ndarray): The place of each row of logits among all items of the batch, (N,).
        counts (ndarray): How many rows each unit has, (U,).
        threshold (Union[float, ndarray]): The probability from which a link counts as given, or one for each threshold that the
            schema names, (T,).
        temperature (float): What the logits of tags are divided by to be probabilities.
        link (Optional[Link]): Looks at links. None if there are none.
        """
        self.logits = numpy.asarray(logits, dtype="float64")
        self.asked = asked
        self.units = units
        self.items = items
        self.counts = counts
        self.threshold = threshold
        self.temperature = temperature
        self.link = link
        self.n_triggers = len(asked.schema.events)

    def __len__(self) -> int:
        return len(self.units)

    def keep(self, units: numpy.ndarray) -> "Structure":
        """What some of the units say, to be compared with what they say at the next exit. The states that links are made of have
        climbed on by then: nothing more is linked.

        units (ndarray): Which of the units, (U,) bool.
        RETURNS (Structure): Theirs.
        """
        kept = self._select(units, None)
        if "keys" in vars(self):
            vars(kept)["keys"] = [key for key, wanted in zip(self.keys, units) if wanted]
        if "links" in vars(self):
            vars(kept)["links"] = self.links
        return kept

    def only(self, units: numpy.ndarray) -> "Structure":
        """Some of the units, whose spans can still be linked.

        units (ndarray): Which of the units, (U,) bool. Nothing is linked so far.
        RETURNS (Structure): Theirs.
        """
        return self._select(units, self.link)

    def _select(self, units: numpy.ndarray, link: Optional[Link]) -> "Structure":
        rows = numpy.repeat(units, self.counts)
        return Structure(
            self.logits[rows],
            asked=self.asked,
            units=self.units[units],
            items=self.items[rows],
            counts=self.counts[units],
            threshold=self.threshold,
            temperature=self.temperature,
            link=link,
        )

    @property
    def linked(self) -> bool:
        """RETURNS (bool): Whether spans are linked already, as far as they ever are."""
        return "links" in vars(self)

    @property
    def may_link(self) -> bool:
        """RETURNS (bool): Whether links are still to be looked at."""
        return self.link is not None and not self.linked

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
    def trigger_logs(self) -> numpy.ndarray:
        """RETURNS (ndarray): The logarithms of the probabilities of the tags of triggers, (N, L', 3)."""
        return log_softmax(self.scaled[:, : self.n_triggers])

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
        if not self.tags[:, : self.n_triggers].any():  # all are OUT
            return NO_NODES
        return self.asked.nodes(self.tags[:, : self.n_triggers], self.items, numpy.arange(self.n_triggers))

    @cached_property
    def open(self) -> numpy.ndarray:
        """RETURNS (ndarray): Which units have a trigger, so that there may be arguments, (U,) bool."""
        has_trigger = numpy.zeros(len(self.units), dtype=bool)
        if len(self.triggers):
            has_trigger[self.places[self.triggers[:, 0]]] = True
        return has_trigger

    @cached_property
    def nodes(self) -> numpy.ndarray:
        """RETURNS (ndarray): The triggers and what can be their arguments, (M, 4)."""
        if not self.open.any():
            return self.triggers
        open_rows = numpy.repeat(self.open, self.counts)
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
        return self.asked.node_scores(self.nodes[places], self.scaled if logits is None else logits, self.items)

    @cached_property
    def links(self) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray, ndarray, ndarray]): Pairs, as places in `nodes` (P, 2); the nodes of head and child
        side by side (P, 8); the logits of their links (P, outputs); and which outputs are possible (P, outputs) bool."""
        pairs = NO_PAIRS
        if self.link is not None and self.open.any():
            # Of too many pairs the same ones are looked at whatever the temperature.
            pairs = self.asked.pair(self.nodes, partial(self.node_scores, logits=self.grouped))
        if not len(pairs):
            nothing = numpy.zeros((0, len(self.asked.schema.outputs)))
            return pairs, numpy.zeros((0, 8), dtype=int), nothing, nothing.astype(bool)
        heads, children = self.nodes[pairs[:, 0]], self.nodes[pairs[:, 1]]
        logits = numpy.asarray(self.link(heads, children), dtype="float64")  # type: ignore[misc]
        return pairs, numpy.hstack((heads, children)), logits, self.asked.possible(heads, children)

    @cached_property
    def accepted(self) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray]): The links that are given, as places of head and child in `nodes` and the output
        (L, 3), and how sure they are (L,)."""
        pairs, _, logits, possible = self.links
        if not len(pairs):
            return NO_LINKS, numpy.zeros(0)
        scores = expit(logits)
        rows, outputs = numpy.nonzero(possible & (scores >= self.of_links(self.threshold)))
        links = numpy.column_stack((pairs[rows], outputs)) if len(rows) else NO_LINKS
        reached = self._reached(links)
        return links[reached], scores[rows, outputs][reached]

    def of_links(self, thresholds: Threshold) -> Threshold:
        """RETURNS (Union[float, ndarray]): Of one number, or one for each threshold, those of the links, (P, outputs)."""
        if not isinstance(thresholds, numpy.ndarray):
            return thresholds
        return thresholds[self.asked.schema.threshold_columns(self.links[1][:, 4 + KIND])]

    def graph(self, unit: int) -> Graph:
        """What a unit says.

        unit (int): Which of the units here.
        RETURNS (Graph): Its spans and links.
        """
        if not self.open[unit]:
            return NO_GRAPH
        links, scores = self.accepted
        members, wanted = (places[unit] for places in self._by_unit)
        unit_links = links[wanted]
        unit_links = numpy.column_stack(
            (numpy.searchsorted(members, unit_links[:, 0]), numpy.searchsorted(members, unit_links[:, 1]), unit_links[:, 2])
        )
        return Graph(self.nodes[members], self.node_scores(members), unit_links, scores[wanted])

    @cached_property
    def _by_unit(self) -> Tuple[List[numpy.ndarray], List[numpy.ndarray]]:
        """The places of the nodes of each unit, and of the links that are given."""
        units = self.places[self.nodes[:, 0]]
        grouped = []
        for owners in (units, units[self.accepted[0][:, 0]]):
            order = numpy.argsort(owners, kind="stable")
            grouped.append(numpy.split(order, numpy.searchsorted(owners[order], numpy.arange(1, len(self)))))
        return grouped[0], grouped[1]

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
        keys: List[Set[Tuple[int, ...]]] = [set() for _ in self.units]
        units = self.places[self.nodes[:, 0]].tolist()
        nodes = self.nodes.tolist()
        for unit, node in zip(units, nodes):
            if node[3] < self.n_triggers:
                keys[unit].add(tuple(node))
        for head, child, output in self.accepted[0].tolist():
            keys[units[head]].add((*nodes[head], *nodes[child], output))
        return keys
