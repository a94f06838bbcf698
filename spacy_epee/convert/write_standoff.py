"""Writing rows as brat or BioNLP standoff. What these have no place for goes into notes, see `standoff`."""

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence, Set, Tuple

from ..training.checks import check_place, objects
from ..training.event_rows import EventRow, FlagRow, Place, read_events, read_flags
from .standoff import NOTE, as_word

Row = Dict[str, Any]


def write_brat(rows: Iterable[Tuple[str, Row]], folder: Path) -> int:
    """Write a .txt and an .ann file for each row.

    rows (Iterable[Tuple[str, Dict[str, Any]]]): Places, for errors, and rows, which `annotate_doc` accepts. Their text, entities,
        relations, events and "equivalent" are kept, and what else they have is not. A row's id is the name of its files.
    folder (Path): Where to.
    RETURNS (int): The number of documents.
    RAISES ValueError: Labels that have whitespace (or, in events, a colon), or ids that two rows share. Nothing is written then.
    """
    files = {}
    count = 0
    for name, lines, row in _documents(rows, flag="A"):
        files[f"{name}.txt"] = row["text"]
        triggers = [(number, {"entity": True}) for number in sorted(lines.triggers & set(lines.ids.values()))]
        files[f"{name}.ann"] = _join([*lines.entities, *lines.spans, *lines.rest, *lines.notes(triggers)])
        count += 1
    _write(files, folder)
    return count


def write_bionlp(rows: Iterable[Tuple[str, Row]], folder: Path) -> int:
    """Write a .txt, an .a1 with the entities and an .a2 with the rest for each row.

    rows (Iterable[Tuple[str, Dict[str, Any]]]): As for `write_brat`.
    folder (Path): Where to.
    RETURNS (int): The number of documents.
    RAISES ValueError: As `write_brat`.
    """
    files = {}
    count = 0
    for name, lines, row in _documents(rows, flag="M"):
        files[f"{name}.txt"] = row["text"]
        files[f"{name}.a1"] = _join(lines.entities)
        files[f"{name}.a2"] = _join([*lines.spans, *lines.rest, *lines.notes()])
        count += 1
    _write(files, folder)
    return count


class _Lines:
    """The lines of a row.

    ids: The T line of each entity.
    triggers: The T lines of triggers.
    entities, spans, rest: The lines themselves: of entities, of triggers and arguments that are none, and all others.
    """

    def __init__(self, row: Row, where: str, flag: str):
        self.text, self.where, self.flag = row["text"], where, flag
        self.triggers: Set[str] = set()
        self.entities: List[str] = []
        self.spans: List[str] = []
        self.rest: List[str] = []
        self._notes: List[Tuple[str, Dict[str, Any]]] = []
        self._made: Dict[Tuple[str, ...], str] = {}
        self._n_flags = 0
        ents = objects(row, "ents", where)
        kept = {ent["id"] for ent in ents if isinstance(ent["id"], str) and re.fullmatch("T[0-9]+", ent["id"])}
        self._next = max((int(number[1:]) for number in kept), default=0) + 1
        self.ids = {ent["id"]: ent["id"] if ent["id"] in kept else self._new() for ent in ents}
        self.places = {ent["id"]: (ent["start"], ent["end"]) for ent in ents}
        for place, ent in enumerate(ents, 1):
            name = f"{where}, entity {place}"
            self.entities.append(self._line(self.ids[ent["id"]], ent["label"], ent, self.places[ent["id"]], name))
        for place, relation in enumerate(objects(row, "relations", where), 1):
            name = f"{where}, relation {place}"
            head, child = (self._entity(relation[end], name) for end in ("head", "child"))
            self.rest.append(f"R{place}\t{_word(relation['label'], name)} Arg1:{head} Arg2:{child}")
        events = read_events(row, where, self.places)
        for place, (entry, event) in enumerate(zip(objects(row, "events", where), events), 1):
            self._event(place, entry, event)
        for place, ent in enumerate(ents, 1):
            name = f"{where}, entity {place}"
            self._note(self.ids[ent["id"]], self._flags(self.ids[ent["id"]], read_flags(ent, len(self.text), name), name))
        for members in row.get("equivalent", []):
            self.rest.append("*\tEquiv " + " ".join(self._entity(member, f"{where}, 'equivalent'") for member in members))

    def notes(self, more: Sequence[Tuple[str, Dict[str, Any]]] = ()) -> List[str]:
        """RETURNS (List[str]): The lines of notes."""
        found: Dict[str, Dict[str, Any]] = {}
        for number, note in [*self._notes, *more]:
            found.setdefault(number, {}).update(note)
        lines = enumerate(found.items(), 1)
        return [f"#{i}\t{NOTE} {number}\t{json.dumps(note, ensure_ascii=False)}" for i, (number, note) in lines]

    def _event(self, number: int, entry: Dict[str, Any], event: EventRow) -> None:
        where = f"{self.where}, event {number}"
        label = _word(event.label, where, colon=False)
        # In some corpora the event itself names the entity that its trigger is.
        trigger = self._span({"ent": entry.get("ent"), **entry["trigger"]}, event.trigger, label, where, trigger=True)
        self.triggers.add(trigger)
        entries = entry.get("arguments", [])
        names = _number(entries)
        parts = [f"{label}:{trigger}"]
        note: Dict[str, Any] = {"parents": {}, "roles": {}}
        for name, given, argument in zip(names, entries, event.arguments):
            _word(argument.role, where, "role", colon=False)
            if argument.event is not None:
                end = f"E{argument.event + 1}"
            else:
                end = self._span(given, argument.place, argument.role, where, trigger=False)
            parts.append(f"{name}:{end}")
            if argument.parent is not None:
                note["parents"][name] = names[argument.parent]
            if argument.role[-1] in "0123456789":
                note["roles"][name] = argument.role
        self.rest.append(f"E{number}\t{' '.join(parts)}")
        note.update(self._flags(f"E{number}", event.flags, where))
        self._note(f"E{number}", {field: value for field, value in note.items() if value})

    def _flags(self, number: str, flags: Dict[str, FlagRow], where: str) -> Dict[str, Any]:
        """Write the lines of flags.

        RETURNS (Dict[str, Any]): What of them must go into a note.
        """
        more = {}
        for name, flag in flags.items():
            self._n_flags += 1
            value = "" if flag.value is True else f" {as_word(flag.value)}"
            self.rest.append(f"{self.flag}{self._n_flags}\t{_word(name, where, 'flags')} {number}{value}")
            if flag.places or flag.value != as_word(flag.value):
                more[name] = {"value": flag.value, "spans": [{"start": start, "end": end} for start, end in flag.places]}
        return {"flags": more} if more else {}

    def _span(self, entry: Dict[str, Any], place: Place, label: str, where: str, trigger: bool) -> str:
        """The T line of a trigger or argument: an entity's, if it is one, or one of its own."""
        entity = entry.get("ent")
        if entity is not None and self.places.get(entity) == place:
            return self.ids[entity]
        line = self._line("", label, entry, place, where)
        key = ("trigger" if trigger else "argument", line)
        if key not in self._made:
            self._made[key] = self._new()
            self.spans.append(self._made[key] + line)
            if not trigger:
                self._note(self._made[key], {"entity": False})
        return self._made[key]

    def _line(self, number: str, label: str, entry: Dict[str, Any], place: Place, where: str) -> str:
        parts = [(part.get("start"), part.get("end")) for part in objects(entry, "parts", where)]
        for start, end in parts:
            check_place(start, end, len(self.text), f"{where}, 'parts'")
        if (min(parts, default=place)[0], max(end for _, end in parts or [place])) != place or not parts:
            parts = [place]
        offsets = ";".join(f"{start} {end}" for start, end in sorted(parts))
        text = " ".join(self.text[start:end] for start, end in sorted(parts))
        return f"{number}\t{_word(label, where)} {offsets}\t" + re.sub(r"[\t\r\n]", " ", text)

    def _entity(self, number: Any, where: str) -> str:
        if not isinstance(number, (str, int)) or number not in self.ids:
            raise ValueError(f"{where}: it refers to no entity of this document.")
        return self.ids[number]

    def _note(self, number: str, note: Dict[str, Any]) -> None:
        if note:
            self._notes.append((number, note))

    def _new(self) -> str:
        self._next += 1
        return f"T{self._next - 1}"


def _documents(rows: Iterable[Tuple[str, Row]], flag: str) -> Iterable[Tuple[str, _Lines, Row]]:
    taken: Set[str] = set()
    for number, (where, row) in enumerate(rows, 1):
        # As a path in the folder: subfolders may be part of an id, and nothing may lead out.
        parts = [re.sub(r"[^\w.-]", "_", part) for part in str(row.get("id", number)).split("/")]
        name = "/".join(parts)
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{where}: its 'id' cannot be the name of a file. Give another one, or leave it out.")
        # Some systems do not tell upper from lower case.
        if name.casefold() in taken:
            raise ValueError(f"{where}: another document has the same 'id', or one that differs in case or signs alone.")
        taken.add(name.casefold())
        yield name, _Lines(row, where, flag), row


def _number(arguments: List[Dict[str, Any]]) -> List[str]:
    """What arguments are called on an E line: roles that repeat have numbers, those that are given if there are any."""
    names: Dict[int, str] = {}
    for place, argument in enumerate(arguments):
        number = argument.get("number")
        name = f"{argument['role']}{number}"
        if type(number) is int and number >= 0 and name not in names.values():
            names[place] = name
    for place, argument in enumerate(arguments):
        if place in names:
            continue
        name, count = argument["role"], 1
        while name in names.values():
            count += 1
            name = f"{argument['role']}{count}"
        names[place] = name
    return [names[place] for place in range(len(arguments))]


def _word(value: str, where: str, field: str = "label", colon: bool = True) -> str:
    """Refuse what standoff cannot hold: its fields end at spaces, and those of events at colons."""
    if re.search(r"\s", value) or (":" in value and not colon):
        what = "whitespace" if colon else "whitespace or a colon"
        raise ValueError(f"{where}: '{value}' in the field '{field}' has {what}, for which standoff has no place. Rename it.")
    return value


def _join(lines: Iterable[str]) -> str:
    return "".join(line + "\n" for line in lines)


def _write(files: Dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # As bytes: offsets count line ends as they are.
        path.write_bytes(text.encode("utf-8"))
