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
from typing import Any, Dict, List, Optional, Set

from ....errors import raise_alone
from ...texts import read_text
from ..countings import MARK, Quote
from ..remarks import DIRECTION, LEFT_OUT, Remarks
from .places import NOTE, Part, free_name

LACKING = ". Add that line, or remove what refers to it."

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


@dataclass
class Mention:
    """A T line.

    label (str): Its label.
    parts (List[Tuple[int, int]]): Its fragments, in whatever the file counts until all lines are read, and in characters then.
    text (Optional[str]): Its text in the file.
    where (str): What to call it in errors.
    """

    label: str
    parts: List[Part]
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


class Lines:
    """The lines of a document, by their ids.

    entities (Dict[str, Mention]): The T lines.
    given (Set[str]): Those of them that are entities since their file has no others.
    events (Dict[str, EventLine]): The E lines.
    relations (List[RelationLine]): The R lines.
    related (Set[str]): The ids of the R lines.
    flags (Dict[str, Dict[str, Any]]): Attributes of each line that has any, and their values.
    sets (List[List[str]]): The members of each equivalence.
    notes (Dict[str, Dict[str, Any]]): What our notes say of each line.
    where (Dict[str, str]): What to call a T or E line in errors; with "flags" or "set" before the id, what refers to it.
    """

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
        self.where: Dict[str, str] = {}

    def read(self, file: Path, given: bool = False) -> None:
        """Read a file.

        file (Path): The file.
        given (bool): Whether all its T lines are entities.
        RAISES ValueError: A line that is not of this form. It names file and line and shows nothing of either.
        """
        unfinished: Optional[Mention] = None
        for number, line in enumerate(re.split("\r\n|\r|\n", read_text(file).removeprefix(MARK)), 1):
            where = f"{file}, line {number}"
            whole, line = line, line.lstrip(" \t")
            word = ID.match(line)
            if unfinished is not None and (word is None or line[word.end() : word.end() + 1] != "\t"):
                # Some tools write line ends of the text as they are.
                unfinished.text = f"{unfinished.text}\n{whole}"
            elif word is not None:
                unfinished = self._read_line(line, word.group(), where, given)
            elif line.strip():
                self.remarks.add(LEFT_OUT, "lines of no known kind", where)
            if unfinished is not None and not len(unfinished.text or "") < unfinished.length:
                unfinished = None

    def check_references(self) -> None:
        """Look for the line that each line refers to.

        RAISES ValueError: There is none.
        """
        for number, event in self.events.items():
            if event.trigger not in self.entities:
                raise ValueError(f"{self.where[number]}: its trigger is no T line of this document{LACKING}")
            for count, end in enumerate(event.arguments.values(), 1):
                if not self._has(end):
                    raise ValueError(f"{self.where[number]}: its argument {count} is no T or E line of this document{LACKING}")
        for relation in self.relations:
            for what, end in (("head", relation.head), ("child", relation.child)):
                if not self._has(end):
                    raise ValueError(f"{relation.where}: its {what} is no T or E line of this document{LACKING}")
        for number, flags in self.flags.items():
            where = self.where[f"flags {number}"]
            if number in self.related:
                self.remarks.add(LEFT_OUT, "attributes of relations", where, len(flags))
            elif not self._has(number):
                raise ValueError(f"{where}: what it is said of is no T or E line of this document{LACKING}")
        for members in self.sets:
            for member in members:
                if not self._has(member):
                    raise ValueError(f"{self.where[f'set {member}']}: a part of it is no T or E line of this document{LACKING}")

    def _has(self, number: str) -> bool:
        return number in self.entities or number in self.events

    def _read_line(self, line: str, number: str, where: str, given: bool) -> Optional[Mention]:
        """Read a line. RETURNS (Optional[Mention]): The entity, if it is one that has a text."""
        kind = number[0]
        if number in self.where:
            raise ValueError(f"{where}: another line has the same id.")
        if kind in "TE":
            self.where[number] = where
        fields = [*line.split("\t", 2), "", ""]
        data, rest = (fields[1].strip(" ") if fields[0] == number else ""), fields[2]
        if kind in "ERAM*" and rest.strip():
            self.remarks.add(LEFT_OUT, "comments behind annotations", where)
        if kind == "T":
            known = self._read_entity(number, data, rest, where, given)
        elif kind == "E":
            known = self._read_event(number, data)
        elif kind == "R":
            known = self._read_relation(number, data, where)
        elif kind in "AM":
            known = self._read_attribute(data, where)
        elif kind == "*":
            known = self._read_equivalence(data, where)
        elif kind == "#":
            known = self._read_note(data, rest, where)
        else:
            known = self._leave_out("normalizations", where)
        if not known:
            raise ValueError(f"{where}: not {KINDS[kind]} in brat's form.")
        return self.entities[number] if kind == "T" and self.entities[number].text is not None else None

    def _read_entity(self, number: str, data: str, text: str, where: str, given: bool) -> bool:
        match = ENTITY.fullmatch(data)
        if match is None:
            return False
        parts = [(int(start), int(end)) for start, end in re.findall(OFFSET, match.group(2))]
        if not all(start < end for start, end in parts) and not (len(parts) == 1 and parts[0][0] == parts[0][1]):
            return False
        # What stands behind the number of an id may be anything.
        named = f"{where}, {number}" if number[1:].isdecimal() else where
        mention = Mention(match.group(1), parts, text if text.strip() else None, named)
        if text[mention.length : mention.length + 1] == "\t":
            mention.text = text[: mention.length]
            self.remarks.add(LEFT_OUT, "comments behind annotations", where)
        self.entities[number] = mention
        if given:
            self.given.add(number)
        return True

    def _read_event(self, number: str, data: str) -> bool:
        match = EVENT.fullmatch(data)
        if match is None:
            return False
        label, trigger, rest = match.groups()
        arguments = [argument.split(":", 1) for argument in rest.split(" ") if argument]
        names = _number_roles([name for name, _ in arguments])
        self.events[number] = EventLine(label, trigger, dict(zip(names, (end for _, end in arguments))))
        return True

    def _read_relation(self, number: str, data: str, where: str) -> bool:
        match = RELATION.fullmatch(data)
        if match is None or match.group(2) == match.group(4):
            return False
        label, one, head, other, child = match.groups()
        names = (one.casefold(), other.casefold())
        if names == ("arg2", "arg1"):
            head, child = child, head
        elif names != ("arg1", "arg2"):
            self.remarks.add(DIRECTION, "relations", where)
        self.relations.append(RelationLine(label, head, child, where))
        self.related.add(number)
        return True

    def _read_attribute(self, data: str, where: str) -> bool:
        match = ATTRIBUTE.fullmatch(data)
        if match is None:
            return False
        name, number, value = match.groups()
        flags = self.flags.setdefault(number, {})
        if flags.setdefault(name, value or True) != (value or True):
            self.remarks.add(LEFT_OUT, "second values of attributes", where)
        self.where.setdefault(f"flags {number}", where)
        return True

    def _read_equivalence(self, data: str, where: str) -> bool:
        match = EQUIVALENCE.fullmatch(data)
        if match is None:
            return False
        if match.group(1) != "Equiv":
            return self._leave_out("sets of another type than Equiv", where)
        self.sets.append(match.group(2).split())
        for member in self.sets[-1]:
            self.where.setdefault(f"set {member}", where)
        return True

    def _read_note(self, data: str, text: str, where: str) -> bool:
        kind, _, number = data.partition(" ")
        if kind != NOTE:
            return self._leave_out("notes", where)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise_alone(ValueError(f"{where}: not {KINDS['#']} in brat's form."))
        if not isinstance(content, dict) or not number:
            return False
        parts = [content.get(field, {}) for field in ("parents", "roles", "flags", "place")]
        if not all(isinstance(part, dict) for part in parts):
            return False
        self.notes.setdefault(number, {}).update(content)
        return True

    def _leave_out(self, what: str, where: str) -> bool:
        self.remarks.add(LEFT_OUT, what, where)
        return True


def _number_roles(roles: List[str]) -> List[str]:
    """Give roles that repeat on an E line a number."""
    taken, seen = set(roles), set()
    counts: Dict[str, int] = {}
    names = []
    for role in roles:
        names.append(free_name(role, taken, counts) if role in seen else role)
        taken.add(names[-1])
        seen.add(role)
    return names
