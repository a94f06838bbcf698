"""Lines of standoff, which brat and the BioNLP shared tasks have in common (https://brat.nlplab.org/standoff.html).

What a row has and standoff has not stands in notes of the type `spacy_epee`, each a JSON object on one line:
`#1 <tab> spacy_epee T5 <tab> {"entity": false}`

- on a T line, "entity": whether it is an entity, and not a trigger or the place of an argument alone;
- on an E line, "parents": {argument: the argument that it is a part of}, and "roles": {argument: its role} where the role
  itself ends in a digit; arguments are called what they are on the line, with their numbers;
- on either, "flags": {name: {"value", "spans": [{"start", "end"}]}}.

Notes only add to what the lines say, so that the files can be edited in brat: what is gone from the lines is gone.
"""

import json
import re
from pathlib import Path
from typing import Any, Dict, List, Set, Tuple

from ..texts import read_text
from .library import need_bioc

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


class Standoff:
    """The lines of a document."""

    def __init__(self) -> None:
        self.decoder = need_bioc("bioc.brat.decoder")
        self.entities: Dict[str, Any] = {}
        self.given: Set[str] = set()
        self.events: Dict[str, Any] = {}
        self.relations: List[Any] = []
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
        for number, line in enumerate(read_text(file).split("\n"), 1):
            place = f"{file}, line {number}"
            if line[:1] not in KINDS:
                continue
            if line.split("\t", 1)[0] in self.places:
                raise ValueError(f"{place}: another line has the same id.")
            try:
                # brat itself ends relations in a tab.
                self._line(line.rstrip("\r" if line[0] in "T#" else "\r\t "), place, given)
            except (AssertionError, ValueError, IndexError, AttributeError) as error:
                raise ValueError(f"{place}: not {KINDS[line[0]]} in brat's form ({type(error).__name__}).") from None

    def row(self, name: str, text: str) -> Dict[str, Any]:
        """Put the lines together.

        name (str): What the document is called.
        text (str): Its text.
        RETURNS (Dict[str, Any]): The row.
        RAISES ValueError: A line that refers to none.
        """
        self._check_references()
        chosen = self._chosen()
        ents = []
        for number, entity in self.entities.items():
            if number not in chosen:
                continue
            ents.append({"id": number, **_place(entity), "label": entity.type})
            flags = self._flags(number)
            if flags:
                ents[-1]["flags"] = flags
        numbers = {number: place for place, number in enumerate(self.events)}
        events = []
        for number, event in self.events.items():
            events.append(
                {
                    "id": number,
                    "trigger": self._span(event.trigger_id, chosen),
                    "label": event.type,
                    "arguments": self._arguments(number, numbers, chosen),
                    "flags": self._flags(number),
                }
            )
        relations = []
        for relation in self.relations:
            head, child = (self._mention(end) for end in relation.arguments.values())
            relations.append({"head": head, "child": child, "label": relation.type})
        row = {"id": name, "text": text, "ents": ents, "relations": relations, "events": events}
        if self.sets:
            row["equivalent"] = [[self._mention(member) for member in members] for members in self.sets]
        return row

    def _line(self, line: str, place: str, given: bool) -> None:
        kind, number = line[0], line.split("\t", 1)[0]
        if kind == "T":
            self.places[number] = place
            # The text itself, which is not looked at, may have tabs.
            fields = line.split("\t", 2)
            self.entities[number] = self.decoder.loads_brat_entity("\t".join(fields[:2] + ["-"] * len(fields[2:])))
            if given:
                self.given.add(number)
        elif kind == "E":
            self.places[number] = place
            self.events[number] = self.decoder.loads_brat_event(_number_roles(line))
        elif kind == "R":
            relation = self.decoder.loads_brat_relation(line)
            _, _ = relation.arguments.items()
            self.relations.append(relation)
        elif kind in "AM":
            flag = self.decoder.loads_brat_attribute(line)
            # The library sorts the words of a value.
            value = line.split("\t")[1].split(" ", 2)[2:]
            self.flags.setdefault(flag.refid, {})[flag.type] = value[0] if value else True
            self.places.setdefault(f"flags {flag.refid}", place)
        elif kind == "*":
            if self.decoder.loads_brat_equiv(line).type == "Equiv":
                self.sets.append(line.split("\t")[1].split(" ")[1:])
                for member in self.sets[-1]:
                    self.places.setdefault(f"set {member}", place)
        elif line.split("\t")[1:2] and line.split("\t")[1].startswith(f"{NOTE} "):
            note = self.decoder.loads_brat_note(line)
            content = json.loads(note.text)
            parts = (content.get("parents", {}), content.get("roles", {}), content.get("flags", {}))
            if not all(isinstance(part, dict) for part in parts):
                raise ValueError
            self.notes.setdefault(note.refid, {}).update(content)

    def _mention(self, number: str) -> str:
        """The entity that an event is, as the end of a relation: its trigger."""
        return self.events[number].trigger_id if number in self.events else number

    def _chosen(self) -> Set[str]:
        """The T lines that are entities: all but the triggers that only events refer to, if no note says otherwise."""
        triggers = {event.trigger_id for event in self.events.values()}
        named = {end for event in self.events.values() for end in event.arguments.values()} | set(self.flags)
        named |= {self._mention(end) for relation in self.relations for end in relation.arguments.values()}
        named |= {self._mention(member) for members in self.sets for member in members}
        chosen = {number for number in self.entities if number in self.given | named or number not in triggers}
        for number, note in self.notes.items():
            if number in self.entities and "entity" in note:
                (chosen.add if note["entity"] else chosen.discard)(number)
        return chosen

    def _span(self, number: str, chosen: Set[str]) -> Dict[str, Any]:
        place = _place(self.entities[number])
        return {**place, "ent": number} if number in chosen else place

    def _arguments(self, number: str, numbers: Dict[str, int], chosen: Set[str]) -> List[Dict[str, Any]]:
        event, note = self.events[number], self.notes.get(number, {})
        places = {name: place for place, name in enumerate(event.arguments)}
        found = []
        for name, end in event.arguments.items():
            role, digits = re.fullmatch(r"(.*?)([0-9]*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
            own = note.get("roles", {}).get(name)
            if isinstance(own, str) and name.startswith(own) and re.fullmatch(r"[0-9]*", name[len(own) :]):
                role, digits = own, name[len(own) :]
            entry: Dict[str, Any] = {"role": role or name}
            if role and digits:
                entry["number"] = int(digits)
            entry.update({"event": numbers[end]} if end in numbers else self._span(end, chosen))
            found.append({**entry, "parent": places.get(note.get("parents", {}).get(name))})
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
            if event.trigger_id not in self.entities:
                raise ValueError(f"{self.places[number]}: its trigger is no T line of this document.")
            for place, end in enumerate(event.arguments.values(), 1):
                if end not in self.entities and end not in self.events:
                    raise ValueError(f"{self.places[number]}: its argument {place} is no T or E line of this document.")
        for number in self.flags:
            # Flags of relations are left out.
            if number not in self.entities and number not in self.events and not number.startswith("R"):
                raise ValueError(f"{self.places[f'flags {number}']}: what it is said of is no T or E line of this document.")
        for members in self.sets:
            for member in members:
                if member not in self.entities and member not in self.events:
                    raise ValueError(f"{self.places[f'set {member}']}: a part of it is no T or E line of this document.")


def as_word(value: Any) -> Any:
    """RETURNS (Any): A value as an attribute's line has it: a string without whitespace, or True."""
    return re.sub(r"\s", "_", value) if isinstance(value, str) else value


def _number_roles(line: str) -> str:
    """An E line with a number for each role that repeats: the library would keep the last one alone."""
    parts = line.split(" ")
    names = [part.split(":", 1)[0] for part in parts[1:]]
    if len(set(names)) == len(names):
        return line
    taken: Set[str] = set()
    for place, name in enumerate(names, 1):
        other, count = name, 1
        while other in taken or (other != name and other in names):
            count += 1
            other = f"{name}{count}"
        taken.add(other)
        parts[place] = other + parts[place][len(name) :]
    return " ".join(parts)


def _place(entity: Any) -> Dict[str, Any]:
    """Where a T line is: from its first part to its last, and the parts if there are several."""
    start, end = entity.total_span
    place: Dict[str, Any] = {"start": start, "end": end}
    parts: List[Tuple[int, int]] = sorted((part.begin, part.end) for part in entity.locations)
    if len(parts) > 1:
        place["parts"] = [{"start": first, "end": last} for first, last in parts]
    return place
