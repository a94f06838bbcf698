"""From the spans and links of windows to the events of a Doc."""

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import numpy
from spacy.tokens import Doc, Span

from ...doc_attributes import annotate, annotation
from ...engine.results import Graph
from .grouping import select_events, split_events
from .instances import KIND, START, STOP, TokenInstances

GROUP = "events"
"""The span group of the triggers."""

MOST_ARGUMENTS = 1_000
"""From how many arguments of an event on no more parts of them are looked for."""


def write_events(doc: Doc, graphs: Sequence[Graph], items: TokenInstances, labels: Sequence[str]) -> None:
    """Write the events of a Doc's windows to it. Events with other labels stay there.

    doc (Doc): The Doc.
    graphs (Sequence[Graph]): What its windows say.
    items (TokenInstances): What was asked about the batch.
    labels (Sequence[str]): The labels of the component.
    """
    events = select_events(annotation(doc, "events") or (), lambda label: label not in labels)
    links = {id(graph): _by_head(graph) for graph in graphs}
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
        own = links[id(graph)]
        arguments: List[ArgumentNode] = []
        for role, child, score in _roles(graph, own, place, items):
            node = graph.nodes[child]
            if node[KIND] < len(labels):
                other = numbers.get((*_tokens(node, items), _label(node, items)))
                if other is not None:
                    nested.append((score, number, other, role))
            else:
                arguments.append(ArgumentNode(role, child, score, None))
        _add_arguments(events[number], graph, own, arguments, items)
        _add_attributes(events[number], graph, own.get(place, []), items, doc)
    _add_nested(events, nested)
    events = split_events(events, set(items.schema.apart))
    annotate(doc, "events", events)
    spans = ((*event["trigger"], event["label"]) for event in events)
    doc.spans[GROUP] = [Span(doc, start, end, label=label) for start, end, label in spans]
    doc.spans[GROUP].attrs["scores"] = numpy.array([event["score"] for event in events], dtype="float32")


def _tokens(node: numpy.ndarray, items: TokenInstances) -> Tuple[int, int]:
    return int(items.tokens[node[START]]), int(items.tokens[node[STOP] - 1]) + 1


def _label(node: numpy.ndarray, items: TokenInstances) -> str:
    return items.schema.kinds[node[KIND]][1]


def _by_head(graph: Graph) -> Dict[int, List[int]]:
    """The places of the links of each head, in order."""
    found: Dict[int, List[int]] = {}
    for place, head in enumerate(graph.links[:, 0].tolist()):
        found.setdefault(head, []).append(place)
    return found


def _roles(graph: Graph, links: Dict[int, List[int]], head: int, items: TokenInstances) -> Iterator[Tuple[str, int, float]]:
    """The role, the node and the score of what a node is linked to, in order."""
    for place in links.get(head, ()):
        _, child, output = graph.links[place]
        what, name, _ = items.schema.outputs[output]
        if what == "role":
            yield name, int(child), float(graph.link_scores[place])


@dataclass(eq=False)
class ArgumentNode:
    """An argument, or a part of one.

    role (str): Its role.
    node (int): Its place among the nodes of its graph.
    score (float): How sure it is.
    parent (Optional[ArgumentNode]): What it is a part of.
    parts (List[ArgumentNode]): Its own parts.
    """

    role: str
    node: int
    score: float
    parent: Optional["ArgumentNode"]
    parts: List["ArgumentNode"] = field(default_factory=list)


def _add_arguments(
    event: Dict[str, Any], graph: Graph, links: Dict[int, List[int]], arguments: List[ArgumentNode], items: TokenInstances
) -> None:
    """Add arguments with their parts. Spans that are all linked to each other make up more paths than can be walked: parts are
    found level by level, up to so many."""
    level, count = arguments, len(arguments)
    while level and count < MOST_ARGUMENTS:
        for whole in level:
            above = {_tokens(graph.nodes[one.node], items) for one in _up(whole.parent)}  # spans can be linked both ways
            for role, child, score in _roles(graph, links, whole.node, items):
                if graph.nodes[child][KIND] >= len(items.schema.events) and _tokens(graph.nodes[child], items) not in above:
                    whole.parts.append(ArgumentNode(role, child, score, whole))
                    count += 1
            if count >= MOST_ARGUMENTS:
                break
        level = [part for whole in level for part in whole.parts]
    numbers: Dict[Optional[ArgumentNode], Optional[int]] = {None: None}
    left = arguments[::-1]
    while left:
        part = left.pop()
        numbers[part] = len(event["arguments"])
        span = list(_tokens(graph.nodes[part.node], items))
        event["arguments"].append(
            {"role": part.role, "span": span, "score": part.score, "parent": numbers[part.parent], "event": None}
        )
        left.extend(part.parts[::-1])


def _up(part: Optional[ArgumentNode]) -> Iterator[ArgumentNode]:
    """A part, and what it is a part of."""
    while part is not None:
        yield part
        part = part.parent


def _add_attributes(event: Dict[str, Any], graph: Graph, links: List[int], items: TokenInstances, doc: Doc) -> None:
    for place in sorted(links, key=lambda place: -graph.link_scores[place]):
        _, child, output = graph.links[place]
        what, name, value = items.schema.outputs[output]
        if what == "role":
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
