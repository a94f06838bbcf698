"""Annotation in extension attributes, told from no annotation."""

from typing import Any, Dict, List, Optional

from spacy.tokens import Doc


def annotation(doc: Doc, name: str) -> Optional[List[Dict[str, Any]]]:
    """Read `doc._.relations` or `doc._.events`, without making an empty list of what nobody has set, as `doc._` does.

    doc (Doc): The Doc.
    name (str): The attribute.
    RETURNS (Optional[List[Dict[str, Any]]]): Its value; None if it is not set, or set to None: then nothing is known.
    """
    return doc.user_data.get(("._.", name, None, None))
