"""What converted data want of what reads them."""

from collections import Counter
from typing import Any, Dict, List, Optional, Set, Tuple

from spacy.tokens import Doc

from ...doc_attributes import annotation

ENTITIES = "entities"
"""The span group that entities go to if no other is named and `doc.ents` cannot hold them."""


class Settings:
    """Finds out what settings the readers and components need for the documents that it is shown."""

    def __init__(self, spans_key: Optional[str]):
        """
        spans_key (Optional[str]): The span group that was asked for.
        """
        self.spans_key = spans_key
        self.counts: Counter = Counter()

    def add(self, row: Dict[str, Any], doc: Doc, key: Optional[str]) -> None:
        """Look at a document.

        row (Dict[str, Any]): Its row.
        doc (Doc): The Doc that was made of it.
        key (Optional[str]): Where its entities are; None for `doc.ents`.
        """
        relations = annotation(doc, "relations") or []
        symmetric = row.get("symmetric") is True
        several = _count_several(relations, symmetric)
        self.counts["overlapping"] += key is not None and _overlap(doc, key)
        self.counts["related"] += bool(relations)
        self.counts["symmetric"] += bool(relations) and symmetric
        self.counts["concepts"] += bool(relations) and row.get("level") == "concept"
        self.counts["several"] += several > 0
        self.counts["pairs"] += several

    def sentences(self) -> List[str]:
        """RETURNS (List[str]): What to say; nothing if the usual settings do and there are no relations."""
        counts = self.counts
        if not counts["related"] and not counts["overlapping"]:
            return []
        key = self.spans_key or (ENTITIES if counts["overlapping"] else None)
        shared = f"entities share tokens in {counts['overlapping']} documents, and doc.ents cannot hold that"
        found = {"spans_key": (f'"{key}"' if key else "null", shared if counts["overlapping"] else "no entities share tokens")}
        overrides = [f"--vars.spans_key {key}"] if key else []
        if counts["related"]:
            n_directed = counts["related"] - counts["symmetric"]
            directed = f"relations of {n_directed} documents have a direction, of {counts['symmetric']} none"
            several = f"{counts['pairs']} pairs of entities in {counts['several']} documents have several labels"
            found["candidates.symmetric"] = ("false", directed) if n_directed else ("true", "no relation has a direction")
            found["exclusive"] = ("false", several) if counts["pairs"] else ("true", "no pair of entities has several labels")
            if counts["concepts"] == counts["related"]:
                found["candidates.level"] = ('"concept"', "relations are of concepts, and here of all pairs of their mentions")
            overrides += [
                f"--components.epee_relations.{name} {value}".replace('"', "") for name, (value, _) in [*found.items()][1:]
            ]
        settings = "; ".join(f"{name} = {value} ({why})" for name, (value, why) in found.items())
        return [
            f"Settings for these data, of the reader and the component: {settings}",
            *([f"With configs/relations.cfg: {' '.join(overrides)}"] if counts["related"] else []),
        ]


def _overlap(doc: Doc, key: str) -> bool:
    places = sorted({(span.start, span.end, span.label) for span in doc.spans.get(key, ())})
    return any(after[0] < before[1] for before, after in zip(places, places[1:]))


def _count_several(relations: List[Dict[str, Any]], symmetric: bool) -> int:
    labels: Dict[Tuple[Any, ...], Set[str]] = {}
    for relation in relations:
        ends = (tuple(relation["head"]), tuple(relation["child"]))
        labels.setdefault(tuple(sorted(ends)) if symmetric else ends, set()).add(relation["label"])
    return sum(len(found) > 1 for found in labels.values())
