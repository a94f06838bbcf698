"""Scores of relations."""

import warnings
from typing import Any, Callable, Dict, Iterable, Optional, Sequence, Set, Tuple

import numpy
from spacy.scorer import PRFScore
from spacy.tokens import Doc
from spacy.training import Example

from ...doc_attributes import annotation, characters, entries_of
from .concepts import concept_relations

Place = Tuple[int, int, int, int]
"""The characters of a head and a child."""


def make_relations_scorer() -> Callable:
    """Make the scorer of relations, which compares the characters of head and child, and the label.

    RETURNS (Callable): The scorer, for a component's `scorer`.
    """
    return score_relations


def score_relations(
    examples: Iterable[Example],
    *,
    symmetric: bool = False,
    labels: Optional[Sequence[str]] = None,
    level: str = "mention",
    spans_key: Optional[str] = None,
    **kwargs: Any,
) -> Dict[str, Any]:
    """Score relations against the annotation. A relation is right if the characters of both its ends and its label are; between
    concepts, if the ids of both and its label are.

    An annotated relation counts as missed for whatever reason it is not found, also when its entities are not, or when they
    are too far apart to be a candidate.

    examples (Iterable[Example]): The examples. Those whose reference has no `doc._.relations`, not even an empty list, are left
        out.
    symmetric (bool): Whether head and child may be exchanged.
    labels (Optional[Sequence[str]]): The labels to score; None scores all. A component scores its own: relations with other
        labels, which another component may be there for, are left out, and a warning says so.
    level (str): "mention", or "concept": relations of mentions are taken for those of their concepts, each once.
    spans_key (Optional[str]): The span group of the mentions, for their concepts; None for `doc.ents`.
    RETURNS (Dict[str, Any]): `rel_micro_p`, `rel_micro_r`, `rel_micro_f`, the means over the labels `rel_macro_p`,
        `rel_macro_r`, `rel_macro_f`, and `rel_f_per_type` with "p", "r" and "f" by label. None for all of them if there is
        neither an annotated relation nor one that was found.
    """
    micro = PRFScore()
    strange: Set[str] = set()
    by_label: Dict[str, PRFScore] = {label: PRFScore() for label in labels or ()}
    for eg in examples:
        if annotation(eg.reference, "relations") is None:
            continue
        found, gold = (relations_of(doc, level, spans_key, symmetric) for doc in (eg.predicted, eg.reference))
        if labels is not None:
            strange |= {one[1] for one in gold} - set(by_label)
            found, gold = ({one for one in part if one[1] in by_label} for part in (found, gold))
        micro.score_set(found, gold)
        for label in {one[1] for one in found | gold}:
            score = by_label.setdefault(label, PRFScore())
            score.score_set({one for one in found if one[1] == label}, {one for one in gold if one[1] == label})
    if strange:
        warnings.warn(f"Relations with {len(strange)} other labels are annotated and not scored: only {list(labels or ())} are.")
    if not len(micro):
        return dict.fromkeys([*KEYS, "rel_f_per_type"])
    per_label = {label: score.to_dict() for label, score in sorted(by_label.items())}
    means = {key: float(numpy.mean([score[key] for score in per_label.values()])) for key in "prf"}
    values = [micro.precision, micro.recall, micro.fscore, means["p"], means["r"], means["f"]]
    return {**dict(zip(KEYS, values)), "rel_f_per_type": per_label}


def relations_of(doc: Doc, level: str, spans_key: Optional[str], symmetric: bool) -> Set[Tuple[Any, str]]:
    """RETURNS (Set[Tuple[Any, str]]): What is compared: the characters, or the concepts, of head and child, and the label."""
    return places(doc, symmetric) if level == "mention" else concept_relations(doc, spans_key, symmetric)


KEYS = ("rel_micro_p", "rel_micro_r", "rel_micro_f", "rel_macro_p", "rel_macro_r", "rel_macro_f")


def places(doc: Doc, symmetric: bool) -> Set[Tuple[Place, str]]:
    """Find the characters of relations.

    doc (Doc): The Doc, with `doc._.relations`.
    symmetric (bool): Whether head and child may be exchanged: then the first of the two comes first.
    RETURNS (Set[Tuple[Place, str]]): Those of the head and of the child of each, and its label.
    """
    where = characters(doc, "relations")
    found = set()
    for entry in entries_of(doc, "relations") or ():
        ends = [where(entry["head"]), where(entry["child"])]
        first, second = sorted(ends) if symmetric else ends
        found.add(((*first, *second), entry["label"]))
    return found
