"""The tokens of each window, the spans that are tagged among them, and the pairs of spans that may be linked."""

import warnings
from dataclasses import dataclass, field
from typing import Callable, List, Optional, Sequence, Tuple

import numpy
from spacy.attrs import IS_SPACE
from spacy.tokens import Doc

from ...inputs.instances import Instances
from ...inputs.ranges import firsts, ranges
from ...inputs.windows import Windows
from ...threads import cached_property
from .schema import EventSchema

OUT, BEGIN, INSIDE, TAGS = 0, 1, 2, 3
"""The tags of a token in a layer."""

UNIT, START, STOP, KIND = range(4)
"""The columns of a node: its window, its first item, the one behind its last, and the number of its kind."""

NO_NODES = numpy.zeros((0, 4), dtype="int64")
NO_SPACES = numpy.zeros(0, dtype="uint64")


@dataclass
class TokenInstances(Instances):
    """One item a token, and the window the unit. In windows that overlap a token is an item of each.

    schema (EventSchema): The kinds of spans and links.
    tokens (ndarray): The token of each item, in rising order within a window, (N,).
    first (ndarray): Its first wordpiece in the window, (N,).
    stop (ndarray): The one behind its last, (N,).
    own (ndarray): Whether this is the window in which the token is farthest from an edge, (N,) bool.
    opens (ndarray): Whether a window begins where its Doc does, (U,) bool.
    closes (ndarray): Whether it ends where its Doc does, (U,) bool.
    given (ndarray): The nodes that need not be found, in order: entities, and triggers if they are given, (M, 4).
    find_triggers (bool): Whether triggers are found in the text.
    max_pairs (int): The most pairs of spans in a window. Beyond it only the surest spans are paired.
    gold (ndarray): In training the annotated nodes, (G, 4).
    gold_links (ndarray): In training the annotated links: two rows of `gold` and an output, (L, 3).
    known (Optional[ndarray]): In training which windows are annotated, (U,) bool. Nothing is linked in the others.
    warned (bool): Whether it was said that a window has too many pairs.
    """

    schema: EventSchema
    tokens: numpy.ndarray
    first: numpy.ndarray
    stop: numpy.ndarray
    own: numpy.ndarray
    opens: numpy.ndarray
    closes: numpy.ndarray
    given: numpy.ndarray
    find_triggers: bool = True
    max_pairs: int = 5_000
    gold: numpy.ndarray = field(default_factory=NO_NODES.copy)
    gold_links: numpy.ndarray = field(default_factory=lambda: numpy.zeros((0, 3), dtype="int64"))
    known: Optional[numpy.ndarray] = None
    warned: bool = False

    def nodes(self, tags: numpy.ndarray, rows: numpy.ndarray, layers: numpy.ndarray) -> numpy.ndarray:
        """Read spans off tags.

        tags (ndarray): The tag of each item in each layer, (N', L').
        rows (ndarray): The items that these are, in order, all of a window or none, (N',).
        layers (ndarray): The numbers of the layers, (L',).
        RETURNS (ndarray): The spans as nodes, (M, 4). One that does not begin with "begin" is a span all the same.
        """
        if not tags.size:
            return NO_NODES
        units = self.units[rows]
        new = numpy.ones(len(rows), dtype=bool)
        new[1:] = units[1:] != units[:-1]
        inside = tags != OUT
        before = numpy.zeros_like(inside)
        before[1:] = inside[:-1] & ~new[1:, None]
        begins = (tags == BEGIN) | (inside & ~before)
        goes_on = numpy.zeros_like(inside)
        goes_on[:-1] = (tags[1:] == INSIDE) & ~new[1:, None]
        ends = inside & ~goes_on
        # By layer and then by item, so that the n-th begin and the n-th end are of one span.
        layer, start = numpy.nonzero(begins.T)
        _, end = numpy.nonzero(ends.T)
        return numpy.column_stack((units[start], rows[start], rows[end] + 1, layers[layer]))

    def pair(self, nodes: numpy.ndarray, scores: Optional[Callable[[numpy.ndarray], numpy.ndarray]] = None) -> numpy.ndarray:
        """Pair spans that may be linked.

        nodes (ndarray): The spans, (M, 4).
        scores (Optional[Callable[[ndarray], ndarray]]): Tells how sure some of them are, to choose among too many.
        RETURNS (ndarray): Places of head and child in `nodes`, (P, 2). A trigger is paired with itself if it can have
            attributes. A window without a trigger has none.
        """
        order = numpy.argsort(nodes[:, UNIT], kind="stable")
        bounds = numpy.flatnonzero(numpy.diff(nodes[order, UNIT])) + 1
        found = []
        for members in numpy.split(order, bounds) if len(order) else ():
            kinds = nodes[members, KIND]
            if not (kinds < len(self.schema.events)).any():
                continue
            # What can be linked to nothing here is left out before all others are looked at in pairs.
            total, partners = self._count_pairs(kinds)
            if total > self.max_pairs:
                most = int(self.max_pairs**0.5)
                self._warn(len(members), total, most)
                sure = numpy.ones(len(members)) if scores is None else scores(members)
                order = numpy.lexsort((*nodes[members].T, -sure))  # of equals the same ones, however they are sorted
                members = numpy.sort(members[order[:most]])
            else:
                members = members[partners]
            heads, children = numpy.nonzero(self._linkable(nodes[members, KIND]))
            found.append(numpy.column_stack((members[heads], members[children])))
        return numpy.concatenate(found) if found else numpy.zeros((0, 2), dtype="int64")

    def _warn(self, spans: int, pairs: int, most: int) -> None:
        """Say once a batch, and not at each exit and window, that not all pairs are looked at."""
        if not self.warned:
            self.warned = True
            warnings.warn(
                f"A window has {spans} spans that make up {pairs} pairs; the {most} surest are linked (the setting `max_pairs`)."
            )

    def _count_pairs(self, kinds: numpy.ndarray) -> Tuple[int, numpy.ndarray]:
        """How many pairs spans of a window make up that may be linked, and which spans are in any, (M,) bool."""
        counts = numpy.bincount(kinds, minlength=len(self.schema.kinds))
        spans, alone = self.schema.of_spans, self.schema.of_triggers
        # Of a span itself only attributes are asked.
        table = spans.astype("int64")
        total = counts @ table @ counts - counts @ table.diagonal() + counts @ alone
        return int(total), (alone | (spans | spans.T)[:, counts > 0].any(axis=1))[kinds]

    def _linkable(self, kinds: numpy.ndarray) -> numpy.ndarray:
        """Which spans of a window may be linked to which, (M, M) bool."""
        wanted = self.schema.of_spans[kinds[:, None], kinds[None]]
        numpy.fill_diagonal(wanted, self.schema.of_triggers[kinds])
        return wanted

    def given_of(self, units: numpy.ndarray) -> numpy.ndarray:
        """RETURNS (ndarray): The given nodes of some units, in order, (M', 4)."""
        first, stop = (numpy.searchsorted(self.given[:, UNIT], units, side=side) for side in ("left", "right"))
        return self.given[ranges(first, stop - first)]

    def possible(self, heads: numpy.ndarray, children: numpy.ndarray) -> numpy.ndarray:
        """RETURNS (ndarray): Which outputs are possible for pairs of nodes, (P, outputs) bool."""
        table = self.schema.table[heads[:, KIND], children[:, KIND]]
        alone = (heads == children).all(axis=1)
        attribute = numpy.array([output[0] == "attribute" for output in self.schema.outputs], dtype=bool)
        return table & (alone[:, None] == attribute[None])

    def taught_pairs(self, logits: numpy.ndarray, rows: numpy.ndarray) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """The pairs that are looked at in training or to be stored: of annotated spans and of those found by an exit.

        logits (ndarray): The logits of an exit, (N', K).
        rows (ndarray): The items that these are, (N',).
        RETURNS (Tuple[ndarray, ndarray]): The nodes of heads and of children, (P, 4) each.
        """
        tags = logits.reshape(len(rows), -1, TAGS).argmax(axis=2)
        first = 0 if self.find_triggers else len(self.schema.events)
        layers = numpy.arange(first, tags.shape[1])
        nodes = numpy.concatenate((self.gold, self.given, self.nodes(tags[:, first:], rows, layers)))
        annotated = numpy.arange(len(nodes)) < len(self.gold)
        if self.known is not None:
            kept = self.known[nodes[:, UNIT]]
            nodes, annotated = nodes[kept], annotated[kept]
        _, kept = numpy.unique(nodes, axis=0, return_index=True)
        kept.sort()
        nodes, annotated = nodes[kept], annotated[kept]
        grouped = logits.astype("float64").reshape(len(rows), -1, TAGS)

        def scores(places: numpy.ndarray) -> numpy.ndarray:
            # What is annotated is kept if there are too many, and then the same ones as where texts are answered.
            return numpy.where(annotated[places], 2.0, self.node_scores(nodes[places], grouped, rows))

        pairs = self.pair(nodes, scores)
        return nodes[pairs[:, 0]], nodes[pairs[:, 1]]

    def node_scores(self, nodes: numpy.ndarray, logits: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
        """How sure some nodes are.

        nodes (ndarray): The nodes, (M, 4).
        logits (ndarray): The logits of tags by layer, (N', L, 3).
        rows (ndarray): The items that these are of, in order, (N',).
        RETURNS (ndarray): The mean probability of its tags, and 1 for one that is given, (M,).
        """
        n_triggers = len(self.schema.events)
        scores = numpy.ones(len(nodes))
        begins = numpy.searchsorted(rows, nodes[:, START]).tolist()
        for number, (first, (_, start, stop, kind)) in enumerate(zip(begins, nodes.tolist())):
            if kind < logits.shape[1] and (kind >= n_triggers or self.find_triggers):
                scores[number] = numpy.exp(log_softmax(logits[first : first + stop - start, kind]).max(axis=1)).mean()
        return scores

    def place(self, unit: int, start: int, end: int) -> Tuple[int, int]:
        """Find tokens among the items of a window.

        unit (int): The window.
        start (int): The first token.
        end (int): The token behind the last.
        RETURNS (Tuple[int, int]): The first item and the one behind the last, of those that the window has.
        """
        begin, stop = self._bounds[unit], self._bounds[unit + 1]
        tokens = self.tokens[begin:stop]
        return begin + int(numpy.searchsorted(tokens, start)), begin + int(numpy.searchsorted(tokens, end))

    def holds(self, unit: int, start: int, end: int) -> bool:
        """RETURNS (bool): Whether a window has all of some tokens, but for those without a wordpiece."""
        begin, stop = self.place(unit, start, end)
        reaches_left = begin > self._bounds[unit] or self.opens[unit]
        reaches_right = stop < self._bounds[unit + 1] or self.closes[unit]
        left = begin < stop and (self.tokens[begin] == start or reaches_left)
        return bool(left and (self.tokens[stop - 1] == end - 1 or reaches_right))

    def held(self, index: int, spans: Sequence[Tuple[int, int]], whole: bool = True) -> List[List[int]]:
        """Find the spans that the windows of a Doc have. What it takes grows with the Doc and the spans, and not with both.

        index (int): The Doc.
        spans (Sequence[Tuple[int, int]]): The first token of each span, and the one behind its last.
        whole (bool): Those that a window holds (see `holds`); otherwise also those of which it has any token.
        RETURNS (List[List[int]]): For each window of the Doc the places of its spans, in order.
        """
        begin, stop = numpy.searchsorted(self.unit_docs, (index, index + 1)).tolist()
        found: List[List[int]] = [[] for _ in range(begin, stop)]
        first, last = self._reach(begin, stop)
        if not len(first) or not len(spans):
            return found
        starts, ends = numpy.array(spans, dtype="int64").T
        if whole:  # windows that begin before its end and end behind its start are many if it is long
            low, high = numpy.searchsorted(last, ends - 1), numpy.searchsorted(first, starts, side="right") - 1
            low, high = numpy.minimum(low, len(first) - 1), numpy.maximum(high, 0)
        else:
            low, high = numpy.searchsorted(last, starts), numpy.searchsorted(first, ends) - 1
        for place, (span, one, other) in enumerate(zip(spans, low.tolist(), high.tolist())):
            for row in range(one, other + 1):
                if not whole or self.holds(begin + row, *span):
                    found[row].append(place)
        return found

    def _reach(self, begin: int, stop: int) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """The first and the last token of some windows of a Doc, in rising order also where windows have none."""
        bounds = self._bounds[begin : stop + 1]
        empty = bounds[:-1] == bounds[1:]
        if empty.all():
            return numpy.zeros(0, dtype="int64"), numpy.zeros(0, dtype="int64")
        first = numpy.where(empty, self.tokens.max(), self.tokens[numpy.minimum(bounds[:-1], len(self) - 1)])
        last = numpy.where(empty, -1, self.tokens[numpy.maximum(bounds[1:] - 1, 0)])
        return numpy.minimum.accumulate(first[::-1])[::-1], numpy.maximum.accumulate(last)

    @cached_property
    def _bounds(self) -> numpy.ndarray:
        """The first item of each window, and behind them the number of items."""
        return numpy.searchsorted(self.units, numpy.arange(self.n_units + 1))


def log_softmax(logits: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): The logarithms of a softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - numpy.log(numpy.exp(shifted).sum(axis=-1, keepdims=True))


def find_tokens(docs: Sequence[Doc], windows: Windows, schema: EventSchema, max_pairs: int) -> TokenInstances:
    """List the tokens of each window.

    docs (Sequence[Doc]): The Docs.
    windows (Windows): Their windows.
    schema (EventSchema): The kinds of spans and links.
    max_pairs (int): The most pairs of spans in a window.
    RETURNS (TokenInstances): The items, without given nodes.
    """
    numbers = numpy.unique(windows.docs).tolist()
    some = [docs[number] for number in numbers]
    found = windows.align(some, numbers)
    spaces = [doc.to_array(IS_SPACE) for doc in some]
    kept = numpy.flatnonzero((found.pieces[:, 0] < found.pieces[:, 1]) & (numpy.concatenate([NO_SPACES, *spaces]) == 0))
    best, first, stop = found.window[kept], *found.pieces[kept].T
    # A token with wordpieces of two sentences is an item of the one that has its middle.
    left, right = ((first + stop - 1) // 2,) * 2 if windows.by_sentence else (first, stop - 1)
    begins, ends = found.asked.T
    low, high = numpy.searchsorted(right, begins), numpy.searchsorted(left, ends)
    counts = high - low
    places, rows = ranges(low, counts), numpy.repeat(numpy.arange(len(counts)), counts)
    units, own = found.rows[rows], kept[places]
    tokens = own - firsts(numpy.array([len(doc) for doc in some], dtype="int64"))[found.docs[own]]
    shift = windows.n_prefix - windows.starts[units] - found.before[found.docs[own]]
    first, stop = (numpy.clip(side[places], begins[rows], ends[rows]) + shift for side in (first, stop))
    lengths = numpy.array([len(windows.offsets[doc]) for doc in windows.docs], dtype="int64")
    return TokenInstances(
        windows=windows,
        window_units=numpy.arange(len(windows)),
        unit_docs=windows.docs,
        units=units,
        schema=schema,
        tokens=tokens,
        first=first,
        stop=stop,
        own=best[places] == units,
        opens=windows.asked[:, 0] == 0,
        closes=windows.asked[:, 1] == lengths,
        given=NO_NODES,
        max_pairs=max_pairs,
    )
