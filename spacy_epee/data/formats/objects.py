"""What the exports of annotation tools have in common: objects in JSON, and things that are left out."""

import warnings
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from ..checks import check_label, objects, require
from ..readers import JSONL, Line, iterate_rows
from ..texts import find_files, parse_json, read_text
from .countings import Quote, find_counting

OBJECTS = (*JSONL, ".json")
"""What the names of exports end in."""

UNNAMED = "SPAN", "RELATION"
"""The labels of entities and of relations that were marked without one."""


def read_objects(path: Path) -> Iterator[Line]:
    """Read the objects of an export.

    path (Path): A file with one object a line; one ending in .json with a list of objects, or a single one; or a folder.
    YIELDS (Line): The objects, each with its place.
    RAISES ValueError: A file that is neither.
    """
    for file in find_files(path, OBJECTS):
        if file.name.lower().endswith(JSONL):
            yield from iterate_rows(file)
            continue
        text = read_text(file)
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) > 1 and all(line.strip()[0] == "{" and line.strip()[-1] == "}" for _, line in lines):
            found = [(f"{file}, line {number}", parse_json(line, f"{file}, line {number}")) for number, line in lines]
        else:
            content = parse_json(text, str(file))
            parts = content if isinstance(content, list) else [content]
            found = [(f"{file}, object {number}", part) for number, part in enumerate(parts, 1)]
        for where, row in found:
            if not isinstance(row, dict):
                raise ValueError(f"{where}: expected an object.")
            yield Line(where, row, file)


class Tally:
    """Counts what is left out or understood in one way of several, to say it once."""

    def __init__(self) -> None:
        self.counts: Counter = Counter()

    def __call__(self, what: str, count: int = 1) -> None:
        """
        what (str): What was done. Nothing of a file.
        count (int): How often.
        """
        self.counts[what] += count

    def warn(self, path: Path) -> None:
        """Say it.

        path (Path): What was read.
        """
        said = "; ".join(f"{count} {what}" for what, count in self.counts.items() if count)
        if said:
            warnings.warn(f"{path}: {said}.")


class Mentions:
    """The entities of a document."""

    def __init__(self, where: str, tally: Tally):
        """
        where (str): What to call the document in errors.
        tally (Tally): Counts entities without a label.
        """
        self.where = where
        self.tally = tally
        self.rows: List[Dict[str, Any]] = []
        self._quotes: List[Quote] = []
        self._names: Dict[Any, str] = {}

    def add(self, start: Any, end: Any, label: Any, text: Any = None, name: Any = None) -> str:
        """Add an entity.

        start (int): Its first character, in whatever the file counts.
        end (int): The one behind its last.
        label (Optional[str]): Its label.
        text (Optional[str]): Its text, if the file gives one.
        name (Any): What the file calls it; the first of several entities is found by it.
        RETURNS (str): Its id.
        """
        place = f"{self.where}, span {len(self.rows) + 1}"
        if type(start) is not int or type(end) is not int:
            raise ValueError(f"{place}: its first or last character is not a whole number.")
        if label is None:
            self.tally(f"spans had no label and got '{UNNAMED[0]}'")
        number = f"T{len(self.rows) + 1}"
        label = UNNAMED[0] if label is None else label
        check_label(label, place)
        self.rows.append({"id": number, "start": start, "end": end, "label": label})
        self._quotes.append(Quote(start, end, text if isinstance(text, str) else None, place))
        if isinstance(name, (str, int, tuple)):
            self._names.setdefault(name, number)
        return number

    def find(self, name: Any) -> Optional[str]:
        """RETURNS (Optional[str]): The id of the entity that the file calls so; None if there is none."""
        return self._names.get(name) if isinstance(name, (str, int, tuple)) else None

    def fits(self, text: str) -> bool:
        """RETURNS (bool): Whether a text has the texts that the file gives for the spans."""
        try:
            find_counting(text, self._quotes)
        except ValueError:
            return False
        return True

    def fit(self, text: str) -> None:
        """Turn what the offsets count into characters.

        text (str): The text of the document.
        RAISES ValueError: The texts that the file gives for the spans are not there.
        """
        counting, place = find_counting(text, self._quotes)
        if counting == "characters":
            return
        self.tally(f"documents have offsets that count {counting}, which were turned into characters")
        for entity, quote in zip(self.rows, self._quotes):
            start, end = place(quote.start), place(quote.end)
            if start is None or end is None:
                raise ValueError(f"{quote.where}: it begins or ends inside a character, where offsets count {counting}.")
            entity.update(start=start, end=end)


def relation(head: Optional[str], child: Optional[str], label: Any, where: str, tally: Tally) -> Dict[str, str]:
    """Make a relation.

    head (Optional[str]): The id of its head; None if there is no such entity.
    child (Optional[str]): That of its child.
    label (Optional[str]): Its label.
    where (str): What to call it in errors.
    tally (Tally): Counts relations without a label.
    RETURNS (Dict[str, str]): The relation.
    """
    if head is None or child is None:
        raise ValueError(f"{where}: one of its ends is no span of this document. Add that span, or remove the relation.")
    if label is None:
        tally(f"relations had no label and got '{UNNAMED[1]}'")
        label = UNNAMED[1]
    check_label(label, where)
    return {"head": head, "child": child, "label": label}


def id_of(entry: Dict[str, Any], *names: str) -> str:
    """RETURNS (str): The first of some fields that is there and not null, as the id of a document; "" if there is none."""
    return next((str(entry[name]) for name in names if entry.get(name) is not None), "")


def fields(entry: Dict[str, Any], field: str, needed: Sequence[str], where: str) -> List[Dict[str, Any]]:
    """Get a field that is a list of objects with certain fields, and may be missing or null.

    entry (Dict[str, Any]): What has the field.
    field (str): The field.
    needed (Sequence[str]): What each object must have.
    where (str): What to call the former in errors.
    RETURNS (List[Dict[str, Any]]): The objects.
    """
    found = objects({field: entry.get(field) or []}, field, where)
    for number, part in enumerate(found, 1):
        require(part, needed, f"{where}, '{field}' {number}")
    return found
