"""Events of a row or of a .spacy file as they are on a Doc."""

from typing import Any, Dict, List, Optional, Tuple

from spacy.tokens import Doc

from ..annotation import annotation
from .checks import Aligner, check_label, may_be_label, require
from .event_rows import ArgumentRow, Place, check_circles, check_index, read_events


def annotate_events(row: Dict[str, Any], where: str, entities: Dict[Any, Place], align: Aligner) -> List[Dict[str, Any]]:
    """Turn the events of a row into those of a Doc.

    row (Dict[str, Any]): The row, see `read_events`.
    where (str): What to call it in errors.
    entities (Dict[Any, Tuple[int, int]]): The characters of each entity.
    align (Aligner): Makes spans of the Doc.
    RETURNS (List[Dict[str, Any]]): What belongs in `doc._.events`. Of arguments that are the same after aligning, the first is
        kept.
    """
    events = read_events(row, where, entities)
    triggers = [
        _tokens(event.trigger, f"{where}, event {number}, its trigger", align) for number, event in enumerate(events, 1)
    ]
    found = []
    for number, event in enumerate(events):
        name = f"{where}, event {number + 1}"
        spans = [
            triggers[argument.event]
            if argument.event is not None
            else _tokens(argument.place, f"{name}, argument {i}", align)
            for i, argument in enumerate(event.arguments, 1)
        ]
        attributes = {}
        for flag, set_to in event.flags.items():
            said = [_tokens(place, f"{name}, flag '{flag}'", align) for place in set_to.places]
            # Several places can be parts of the same tokens.
            unique = [list(span) for span in dict.fromkeys(map(tuple, said))]
            attributes[flag] = {"value": set_to.value, "score": 1.0, "spans": unique}
        found.append(
            {
                "trigger": triggers[number],
                "label": event.label,
                "score": 1.0,
                "arguments": _unite(event.arguments, spans),
                "attributes": attributes,
            }
        )
    return found


def check_events(doc: Doc, where: str) -> None:
    """Refuse events that are not of this Doc's tokens, or lack what components expect.

    doc (Doc): The Doc, with `doc._.events`.
    where (str): What to call it in errors.
    """
    events = annotation(doc, "events") or []
    for number, event in enumerate(events, 1):
        place = f"{where}, event {number}"
        require(event, ("trigger", "label", "arguments", "attributes"), place)
        check_label(event["label"], place)
        if not isinstance(event["arguments"], (list, tuple)) or not isinstance(event["attributes"], dict):
            raise ValueError(f"{place}: its arguments are not a list or its attributes no object.")
        _check_tokens(event["trigger"], len(doc), f"{place}: its trigger")
    for number, event in enumerate(events, 1):
        place = f"{where}, event {number}"
        arguments = event["arguments"]
        for i, argument in enumerate(arguments, 1):
            name = f"{place}, argument {i}"
            require(argument, ("role", "span", "parent", "event"), name)
            check_label(argument["role"], name, "role")
            _check_tokens(argument["span"], len(doc), f"{name}: its span")
            if argument["parent"] is not None:
                check_index(argument["parent"], len(arguments), f"{name}: its parent", "arguments of this event")
            if argument["event"] is not None:
                check_index(argument["event"], len(events), f"{name}: its event", "events of this document")
                if list(argument["span"]) != list(events[argument["event"]]["trigger"]):
                    raise ValueError(f"{name}: its span is not the trigger of its event.")
        check_circles([[] if entry["parent"] is None else [entry["parent"]] for entry in arguments], place, "argument")
        for i, (name, attribute) in enumerate(event["attributes"].items(), 1):
            here = f"{place}, attribute {i}"
            require(attribute, ("value", "spans"), here)
            value = attribute["value"]
            if not may_be_label(name) or value is not True and (not value or not may_be_label(value)):
                raise ValueError(f"{here}: its name or value is no label; the value is true or a string.")
            for span in attribute["spans"]:
                _check_tokens(span, len(doc), f"{here}: its span")
    check_circles([[entry["event"] for entry in event["arguments"] if entry["event"] is not None] for event in events], where)


def as_lists(value: Any) -> Any:
    """RETURNS (Any): The same with lists for tuples, which .spacy files have in their place."""
    if isinstance(value, dict):
        return {key: as_lists(part) for key, part in value.items()}
    return [as_lists(part) for part in value] if isinstance(value, (list, tuple)) else value


def _tokens(place: Place, where: str, align: Aligner) -> List[int]:
    span = align(*place, "", where)
    return [span.start, span.end]


def _unite(arguments: List[ArgumentRow], spans: List[List[int]]) -> List[Dict[str, Any]]:
    """The arguments that differ, with parents counted among those."""

    first: Dict[Tuple[Any, ...], int] = {}
    same: Dict[Optional[int], Optional[int]] = {None: None}  # the first argument that is the same as each
    for number in range(len(arguments)):
        path: List[int] = []
        above: Optional[int] = number
        while above not in same:
            path.append(above)  # type: ignore[arg-type]
            above = arguments[above].parent  # type: ignore[index]
        for one in reversed(path):  # parents first
            argument = arguments[one]
            key = (argument.role, tuple(spans[one]), argument.event, same[argument.parent])
            same[one] = first.setdefault(key, one)
    kept = list(dict.fromkeys(same[number] for number in range(len(arguments))))
    places = {number: place for place, number in enumerate(kept)}
    places[None] = None  # type: ignore[index,assignment]
    return [
        {
            "role": arguments[number].role,  # type: ignore[index]
            "span": list(spans[number]),  # type: ignore[index]
            "score": 1.0,
            "parent": places[same[arguments[number].parent]],  # type: ignore[index]
            "event": arguments[number].event,  # type: ignore[index]
        }
        for number in kept
    ]


def _check_tokens(span: Any, length: int, what: str) -> None:
    if not isinstance(span, (list, tuple)) or len(span) != 2 or not all(type(token) is int for token in span):
        raise ValueError(f"{what} is not a pair of token numbers.")
    start, end = span
    if not 0 <= start < end <= length:
        raise ValueError(f"{what}, tokens {start} to {end}, is not in the document of {length} tokens.")
