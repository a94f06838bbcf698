"""Which spans of a Doc may be related."""

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy
from spacy.tokens import Doc, Span

from ..annotation import spans_of

BLOCK = 1_000_000
"""How many pairs are looked at in one go, which bounds memory on Docs with thousands of entities."""


@dataclass(frozen=True)
class EntityPairs:
    """Pairs of entities.

    spans_key (Optional[str]): The span group of the entities; null takes `doc.ents`. Only a group can hold spans that overlap.
    labels (Optional[List[List[str]]]): The allowed pairs of a head's and a child's label; null allows all.
    symmetric (bool): The relations have no direction: each pair is asked about once, its first entity being the head.
    max_distance (Optional[int]): The most tokens between the two; null for no limit.
    same_sentence (bool): Whether both must be in one sentence. Needs a component that sets sentence boundaries.
    max_pairs (int): The most pairs in a Doc. More are an error, for they would take minutes or all memory.
    """

    spans_key: Optional[str] = None
    labels: Optional[List[List[str]]] = None
    symmetric: bool = False
    max_distance: Optional[int] = None
    same_sentence: bool = False
    max_pairs: int = 20_000

    def __post_init__(self) -> None:
        for pair in self.labels or []:
            if isinstance(pair, str) or len(pair) != 2:
                raise ValueError(
                    "The setting `candidates.labels` holds something else than pairs; give a list of [head label, child label]."
                )
        if self.labels is not None and not self.labels:
            raise ValueError("The setting `candidates.labels` is empty: nothing could be related. Give pairs of labels, or null.")
        if self.max_distance is not None and self.max_distance < 0:
            raise ValueError(f"The setting `candidates.max_distance` is {self.max_distance}; give tokens from 0 on, or null.")
        if self.max_pairs < 1:
            raise ValueError(f"The setting `candidates.max_pairs` is {self.max_pairs}; give a number from 1 on.")

    def spans(self, doc: Doc) -> List[Span]:
        """RETURNS (List[Span]): The entities of a Doc, in order. Two with the same bounds and label are one."""
        found = spans_of(doc, self.spans_key)
        return list({(span.start, span.end, span.label): span for span in sorted(found, key=_order)}.values())

    def pairs(
        self, doc: Doc, spans: List[Span], first: numpy.ndarray, last: numpy.ndarray
    ) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """Find the pairs that may be related.

        doc (Doc): The Doc.
        spans (List[Span]): Its entities, S of them.
        first (ndarray): The first window that each entity reaches into, (S,).
        last (ndarray): The last one, (S,). Before the first if there is none.
        RETURNS (Tuple[ndarray, ndarray]): Heads and children, as places in `spans`.
        RAISES ValueError: Too many pairs, or no sentence boundaries.
        """
        starts, ends = (numpy.array([getattr(span, name) for span in spans], dtype="int64") for name in ("start", "end"))
        sentences = self._sentences(doc, spans)
        allowed = self._allowed(spans)
        found: List[Tuple[numpy.ndarray, numpy.ndarray]] = []
        total = 0
        rows = max(BLOCK // max(len(spans), 1), 1)
        reach = numpy.maximum.accumulate(last) if len(last) else last
        for begin in range(0, len(spans), rows):
            stop = min(begin + rows, len(spans))
            # Spans are in order, and so are their first windows: only those around can be in one window with these.
            low = numpy.searchsorted(reach, first[begin])
            high = numpy.searchsorted(first, last[begin:stop].max(), side="right")
            head, child = numpy.arange(begin, stop)[:, None], numpy.arange(low, high)[None]
            # In one window, and not the same place under two labels.
            wanted = numpy.maximum(first[head], first[child]) <= numpy.minimum(last[head], last[child])
            wanted &= (starts[head] != starts[child]) | (ends[head] != ends[child])
            if self.symmetric:
                wanted &= head < child
            else:
                wanted &= head != child
            if self.max_distance is not None:
                between = numpy.maximum(starts[head], starts[child]) - numpy.minimum(ends[head], ends[child])
                wanted &= between <= self.max_distance
            if sentences is not None:
                wanted &= sentences[head] == sentences[child]
            if allowed is not None:
                table, codes = allowed
                wanted &= table[codes[head], codes[child]]
            heads, children = numpy.nonzero(wanted)
            total += len(heads)
            if total > self.max_pairs:
                raise ValueError(
                    f"A document with {len(spans)} entities has more than {self.max_pairs} pairs that may be related (the "
                    "setting `candidates.max_pairs`). Allow fewer with `candidates.labels`, `candidates.max_distance` or "
                    "`candidates.same_sentence`, cut the document, or raise the limit."
                )
            found.append((heads + begin, children + low))
        if not found:
            return numpy.zeros(0, dtype=int), numpy.zeros(0, dtype=int)
        return numpy.concatenate([heads for heads, _ in found]), numpy.concatenate([children for _, children in found])

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
        names = sorted({span.label_ for span in spans})
        pairs = {tuple(pair) for pair in self.labels}
        if self.symmetric:
            pairs |= {pair[::-1] for pair in pairs}
        table = numpy.array([[(head, child) in pairs for child in names] for head in names], dtype=bool)
        codes = numpy.array([names.index(span.label_) for span in spans], dtype=int)
        return table, codes


def _order(span: Span) -> Tuple[int, int, str]:
    return span.start, span.end, span.label_
