"""Annotation in extension attributes, told from no annotation, and where it comes from."""

from typing import Any, Dict, List, Optional

from spacy.tokens import Doc

PLACE = "spacy_epee_place"
"""Where `Doc.user_data` has the file and the line that annotation is from."""


def annotation(doc: Doc, name: str) -> Optional[List[Dict[str, Any]]]:
    """Read `doc._.relations` or `doc._.events`, without making an empty list of what nobody has set, as `doc._` does.

    doc (Doc): The Doc.
    name (str): The attribute.
    RETURNS (Optional[List[Dict[str, Any]]]): Its value; None if it is not set, or set to None: then nothing is known.
    """
    return doc.user_data.get(("._.", name, None, None))


def set_place(doc: Doc, where: str) -> None:
    """Remember where annotation comes from, for errors that are found later.

    doc (Doc): The annotated Doc.
    where (str): The file and the line or number of the document, and nothing of it.
    """
    doc.user_data[PLACE] = where


def place_of(doc: Doc) -> str:
    """RETURNS (str): Where the annotation of a Doc comes from; "" if nobody said so."""
    return doc.user_data.get(PLACE, "")
