"""Events of a row with character offsets: what they refer to is looked up, and checked."""

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy

from ..errors import raise_alone
from .checks import NO_LABEL, check_label, check_place, is_short_line, may_be_label, objects, require, shown

Place = Tuple[int, int]

MOST_NAMED = 10_000
"""The most arguments of an event of which a parent is looked for by its role: each is compared with all others."""


@dataclass
class ArgumentRow:
    """An argument.

    role (str): Its role.
    place (Tuple[int, int]): Its characters; of an event, those of the trigger.
    parent (Optional[int]): The argument that it is a part of.
    event (Optional[int]): The event that it is.
    """

    role: str
    place: Place
    parent: Optional[int]
    event: Optional[int]


@dataclass
class FlagRow:
    """A flag that is set.

    value (Union[bool, str]): True, or its value.
    places (List[Tuple[int, int]]): The characters that say so.
    """

    value: Union[bool, str]
    places: List[Place]


@dataclass
class EventRow:
    """An event.

    trigger (Tuple[int, int]): The characters of its trigger.
    label (str): Its label.
    arguments (List[ArgumentRow]): Its arguments, in the order of the row.
    flags (Dict[str, FlagRow]): The flags that are set.
    """

    trigger: Place
    label: str
    arguments: List[ArgumentRow]
    flags: Dict[str, FlagRow]


def read_events(row: Dict[str, Any], where: str, entities: Dict[Any, Place]) -> List[EventRow]:
    """Read the events of a row.

    row (Dict[str, Any]): {"text", "events": [{"trigger": {"start", "end"}, "label", "arguments", "flags"}]}. A trigger may have
        "ent", the id of an entity, in place of offsets. An argument is {"role", "parent"} with "start" and "end", with "ent",
        or with "event", the index of another event; the parent is the index of another argument or its role. Flags are
        {name: true | value | {"value", "spans": [{"start", "end"}]}}; those that are false or null are left out.
    where (str): What to call the row in errors.
    entities (Dict[Any, Tuple[int, int]]): The characters of each entity.
    RETURNS (List[EventRow]): The events.
    RAISES ValueError: Offsets that are not in the text, bad labels, and entities, events or parents that do not exist or go
        round in circles.
    """
    length = len(row["text"])
    entries = objects(row, "events", where)
    triggers = []
    for number, entry in enumerate(entries, 1):
        name = f"{where}, event {number}"
        if not isinstance(entry.get("trigger"), dict):
            raise ValueError(f"{name}: it has no trigger. Give a 'trigger' with 'start' and 'end'.")
        require(entry, ("label",), name)
        check_label(entry["label"], name)
        triggers.append(_place(entry["trigger"], entities, length, f"{name}, its trigger"))
    events = []
    for number, entry in enumerate(entries):
        name = f"{where}, event {number + 1}"
        arguments = _read_arguments(objects(entry, "arguments", name), triggers, entities, length, name)
        events.append(EventRow(triggers[number], entry["label"], arguments, read_flags(entry, length, name)))
    check_circles([[argument.event for argument in event.arguments if argument.event is not None] for event in events], where)
    return events


def read_flags(entry: Dict[str, Any], length: int, where: str) -> Dict[str, FlagRow]:
    """Read the flags of an event or entity.

    entry (Dict[str, Any]): The event or entity, which may have "flags".
    length (int): The characters that the text has.
    where (str): What to call it in errors.
    RETURNS (Dict[str, FlagRow]): The flags that are set.
    """
    flags = entry.get("flags") or {}
    if not isinstance(flags, dict):
        raise ValueError(f"{where}: the field 'flags' is not an object.")
    found = {}
    for number, (name, value) in enumerate(flags.items(), 1):
        place = f"{where}, flag {number}"
        if not may_be_label(name):
            raise ValueError(f"{place}: its name is {NO_LABEL}.")
        spans: List[Dict[str, Any]] = []
        if isinstance(value, dict):
            spans = objects(value, "spans", place)
            value = value.get("value")
        if value is None or value is False:
            continue
        if value is not True and not is_short_line(value):
            raise ValueError(f"{place}: its value is not true, and {NO_LABEL}.")
        found[name] = FlagRow(value, [_place(span, {}, length, f"{place}, span {i}") for i, span in enumerate(spans, 1)])
    return found


def check_circles(links: Sequence[Sequence[int]], where: str, what: str = "event") -> None:
    """Refuse what is a part of itself.

    links (Sequence[Sequence[int]]): For each event or argument, the indices of those that it links to.
    where (str): What to call the place in errors.
    what (str): "event" or "argument".
    """
    try:
        TopologicalSorter(dict(enumerate(links))).prepare()
    except CycleError as error:
        # The last one of the circle is the first one again.
        numbers = sorted(set(error.args[1]))
        circle = ", ".join(str(number + 1) for number in numbers[:5]) + ", ..." * (len(numbers) > 5)
        link = "is, by way of arguments, an argument" if what == "event" else "is, by way of its parents, a part"
        raise_alone(ValueError(f"{where}, {what} {circle}: it {link} of itself."))


def _read_arguments(
    entries: List[Dict[str, Any]], triggers: List[Place], entities: Dict[Any, Place], length: int, where: str
) -> List[ArgumentRow]:
    found = []
    for number, entry in enumerate(entries, 1):
        name = f"{where}, argument {number}"
        require(entry, ("role",), name)
        check_label(entry["role"], name, "role")
        event = entry.get("event")
        if event is None:
            place = _place(entry, entities, length, name)
        else:
            check_index(event, len(triggers), f"{name}: its event", "events of this document")
            place = triggers[event]
        found.append(ArgumentRow(entry["role"], place, None, event))
    parents = _Parents(found)
    for number, (entry, argument) in enumerate(zip(entries, found)):
        name = f"{where}, argument {number + 1}"
        parent = entry.get("parent")
        if isinstance(parent, str):
            parent = parents.find(number, parent, name)
        elif parent is not None:
            check_index(parent, len(found), f"{name}: its parent", "arguments of this event")
        argument.parent = parent
    check_circles([[] if argument.parent is None else [argument.parent] for argument in found], where, "argument")
    return found


def check_index(value: Any, count: int, what: str, of: str) -> None:
    """Refuse a number that is no place in a list.

    value (Any): The number.
    count (int): How long the list is.
    what (str): What the number is called in errors.
    of (str): What the list is called.
    """
    if type(value) is not int:
        raise ValueError(f"{what} is not a whole number.")
    if not 0 <= value < count:
        raise ValueError(f"{what} is number {shown(value)}, and there are {count} {of}, counted from 0.")


def _place(entry: Dict[str, Any], entities: Dict[Any, Place], length: int, where: str) -> Place:
    """The characters of an object that has them, or names an entity."""
    entity = entry.get("ent")
    if entity is not None and (not isinstance(entity, (str, int)) or entity not in entities):
        raise ValueError(f"{where}: its 'ent' is no entity of this document.")
    if entity is not None and entry.get("start") is None and entry.get("end") is None:
        return entities[entity]
    require(entry, ("start", "end"), where)
    check_place(entry["start"], entry["end"], length, where)
    return entry["start"], entry["end"]


class _Parents:
    """Finds the arguments of an event that others are a part of."""

    def __init__(self, arguments: Sequence[ArgumentRow]):
        self.places = numpy.array([argument.place for argument in arguments], dtype="int64").reshape(-1, 2)
        numbers: Dict[str, List[int]] = {}
        for number, argument in enumerate(arguments):
            numbers.setdefault(argument.role, []).append(number)
        self.numbers = {role: numpy.array(found) for role, found in numbers.items()}

    def find(self, number: int, role: str, where: str) -> int:
        """Find the argument of a role that an argument is a part of: the shortest that holds it, or else the nearest.

        number (int): The argument.
        role (str): The role.
        where (str): What to call the argument in errors.
        RETURNS (int): The other argument.
        """
        if len(self.places) > MOST_NAMED:
            raise ValueError(
                f"{where}: its parent is a string, and the event has over {MOST_NAMED} arguments. Give the parent's place in "
                "the list of arguments, counted from 0."
            )
        others = self.numbers.get(role, numpy.empty(0, dtype="int64"))
        others = others[others != number]
        if not len(others):
            raise ValueError(f"{where}: its parent is a string, and no other argument of this event has that role.")
        start, end = self.places[number]
        first, last = self.places[others].T
        holds = (first <= start) & (end <= last)
        if holds.any():
            others, far = others[holds], (last - first)[holds]
        else:
            far = numpy.maximum(numpy.maximum(first - end, start - last), 0)
        return int(others[numpy.argmin(far)])
