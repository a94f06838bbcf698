"""Writing rows as brat or BioNLP standoff. What these have no place for goes into notes, see `lines`."""

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from ....errors import raise_alone
from ....files import whole_folder
from ...checks import check_place, objects
from ...event_rows import EventRow, FlagRow, Place, read_events, read_flags
from ..lost import STANDOFF, note_lost
from ..objects import id_of
from ..remarks import Remarks
from .places import LONGEST_NUMBER, NOTE, Part, as_place, as_word, fragments, free_name

Row = Dict[str, Any]

MOST_QUOTED = 50_000_000
"""The most characters of T lines of a document: spans that all reach over a long text would make files without end."""


def write_brat(rows: Iterable[Tuple[str, Row]], folder: Path) -> int:
    """Write a .txt and an .ann file for each row.

    rows (Iterable[Tuple[str, Dict[str, Any]]]): Places, for errors, and rows, which `annotate_doc` accepts. Their text, entities,
        relations, events and "equivalent" are kept, and what else they have is not. A row's id is the name of its files.
    folder (Path): Where to. If it is there, it must be empty.
    RETURNS (int): The number of documents.
    RAISES ValueError: Labels that have whitespace (or, in events, a colon), ids that two rows share, or text that UTF-8 cannot
        hold. Nothing is written then.
    """
    files: Dict[str, bytes] = {}
    count = 0
    for name, lines, row in _documents(rows, flag="A"):
        files[f"{name}.txt"] = _encode(row["text"], lines.where, "text")
        parts = [*lines.entities, *lines.spans, *lines.rest, *lines.notes()]
        files[f"{name}.ann"] = _encode(_join(parts), lines.where, "annotation")
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
    files: Dict[str, bytes] = {}
    count = 0
    for name, lines, row in _documents(rows, flag="M"):
        files[f"{name}.txt"] = _encode(row["text"], lines.where, "text")
        files[f"{name}.a1"] = _encode(_join(lines.entities), lines.where, "annotation")
        files[f"{name}.a2"] = _encode(_join([*lines.spans, *lines.rest, *lines.notes()]), lines.where, "annotation")
        count += 1
    _write(files, folder)
    return count


class _Lines:
    """The lines of a row.

    ids: The T line of each entity.
    entities, spans, rest: The lines themselves: of entities, of triggers and arguments that are none, and all others.
    """

    def __init__(self, row: Row, where: str, flag: str):
        self.text, self.where, self.flag = row["text"], where, flag
        self.entities: List[str] = []
        self.spans: List[str] = []
        self.rest: List[str] = []
        self._notes: List[Tuple[str, Dict[str, Any]]] = []
        self._made: Dict[Tuple[Any, ...], str] = {}
        self._n_flags = 0
        self._n_quoted = 0
        ents = objects(row, "ents", where)
        kept = {ent["id"] for ent in ents if isinstance(ent["id"], str) and re.fullmatch("T[0-9]{1,9}", ent["id"])}
        self._next = max((int(number[1:]) for number in kept), default=0) + 1
        self.ids = {ent["id"]: ent["id"] if ent["id"] in kept else self._new() for ent in ents}
        self.places = {ent["id"]: (ent["start"], ent["end"]) for ent in ents}
        self._ents = {ent["id"]: ent for ent in ents}
        for place, ent in enumerate(ents, 1):
            name = f"{where}, entity {place}"
            parts = self._parts(ent, self.places[ent["id"]], name)
            self.entities.append(self.ids[ent["id"]] + self._line(ent["label"], parts, name))
            self._note(self.ids[ent["id"]], self._place(parts))
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
        sets = row.get("equivalent", [])
        if not isinstance(sets, list) or not all(isinstance(members, list) for members in sets):
            raise ValueError(f"{where}: the field 'equivalent' is not a list of lists.")
        for members in sets:
            self.rest.append("*\tEquiv " + " ".join(self._entity(member, f"{where}, 'equivalent'") for member in members))

    def notes(self) -> List[str]:
        """RETURNS (List[str]): The lines of notes."""
        found: Dict[str, Dict[str, Any]] = {}
        for number, note in self._notes:
            found.setdefault(number, {}).update(note)
        lines = enumerate(found.items(), 1)
        # In ASCII there is no sign that ends a line.
        return [f"#{i}\t{NOTE} {number}\t{json.dumps(note)}" for i, (number, note) in lines]

    def _event(self, number: int, entry: Dict[str, Any], event: EventRow) -> None:
        where = f"{self.where}, event {number}"
        label = _word(event.label, where, colon=False)
        # In some corpora the event itself names the entity that its trigger is.
        given = {"ent": entry.get("ent"), **entry["trigger"]}
        entity = self._entity_at(given, event.trigger)
        # In brat a trigger has the label of its event, and nothing but events and relations refers to it.
        trigger = self._parts(given if entity is None else self._ents[entity], event.trigger, where)
        parts = [f"{label}:{self._span(label, trigger, where)}"]
        note: Dict[str, Any] = {**self._place(trigger), "parents": {}, "roles": {}}
        if entity is not None:
            note["ent"] = self.ids[entity]
        entries = entry.get("arguments", [])
        names = _number(entries)
        for name, given, argument in zip(names, entries, event.arguments):
            _word(argument.role, where, "role", colon=False)
            if argument.event is not None:
                end = f"E{argument.event + 1}"
            else:
                end = self._argument(given, argument.place, argument.role, where)
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

    def _argument(self, entry: Dict[str, Any], place: Place, role: str, where: str) -> str:
        """The T line of an argument: an entity's, if it is one, or one of its own."""
        entity = self._entity_at(entry, place)
        if entity is not None:
            return self.ids[entity]
        parts = self._parts(entry, place, where)
        return self._span(role, parts, where, {"entity": False, **self._place(parts)})

    def _entity_at(self, entry: Dict[str, Any], place: Place) -> Any:
        """The entity that a trigger or argument is; None if it is somewhere else than the one that it names."""
        entity = entry.get("ent")
        return entity if isinstance(entity, (str, int)) and self.places.get(entity) == place else None

    def _span(self, label: str, parts: List[Part], where: str, note: Optional[Dict[str, Any]] = None) -> str:
        """A T line that is no entity."""
        # A trigger's note stands at its event.
        key = (label, note is None, *(fragments(self.text, parts) if note is None else parts))
        if key not in self._made:
            self._made[key] = self._new()
            self.spans.append(self._made[key] + self._line(label, parts, where))
            self._note(self._made[key], note or {})
        return self._made[key]

    def _parts(self, entry: Dict[str, Any], place: Place, where: str) -> List[Part]:
        """The parts of a span; itself if there are none that fit."""
        parts: List[Any] = [(part.get("start"), part.get("end")) for part in objects(entry, "parts", where)]
        for start, end in parts:
            check_place(start, end, len(self.text), f"{where}, 'parts'")
        fit = parts and (min(parts)[0], max(end for _, end in parts)) == place
        return sorted(parts) if fit else [place]

    def _place(self, parts: List[Part]) -> Dict[str, Any]:
        """What must go into a note since the fragments do not say it."""
        place = as_place(parts)
        return {} if as_place(fragments(self.text, parts)) == place else {"place": place}

    def _line(self, label: str, parts: List[Part], where: str) -> str:
        found = fragments(self.text, parts)
        text = " ".join(self.text[start:end] for start, end in found)
        self._n_quoted += len(text)
        if self._n_quoted > MOST_QUOTED:
            raise ValueError(
                f"{self.where}: its spans have over {MOST_QUOTED} characters together, and standoff holds the text of each. "
                "Correct spans that are too long, or split the document."
            )
        return f"\t{_word(label, where)} {';'.join(f'{start} {end}' for start, end in found)}\t{text}"

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
    remarks = Remarks()
    for number, (where, row) in enumerate(rows, 1):
        # As a path in the folder: subfolders may be part of an id, and nothing may lead out.
        parts = [re.sub(r"[^\w.-]", "_", part) for part in (id_of(row, "id") or str(number)).split("/")]
        name = "/".join(parts)
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{where}: its 'id' cannot be the name of a file. Give another one, or leave it out.")
        # Some systems do not tell upper from lower case.
        if name.casefold() in taken:
            raise ValueError(f"{where}: another document has the same 'id', or one that differs in case or signs alone.")
        taken.add(name.casefold())
        note_lost(row, STANDOFF, remarks, where)
        yield name, _Lines(row, where, flag), row
    remarks.warn()


def _number(arguments: List[Dict[str, Any]]) -> List[str]:
    """What arguments are called on an E line: roles that repeat have numbers, those that are given if there are any."""
    names: Dict[int, str] = {}
    taken: Set[str] = set()
    for place, argument in enumerate(arguments):
        number = argument.get("number")
        if type(number) is int and 0 <= number < 10**LONGEST_NUMBER:
            name = f"{argument['role']}{number}"
            if name not in taken:
                names[place] = name
                taken.add(name)
    counts: Dict[str, int] = {}
    for place, argument in enumerate(arguments):
        if place not in names:
            names[place] = free_name(argument["role"], taken, counts)
            taken.add(names[place])
    return [names[place] for place in range(len(arguments))]


def _word(value: str, where: str, field: str = "label", colon: bool = True) -> str:
    """Refuse what standoff cannot hold: its fields end at spaces, and those of events at colons."""
    if re.search(r"\s", value) or (":" in value and not colon):
        what = "whitespace" if colon else "whitespace or a colon"
        # The value may be a text that was taken for a label.
        raise ValueError(f"{where}: what it has in the field '{field}' has {what}, for which standoff has no place. Rename it.")
    return value


def _join(lines: Iterable[str]) -> str:
    return "".join(line + "\n" for line in lines)


def _encode(text: str, where: str, what: str) -> bytes:
    """As bytes: offsets count line ends as they are."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        place = f", character {error.start + 1}," if what == "text" else ""
        half = "half of a character (a lone surrogate), for which UTF-8 has no place"
        raise_alone(ValueError(f"{where}: its {what}{place} holds {half}. Remove it."))


def _write(files: Dict[str, bytes], folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"The folder '{folder}' is not empty. Name another one, or remove it.")
    with whole_folder(folder) as part:
        for name, content in files.items():
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
