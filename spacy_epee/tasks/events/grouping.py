"""Several events on one trigger: which arguments of it belong to one event.

What is found on a trigger is one set of arguments. Where the annotation mostly has one argument of a role in each event, as the
Theme of an expression in "expression of A and B", each of them makes an event of its own; the arguments of other roles are in all
of these. Events are told apart like this since the first systems of the BioNLP shared tasks (Björne et al. 2009).
"""

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from itertools import product
from math import prod
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from ...errors import raise_alone

EventEntry = Dict[str, Any]
"""An event, as it is in `doc._.events`."""

Apart = Set[Tuple[str, str]]
"""Labels of events and the roles of which each event has one argument."""

MOST_EVENTS = 100
"""The most events on one trigger. Where there would be more it is one event with all arguments."""


class RoleCounter:
    """Finds the roles of which events mostly have one argument where their trigger has several."""

    def __init__(self) -> None:
        self._more: Counter = Counter()

    def add(self, events: Sequence[EventEntry]) -> None:
        """Look at the events of a document.

        events (Sequence[Dict[str, Any]]): The events.
        """
        for members in _by_trigger(events).values():
            of_trigger: Dict[str, Set[Any]] = {}
            of_events = [_fillers(events[number]) for number in members]
            for fillers in of_events:
                for role, own in fillers.items():
                    of_trigger.setdefault(role, set()).update(own)
            label = events[members[0]]["label"]
            for role, every in of_trigger.items():
                counts = [len(fillers[role]) for fillers in of_events if role in fillers] if len(every) > 1 else []
                self._more[label, role] += sum(1 if count == 1 else -1 for count in counts)

    def apart(self) -> Apart:
        """RETURNS (Set[Tuple[str, str]]): The labels and roles."""
        return {key for key, balance in self._more.items() if balance > 0}


def join_events(events: Sequence[EventEntry]) -> List[EventEntry]:
    """Make one event of those with the same trigger and label: all that can be found on a trigger.

    events (Sequence[Dict[str, Any]]): The events.
    RETURNS (List[Dict[str, Any]]): Events with the arguments and attributes of all. Of equal arguments the first is kept. Where
        that makes an event an argument of itself, by way of others, the argument is its trigger alone.
    """
    groups = _by_trigger(events)
    places = {number: place for place, members in enumerate(groups.values()) for number in members}
    joined = []
    for members in groups.values():
        arguments: List[EventEntry] = []
        known: Dict[Tuple[Any, ...], int] = {}
        attributes: Dict[str, Any] = {}
        for number in members:
            new: Dict[int, int] = {}
            for place in _parents_first(events[number]["arguments"]):
                argument = events[number]["arguments"][place]
                parent = None if argument.get("parent") is None else new[argument["parent"]]
                inner = None if argument.get("event") is None else places[argument["event"]]
                key = (argument["role"], *argument["span"], parent, inner)
                if key not in known:
                    known[key] = len(arguments)
                    arguments.append({**argument, "parent": parent, "event": inner})
                new[place] = known[key]
            for name, attribute in events[number].get("attributes", {}).items():
                attributes.setdefault(name, attribute)
        joined.append({**events[members[0]], "arguments": arguments, "attributes": attributes})
    _open_circles(joined)
    return joined


def _open_circles(events: Sequence[EventEntry]) -> None:
    """Take the events out of arguments that make circles, from the last one on."""
    while True:
        try:
            TopologicalSorter(_inner(events)).prepare()
            return
        except CycleError as error:
            # Each is an argument of the one behind it.
            number, outer = max(zip(error.args[1], error.args[1][1:]), key=lambda pair: pair[1])
        for argument in events[outer]["arguments"]:
            if argument["event"] == number:
                argument["event"] = None


def select_events(events: Sequence[EventEntry], keep: Callable[[str], bool]) -> List[EventEntry]:
    """Leave out events by their labels, and of the others the arguments that are such events, with their parts.

    events (Sequence[Dict[str, Any]]): The events.
    keep (Callable[[str], bool]): Tells of a label whether its events stay.
    RETURNS (List[Dict[str, Any]]): The events that stay.
    """
    kept = [number for number, event in enumerate(events) if keep(event["label"])]
    if len(kept) == len(events):
        return list(events)
    new: Dict[Any, Optional[int]] = {None: None, **{number: place for place, number in enumerate(kept)}}
    return [{**events[number], "arguments": _arguments_with(events[number].get("arguments", ()), new)} for number in kept]


def _arguments_with(arguments: Sequence[Dict[str, Any]], new: Dict[Any, Optional[int]]) -> List[Dict[str, Any]]:
    """Arguments without those that are other events, and their parts. `new` has the new numbers of events."""
    gone: Set[Optional[int]] = set()
    for place in _parents_first(arguments):
        if arguments[place].get("event") not in new or arguments[place].get("parent") in gone:
            gone.add(place)
    kept = [place for place in range(len(arguments)) if place not in gone]
    places: Dict[Any, Optional[int]] = {None: None, **{number: place for place, number in enumerate(kept)}}
    return [
        {**argument, "event": new[argument.get("event")], "parent": places[argument.get("parent")]}
        for argument in (arguments[place] for place in kept)
    ]


def split_events(events: Sequence[EventEntry], apart: Apart) -> List[EventEntry]:
    """Make several events of one where it has several arguments of which each event has one. An event that has it as an argument
    has all of them then, or becomes several in turn.

    events (Sequence[Dict[str, Any]]): The events, one for each trigger and label.
    apart (Set[Tuple[str, str]]): The labels and roles of which each event has one argument.
    RETURNS (List[Dict[str, Any]]): The events, those of one trigger in a row. Attributes are those of each.
    """
    copies: Dict[int, List[List[Tuple[int, int]]]] = {}
    for number in inner_first(events):
        copies[number] = _split(events[number], copies, apart)
    if all(len(own) == 1 for own in copies.values()):
        return list(events)
    places: Dict[Tuple[int, int], int] = {}
    for number in range(len(events)):
        for copy in range(len(copies[number])):
            places[number, copy] = len(places)
    return [_with(events[number], copies[number][copy], places) for number, copy in places]


def number_events(
    events: Sequence[EventEntry], table: Dict[Any, int], where: Callable[[Sequence[int]], Any] = tuple
) -> List[int]:
    """Number events, so that those have the same number which are the same as a whole: trigger, label, and all arguments with
    what these are.

    events (Sequence[Dict[str, Any]]): The events.
    table (Dict[Any, int]): The numbers that there are; it takes down the new ones.
    where (Callable[[Sequence[int]], Any]): From the tokens of a span to what is compared.
    RETURNS (List[int]): The number of each.
    """
    numbers = [0] * len(events)
    for place in inner_first(events):
        arguments = events[place].get("arguments", ())
        compared = set()
        for argument in arguments:
            parent, inner = argument.get("parent"), argument.get("event")
            above = None if parent is None else (arguments[parent]["role"], where(arguments[parent]["span"]))
            number = None if inner is None else numbers[inner]
            compared.add((argument["role"], where(argument["span"]), above, number))
        key = (events[place]["label"], where(events[place]["trigger"]), frozenset(compared))
        numbers[place] = table.setdefault(key, len(table))
    return numbers


def count_lost(events: Sequence[EventEntry], apart: Apart) -> int:
    """RETURNS (int): How many events are others once their arguments are found by trigger, and split again."""
    table: Dict[Any, int] = {}
    before, after = (Counter(number_events(some, table)) for some in (events, split_events(join_events(events), apart)))
    return (before - after).total()


def inner_first(events: Sequence[EventEntry]) -> List[int]:
    """RETURNS (List[int]): The places of events, those that are arguments of others before these.
    RAISES ValueError: One is an argument of itself, by way of others."""
    try:
        return list(TopologicalSorter(_inner(events)).static_order())
    except CycleError:
        raise_alone(
            ValueError("`doc._.events` has an event that is, by way of arguments, an argument of itself. Remove one of them.")
        )


def _inner(events: Sequence[EventEntry]) -> Dict[int, List[int]]:
    """The events that are arguments of each."""
    return {
        number: [argument["event"] for argument in event.get("arguments", ()) if argument.get("event") is not None]
        for number, event in enumerate(events)
    }


def _by_trigger(events: Sequence[EventEntry]) -> Dict[Tuple[Any, ...], List[int]]:
    """The places of the events of each trigger and label."""
    groups: Dict[Tuple[Any, ...], List[int]] = {}
    for number, event in enumerate(events):
        groups.setdefault((*event["trigger"], event["label"]), []).append(number)
    return groups


def _fillers(event: EventEntry) -> Dict[str, Set[Any]]:
    """The arguments of an event that are no parts of others, by role."""
    found: Dict[str, Set[Any]] = {}
    for argument in event["arguments"]:
        if argument.get("parent") is None:
            found.setdefault(argument["role"], set()).add((*argument["span"], argument.get("event")))
    return found


def _parents_first(arguments: Sequence[EventEntry]) -> Iterable[int]:
    parents = {place: [] if one.get("parent") is None else [one["parent"]] for place, one in enumerate(arguments)}
    try:
        return list(TopologicalSorter(parents).static_order())
    except CycleError:
        raise_alone(
            ValueError("`doc._.events` has an argument that is, by way of parents, a part of itself. Correct one of the parents.")
        )


def _split(event: EventEntry, copies: Dict[int, List[Any]], apart: Apart) -> List[List[Tuple[int, int]]]:
    """The arguments of each event that is made of one: their places, and which of the events each is that it is (0 for none)."""
    shared: List[Tuple[int, int]] = []
    choices: Dict[str, List[Tuple[int, int]]] = {}
    for place, argument in enumerate(event["arguments"]):
        if argument.get("parent") is None:
            count = 1 if argument.get("event") is None else len(copies[argument["event"]])
            chosen = choices.setdefault(argument["role"], []) if (event["label"], argument["role"]) in apart else shared
            chosen.extend((place, copy) for copy in range(count))
    if prod(map(len, choices.values())) > MOST_EVENTS:
        return [shared + [one for own in choices.values() for one in own]]
    return [[*shared, *chosen] for chosen in product(*choices.values())]


def _with(event: EventEntry, chosen: Sequence[Tuple[int, int]], places: Dict[Tuple[int, int], int]) -> EventEntry:
    """An event with some of its arguments, and with the parts of these."""
    copies: Dict[int, List[int]] = {}
    for place, copy in sorted(chosen):
        copies.setdefault(place, []).append(copy)
    for place in _parents_first(event["arguments"]):
        if event["arguments"][place].get("parent") in copies:
            copies[place] = [0]
    order = [(place, copy) for place in sorted(copies) for copy in copies[place]]
    firsts: Dict[int, int] = {}
    for number, (place, _) in enumerate(order):
        firsts.setdefault(place, number)
    arguments = []
    for place, copy in order:
        argument = event["arguments"][place]
        parent, inner = argument.get("parent"), argument.get("event")
        above = None if parent is None else firsts[parent]
        arguments.append({**argument, "parent": above, "event": None if inner is None else places[inner, copy]})
    return {**event, "arguments": arguments}
