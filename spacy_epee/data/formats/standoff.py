"""Lines of standoff, which brat and the BioNLP shared tasks have in common (https://brat.nlplab.org/standoff.html).

What a row has and standoff has not stands in notes of the type `spacy_epee`, each a JSON object on one line:
`#1 <tab> spacy_epee T5 <tab> {"entity": false}`

- on a T line, "entity": whether it is an entity, and not a trigger or the place of an argument alone;
- on an E line, "ent": the entity that its trigger is, which brat wants to be a T line of its own; "parents": {argument: the
  argument that it is a part of}, and "roles": {argument: its role} where the role itself ends in a digit; arguments are called
  what they are on the line, with their numbers;
- on either, "place": {"start", "end", "parts"} where the T line, the trigger's on an E line, has other fragments, since these
  neither overlap nor hold line ends; and "flags": {name: {"value", "spans": [{"start", "end"}]}}.

Notes only add to what the lines say, so that the files can be edited in brat: what is gone from the lines is gone.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from ...errors import raise_alone
from ..texts import read_text
from .countings import MARK, Quote, find_counting
from .remarks import DIRECTION, LEFT_OUT, OFFSETS, Remarks

NOTE = "spacy_epee"

KINDS = {
    "T": "an entity",
    "E": "an event",
    "R": "a relation of two entities",
    "A": "an attribute",
    "M": "an attribute",
    "*": "an equivalence",
    "#": f"a note of the type '{NOTE}'",
}

ID = re.compile(r"[TERAMN][0-9]\S*|#\S*|\*(?!\S)")
"""What a line begins with."""

OFFSET = "([0-9]{1,18}) +([0-9]{1,18})"

ENTITY = re.compile(rf"(\S+) +({OFFSET}(?: *; *{OFFSET})*)")

EVENT = re.compile(r"([^\s:]+):(\S+)((?: +[^\s:]+:\S+)*)")

RELATION = re.compile(r"(\S+) +([^\s:]+):(\S+) +([^\s:]+):(\S+)")

ATTRIBUTE = re.compile(r"(\S+) +(\S+)(?: +(.+))?")

EQUIVALENCE = re.compile(r"(\S+)((?: +\S+)+)")

ONE_LINE = re.compile("[^\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]+")
"""What has no line end, for any reader of files."""

LONGEST_NUMBER = 9
"""The most digits of the number of a role."""

TaskSlot = Tuple[int, int]


@dataclass
class Mention:
    """A T line.

    label (str): Its label.
    parts (List[Tuple[int, int]]): Its fragments, in whatever the file counts until all lines are read, and in characters then.
    text (Optional[str]): Its text in the file.
    where (str): What to call it in errors.
    """

    label: str
    parts: List[TaskSlot]
    text: Optional[str]
    where: str

    @property
    def length(self) -> int:
        """How long its text is, fragments being joined by spaces."""
        return sum(end - start for start, end in self.parts) + len(self.parts) - 1

    def quote(self) -> Quote:
        start, end = min(start for start, _ in self.parts), max(end for _, end in self.parts)
        return Quote(start, end, self.text, self.where, tuple(self.parts))


@dataclass
class EventLine:
    """An E line.

    label (str): Its label.
    trigger (str): The T line of its trigger.
    arguments (Dict[str, str]): The T or E line of each argument; those that repeat have numbers.
    """

    label: str
    trigger: str
    arguments: Dict[str, str]


@dataclass
class RelationLine:
    """An R line."""

    label: str
    head: str
    child: str
    where: str


class Standoff:
    """The lines of a document."""

    def __init__(self, remarks: Remarks) -> None:
        """
        remarks (Remarks): Takes down what is left out.
        """
        self.remarks = remarks
        self.entities: Dict[str, Mention] = {}
        self.given: Set[str] = set()
        self.events: Dict[str, EventLine] = {}
        self.relations: List[RelationLine] = []
        self.related: Set[str] = set()
        self.flags: Dict[str, Dict[str, Any]] = {}
        self.sets: List[List[str]] = []
        self.notes: Dict[str, Dict[str, Any]] = {}
        self.places: Dict[str, str] = {}

    def read(self, file: Path, given: bool = False) -> None:
        """Read a file.

        file (Path): The file.
        given (bool): Whether all its T lines are entities.
        RAISES ValueError: A line that is not of this form. It names file and line and shows nothing of either.
        """
        unfinished: Optional[Mention] = None
        for number, line in enumerate(re.split("\r\n|\r|\n", read_text(file).removeprefix(MARK)), 1):
            place = f"{file}, line {number}"
            whole, line = line, line.lstrip(" \t")
            word = ID.match(line)
            if unfinished is not None and (word is None or line[word.end() : word.end() + 1] != "\t"):
                # Some tools write line ends of the text as they are.
                unfinished.text = f"{unfinished.text}\n{whole}"
            elif word is not None:
                unfinished = self._read_line(line, word.group(), place, given)
            elif line.strip():
                self.remarks.add(LEFT_OUT, "lines of no known kind", place)
            if unfinished is not None and not len(unfinished.text or "") < unfinished.length:
                unfinished = None

    def row(self, name: str, text: str, where: str) -> Dict[str, Any]:
        """Put the lines together.

        name (str): What the document is called.
        text (str): Its text, as it is in the file.
        where (str): What to call it in warnings.
        RETURNS (Dict[str, Any]): The row.
        RAISES ValueError: A line that refers to none, or a span whose text in the file is not the document's.
        """
        self._check_references()
        marked, text = text.startswith(MARK), text.removeprefix(MARK)
        self._count_characters(text, marked, where)
        chosen = self._chosen()
        spots = {number: self._place(number, self.notes.get(number, {}), text) for number in self.entities}
        ents = []
        for number, mention in self.entities.items():
            if number not in chosen:
                continue
            ents.append({"id": number, **self._filled(spots[number], number), "label": mention.label})
            flags = self._flags(number)
            if flags:
                ents[-1]["flags"] = flags
        numbers = {number: place for place, number in enumerate(self.events)}
        events = []
        for number, event in self.events.items():
            events.append(
                {
                    "id": number,
                    "trigger": self._trigger(number, spots, chosen, text),
                    "label": event.label,
                    "arguments": self._arguments(number, numbers, spots, chosen),
                    "flags": self._flags(number),
                }
            )
        relations = [
            {"head": self._mention(relation.head), "child": self._mention(relation.child), "label": relation.label}
            for relation in self.relations
        ]
        row = {"id": name, "text": text, "ents": ents, "relations": relations, "events": events}
        if self.sets:
            row["equivalent"] = [[self._mention(member) for member in members] for members in self.sets]
        return row

    def _read_line(self, line: str, number: str, place: str, given: bool) -> Optional[Mention]:
        """Read a line. RETURNS (Optional[Mention]): The entity, if it is one that has a text."""
        kind = number[0]
        if number in self.places:
            raise ValueError(f"{place}: another line has the same id.")
        if kind in "TE":
            self.places[number] = place
        fields = [*line.split("\t", 2), "", ""]
        data, rest = (fields[1].strip(" ") if fields[0] == number else ""), fields[2]
        if kind in "ERAM*" and rest.strip():
            self.remarks.add(LEFT_OUT, "comments behind annotations", place)
        if kind == "T":
            known = self._read_entity(number, data, rest, place, given)
        elif kind == "E":
            known = self._read_event(number, data)
        elif kind == "R":
            known = self._read_relation(number, data, place)
        elif kind in "AM":
            known = self._read_attribute(data, place)
        elif kind == "*":
            known = self._read_equivalence(data, place)
        elif kind == "#":
            known = self._read_note(data, rest, place)
        else:
            known = self._leave_out("normalizations", place)
        if not known:
            raise ValueError(f"{place}: not {KINDS[kind]} in brat's form.")
        return self.entities[number] if kind == "T" and self.entities[number].text is not None else None

    def _read_entity(self, number: str, data: str, text: str, place: str, given: bool) -> bool:
        found = ENTITY.fullmatch(data)
        if found is None:
            return False
        parts = [(int(start), int(end)) for start, end in re.findall(OFFSET, found.group(2))]
        if not all(start < end for start, end in parts) and not (len(parts) == 1 and parts[0][0] == parts[0][1]):
            return False
        # What stands behind the number of an id may be anything.
        where = f"{place}, {number}" if number[1:].isdecimal() else place
        mention = Mention(found.group(1), parts, text if text.strip() else None, where)
        if text[mention.length : mention.length + 1] == "\t":
            mention.text = text[: mention.length]
            self.remarks.add(LEFT_OUT, "comments behind annotations", place)
        self.entities[number] = mention
        if given:
            self.given.add(number)
        return True

    def _read_event(self, number: str, data: str) -> bool:
        found = EVENT.fullmatch(data)
        if found is None:
            return False
        label, trigger, rest = found.groups()
        arguments = [argument.split(":", 1) for argument in rest.split(" ") if argument]
        names = _number_roles([name for name, _ in arguments])
        self.events[number] = EventLine(label, trigger, dict(zip(names, (end for _, end in arguments))))
        return True

    def _read_relation(self, number: str, data: str, place: str) -> bool:
        found = RELATION.fullmatch(data)
        if found is None or found.group(2) == found.group(4):
            return False
        label, one, head, other, child = found.groups()
        names = (one.casefold(), other.casefold())
        if names == ("arg2", "arg1"):
            head, child = child, head
        elif names != ("arg1", "arg2"):
            self.remarks.add(DIRECTION, "relations", place)
        self.relations.append(RelationLine(label, head, child, place))
        self.related.add(number)
        return True

    def _read_attribute(self, data: str, place: str) -> bool:
        found = ATTRIBUTE.fullmatch(data)
        if found is None:
            return False
        name, number, value = found.groups()
        flags = self.flags.setdefault(number, {})
        if flags.setdefault(name, value or True) != (value or True):
            self.remarks.add(LEFT_OUT, "second values of attributes", place)
        self.places.setdefault(f"flags {number}", place)
        return True

    def _read_equivalence(self, data: str, place: str) -> bool:
        found = EQUIVALENCE.fullmatch(data)
        if found is None:
            return False
        if found.group(1) != "Equiv":
            return self._leave_out("sets of another type than Equiv", place)
        self.sets.append(found.group(2).split())
        for member in self.sets[-1]:
            self.places.setdefault(f"set {member}", place)
        return True

    def _read_note(self, data: str, text: str, place: str) -> bool:
        kind, _, number = data.partition(" ")
        if kind != NOTE:
            return self._leave_out("notes", place)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise_alone(ValueError(f"{place}: not {KINDS['#']} in brat's form."))
        if not isinstance(content, dict) or not number:
            return False
        parts = [content.get(field, {}) for field in ("parents", "roles", "flags", "place")]
        if not all(isinstance(part, dict) for part in parts):
            return False
        self.notes.setdefault(number, {}).update(content)
        return True

    def _leave_out(self, what: str, place: str) -> bool:
        self.remarks.add(LEFT_OUT, what, place)
        return True

    def _count_characters(self, text: str, marked: bool, where: str) -> None:
        """Turn the offsets of T lines into characters."""
        counting, place = find_counting(text, [mention.quote() for mention in self.entities.values()], marked)
        if counting != "characters":
            self.remarks.add(OFFSETS, f"documents in {counting}", where)
        for mention in self.entities.values():
            parts = [(place(start), place(end)) for start, end in mention.parts]
            mention.parts = [(start, end) for start, end in parts if start is not None and end is not None and start <= end]
            if len(mention.parts) < len(parts):
                raise ValueError(f"{mention.where}: its offsets are not in the text, which has {len(text)} characters.")

    def _mention(self, number: str) -> str:
        """The entity that an event is, as the end of a relation: its trigger."""
        return self.events[number].trigger if number in self.events else number

    def _chosen(self) -> Set[str]:
        """The T lines that are entities: all but the triggers that only events refer to, if no note says otherwise."""
        triggers = {event.trigger for event in self.events.values()}
        named = {end for event in self.events.values() for end in event.arguments.values()} | set(self.flags) | self.given
        named |= {self._mention(end) for relation in self.relations for end in (relation.head, relation.child)}
        named |= {self._mention(member) for members in self.sets for member in members}
        chosen = {number for number in self.entities if number in named or number not in triggers}
        for number, note in self.notes.items():
            if number in self.entities and "entity" in note:
                (chosen.add if note["entity"] else chosen.discard)(number)
        return chosen

    def _place(self, number: str, note: Dict[str, Any], text: str) -> Dict[str, Any]:
        """Where a T line is: what the note says, if the line still has the fragments of that, or what the line says."""
        mention, parts = self.entities[number], _noted_parts(note.get("place", {}), len(text))
        if parts and fragments(text, parts) == sorted(mention.parts):
            return as_place(parts)
        return as_place(mention.parts)

    def _filled(self, place: Dict[str, Any], number: str) -> Dict[str, Any]:
        """What brat cannot hold has an empty T line, and a note that says where it is."""
        if place["start"] == place["end"]:
            raise ValueError(f"{self.entities[number].where}: it has no characters.")
        return place

    def _trigger(self, number: str, spots: Dict[str, Dict[str, Any]], chosen: Set[str], text: str) -> Dict[str, Any]:
        event, note = self.events[number], self.notes.get(number, {})
        place = self._place(event.trigger, note, text) if "place" in note else spots[event.trigger]
        self._filled(place, event.trigger)
        ent = note.get("ent")
        if isinstance(ent, str) and ent in chosen and spots[ent] == place:
            return {**place, "ent": ent}
        return {**place, "ent": event.trigger} if event.trigger in chosen else place

    def _arguments(
        self, number: str, numbers: Dict[str, int], spots: Dict[str, Dict[str, Any]], chosen: Set[str]
    ) -> List[Dict[str, Any]]:
        event, note = self.events[number], self.notes.get(number, {})
        places: Dict[Any, int] = {name: place for place, name in enumerate(event.arguments)}
        found = []
        for name, end in event.arguments.items():
            role = name.rstrip("0123456789")
            own = note.get("roles", {}).get(name)
            if isinstance(own, str) and name.startswith(own) and own.startswith(role):
                role = own
            digits = name[len(role) :]
            if not role or len(digits) > LONGEST_NUMBER:
                role, digits = name, ""
            entry: Dict[str, Any] = {"role": role}
            if digits:
                entry["number"] = int(digits)
            if end in numbers:
                entry["event"] = numbers[end]
            else:
                entry.update(self._filled(spots[end], end))
                entry.update({"ent": end} if end in chosen else {})
            parent = note.get("parents", {}).get(name)
            found.append({**entry, "parent": places.get(parent) if isinstance(parent, str) else None})
        return found

    def _flags(self, number: str) -> Dict[str, Any]:
        """The flags of an event or entity, with what a note adds to each."""
        found: Dict[str, Any] = dict(self.flags.get(number, {}))
        for name, more in self.notes.get(number, {}).get("flags", {}).items():
            if name in found and isinstance(more, dict) and as_word(more.get("value")) == found[name]:
                spans = more.get("spans")
                found[name] = {"value": more["value"], "spans": spans} if spans else more["value"]
        return found

    def _check_references(self) -> None:
        for number, event in self.events.items():
            if event.trigger not in self.entities:
                raise ValueError(f"{self.places[number]}: its trigger is no T line of this document.")
            for place, end in enumerate(event.arguments.values(), 1):
                if end not in self.entities and end not in self.events:
                    raise ValueError(f"{self.places[number]}: its argument {place} is no T or E line of this document.")
        for relation in self.relations:
            for what, end in (("head", relation.head), ("child", relation.child)):
                if end not in self.entities and end not in self.events:
                    raise ValueError(f"{relation.where}: its {what} is no T or E line of this document.")
        for number, flags in self.flags.items():
            where = self.places[f"flags {number}"]
            if number in self.related:
                self.remarks.add(LEFT_OUT, "attributes of relations", where, len(flags))
            elif number not in self.entities and number not in self.events:
                raise ValueError(f"{where}: what it is said of is no T or E line of this document.")
        for members in self.sets:
            for member in members:
                if member not in self.entities and member not in self.events:
                    raise ValueError(f"{self.places[f'set {member}']}: a part of it is no T or E line of this document.")


def read_documents(path: Path, suffixes: Sequence[str], given: Sequence[str] = ()) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read documents, and say once what of them is left out or read in another way than it is written.

    path (Path): A file of lines, or a folder.
    suffixes (Sequence[str]): The ends of names of files of lines.
    given (Sequence[str]): Those of them in which all T lines are entities.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document.
    RAISES ValueError: As `Standoff` and `find_documents`.
    """
    remarks = Remarks()
    for name, source, files in find_documents(path, suffixes):
        lines = Standoff(remarks)
        for suffix, file in files.items():
            lines.read(file, given=suffix in given)
        where = str(next(iter(files.values())))
        yield where, lines.row(name, read_text(source, mark=True), where)
    remarks.warn()


def find_documents(path: Path, suffixes: Sequence[str]) -> Iterator[Tuple[str, Path, Dict[str, Path]]]:
    """Find the files of documents.

    path (Path): A file of lines, or a folder, in which subfolders are looked through too.
    suffixes (Sequence[str]): The ends of names, of which a document has at least one.
    YIELDS (Tuple[str, Path, Dict[str, Path]]): The name and the text of each document, and its files of lines by their suffixes.
    RAISES ValueError: There is no text, or none of the others.
    """
    found = [path] if path.is_file() else [file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file()]
    for stem in sorted({file.with_suffix("") for file in found}):
        source = _with_end(stem, ".txt")
        files = {suffix: file for suffix in suffixes for file in [_with_end(stem, suffix)] if file is not None}
        if source is None or not files:
            missing = f"{stem.name}{'.txt' if source is None else suffixes[0]}"
            raise ValueError(f"{next(iter(files.values()), path)}: there is no '{missing}' beside it.")
        yield stem.name if path.is_file() else stem.relative_to(path).as_posix(), source, files


def _with_end(stem: Path, suffix: str) -> Optional[Path]:
    """The file of a document with a suffix, which some tools write in capitals."""
    # with_suffix would take the end of a name like PMC1.2 for a suffix.
    files = [stem.with_name(stem.name + end) for end in (suffix, suffix.upper())]
    return next((file for file in files if file.is_file()), None)


def as_word(value: Any) -> Any:
    """RETURNS (Any): A value as an attribute's line has it: a string without whitespace, or True."""
    return re.sub(r"\s", "_", value) if isinstance(value, str) else value


def as_place(parts: List[TaskSlot]) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): From the first part to the last, and the parts if there are several."""
    place: Dict[str, Any] = {"start": min(start for start, _ in parts), "end": max(end for _, end in parts)}
    if len(parts) > 1:
        place["parts"] = [{"start": start, "end": end} for start, end in sorted(parts)]
    return place


def fragments(text: str, parts: List[TaskSlot]) -> List[TaskSlot]:
    """What brat makes of parts: in order, without overlap, and each on one line.

    text (str): The text.
    parts (List[Tuple[int, int]]): The parts.
    RETURNS (List[Tuple[int, int]]): The fragments; an empty one if there are line ends alone.
    """
    found: List[TaskSlot] = []
    for start, end in sorted(parts):
        start = max(start, found[-1][1] if found else 0)
        found += [match.span() for match in ONE_LINE.finditer(text, start, max(start, end))]
    return found or [(min(parts)[0], min(parts)[0])]


def free_name(name: str, taken: Set[str], counts: Dict[str, int]) -> str:
    """RETURNS (str): A name, with the first number that makes it a new one if it is taken. `counts` keeps what was tried."""
    found = name
    while found in taken:
        counts[name] = counts.get(name, 1) + 1
        found = f"{name}{counts[name]}"
    return found


def _number_roles(names: List[str]) -> List[str]:
    """Give roles that repeat on an E line a number."""
    taken, seen = set(names), set()
    counts: Dict[str, int] = {}
    found = []
    for name in names:
        found.append(free_name(name, taken, counts) if name in seen else name)
        taken.add(found[-1])
        seen.add(name)
    return found


def _noted_parts(place: Dict[str, Any], length: int) -> List[TaskSlot]:
    """The parts of a place in a note; none if it is not one of this text."""
    parts = place.get("parts", [place])
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return []
    found = [(part.get("start"), part.get("end")) for part in parts]
    if not all(type(start) is int and type(end) is int and 0 <= start < end <= length for start, end in found):
        return []
    return found
