"""Events of a row or of a .spacy file as they are on a Doc."""

import warnings
from collections import Counter
from graphlib import TopologicalSorter
from typing import Any, Dict, List, Optional, Tuple

import srsly
from spacy.tokens import Doc

from ..doc_attributes import annotation
from .checks import Aligner, annotated, check_label, check_tokens, is_short_line, may_be_label, objects, require
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
    triggers = [_tokens(event.trigger, f"{where}, event {number}, its trigger", align) for number, event in enumerate(events, 1)]
    found = []
    for number, event in enumerate(events):
        name = f"{where}, event {number + 1}"
        spans = [
            triggers[argument.event] if argument.event is not None else _tokens(argument.place, f"{name}, argument {i}", align)
            for i, argument in enumerate(event.arguments, 1)
        ]
        attributes = {}
        for i, (flag, set_to) in enumerate(event.flags.items(), 1):
            said = [_tokens(place, f"{name}, flag {i}", align) for place in set_to.places]
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
    events = annotated(doc, "events", where)
    for number, event in enumerate(events, 1):
        place = f"{where}, event {number}"
        require(event, ("trigger", "label", "arguments", "attributes"), place)
        check_label(event["label"], place)
        if not isinstance(event["arguments"], (list, tuple)) or not isinstance(event["attributes"], dict):
            raise ValueError(f"{place}: its arguments are not a list or its attributes no object.")
        objects(event, "arguments", place)
        check_tokens(event["trigger"], len(doc), f"{place}: its trigger")
    for number, event in enumerate(events, 1):
        place = f"{where}, event {number}"
        arguments = event["arguments"]
        for i, argument in enumerate(arguments, 1):
            name = f"{place}, argument {i}"
            require(argument, ("role", "span", "parent", "event"), name)
            check_label(argument["role"], name, "role")
            check_tokens(argument["span"], len(doc), f"{name}: its span")
            if argument["parent"] is not None:
                check_index(argument["parent"], len(arguments), f"{name}: its parent", "arguments of this event")
            if argument["event"] is not None:
                check_index(argument["event"], len(events), f"{name}: its event", "events of this document")
                if list(argument["span"]) != list(events[argument["event"]]["trigger"]):
                    raise ValueError(f"{name}: its span is not the trigger of its event.")
        check_circles([[] if entry["parent"] is None else [entry["parent"]] for entry in arguments], place, "argument")
        for i, (name, attribute) in enumerate(event["attributes"].items(), 1):
            here = f"{place}, attribute {i}"
            if not isinstance(attribute, dict):
                raise ValueError(f"{here}: it is no object.")
            require(attribute, ("value", "spans"), here)
            if not isinstance(attribute["spans"], (list, tuple)):
                raise ValueError(f"{here}: the field 'spans' is not a list.")
            value = attribute["value"]
            if not may_be_label(name) or value is not True and not is_short_line(value):
                raise ValueError(f"{here}: its name or value is no label; the value is true or a string.")
            for span in attribute["spans"]:
                check_tokens(span, len(doc), f"{here}: its span")
    check_circles([[entry["event"] for entry in event["arguments"] if entry["event"] is not None] for event in events], where)


def count_doubles(doc: Doc, where: str, doubles: Counter) -> None:
    """Take down how many events of a Doc have the trigger and the label of an earlier one.

    doc (Doc): The Doc.
    where (str): What to call it in the warning.
    doubles (Counter): Takes down the number, see `warn_doubles`.
    """
    events = annotation(doc, "events") or ()
    count = len(events) - len({(*event["trigger"], event["label"]) for event in events})
    if count:
        doubles[where] += count


def warn_doubles(doubles: Counter) -> None:
    """Say once how many events share a trigger.

    doubles (Counter): The number of each document that has such events.
    """
    if doubles:
        warnings.warn(
            f"{sum(doubles.values())} events of {len(doubles)} documents have the trigger and the label of another one, the "
            f"first in {next(iter(doubles))}. `epee_events` tells them apart by the roles of which each event mostly has one "
            "argument; of others it makes one event (see `ev_event` among its scores)."
        )


def as_lists(value: Any) -> Any:
    """RETURNS (Any): The same with lists for tuples, which .spacy files have in their place."""
    # spaCy has them read as tuples; this goes as deep as they do.
    return srsly.msgpack_loads(srsly.msgpack_dumps(value))


def _tokens(place: Place, where: str, align: Aligner) -> List[int]:
    span = align(*place, "", where)
    return [span.start, span.end]


def _unite(arguments: List[ArgumentRow], spans: List[List[int]]) -> List[Dict[str, Any]]:
    """The arguments that differ, with parents counted among those."""
    # Arguments whose parents are the same one after aligning may be the same themselves: parents come first.
    above = {number: [] if argument.parent is None else [argument.parent] for number, argument in enumerate(arguments)}
    firsts: Dict[Tuple[Any, ...], int] = {}
    groups: Dict[Optional[int], Optional[int]] = {None: None}
    for number in TopologicalSorter(above).static_order():
        argument = arguments[number]
        key = argument.role, tuple(spans[number]), argument.event, groups[argument.parent]
        groups[number] = firsts.setdefault(key, len(firsts))
    order = dict.fromkeys(groups[number] for number in range(len(arguments)))
    places = {group: place for place, group in enumerate(order)}
    united = []
    for (role, span, event, parent), group in sorted(firsts.items(), key=lambda entry: places[entry[1]]):
        above_it = None if parent is None else places[parent]
        united.append({"role": role, "span": list(span), "score": 1.0, "parent": above_it, "event": event})
    return united
