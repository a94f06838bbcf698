"""From the spans and links of windows to the events of a Doc."""

from typing import Any, Dict, Iterator, List, Sequence, Set, Tuple

import numpy
from spacy.tokens import Doc, Span

from ..annotation import annotate, annotation
from ..exits.structure import Graph
from .event_items import KIND, START, STOP, EventItems

GROUP = "events"
"""The span group of the triggers."""


def write_events(doc: Doc, graphs: Sequence[Graph], items: EventItems, labels: Sequence[str]) -> None:
    """Write the events of a Doc's windows to it. Events with other labels stay there.

    doc (Doc): The Doc.
    graphs (Sequence[Graph]): What its windows say.
    items (EventItems): What was asked about the batch.
    labels (Sequence[str]): The labels of the component.
    """
    events = _others(doc, set(labels))
    numbers: Dict[Tuple[int, int, str], int] = {}
    members: List[Tuple[int, Graph, int]] = []
    triggers = [
        ((*_tokens(node, items), _label(node, items)), graph, place)
        for graph in graphs
        for place, node in enumerate(graph.nodes)
        # A trigger that two windows see counts where it is farther from an edge.
        if node[KIND] < len(labels) and items.own[(node[START] + node[STOP] - 1) // 2]
    ]
    for key, graph, place in sorted(triggers, key=lambda trigger: trigger[0]):
        if key not in numbers:
            numbers[key] = len(events)
            members.append((len(events), graph, place))
            score = float(graph.scores[place])
            events.append({"trigger": list(key[:2]), "label": key[2], "score": score, "arguments": [], "attributes": {}})
    nested: List[Tuple[float, int, int, str]] = []
    for number, graph, place in members:
        for role, child, score in _roles(graph, place, items):
            if child < 0:
                continue
            node = graph.nodes[child]
            if node[KIND] < len(labels):
                other = numbers.get((*_tokens(node, items), _label(node, items)))
                if other is not None:
                    nested.append((score, number, other, role))
            else:
                _add_argument(events[number], graph, child, role, score, None, items)
        _add_attributes(events[number], graph, place, items, doc)
    _add_nested(events, nested)
    annotate(doc, "events", events)
    doc.spans[GROUP] = [Span(doc, *event["trigger"], label=event["label"]) for event in events]
    doc.spans[GROUP].attrs["scores"] = numpy.array([event["score"] for event in events], dtype="float32")


def _others(doc: Doc, labels: Set[str]) -> List[Dict[str, Any]]:
    """The events of a Doc that have other labels, without arguments that are events which go."""
    before = annotation(doc, "events") or ()
    kept = [number for number, event in enumerate(before) if event["label"] not in labels]
    new = {number: place for place, number in enumerate(kept)}
    found = []
    for number in kept:
        event = before[number]
        stays = [argument.get("event") is None or argument["event"] in new for argument in event["arguments"]]
        places = {old: place for place, old in enumerate(old for old, stay in enumerate(stays) if stay)}
        arguments = [
            {
                **argument,
                "event": None if argument.get("event") is None else new[argument["event"]],
                "parent": None if argument.get("parent") is None else places.get(argument["parent"]),
            }
            for argument, stay in zip(event["arguments"], stays)
            if stay
        ]
        found.append({**event, "arguments": arguments})
    return found


def _tokens(node: numpy.ndarray, items: EventItems) -> Tuple[int, int]:
    return int(items.tokens[node[START]]), int(items.tokens[node[STOP] - 1]) + 1


def _label(node: numpy.ndarray, items: EventItems) -> str:
    return items.schema.kinds[node[KIND]][1]


def _roles(graph: Graph, head: int, items: EventItems) -> Iterator[Tuple[str, int, float]]:
    """The role, the node and the score of what a node is linked to, in order."""
    for place in numpy.flatnonzero(graph.links[:, 0] == head):
        _, child, output = graph.links[place]
        what, name, _ = items.schema.outputs[output]
        if what == "role":
            yield name, int(child), float(graph.link_scores[place])


def _add_argument(
    event: Dict[str, Any], graph: Graph, node: int, role: str, score: float, parent: Any, items: EventItems
) -> None:
    number = len(event["arguments"])
    span = list(_tokens(graph.nodes[node], items))
    event["arguments"].append({"role": role, "span": span, "score": score, "parent": parent, "event": None})
    above = set()  # what it is a part of: two spans can be linked both ways
    while parent is not None:
        above.add(tuple(event["arguments"][parent]["span"]))
        parent = event["arguments"][parent]["parent"]
    for part, child, part_score in _roles(graph, node, items):
        if graph.nodes[child][KIND] >= len(items.schema.events) and _tokens(graph.nodes[child], items) not in above:
            _add_argument(event, graph, child, part, part_score, number, items)


def _add_attributes(event: Dict[str, Any], graph: Graph, trigger: int, items: EventItems, doc: Doc) -> None:
    for place in numpy.argsort(-graph.link_scores, kind="stable"):
        head, child, output = graph.links[place]
        what, name, value = items.schema.outputs[output]
        if head != trigger or what == "role":
            continue
        spans: List[List[int]] = []
        if what == "cue":
            span = _tokens(graph.nodes[child], items)
            value, spans = doc[slice(*span)].text, [list(span)]
        score = float(graph.link_scores[place])
        known = event["attributes"].setdefault(name, {"value": value, "score": score, "spans": []})
        known["spans"] = sorted([*known["spans"], *spans])


def _add_nested(events: List[Dict[str, Any]], nested: List[Tuple[float, int, int, str]]) -> None:
    """Add the arguments that are events, the surest first; one that would close a circle is left out."""
    below: Dict[int, Set[int]] = {}

    def reaches(start: int, goal: int) -> bool:
        seen, left = set(), [start]
        while left:
            number = left.pop()
            if number == goal:
                return True
            if number not in seen:
                seen.add(number)
                left.extend(below.get(number, ()))
        return False

    for score, head, child, role in sorted(nested, key=lambda link: -link[0]):
        if not reaches(child, head):
            below.setdefault(head, set()).add(child)
            span = list(events[child]["trigger"])
            events[head]["arguments"].append({"role": role, "span": span, "score": score, "parent": None, "event": child})
