"""The annotated events of an example as nodes and links."""

from typing import Any, Collection, Dict, List, Optional, Sequence, Set, Tuple, cast

from spacy.tokens import Doc, Span
from spacy.training import Example

from ...doc_attributes import annotation, in_place
from .schema import EntityKinds, EntityLabels, EventSchema, Kind, argument_kind

Node = Tuple[int, int, int]
"""Two tokens and the number of a kind."""


class Annotation:
    """The events of an example as nodes and links, by the tokens of the predicted Doc.

    nodes (List[Node]): Tokens and kinds.
    links (List[Tuple[int, int, int]]): Head and child, as places in `nodes`, and the output.
    without_entity (int): How many arguments are none of the given entities.
    """

    def __init__(
        self,
        example: Example,
        schema: EventSchema,
        entities: Optional[EntityKinds],
        strict: bool = True,
        others: Collection[str] = (),
    ):
        """
        example (Example): The example.
        schema (EventSchema): The kinds of spans and links that the component knows.
        entities (Optional[EntityKinds]): The given entities; None if arguments are found in the text.
        strict (bool): Whether to refuse what it does not know. Otherwise that is left out.
        others (Collection[str]): Labels of events that others find, which are left out.
        RAISES ValueError: Events, roles or attributes that it does not know.
        """
        self.example = example
        self.schema = schema
        self.strict = strict
        self.others = others
        self.numbers = {output: number for number, output in enumerate(schema.outputs)}
        self.places: Dict[Node, int] = {}
        self.links: List[Tuple[int, int, int]] = []
        self.without_entity = 0
        doc = example.reference
        known = None if entities is None else entities.labels(doc)
        self.same = len(doc) == len(example.predicted) and all(a.idx == b.idx for a, b in zip(doc, example.predicted))
        events = annotation(doc, "events") or ()
        for event in events:
            self._add(doc, events, event, known)
        self.nodes = list(self.places)

    def linked(self) -> Dict[int, Set[Tuple[int, int]]]:
        """RETURNS (Dict[int, Set[Tuple[int, int]]]): From each head to children and outputs."""
        found: Dict[int, Set[Tuple[int, int]]] = {}
        for head, child, output in self.links:
            found.setdefault(head, set()).add((child, output))
        return found

    def _add(self, doc: Doc, events: Sequence[Dict[str, Any]], event: Dict[str, Any], entities: Optional[EntityLabels]) -> None:
        trigger = self._node(doc, event["trigger"], ("event", event["label"]))
        if trigger is None:
            return
        kinds = [argument_kind(doc, events, argument, entities) for argument in event["arguments"]]
        self.without_entity += sum(kind is None for kind in kinds)
        nodes = [
            None if kind is None else self._node(doc, argument["span"], kind) for kind, argument in zip(kinds, event["arguments"])
        ]
        for argument, child in zip(event["arguments"], nodes):
            parent = argument.get("parent")
            head = trigger if parent is None else nodes[parent]
            if head is not None and child is not None:
                self._link(head, child, "role", argument["role"], None)
        for name, attribute in event.get("attributes", {}).items():
            if ("cue", name, None) in self.numbers:
                for span in attribute["spans"]:
                    cue = self._node(doc, span, ("cue", name))
                    if cue is not None:
                        self._link(trigger, cue, "cue", name, None)
            else:
                self._link(trigger, trigger, "attribute", name, attribute["value"])

    def _node(self, doc: Doc, span: Sequence[int], kind: Kind) -> Optional[int]:
        if kind not in self.schema.numbers:
            if not self.strict or (kind[0] == "event" and kind[1] in self.others):
                return None
            raise ValueError(
                f"An example{in_place(doc)} has an unknown {kind[0]}, and the component knows only "
                f"{[name for what, name in self.schema.kinds if what == kind[0]]}. Add what is missing when initializing (data "
                "that have it), or correct the data."
            )
        start, end = span
        if not self.same:
            characters = doc[start:end]
            other = self.example.predicted.char_span(characters.start_char, characters.end_char, alignment_mode="expand")
            start, end = cast(Span, other).start, cast(Span, other).end  # the same text, so that there is one
        return self.places.setdefault((start, end, self.schema.numbers[kind]), len(self.places))

    def _link(self, head: int, child: int, what: str, name: str, value: Any) -> None:
        output = self.numbers.get((what, name, value))
        if output is not None:
            self.links.append((head, child, output))
        elif self.strict:
            raise ValueError(
                f"An example{in_place(self.example.reference)} has an unknown {what} or value of it, or has it where no data had "
                "it when the component was initialized. Initialize it with data that have it, or correct the data."
            )
