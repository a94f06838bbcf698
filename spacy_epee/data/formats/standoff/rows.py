"""From the lines of a document to its row."""

from typing import Any, Dict, List, Set

from ..countings import MARK, find_counting
from ..remarks import OFFSETS
from .lines import Lines
from .places import LONGEST_NUMBER, as_place, as_word, fragments, noted_parts

Row = Dict[str, Any]


def make_row(lines: Lines, name: str, text: str, where: str) -> Row:
    """Put the lines together.

    lines (Lines): The lines, all files being read.
    name (str): What the document is called.
    text (str): Its text, as it is in the file.
    where (str): What to call it in warnings.
    RETURNS (Dict[str, Any]): The row.
    RAISES ValueError: A line that refers to none, or a span whose text in the file is not the document's.
    """
    lines.check_references()
    marked, text = text.startswith(MARK), text.removeprefix(MARK)
    _count_characters(lines, text, marked, where)
    document = _Document(lines, text)
    row = {
        "id": name,
        "text": text,
        "ents": document.entities(),
        "relations": document.relations(),
        "events": document.events(),
    }
    return {**row, "equivalent": document.equivalences()} if lines.sets else row


def _count_characters(lines: Lines, text: str, marked: bool, where: str) -> None:
    """Turn the offsets of T lines into characters."""
    counting, place = find_counting(text, [mention.quote() for mention in lines.entities.values()], marked)
    if counting != "characters":
        lines.remarks.add(OFFSETS, f"documents in {counting}", where)
    for mention in lines.entities.values():
        parts = [(place(start), place(end)) for start, end in mention.parts]
        mention.parts = [(start, end) for start, end in parts if start is not None and end is not None and start <= end]
        if len(mention.parts) < len(parts):
            raise ValueError(f"{mention.where}: its offsets are not in the text, which has {len(text)} characters.")


class _Document:
    """A document of which all lines are read and checked.

    chosen (Set[str]): The T lines that are entities.
    places (Dict[str, Dict[str, Any]]): Where each T line is.
    """

    def __init__(self, lines: Lines, text: str):
        self.lines, self.text = lines, text
        self.chosen = self._choose()
        self.places = {number: self._place(number, lines.notes.get(number, {})) for number in lines.entities}
        self._events = {number: index for index, number in enumerate(lines.events)}

    def entities(self) -> List[Row]:
        """RETURNS (List[Dict[str, Any]]): The entities of the row."""
        rows = []
        for number, mention in self.lines.entities.items():
            if number not in self.chosen:
                continue
            rows.append({"id": number, **self._filled(self.places[number], number), "label": mention.label})
            flags = self._flags(number)
            if flags:
                rows[-1]["flags"] = flags
        return rows

    def relations(self) -> List[Row]:
        """RETURNS (List[Dict[str, Any]]): Its relations."""
        return [
            {"head": self._mention(relation.head), "child": self._mention(relation.child), "label": relation.label}
            for relation in self.lines.relations
        ]

    def events(self) -> List[Row]:
        """RETURNS (List[Dict[str, Any]]): Its events."""
        return [
            {
                "id": number,
                "trigger": self._trigger(number),
                "label": event.label,
                "arguments": self._arguments(number),
                "flags": self._flags(number),
            }
            for number, event in self.lines.events.items()
        ]

    def equivalences(self) -> List[List[str]]:
        """RETURNS (List[List[str]]): Its sets of entities that are the same."""
        return [[self._mention(member) for member in members] for members in self.lines.sets]

    def _mention(self, number: str) -> str:
        """The entity that an event is, as the end of a relation: its trigger."""
        return self.lines.events[number].trigger if number in self.lines.events else number

    def _choose(self) -> Set[str]:
        """The T lines that are entities: all but the triggers that only events refer to, if no note says otherwise."""
        lines = self.lines
        triggers = {event.trigger for event in lines.events.values()}
        named = {end for event in lines.events.values() for end in event.arguments.values()} | set(lines.flags) | lines.given
        named |= {self._mention(end) for relation in lines.relations for end in (relation.head, relation.child)}
        named |= {self._mention(member) for members in lines.sets for member in members}
        chosen = {number for number in lines.entities if number in named or number not in triggers}
        for number, note in lines.notes.items():
            if number in lines.entities and "entity" in note:
                (chosen.add if note["entity"] else chosen.discard)(number)
        return chosen

    def _place(self, number: str, note: Row) -> Row:
        """Where a T line is: what the note says, if the line still has the fragments of that, or what the line says."""
        mention, parts = self.lines.entities[number], noted_parts(note.get("place", {}), len(self.text))
        if parts and fragments(self.text, parts) == sorted(mention.parts):
            return as_place(parts)
        return as_place(mention.parts)

    def _filled(self, place: Row, number: str) -> Row:
        """What brat cannot hold has an empty T line, and a note that says where it is."""
        if place["start"] == place["end"]:
            raise ValueError(f"{self.lines.entities[number].where}: it has no characters.")
        return place

    def _trigger(self, number: str) -> Row:
        event, note = self.lines.events[number], self.lines.notes.get(number, {})
        place = self._place(event.trigger, note) if "place" in note else self.places[event.trigger]
        self._filled(place, event.trigger)
        ent = note.get("ent")
        if isinstance(ent, str) and ent in self.chosen and self.places[ent] == place:
            return {**place, "ent": ent}
        return {**place, "ent": event.trigger} if event.trigger in self.chosen else place

    def _arguments(self, number: str) -> List[Row]:
        event, note = self.lines.events[number], self.lines.notes.get(number, {})
        indices: Dict[Any, int] = {name: index for index, name in enumerate(event.arguments)}
        rows = []
        for name, end in event.arguments.items():
            role = name.rstrip("0123456789")
            noted = note.get("roles", {}).get(name)
            if isinstance(noted, str) and name.startswith(noted) and noted.startswith(role):
                role = noted
            digits = name[len(role) :]
            if not role or len(digits) > LONGEST_NUMBER:
                role, digits = name, ""
            row: Row = {"role": role}
            if digits:
                row["number"] = int(digits)
            if end in self._events:
                row["event"] = self._events[end]
            else:
                row.update(self._filled(self.places[end], end))
                row.update({"ent": end} if end in self.chosen else {})
            parent = note.get("parents", {}).get(name)
            rows.append({**row, "parent": indices.get(parent) if isinstance(parent, str) else None})
        return rows

    def _flags(self, number: str) -> Row:
        """The flags of an event or entity, with what a note adds to each."""
        flags: Row = dict(self.lines.flags.get(number, {}))
        for name, more in self.lines.notes.get(number, {}).get("flags", {}).items():
            if name in flags and isinstance(more, dict) and as_word(more.get("value")) == flags[name]:
                spans = more.get("spans")
                flags[name] = {"value": more["value"], "spans": spans} if spans else more["value"]
        return flags
