"""Relations of concepts become relations of their mentions."""

import re
from itertools import product
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from ...inputs.concepts import NO_CONCEPT, VARIANT, plain_id
from .remarks import Remarks

MOST = 250_000
"""How many pairs of mentions the relations of a document may be of."""

LOST = "Relations of concepts that have no mention in the document, left out"

ONE_PLACE = "Relations of concepts that have all their mentions in the same places, left out"

SEVERAL = (
    "Mentions of several concepts, and with that several relations of one pair; that which is first in the file is kept, since "
    "the file does not say that the pair has both"
)


class ConceptRelation(NamedTuple):
    """A relation of concepts.

    head (str): The id of the head.
    child (str): The id of the child.
    label (str): What relates them.
    where (str): What to call it in warnings.
    """

    head: str
    child: str
    label: str
    where: str = "a document"


class Concepts:
    """The mentions of each concept of a document."""

    def __init__(self, ents: Sequence[Dict[str, Any]]):
        """
        ents (Sequence[Dict[str, Any]]): The entities, with the ids of their concepts in "kb_id".
        """
        self.labels = {ent["label"] for ent in ents}
        self.mentions: Dict[str, List[Dict[str, Any]]] = {}
        for ent in ents:
            concept = str(ent.get("kb_id", ""))
            for name in dict.fromkeys(map(plain_id, [concept, *_parts(concept)])):
                if name not in NO_CONCEPT:
                    self.mentions.setdefault(name, []).append(ent)

    def of(self, concept: str) -> Sequence[Dict[str, Any]]:
        """Find the mentions of a concept.

        concept (str): Its id as a relation has it. It is looked for as a whole, without the label of the entity before it, as in
            Gene|672, and then each of its parts.
        RETURNS (Sequence[Dict[str, Any]]): The entities that have it as their id, or among the ids that theirs is made of.
        """
        label, bar, rest = concept.partition("|")
        whole = [concept, rest] if bar and label in self.labels else [concept]
        names = [*whole, *(part for name in reversed(whole) for part in _parts(name))]
        return next((self.mentions[name] for name in map(plain_id, names) if name in self.mentions), ())


def relate_mentions(
    ents: Sequence[Dict[str, Any]], relations: Sequence[Tuple[str, ...]], remarks: Optional[Remarks] = None
) -> List[Dict[str, str]]:
    """Expand relations that hold between concepts of a document to all pairs of their mentions.

    ents (Sequence[Dict[str, Any]]): The entities, with the ids of their concepts in "kb_id". One id can be made of several with
        commas or semicolons between them, or bars, if it is not that of a variant.
    relations (Sequence[ConceptRelation]): The relations, or the first three values of each.
    remarks (Optional[Remarks]): Takes down relations that become none, or not all that they could; without it a warning says so.
    RETURNS (List[Dict[str, str]]): Relations between ids of entities, each once. A pair has several labels only if the file
        relates the two concepts several times.
    RAISES ValueError: More than `MOST` pairs. It names the relation with the most.
    """
    own = remarks or Remarks()
    concepts = Concepts(ents)
    every = [ConceptRelation(*relation) for relation in relations]
    ends = [(concepts.of(relation.head), concepts.of(relation.child)) for relation in every]
    _check_size(every, [len(heads) * len(children) for heads, children in ends])
    owners: Dict[FrozenSet[str], FrozenSet[str]] = {}
    labels: Dict[FrozenSet[str], Dict[str, None]] = {}
    found: Dict[Tuple[str, str, str], None] = {}
    for relation, (heads, children) in zip(every, ends):
        if not heads or not children:
            own.add(LOST, "relations", _named(relation.where, relation.child if heads else relation.head))
            continue
        two = frozenset((relation.head, relation.child))
        pairs = [(one["id"], other["id"]) for one, other in product(heads, children) if _place(one) != _place(other)]
        for pair in pairs:
            known = labels.setdefault(frozenset(pair), {})
            if owners.setdefault(frozenset(pair), two) != two and relation.label not in known:
                own.add(SEVERAL, "pairs", relation.where)
                continue
            known[relation.label] = None
            found[pair[0], pair[1], relation.label] = None
        own.add(ONE_PLACE, "relations", relation.where, count=not pairs)
    if remarks is None:
        own.warn()
    return [{"head": head, "child": child, "label": label} for head, child, label in found]


def _parts(concept: str) -> List[str]:
    """The ids that an id may be made of."""
    parts = re.split("[,;]", concept)
    return [name for part in parts for name in ([part] if VARIANT.match(plain_id(part)) else [part, *part.split("|")])]


def _place(ent: Dict[str, Any]) -> Tuple[int, int]:
    return ent["start"], ent["end"]


def _named(where: str, concept: str) -> str:
    """The place with the id, unless that may be a piece of text."""
    return f"{where}, concept {concept}" if re.fullmatch(r"(?=.*[0-9])[!-~]{1,60}", concept) else where


def _check_size(relations: Sequence[ConceptRelation], sizes: Sequence[int]) -> None:
    if sum(sizes) <= MOST:
        return
    size, relation = max(zip(sizes, relations), key=lambda entry: entry[0])
    raise ValueError(
        f"{relation.where}: the relations of concepts of this document are of {sum(sizes)} pairs of mentions, {size} of them of "
        f"this relation, and at most {MOST} are made. Cut the document into its sections, or leave out mentions."
    )
