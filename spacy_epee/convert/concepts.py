"""Relations of concepts become relations of their mentions."""

import re
import warnings
from itertools import product
from typing import Any, Dict, List, Sequence, Tuple


def relate_mentions(ents: Sequence[Dict[str, Any]], relations: Sequence[Tuple[str, str, str]]) -> List[Dict[str, str]]:
    """Expand relations that hold between concepts of a document to all pairs of their mentions.

    ents (Sequence[Dict[str, Any]]): The entities, with their concepts in "kb_id", several joined by one of | , ;
    relations (Sequence[Tuple[str, str, str]]): The concepts of head and child, and the label.
    RETURNS (List[Dict[str, str]]): Relations between ids of entities, each once. None for a concept without a mention, of
        which a warning tells the number.
    """
    mentions: Dict[str, List[Dict[str, Any]]] = {}
    for ent in ents:
        for concept in re.split(r"[|,;]", str(ent.get("kb_id", ""))):
            mentions.setdefault(concept, []).append(ent)
    found: Dict[Tuple[str, str, str], None] = {}
    lost = sum(head not in mentions or child not in mentions for head, child, _ in relations)
    if lost:
        warnings.warn(f"{lost} of {len(relations)} relations between concepts of a document are lost: a concept has no mention.")
    for head, child, label in relations:
        for one, other in product(mentions.get(head, ()), mentions.get(child, ())):
            if (one["start"], one["end"]) != (other["start"], other["end"]):
                found[(one["id"], other["id"], label)] = None
    return [{"head": head, "child": child, "label": label} for head, child, label in found]
