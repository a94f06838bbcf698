"""Pairs of entities, and the window that each is read in."""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

import numpy
from spacy.tokens import Doc, Span

from ...inputs.instances import Instances
from ...inputs.windows import Windows
from ...threads import cached_property
from .candidates import EntityPairs
from .concepts import Concept, Concepts, alone, concept_pairs
from .salience import salience_of


@dataclass
class PairInstances(Instances):
    """One item a pair, and the window the unit.

    mentions (ndarray): Window, first wordpiece in it, and the one behind the last, for each entity of each window, (M, 3).
    types (ndarray): The number of each mention's label, 0 for labels that were not there in training, (M,).
    heads (ndarray): The mention that is the head, (N,).
    children (ndarray): The mention that is the child, (N,).
    between (ndarray): The wordpieces between the two, as in `mentions`, (N, 3).
    head_tokens (ndarray): The tokens of the head, start and end, (N, 2).
    child_tokens (ndarray): The tokens of the child, (N, 2).
    codes (ndarray): The numbers of the concepts of head and child in their Doc, (N, 2); zeros for relations between mentions.
    groups (Optional[ndarray]): Which pairs of a window are of the same concepts, as numbers, (N,); None for relations between
        mentions.
    concepts (List[List[Concepts]]): The concepts of each Doc by their numbers.
    entities (List[Tuple[List[Concepts], List[str]]]): The concepts and the label of each entity of each Doc.
    symmetric (bool): Whether head and child may be exchanged.
    """

    mentions: numpy.ndarray
    types: numpy.ndarray
    heads: numpy.ndarray
    children: numpy.ndarray
    between: numpy.ndarray
    head_tokens: numpy.ndarray
    child_tokens: numpy.ndarray
    codes: numpy.ndarray
    groups: Optional[numpy.ndarray] = None
    concepts: List[List[Concepts]] = field(default_factory=list)
    entities: List[Tuple[List[Concepts], List[str]]] = field(default_factory=list)
    symmetric: bool = False

    @cached_property
    def docs(self) -> numpy.ndarray:
        """RETURNS (ndarray): The Doc of each pair, (N,)."""
        return self.unit_docs[self.units]

    @cached_property
    def concept_pairs(self) -> List[List[Tuple[Concept, Concept]]]:
        """RETURNS (List[List[Tuple[Concept, Concept]]]): The pairs of concepts that each pair of mentions may be about."""
        known = [alone(own) for own in self.concepts]
        ends = zip(self.docs.tolist(), *self.codes.T.tolist())
        return [list(concept_pairs(self.concepts[doc][head], self.concepts[doc][child], known[doc])) for doc, head, child in ends]

    @cached_property
    def salience(self) -> Optional[numpy.ndarray]:
        """RETURNS (Optional[ndarray]): How much the Doc is about the concepts of head and child, (N, 2); None for relations
        between mentions."""
        if self.groups is None:
            return None
        shares = [salience_of(*own) for own in self.entities]
        starts = numpy.cumsum([0, *map(len, shares)])[self.docs]
        values = numpy.array([share for own in shares for share in own.values()], dtype="float32")
        found: numpy.ndarray = values[starts[:, None] + self.codes]
        return -numpy.sort(-found, axis=1) if self.symmetric else found  # the same for all pairs of two concepts


def find_pairs(docs: Sequence[Doc], windows: Windows, candidates: EntityPairs, types: Dict[str, int]) -> PairInstances:
    """List the candidate pairs of a batch, each in the window that holds most of it, well inside.

    docs (Sequence[Doc]): The Docs.
    windows (Windows): Their windows.
    candidates (EntityPairs): Which pairs there are.
    types (Dict[str, int]): The number of each label of an entity, from 1.
    RETURNS (PairInstances): The pairs that are in one window.
    """
    bounds = numpy.searchsorted(windows.docs, numpy.arange(len(docs) + 1))
    spans = [candidates.spans(doc) for doc in docs]
    concepts = [candidates.concepts(own) for own in spans]
    found = [
        _doc_pairs(doc, own, candidates.codes(known), index, windows, numpy.arange(*bounds[index : index + 2]), candidates, types)
        for index, (doc, own, known) in enumerate(zip(docs, spans, concepts))
    ]
    rows = numpy.concatenate([part for part in found if part is not None] or [numpy.zeros((0, COLUMNS), dtype="int64")])
    items = _assemble(windows, rows)
    if candidates.level == "concept":
        codes = numpy.sort(items.codes, axis=1) if candidates.symmetric else items.codes
        keys = numpy.column_stack((items.units, codes))
        items.groups = numpy.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
        items.entities = [(known or [], [span.label_ for span in own]) for own, known in zip(spans, concepts)]
        items.concepts = [list(dict.fromkeys(known)) for known, _ in items.entities]  # in the order of their numbers
        items.symmetric = candidates.symmetric
    return items


# The columns of a pair: window, tokens of head and child, their wordpieces in the window, their types, their concepts.
WINDOW, TOKENS, HEAD, CHILD, TYPES, CODES, COLUMNS = 0, slice(1, 5), slice(5, 7), slice(7, 9), slice(9, 11), slice(11, 13), 13


def _doc_pairs(
    doc: Doc,
    spans: List[Span],
    codes: Optional[numpy.ndarray],
    index: int,
    windows: Windows,
    rows: numpy.ndarray,
    candidates: EntityPairs,
    types: Dict[str, int],
) -> Optional[numpy.ndarray]:
    """The pairs of a Doc, a row each; None if there are none."""
    if not len(rows):
        return None
    characters = numpy.array([(span.start_char, span.end_char) for span in spans], dtype="int64").reshape(-1, 2)
    pieces = windows.pieces(index, *characters.T)
    begins, ends = windows.asked[rows].T
    first = numpy.searchsorted(ends, pieces[:, 0], side="right")
    last = numpy.searchsorted(begins, pieces[:, 1], side="left") - 1
    there = pieces[:, 0] < pieces[:, 1]  # not made of characters that have no wordpiece
    if windows.by_sentence:  # nor in parts of two sentences
        there &= numpy.searchsorted(ends, pieces[:, 1]) < numpy.searchsorted(begins, pieces[:, 0], side="right")
    last = numpy.where(there, last, -1)
    heads, children = candidates.pairs(doc, spans, first, last, codes)
    if not len(heads):
        return None
    low, high = numpy.maximum(first[heads], first[children]), numpy.minimum(last[heads], last[children])
    best, chosen = numpy.full(len(heads), -numpy.inf), low.copy()
    left, window = numpy.arange(len(heads)), low
    while len(left):
        value = _fit(pieces[heads[left]], pieces[children[left]], begins[window], ends[window])
        better = value > best[left]
        best[left[better]], chosen[left[better]] = value[better], window[better]
        more = window < high[left]
        left, window = left[more], window[more] + 1
    table = numpy.empty((len(heads), COLUMNS), dtype="int64")
    table[:, WINDOW] = rows[chosen]
    tokens = numpy.array([(span.start, span.end) for span in spans], dtype="int64")
    numbers = numpy.array([types.get(span.label_, 0) for span in spans], dtype="int64")
    table[:, TOKENS] = numpy.hstack((tokens[heads], tokens[children]))
    for columns, who in ((HEAD, heads), (CHILD, children)):
        inside = numpy.clip(pieces[who], begins[chosen][:, None], ends[chosen][:, None])
        table[:, columns] = inside - windows.starts[rows[chosen]][:, None] + windows.n_prefix
    table[:, TYPES] = numpy.stack((numbers[heads], numbers[children]), axis=1)
    table[:, CODES] = 0 if codes is None else numpy.stack((codes[heads], codes[children]), axis=1)
    return table


def _fit(heads: numpy.ndarray, children: numpy.ndarray, begins: numpy.ndarray, ends: numpy.ndarray) -> numpy.ndarray:
    """How well windows suit pairs: the wordpieces of both that they hold, and then the distance to the nearer edge."""
    held = sum(numpy.minimum(who[:, 1], ends) - numpy.maximum(who[:, 0], begins) for who in (heads, children))
    left = numpy.minimum(heads[:, 0], children[:, 0]) - begins
    right = ends - numpy.maximum(heads[:, 1], children[:, 1])
    inside = numpy.minimum(left, right) / (2.0 * (ends - begins) + 1)
    return held + numpy.maximum(inside, -0.5)  # a wordpiece held always counts for more


def _assemble(windows: Windows, table: numpy.ndarray) -> PairInstances:
    """Number units and mentions."""
    table = table[numpy.lexsort((*table[:, TOKENS].T[::-1], table[:, WINDOW]))]
    used, units = numpy.unique(table[:, WINDOW], return_inverse=True)
    window_units = numpy.full(len(windows), -1)
    window_units[used] = numpy.arange(len(used))
    types = table[:, TYPES]
    ends = numpy.concatenate(
        [numpy.column_stack((table[:, WINDOW], table[:, who], types[:, i])) for i, who in enumerate((HEAD, CHILD))]
    )
    mentions, places = numpy.unique(ends, axis=0, return_inverse=True)
    places = places.reshape(2, -1)
    start = numpy.minimum(table[:, HEAD][:, 1], table[:, CHILD][:, 1])
    stop = numpy.maximum(table[:, HEAD][:, 0], table[:, CHILD][:, 0])
    return PairInstances(
        windows=windows,
        window_units=window_units,
        unit_docs=windows.docs[used],
        units=units.reshape(-1),
        mentions=mentions[:, :3],
        types=mentions[:, 3],
        heads=places[0],
        children=places[1],
        between=numpy.column_stack((table[:, WINDOW], start, numpy.maximum(start, stop))),
        head_tokens=table[:, TOKENS][:, :2],
        child_tokens=table[:, TOKENS][:, 2:],
        codes=table[:, CODES],
    )
