"""What the entries of `doc._.relations` and `doc._.events` hold: what they need, may leave out, and point to."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

Entry = Dict[str, Any]

Move = Callable[[Sequence[int]], List[int]]
"""From a pair of numbers to another one."""


@dataclass(frozen=True)
class Kind:
    """A kind of entries.

    is_entry (Callable[[Dict[str, Any]], bool]): Whether an entry can be read.
    spans (Callable[[Dict[str, Any]], Iterator[Sequence[int]]]): The spans of one that can be read.
    move (Callable[[Dict[str, Any], Callable], Dict[str, Any]]): Makes an entry with other spans.
    complete (Callable[[Dict[str, Any]], Dict[str, Any]]): Gives an entry what may be left out; the same one if it has all.
    """

    is_entry: Callable[[Entry], bool]
    spans: Callable[[Entry], Iterator[Sequence[int]]]
    move: Callable[[Entry, Move], Entry]
    complete: Callable[[Entry], Entry]


def complete(name: str, entries: List[Entry]) -> List[Entry]:
    """Give entries what may be left out.

    name (str): The attribute.
    entries (List[Dict[str, Any]]): Its entries, which can be read.
    RETURNS (List[Dict[str, Any]]): The same list if they have all, so that it can be appended to.
    """
    whole = [KINDS[name].complete(entry) for entry in entries]
    return entries if all(one is other for one, other in zip(whole, entries)) else whole


def find_outside(name: str, entries: Sequence[Entry], tokens: int) -> Optional[Tuple[int, str]]:
    """Find an entry that points to what is not there.

    name (str): The attribute.
    entries (Sequence[Dict[str, Any]]): Its entries, which can be read.
    tokens (int): How many tokens the document had when they were set.
    RETURNS (Optional[Tuple[int, str]]): Which one it is, from 1, and what is wrong with it; None if there is none.
    """
    for number, entry in enumerate(entries, 1):
        if any(not 0 <= start < end <= tokens for start, end in KINDS[name].spans(entry)):
            return number, f"tokens that are not in its document, which has {tokens}"
        arguments = entry.get("arguments", ())
        for argument in arguments:
            for place, count in ((argument.get("parent"), len(arguments)), (argument.get("event"), len(entries))):
                if place is not None and not 0 <= place < count:
                    return number, "an argument whose parent or event is not there"
    return None


def _is_span(value: Any) -> bool:
    """Whether a value is a pair of token numbers."""
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_relation(entry: Entry) -> bool:
    return isinstance(entry.get("label"), str) and _is_span(entry.get("head")) and _is_span(entry.get("child"))


def _spans_of_relation(entry: Entry) -> Iterator[Sequence[int]]:
    yield entry["head"]
    yield entry["child"]


def _move_relation(entry: Entry, move: Move) -> Entry:
    return {**entry, "head": move(entry["head"]), "child": move(entry["child"])}


def _is_event(entry: Entry) -> bool:
    arguments, attributes = entry.get("arguments", ()), entry.get("attributes", {})
    return (
        isinstance(entry.get("label"), str)
        and _is_span(entry.get("trigger"))
        and isinstance(arguments, (list, tuple))
        and all(isinstance(argument, dict) and _is_argument(argument) for argument in arguments)
        and isinstance(attributes, dict)
        and all(isinstance(found, dict) and _is_attribute(name, found) for name, found in attributes.items())
    )


def _is_argument(argument: Entry) -> bool:
    places = argument.get("parent"), argument.get("event")
    whole = all(place is None or _is_number(place) for place in places)
    return isinstance(argument.get("role"), str) and _is_span(argument.get("span")) and whole


def _is_attribute(name: Any, found: Entry) -> bool:
    spans, value = found.get("spans", ()), found.get("value")
    known = isinstance(name, str) and (value is True or isinstance(value, str))
    return known and isinstance(spans, (list, tuple)) and all(map(_is_span, spans))


def _spans_of_event(entry: Entry) -> Iterator[Sequence[int]]:
    yield entry["trigger"]
    yield from (argument["span"] for argument in entry.get("arguments", ()))
    for found in entry.get("attributes", {}).values():
        yield from found.get("spans", ())


def _move_event(entry: Entry, move: Move) -> Entry:
    arguments = [{**argument, "span": move(argument["span"])} for argument in entry.get("arguments", ())]
    attributes = {
        name: {**found, "spans": [move(span) for span in found.get("spans", ())]}
        for name, found in entry.get("attributes", {}).items()
    }
    return {**entry, "trigger": move(entry["trigger"]), "arguments": arguments, "attributes": attributes}


SURE = {"score": 1.0}
ARGUMENT = {**SURE, "parent": None, "event": None}
"""What may be left out of relations, and of arguments of events, and what it is then."""


def _with(entry: Entry, defaults: Entry) -> Entry:
    missing = defaults.keys() - entry.keys()
    return {**entry, **{name: value for name, value in defaults.items() if name in missing}} if missing else entry


def _complete_relation(entry: Entry) -> Entry:
    return _with(entry, SURE)


def _complete_event(entry: Entry) -> Entry:
    whole = _with(entry, {**SURE, "arguments": [], "attributes": {}})  # new ones for each
    arguments = [_with(argument, ARGUMENT) for argument in whole["arguments"]]
    attributes = {name: _with(found, {**SURE, "spans": []}) for name, found in whole["attributes"].items()}
    same = all(one is other for one, other in zip(arguments, whole["arguments"]))
    same = same and all(found is whole["attributes"][name] for name, found in attributes.items())
    return whole if same else {**whole, "arguments": arguments, "attributes": attributes}


KINDS: Dict[str, Kind] = {
    "relations": Kind(_is_relation, _spans_of_relation, _move_relation, _complete_relation),
    "events": Kind(_is_event, _spans_of_event, _move_event, _complete_event),
}
"""The kinds of entries, by attribute."""
