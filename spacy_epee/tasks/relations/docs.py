"""Relations on a Doc."""

from dataclasses import dataclass
from typing import List, Optional

from spacy.tokens import Doc, Span

from ...doc_attributes import annotation, install_annotation


@dataclass(frozen=True)
class Relation:
    """A relation of a Doc, with spans in place of offsets.

    head (Span): The head.
    child (Span): The child.
    label (str): What relates them.
    score (float): Its probability; 1 in annotated data.
    head_id (Optional[str]): Of relations between concepts, the id of the head; None if it has none.
    child_id (Optional[str]): That of the child.
    """

    head: Span
    child: Span
    label: str
    score: float = 1.0
    head_id: Optional[str] = None
    child_id: Optional[str] = None

    @classmethod
    def of(cls, doc: Doc) -> List["Relation"]:
        """RETURNS (List[Relation]): The relations of a Doc, from `doc._.relations`."""
        install_extensions()
        return [
            cls(
                head=doc[slice(*entry["head"])],
                child=doc[slice(*entry["child"])],
                label=entry["label"],
                score=entry.get("score", 1.0),
                head_id=entry.get("head_id"),
                child_id=entry.get("child_id"),
            )
            for entry in annotation(doc, "relations") or ()
        ]


def install_extensions() -> None:
    """Register `doc._.relations`. Workers call this too."""
    install_annotation("relations")
