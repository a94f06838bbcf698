"""Which spans of a Doc may be related."""

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy
from spacy.tokens import Doc, Span

from ...doc_attributes import spans_of, without
from ...inputs.concepts import unite
from ...inputs.ranges import ranges
from .concepts import Concepts, concepts_of

BLOCK = 1_000_000
"""How many pairs are looked at in one go, which bounds memory on Docs with thousands of entities."""


@dataclass(frozen=True)
class EntityPairs:
    """Pairs of entities.

    spans_key (Optional[str]): The span group of the entities; null takes `doc.ents`. Only a group can hold spans that overlap.
    labels (Optional[List[List[str]]]): The allowed pairs of a head's and a child's label; null allows all.
    level (str): "mention", or "concept": all mentions of a concept (`span.kb_id_`, or `span.id_`) are one, and a relation is one
        between two concepts of the document.
    symmetric (bool): The relations have no direction: each pair is asked about once, its first entity being the head.
    max_distance (Optional[int]): The most tokens between the two; null for no limit.
    same_sentence (bool): Whether both must be in one sentence. Needs a component that sets sentence boundaries.
    max_pairs (int): The most pairs in a Doc. More are an error, for they would take minutes or all memory.
    leave_out (Optional[List[str]]): Attributes, such as "is_negated" of medSpaCy, "negex", or "negation" of EDS-NLP. Entities of
        which one is true, as `span._.is_negated`, are not looked at. null leaves out none.
    """

    spans_key: Optional[str] = None
    labels: Optional[List[List[str]]] = None
    symmetric: bool = False
    max_distance: Optional[int] = None
    same_sentence: bool = False
    max_pairs: int = 20_000
    leave_out: Optional[List[str]] = None
    level: str = "mention"

    def __post_init__(self) -> None:
        for pair in self.labels or []:
            if isinstance(pair, str) or len(pair) != 2:
                raise ValueError(
                    "The setting `candidates.labels` holds something else than pairs; give a list of [head label, child label]."
                )
        if self.labels is not None and not self.labels:
            raise ValueError("The setting `candidates.labels` is empty: nothing could be related. Give pairs of labels, or null.")
        if self.level not in ("mention", "concept"):
            raise ValueError(f"The setting `candidates.level` is '{self.level}'; give 'mention' or 'concept'.")
        if self.max_distance is not None and self.max_distance < 0:
            raise ValueError(f"The setting `candidates.max_distance` is {self.max_distance}; give tokens from 0 on, or null.")
        if self.max_pairs < 1:
            raise ValueError(f"The setting `candidates.max_pairs` is {self.max_pairs}; give a number from 1 on.")

    def spans(self, doc: Doc) -> List[Span]:
        """RETURNS (List[Span]): The entities of a Doc, in order. Two with the same bounds and label are one, see `unite`."""
        found = without(spans_of(doc, self.spans_key), self.leave_out or (), "candidates.leave_out")
        return unite(sorted(found, key=_order))

    def concepts(self, spans: Sequence[Span]) -> Optional[List[Concepts]]:
        """RETURNS (Optional[List[Concepts]]): The concepts of each entity; None if relations are between mentions."""
        return concepts_of(spans) if self.level == "concept" else None

    def codes(self, concepts: Optional[Sequence[Concepts]]) -> Optional[numpy.ndarray]:
        """RETURNS (Optional[ndarray]): A number for each, the same for the same concepts, (S,)."""
        numbers: Dict[Concepts, int] = {}
        return (
            None if concepts is None else numpy.array([numbers.setdefault(one, len(numbers)) for one in concepts], dtype="int64")
        )

    def pairs(
        self,
        doc: Doc,
        spans: List[Span],
        first: numpy.ndarray,
        last: numpy.ndarray,
        codes: Optional[numpy.ndarray] = None,
    ) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """Find the pairs that may be related.

        doc (Doc): The Doc.
        spans (List[Span]): Its entities, S of them.
        first (ndarray): The first window that each entity reaches into, (S,).
        last (ndarray): The last one, (S,). Before the first if there is none.
        codes (Optional[ndarray]): The numbers of their concepts, see `codes`; None if relations are between mentions.
        RETURNS (Tuple[ndarray, ndarray]): Heads and children, as places in `spans`.
        RAISES ValueError: Too many pairs, or no sentence boundaries.
        """
        starts, ends = (numpy.array([getattr(span, name) for span in spans], dtype="int64") for name in ("start", "end"))
        sentences = self._sentences(doc, spans)
        allowed = self._allowed(spans)
        found: List[Tuple[numpy.ndarray, numpy.ndarray]] = []
        total = 0
        for one, other in _neighbours(first, last):
            # Not the same place under two labels.
            wanted = (starts[one] != starts[other]) | (ends[one] != ends[other])
            if codes is not None:
                wanted &= codes[one] != codes[other]
            if self.max_distance is not None:
                between = numpy.maximum(starts[one], starts[other]) - numpy.minimum(ends[one], ends[other])
                wanted &= between <= self.max_distance
            if sentences is not None:
                wanted &= sentences[one] == sentences[other]
            one, other = one[wanted], other[wanted]
            for heads, children in ((one, other),) if self.symmetric else ((one, other), (other, one)):
                if allowed is not None:
                    table, numbers = allowed
                    kept = table[numbers[heads], numbers[children]]
                    heads, children = heads[kept], children[kept]
                total += len(heads)
                found.append((heads, children))
            if total > self.max_pairs:
                raise ValueError(
                    f"A document with {len(spans)} entities has more than {self.max_pairs} pairs that may be related (the "
                    "setting `candidates.max_pairs`). Allow fewer with `candidates.labels`, `candidates.max_distance` or "
                    "`candidates.same_sentence`, cut the document, or raise the limit."
                )
        nothing = numpy.zeros(0, dtype=int)
        heads, children = (numpy.concatenate([nothing, *part]) for part in (zip(*found) if found else ((), ())))
        order = numpy.lexsort((children, heads))
        return heads[order], children[order]

    def _sentences(self, doc: Doc, spans: List[Span]) -> Optional[numpy.ndarray]:
        if not self.same_sentence or not spans:
            return None
        if not doc.has_annotation("SENT_START"):
            raise ValueError(
                "The setting `candidates.same_sentence` needs sentence boundaries, and a document has none. Add a component "
                "that sets them, such as 'sentencizer', before this one, or set it to false."
            )
        numbers = numpy.cumsum([bool(token.is_sent_start) for token in doc])
        return numpy.array([numbers[span.start] for span in spans])

    def _allowed(self, spans: List[Span]) -> Optional[Tuple[numpy.ndarray, numpy.ndarray]]:
        if self.labels is None or not spans:
            return None
        pairs = {tuple(pair) for pair in self.labels}
        if self.symmetric:
            pairs |= {pair[::-1] for pair in pairs}
        numbers = {name: number for number, name in enumerate(sorted({name for pair in pairs for name in pair}))}
        table = numpy.zeros((len(numbers) + 1, len(numbers) + 1), dtype=bool)  # the last one is of all other labels
        for head, child in pairs:
            table[numbers[head], numbers[child]] = True
        return table, numpy.array([numbers.get(span.label_, len(numbers)) for span in spans], dtype=int)


def _neighbours(first: numpy.ndarray, last: numpy.ndarray) -> Iterator[Tuple[numpy.ndarray, numpy.ndarray]]:
    """Find the pairs of spans that are in one window.

    first (ndarray): The first window that each span reaches into, in rising order, (S,).
    last (ndarray): The last one, (S,). Before the first if there is none.
    YIELDS (Tuple[ndarray, ndarray]): The earlier and the later spans of some pairs.
    """
    real = numpy.flatnonzero(first <= last)
    first, last = first[real], last[real]
    # Those behind a span that begin in its windows.
    begins = numpy.arange(1, len(real) + 1)
    counts = numpy.maximum(numpy.searchsorted(first, last, side="right") - begins, 0)
    blocks = numpy.cumsum(counts) // BLOCK
    for rows in numpy.split(numpy.arange(len(real)), numpy.flatnonzero(numpy.diff(blocks)) + 1):
        yield real[numpy.repeat(rows, counts[rows])], real[ranges(begins[rows], counts[rows])]


def _order(span: Span) -> Tuple[int, int, str]:
    return span.start, span.end, span.label_
