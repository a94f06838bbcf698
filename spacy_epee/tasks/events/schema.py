"""What kinds of spans and links there are in the events of a corpus."""

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy
from spacy.tokens import Doc

from ...doc_attributes import annotation, spans_of, without
from ...threads import cached_property
from .grouping import RoleCounter, select_events

KINDS = 12
"""Up to how many different strings an attribute's values are kinds, such as "start" and "stop". More are words of the text."""

Kind = Tuple[str, str]
"""A kind of span: "event", "role", "cue" (the words that an attribute's value is) or "entity", and its label."""

EntityLabels = Dict[Tuple[int, int], str]
"""From the tokens of entities to their labels."""

Output = Tuple[str, str, Any]
"""What a link says: ("role", role, None), ("cue", attribute, None), or ("attribute", attribute, value) of a trigger alone."""


@dataclass(frozen=True)
class EventSchema:
    """The kinds of spans, numbered: events first, then what else is tagged, then entities; and the links between them.

    events (Sequence[str]): The labels of events.
    tagged (Sequence[Kind]): The other kinds of spans that are found in the text, each in a layer of its own.
    entities (Sequence[str]): The labels of given entities.
    outputs (Sequence[Output]): What a link can say.
    allowed (Sequence[Tuple[Kind, Kind, int]]): Which kinds are linked by which output; a trigger and itself for attributes.
    apart (Sequence[Tuple[str, str]]): Labels of events and the roles of which each event has one argument, see `grouping`.
    """

    events: Sequence[str]
    tagged: Sequence[Kind]
    entities: Sequence[str]
    outputs: Sequence[Output]
    allowed: Sequence[Tuple[Kind, Kind, int]]
    apart: Sequence[Tuple[str, str]] = ()

    @cached_property
    def kinds(self) -> List[Kind]:
        """RETURNS (List[Kind]): All kinds, in the order of their numbers."""
        return [*(("event", label) for label in self.events), *self.tagged, *(("entity", label) for label in self.entities)]

    @cached_property
    def numbers(self) -> Dict[Kind, int]:
        """RETURNS (Dict[Kind, int]): The number of each kind."""
        return {kind: number for number, kind in enumerate(self.kinds)}

    @property
    def n_layers(self) -> int:
        """RETURNS (int): How many kinds are tagged in the text."""
        return len(self.events) + len(self.tagged)

    @cached_property
    def table(self) -> numpy.ndarray:
        """RETURNS (ndarray): Which outputs are possible from a kind to a kind, (kinds, kinds, outputs) bool."""
        table = numpy.zeros((len(self.kinds), len(self.kinds), len(self.outputs)), dtype=bool)
        for head, child, output in self.allowed:
            if head in self.numbers and child in self.numbers:  # a label may be left out on purpose
                table[self.numbers[head], self.numbers[child], output] = True
        return table

    @cached_property
    def of_spans(self) -> numpy.ndarray:
        """RETURNS (ndarray): Which kinds are linked to which by a role or a cue, (kinds, kinds) bool."""
        roles = numpy.array([output[0] != "attribute" for output in self.outputs], dtype=bool)
        return numpy.any(self.table[:, :, roles], axis=2)

    @cached_property
    def of_triggers(self) -> numpy.ndarray:
        """RETURNS (ndarray): Which kinds have attributes, (kinds,) bool."""
        own = numpy.array([output[0] == "attribute" for output in self.outputs], dtype=bool)
        return numpy.any(self.table[:, :, own], axis=(1, 2))

    @cached_property
    def _thresholds(self) -> Dict[Tuple[int, bool], str]:
        """What has a threshold of its own, by the output and whether it links to an event."""
        found = {}
        for _, child, output in self.allowed:
            what, name, value = self.outputs[output]
            nested = what == "role" and child[0] == "event"
            text = {"role": " (event)" if nested else "", "cue": " (words)"}.get(what, "" if value is True else f": {value}")
            found[output, nested] = name + text
        return dict(sorted(found.items()))

    @property
    def threshold_names(self) -> List[str]:
        """RETURNS (List[str]): What has a threshold of its own: roles, those of events as arguments apart, and attributes."""
        return list(self._thresholds.values())

    @property
    def threshold_parts(self) -> List[numpy.ndarray]:
        """RETURNS (List[ndarray]): Which thresholds are those of roles, and which those of attributes, (T,) bool each."""
        roles = numpy.array([self.outputs[output][0] == "role" for output, _ in self._thresholds], dtype=bool)
        return [roles, ~roles]

    def threshold_columns(self, children: numpy.ndarray) -> numpy.ndarray:
        """RETURNS (ndarray): The numbers of the thresholds of links to spans of some kinds (P,), by output, (P, outputs)."""
        table = numpy.zeros((2, len(self.outputs)), dtype=int)
        for number, (output, nested) in enumerate(self._thresholds):
            table[int(nested) if self.outputs[output][0] == "role" else slice(None), output] = number
        return table[(children < len(self.events)).astype(int)]

    def to_plain(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What is saved with the component; the events are its labels."""
        return {
            "tagged": [list(kind) for kind in self.tagged],
            "entities": list(self.entities),
            "outputs": [list(output) for output in self.outputs],
            "allowed": [[list(head), list(child), output] for head, child, output in self.allowed],
            "apart": [list(pair) for pair in self.apart],
        }

    @classmethod
    def from_plain(cls, events: Sequence[str], plain: Dict[str, Any]) -> "EventSchema":
        """RETURNS (EventSchema): The schema of what `to_plain` returned."""
        return cls(
            events=tuple(events),
            tagged=tuple((kind, label) for kind, label in plain["tagged"]),
            entities=tuple(plain["entities"]),
            outputs=tuple((what, name, value) for what, name, value in plain["outputs"]),
            allowed=tuple(((*head,), (*child,), output) for head, child, output in plain["allowed"]),
            apart=tuple((label, role) for label, role in plain.get("apart", ())),  # older pipelines have none
        )


class SchemaBuilder:
    """Collects a schema from annotated Docs."""

    def __init__(self, entities: Optional["EntityKinds"], labels: Optional[Sequence[str]] = None):
        """
        entities (Optional[EntityKinds]): The given entities, if arguments are among them and not found in the text.
        labels (Optional[Sequence[str]]): The labels of the events that count; None for all.
        """
        self.entities = entities
        self.labels = labels
        self.events: Dict[str, None] = dict.fromkeys(labels or ())
        self.values: Dict[str, Dict[Any, None]] = {}
        self.links: Set[Tuple[Kind, Kind, str]] = set()
        self.with_attribute: Set[Tuple[str, str, Any]] = set()
        self.roles = RoleCounter()

    def add(self, doc: Doc) -> None:
        """Look at the events of a Doc.

        doc (Doc): The Doc.
        """
        entities = None if self.entities is None else self.entities.labels(doc)
        events = annotation(doc, "events") or []
        if self.labels is not None:
            events = select_events(events, self.labels.__contains__)
        self.roles.add(events)
        for event in events:
            self.events[event["label"]] = None
            own: Kind = ("event", event["label"])
            for argument in event["arguments"]:
                child = argument_kind(doc, events, argument, entities)
                head = (
                    own
                    if argument.get("parent") is None
                    else argument_kind(doc, events, event["arguments"][argument["parent"]], entities)
                )
                if head is not None and child is not None:
                    self.links.add((head, child, argument["role"]))
            for name, attribute in event.get("attributes", {}).items():
                self.values.setdefault(name, {})[attribute["value"]] = None
                self.with_attribute.add((event["label"], name, attribute["value"]))

    def build(self, entities: Iterable[str]) -> EventSchema:
        """RETURNS (EventSchema): The schema of what was seen, with the labels of the given entities."""
        cues = {name for name, values in self.values.items() if len(values) > KINDS}
        roles = sorted({role for _, _, role in self.links})
        outputs: List[Output] = [("role", role, None) for role in roles]
        outputs += [("cue", name, None) for name in sorted(cues)]
        for name in sorted(set(self.values) - cues):
            outputs += [("attribute", name, value) for value in sorted(self.values[name], key=str)]
        numbers = {output: number for number, output in enumerate(outputs)}
        allowed = [(head, child, numbers["role", role, None]) for head, child, role in self.links]
        for label, name, value in self.with_attribute:
            own: Kind = ("event", label)
            if name in cues:
                allowed.append((own, ("cue", name), numbers["cue", name, None]))
            else:
                allowed.append((own, own, numbers["attribute", name, value]))
        kinds = {kind for head, child, _ in allowed for kind in (head, child)}
        return EventSchema(
            events=tuple(self.events),
            tagged=tuple(sorted(kind for kind in kinds if kind[0] in ("role", "cue"))),
            entities=tuple(sorted(entities)),
            outputs=tuple(outputs),
            allowed=tuple(sorted(set(allowed))),
            apart=tuple(sorted(self.roles.apart())),
        )


class EntityKinds:
    """Finds the given entity that an argument is."""

    def __init__(self, spans_key: Optional[str], leave_out: Sequence[str] = ()):
        """
        spans_key (Optional[str]): The span group of the entities; None for `doc.ents`.
        leave_out (Sequence[str]): Attributes. Entities of which one is true are no arguments.
        """
        self.spans_key = spans_key
        self.leave_out = list(leave_out)

    def spans(self, doc: Doc) -> List[Any]:
        """RETURNS (List[Span]): The entities of a Doc."""
        return without(spans_of(doc, self.spans_key), self.leave_out, "leave_out")

    def labels(self, doc: Doc) -> EntityLabels:
        """RETURNS (Dict[Tuple[int, int], str]): The label of the entity of some tokens, the first one of several."""
        return {(span.start, span.end): span.label_ for span in reversed(self.spans(doc))}


def argument_kind(
    doc: Doc, events: Sequence[Dict[str, Any]], argument: Dict[str, Any], entities: Optional[EntityLabels]
) -> Optional[Kind]:
    """Find the kind of span that an argument is.

    doc (Doc): The Doc.
    events (Sequence[Dict[str, Any]]): Its events.
    argument (Dict[str, Any]): The argument.
    entities (Optional[Dict[Tuple[int, int], str]]): The given entities; None if arguments are found in the text.
    RETURNS (Optional[Kind]): The kind; None if the argument is no given entity.
    """
    if argument.get("event") is not None:
        return "event", events[argument["event"]]["label"]
    if entities is None:
        return "role", argument["role"]
    label = entities.get((*argument["span"],))
    return None if label is None else ("entity", label)
