"""What files of a kind have no place for, counted, so that nothing is gone in silence."""

from typing import Any, Dict, NamedTuple, Tuple

from .remarks import Remarks

NAMES = {
    "cats": "labels of documents",
    "teacher": "soft labels of documents",
    "symmetric": "documents whose relations have no direction",
    "equivalent": "sets of entities that are the same",
    "flags": "attributes of entities",
    "parts": "parts of spans",
    "kb_id": "ids of concepts of entities",
    "number": "numbers of roles",
}
"""What fields of rows, entities and arguments are called. The names of others may be text, and are not said."""

ABOUT = ("id", "text", "ents", "relations", "events", "level")
"""Fields of a row that are written anywhere, or need not be."""


OF_SPANS = ("flags", "parts", "kb_id", "number")
"""Fields of entities, triggers and arguments."""


class Kept(NamedTuple):
    """What files of a kind have a place for.

    what (str): What such a file is called.
    row (Tuple[str, ...]): Fields of a row, beside those in `ABOUT`.
    span (Tuple[str, ...]): Those in `OF_SPANS`.
    """

    what: str
    row: Tuple[str, ...]
    span: Tuple[str, ...]


DOCBIN = Kept("a .spacy file", ("cats", "teacher", "symmetric"), ("kb_id",))
"""Whether relations have a direction is a setting there, which the command says."""

STANDOFF = Kept("standoff", ("equivalent",), ("flags", "parts", "number"))


def note_lost(row: Dict[str, Any], kept: Kept, remarks: Remarks, where: str) -> None:
    """Take down what of a row is not written.

    row (Dict[str, Any]): The row, which was checked.
    kept (Kept): What the files have a place for.
    remarks (Remarks): Takes it down.
    where (str): What to call the row in the warning.
    """
    topic = f"Left out, for {kept.what} has no place for it"
    for name in row.keys() - {*ABOUT, *kept.row}:
        remarks.add(topic, NAMES.get(name, "other fields"), where, count=bool(row[name]))
    spans = [*row.get("ents", ())]
    for event in row.get("events", ()):
        spans += [event["trigger"], *event.get("arguments", ())]
    for name in OF_SPANS:
        remarks.add(topic, NAMES[name], where, count=0 if name in kept.span else sum(bool(span.get(name)) for span in spans))
