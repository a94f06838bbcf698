"""Relations on a Doc."""

from dataclasses import dataclass
from typing import List

from spacy.tokens import Doc, Span

from ...doc_attributes import annotation, install_annotation


@dataclass(frozen=True)
class Relation:
    """A relation of a Doc, with spans in place of offsets.

    head (Span): The head.
    child (Span): The child.
    label (str): What relates them.
    score (float): Its probability; 1 in annotated data.
    """

    head: Span
    child: Span
    label: str
    score: float = 1.0

    @classmethod
    def of(cls, doc: Doc) -> List["Relation"]:
        """RETURNS (List[Relation]): The relations of a Doc, from `doc._.relations`."""
        install_extensions()
        return [
            cls(doc[slice(*entry["head"])], doc[slice(*entry["child"])], entry["label"], entry.get("score", 1.0))
            for entry in annotation(doc, "relations") or ()
        ]


def install_extensions() -> None:
    """Register `doc._.relations`. Workers call this too."""
    install_annotation("relations")
