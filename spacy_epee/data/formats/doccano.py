"""doccano: exports of projects for text classification, sequence labelling with or without relations, and intent detection."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from .label_studio import is_label_studio
from .objects import OBJECTS, Mentions, Tally, id_of, read_objects, relation
from .prodigy import is_prodigy
from .registry import Format

Row = Dict[str, Any]

LISTS = ("label", "labels", "entities", "cats", "annotations")
"""The fields that hold spans or labels, in one version or kind of project or another."""


ANNOTATED = ("ents", "relations", "cats")
"""The fields of a row that say something."""


def is_doccano(row: Row) -> bool:
    """RETURNS (bool): Whether an object is a document of doccano."""
    text = isinstance(row.get("text", row.get("data")), str)
    marked = "ents" not in row and any(isinstance(row.get(name), list) for name in ("label", "labels", "entities"))
    return text and marked and not is_label_studio(row) and not is_prodigy(row)


def read_doccano(path: Path) -> Iterator[Tuple[str, Row]]:
    """Read entities, relations and labels of documents.

    path (Path): The file, or a folder of files.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document. Its text is in `text` or `data`; spans are
        [start, end, label] or {"id", "start_offset", "end_offset", "label"}; relations {"from_id", "to_id", "type"}, of which the
        first is the head; strings are labels of the document. A project in which each annotator has all documents is a file for
        each: of several annotations of a document the last one that says anything holds, and they are counted in a warning.
    RAISES ValueError: A document that is not of this form. It names file and line and shows nothing of either.
    """
    tally = Tally()
    found: Dict[Tuple[Any, ...], Tuple[str, Row]] = {}
    for number, (where, document, _) in enumerate(read_objects(path)):
        row = _row(document, where, tally)
        key = (row["id"], row["text"]) if row["id"] else (number,)
        if key in found:
            tally("annotations were left out for another one of the same document, the last that says anything")
        if key not in found or any(row.get(name) for name in ANNOTATED):
            found[key] = where, row
    yield from found.values()
    tally.warn(path)


def _row(document: Row, where: str, tally: Tally) -> Row:
    text = document.get("text", document.get("data"))
    if not isinstance(text, str):
        raise ValueError(f"{where}: it has no 'text' or 'data' that is a string.")
    mentions = Mentions(where, tally)
    labels: List[str] = []
    given = [name for name in LISTS if name in document]
    # An empty list does not say of what.
    spans = "entities" in document or "relations" in document
    for name in given:
        values = [document[name]] if isinstance(document[name], str) else document[name] or []
        if not isinstance(values, list):
            raise ValueError(f"{where}: the field '{name}' is not a list.")
        for value in values:
            if isinstance(value, str):
                labels.append(value)
                continue
            spans = True
            _add(value, mentions, f"{where}, '{name}'")
    mentions.fit(text)
    row: Row = {"id": id_of(document, "id"), "text": text}
    if spans:
        row["ents"] = mentions.rows
    if labels or "cats" in given or (given and not spans):
        row["cats"] = labels
    if "relations" in document:
        row["relations"] = _relations(document, mentions, where, tally)
    return row


def _add(value: Any, mentions: Mentions, where: str) -> None:
    if isinstance(value, list) and len(value) == 3:
        mentions.add(*value)
    elif isinstance(value, dict):
        label = value.get("label")
        if isinstance(label, int):
            raise ValueError(f"{where}: its labels are numbers. Export the project as JSONL with the names of labels.")
        start, end = (value.get(f"{name}_offset", value.get(name)) for name in ("start", "end"))
        mentions.add(start, end, label, value.get("text"), value.get("id"))
    else:
        raise ValueError(f"{where}: expected strings, [start, end, label], or objects with 'start_offset' and 'end_offset'.")


def _relations(document: Row, mentions: Mentions, where: str, tally: Tally) -> List[Dict[str, str]]:
    values = document["relations"]
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise ValueError(f"{where}: the field 'relations' is not a list of objects.")
    return [
        relation(mentions.find(value.get("from_id")), mentions.find(value.get("to_id")), value.get("type"), place, tally)
        for value, place in zip(values, (f"{where}, relation {number}" for number in range(1, len(values) + 1)))
    ]


FORMAT = Format(read_doccano, suffixes=OBJECTS, is_from=is_doccano)
