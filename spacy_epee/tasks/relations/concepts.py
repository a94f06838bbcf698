"""Relations between concepts: all mentions of a concept in a document are one.

A concept is what `span.kb_id_` names, or `span.id_`, as spaCy's entity linker and its entity ruler set them. A mention without an
id is a concept of its own.
"""

from itertools import product
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple, Union

from spacy.strings import get_string_id
from spacy.tokens import Doc, Span

from ...doc_attributes import characters, entries_of, spans_of
from ...inputs.concepts import concept_ids, unite

Concept = Union[str, Tuple[int, int]]
"""An id, or the characters of a mention that has none."""

Concepts = Tuple[Concept, ...]
"""Those of a mention."""


def concepts_of(spans: Sequence[Span]) -> List[Concepts]:
    """RETURNS (List[Concepts]): The concepts of each mention."""
    return [tuple(concept_ids(span.kb_id_ or span.id_)) or ((span.start_char, span.end_char),) for span in spans]


def alone(mentions: Sequence[Concepts]) -> Set[Concept]:
    """RETURNS (Set[Concept]): The concepts with a mention that is of no other one."""
    return {concepts[0] for concepts in mentions if len(concepts) == 1}


def concept_pairs(head: Concepts, child: Concepts, known: Set[Concept]) -> Iterator[Tuple[Concept, Concept]]:
    """Find the concepts that a pair of mentions may be about.

    head (Concepts): Those of the head.
    child (Concepts): Those of the child.
    known (Set[Concept]): Those with a mention of their own, see `alone`: what a mention of several says about two of them is left
        to these.
    YIELDS (Tuple[Concept, Concept]): Pairs of different concepts.
    """
    single = len(head) == len(child) == 1
    for one, other in product(head, child):
        if one != other and (single or not (one in known and other in known)):
            yield one, other


def ordered(pair: Tuple[Concept, Concept], symmetric: bool) -> Tuple[Concept, Concept]:
    """RETURNS (Tuple[Concept, Concept]): The pair; without a direction always in the same order."""
    first, second = sorted(pair, key=str) if symmetric else pair
    return first, second


def number_concept(concept: Concept) -> int:
    """RETURNS (int): A number by which a concept is told from others, in 63 bits."""
    return get_string_id(str(concept)) >> 1


def name_pairs(
    pairs: Sequence[Tuple[Concept, Concept]], symmetric: bool
) -> List[Tuple[Tuple[Concept, Concept], Dict[str, Optional[str]]]]:
    """RETURNS (List[Tuple[Tuple[Concept, Concept], Dict[str, Optional[str]]]]): By what relations of some concepts are told
    apart, and what is written of their ids."""
    ids = [{f"{end}_id": one if isinstance(one, str) else None for end, one in zip(("head", "child"), pair)} for pair in pairs]
    return [(ordered(pair, symmetric), own) for pair, own in zip(pairs, ids)]


def concept_relations(doc: Doc, spans_key: Optional[str], symmetric: bool) -> Set[Tuple[Tuple[Concept, Concept], str]]:
    """Find the relations of concepts of a Doc.

    doc (Doc): The Doc, with `doc._.relations`: those of mentions, or those of concepts, which have "head_id" and "child_id".
    spans_key (Optional[str]): The span group of the mentions; None for `doc.ents`.
    symmetric (bool): Whether head and child may be exchanged.
    RETURNS (Set[Tuple[Tuple[Concept, Concept], str]]): Head, child and label of each.
    """
    spans = unite(spans_of(doc, spans_key))
    mentions = concepts_of(spans)
    known = alone(mentions)
    by_place: Dict[Tuple[int, int], Concepts] = {}
    for span, concepts in zip(spans, mentions):
        place = (span.start_char, span.end_char)
        by_place[place] = tuple(dict.fromkeys((*by_place.get(place, ()), *concepts)))
    where = characters(doc, "relations")
    found: Set[Tuple[Tuple[Concept, Concept], str]] = set()
    for entry in entries_of(doc, "relations") or ():
        ends: List[Concepts] = []
        for end in ("head", "child"):
            place = where(entry[end])
            named = entry.get(f"{end}_id")
            mention = (place,) if f"{end}_id" in entry else by_place.get(place, (place,))
            ends.append((named,) if isinstance(named, str) else mention)
        found.update((ordered(pair, symmetric), entry["label"]) for pair in concept_pairs(ends[0], ends[1], known))
    return found
