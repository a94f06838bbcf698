"""Events as they are on a Doc, in `doc._.events`."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

from spacy.tokens import Doc, Span

from ...doc_attributes import annotation, install_annotation


@dataclass(frozen=True)
class Argument:
    """An argument of an event.

    role (str): Its role.
    span (Span): What it is, with the role for a label; of an event, the trigger.
    score (float): Its probability; 1 in annotated data.
    parent (Optional[int]): The argument, by its place in `Event.arguments`, that it is a part of.
    event (Optional[int]): The event, by its place in `doc._.events`, that it is.
    """

    role: str
    span: Span
    score: float = 1.0
    parent: Optional[int] = None
    event: Optional[int] = None


@dataclass(frozen=True)
class Event:
    """An event of a Doc, with spans in place of offsets.

    trigger (Span): What says that it happens, with the event's label.
    label (str): Its label.
    score (float): Its probability; 1 in annotated data.
    arguments (Tuple[Argument, ...]): What takes part in it.
    attributes (Dict[str, Dict[str, Any]]): {name: {"value": True or a string, "score", "spans": what says so, as Spans}}.
    """

    trigger: Span
    label: str
    score: float = 1.0
    arguments: Tuple[Argument, ...] = ()
    attributes: Dict[str, Dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, doc: Doc) -> List["Event"]:
        """RETURNS (List[Event]): The events of a Doc, from `doc._.events`."""
        install_extensions()
        return [cls._read(doc, entry) for entry in annotation(doc, "events") or ()]

    @classmethod
    def _read(cls, doc: Doc, entry: Dict[str, Any]) -> "Event":
        arguments = tuple(
            Argument(
                role=found["role"],
                span=_span(doc, found["span"], found["role"]),
                score=found.get("score", 1.0),
                parent=found.get("parent"),
                event=found.get("event"),
            )
            for found in entry.get("arguments", ())
        )
        attributes = {
            name: {
                "value": found["value"],
                "score": found.get("score", 1.0),
                "spans": [_span(doc, span, name) for span in found.get("spans", ())],
            }
            for name, found in entry.get("attributes", {}).items()
        }
        trigger = _span(doc, entry["trigger"], entry["label"])
        return cls(trigger, entry["label"], entry.get("score", 1.0), arguments, attributes)


def _span(doc: Doc, tokens: Sequence[int], label: str) -> Span:
    start, end = tokens
    return Span(doc, start, end, label=label)


def install_extensions() -> None:
    """Register `doc._.events`. Workers call this too."""
    install_annotation("events")
