"""Scores of events.

What is compared, always by the characters of the spans, as sets, and summed over the documents (micro):

- `ev_trigger_id`, trigger identification: the span of the trigger.
- `ev_trigger`, trigger classification: the span and the label of the event.
- `ev_arg_id`, argument identification: the label of the event, the span of its trigger and that of the argument.
- `ev_arg`, argument classification: the same and the role. It is strict: with a wrong trigger all its arguments are wrong.
- `ev_main`: as `ev_arg`, of the arguments that are no part of another one.
- `ev_nested`: as `ev_arg`, of the arguments that are events.
- `ev_role`: the label of the event, the role and the span of a main argument, whatever the trigger.
- `ev_token_trigger` and `ev_token_arg`: the label of the event, the role if there is one, and one token of the span, so that
  overlapping spans count by what they share.
- `ev_attr`: the trigger, the label, the name of the attribute and its value if that is a string.
- `ev_event`: a whole event: trigger, label, all arguments with their roles, and the events among these as a whole, too.
  Attributes count by themselves. Each event is matched with one other at the most, so that two events on one trigger are two.

Arguments are all arguments: main ones, their parts and events. Where a role is compared, that of the argument which this one is
a part of is compared too; an event as an argument is compared by the span and the label of its trigger, not by its own arguments.

The labels, roles and attributes are those of ACE (Doddington et al. 2004), whose triggers and arguments are usually scored like
`ev_trigger` and `ev_role`: an argument is right by event type, role and span, while the trigger need not be exact (Li et al.
2013). The shared tasks BioNLP ST (Kim et al. 2009) match events as a whole, trigger included, and an event within an event by its
label and trigger only in the "approximate recursive" mode: hence `ev_arg`. PHEE (Sun et al. 2022) has parts of arguments and
scores exact matches and tokens: hence `ev_main` and the token scores.

All but `ev_event` are compared as sets, which hold a thing once. Two events with the same trigger are one trigger to identify, so
that identification scores above classification only where no span is there twice.
"""

import warnings
from bisect import bisect_left, bisect_right
from collections import Counter
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

import numpy
from spacy.scorer import PRFScore
from spacy.tokens import Doc
from spacy.training import Example

from ...doc_attributes import annotation, characters, entries_of
from .grouping import number_events, select_events

Place = Tuple[int, int]
"""The characters of a span."""

NAMES = (
    "ev_trigger_id",
    "ev_trigger",
    "ev_arg_id",
    "ev_arg",
    "ev_main",
    "ev_nested",
    "ev_role",
    "ev_token_trigger",
    "ev_token_arg",
    "ev_attr",
)

EVENT = "ev_event"
"""Of what is no set."""

PARTS: Mapping[str, str] = {
    "ev_trigger": "Triggers",
    "ev_arg": "Arguments",
    "ev_main": "Main arguments",
    "ev_nested": "Events as arguments",
    "ev_attr": "Attributes",
    EVENT: "Whole events",
}
"""What commands tell beside the main figure, and how they call it."""

PER_TYPE = {"ev_trigger_per_type": "ev_trigger", "ev_role_per_type": "ev_arg"}

KEYS = ("ev_f", *(f"{name}_{key}" for name in (*NAMES, EVENT) for key in "prf"), *PER_TYPE)


def make_events_scorer() -> Callable:
    """Make the scorer of events, which compares the characters of triggers and arguments, labels, roles and attributes.

    RETURNS (Callable): The scorer, for a component's `scorer`.
    """
    return score_events


def score_events(
    examples: Iterable[Example], *, labels: Optional[Sequence[str]] = None, triggers: str = "predicted", **kwargs: Any
) -> Dict[str, Any]:
    """Score events against the annotation. What counts as right is above.

    examples (Iterable[Example]): The examples. Those whose reference has no `doc._.events`, not even an empty list, are left out.
    labels (Optional[Sequence[str]]): The events to score; None scores all. A component scores its own: events with other labels
        are left out, with their arguments and where they are arguments themselves, and a warning says so.
    triggers (str): Where the triggers of the predicted events are from: "predicted", or "gold" if the component was given the
        annotated ones. It changes no figure and is told with them, as the two must not be compared.
    RETURNS (Dict[str, Any]): `_p`, `_r` and `_f` of each of `NAMES` and of `EVENT`; `ev_f`, the mean of `ev_trigger_f` and
        `ev_arg_f`, or `ev_trigger_f` alone if there are no arguments at all; "p", "r" and "f" by the label of the event in
        `ev_trigger_per_type` and by role, of `ev_arg`, in `ev_role_per_type`; and `ev_triggers`. A figure is None if what it
        counts is neither annotated nor predicted, and all of them are if there are no events.
    """
    if triggers not in ("predicted", "gold"):
        raise ValueError(f"Triggers are 'predicted' or 'gold', not {triggers!r}.")
    totals = {name: PRFScore() for name in (*NAMES, EVENT)}
    by_type: Dict[str, Dict[str, PRFScore]] = {key: {} for key in PER_TYPE}
    by_type["ev_trigger_per_type"] = {label: PRFScore() for label in labels or ()}
    strange: Set[str] = set()
    for eg in examples:
        if annotation(eg.reference, "events") is None:
            continue
        if labels is not None:
            strange |= {event["label"] for event in annotation(eg.reference, "events") or ()} - set(labels)
        found, gold = (facts_of(doc, eg.reference, labels) for doc in (eg.predicted, eg.reference))
        for name in NAMES:
            totals[name].score_set(found[name], gold[name])
        totals[EVENT] += match_events(eg.predicted, eg.reference, labels)
        for key, name in PER_TYPE.items():
            for kind in {fact[0] for fact in found[name] | gold[name]}:
                parts = [{fact for fact in part[name] if fact[0] == kind} for part in (found, gold)]
                by_type[key].setdefault(kind, PRFScore()).score_set(*parts)
    if strange:
        warnings.warn(f"Events with {len(strange)} other labels are annotated and not scored: only {list(labels or ())} are.")
    scores: Dict[str, Any] = {**dict.fromkeys(KEYS), "ev_triggers": triggers}
    if not len(totals["ev_trigger"]):
        return scores
    for name, total in totals.items():
        if len(total):
            scores.update({f"{name}_{key}": value for key, value in total.to_dict().items()})
    for key, kinds in by_type.items():
        scores[key] = {kind: score.to_dict() for kind, score in sorted(kinds.items())}
    mains = [scores[key] for key in ("ev_trigger_f", "ev_arg_f") if scores[key] is not None]
    return {**scores, "ev_f": float(numpy.mean(mains))}


def facts_of(doc: Doc, reference: Doc, labels: Optional[Sequence[str]]) -> Dict[str, Set[Tuple]]:
    """RETURNS (Dict[str, Set[Tuple]]): What is compared, by name. What is scored by type has the type first."""
    facts: Dict[str, Set[Tuple]] = {name: set() for name in NAMES}
    starts = [token.idx for token in reference]
    stops = [token.idx + len(token) for token in reference]
    events = _scored(doc, labels)
    where = characters(doc, "events")
    for event in events:
        label = event["label"]
        trigger = where(event["trigger"])
        facts["ev_trigger_id"].add(trigger)
        facts["ev_trigger"].add((label, trigger))
        facts["ev_token_trigger"].update((label, token) for token in _tokens(trigger, starts, stops))
        for name, attribute in event.get("attributes", {}).items():
            value = attribute["value"]
            facts["ev_attr"].add((label, trigger, name, value if isinstance(value, str) else None))
        for argument in event.get("arguments", ()):
            place, parent, inner = where(argument["span"]), argument.get("parent"), argument.get("event")
            filler = (place, None if inner is None else events[inner]["label"])
            role = (argument["role"], None if parent is None else event["arguments"][parent]["role"])
            facts["ev_arg_id"].add((label, trigger, filler))
            facts["ev_arg"].add((*role, label, trigger, filler))
            facts["ev_token_arg"].update((label, *role, token) for token in _tokens(place, starts, stops))
            if inner is not None:
                facts["ev_nested"].add((*role, label, trigger, filler))
            if parent is None:
                facts["ev_main"].add((*role, label, trigger, filler))
                facts["ev_role"].add((*role, label, filler))
    return facts


def match_events(predicted: Doc, reference: Doc, labels: Optional[Sequence[str]]) -> PRFScore:
    """RETURNS (PRFScore): How many whole events of a Doc are those of another one, each matched with one at the most."""
    table: Dict[Any, int] = {}
    counts: List[Counter] = []
    for doc in (predicted, reference):
        counts.append(Counter(number_events(_scored(doc, labels), table, characters(doc, "events"))))
    found, gold = counts
    right = (found & gold).total()
    return PRFScore(tp=right, fp=found.total() - right, fn=gold.total() - right)


def _scored(doc: Doc, labels: Optional[Sequence[str]]) -> List[Dict[str, Any]]:
    """The events of a Doc that are scored. What others find is left out of them as well."""
    events = entries_of(doc, "events") or []
    return events if labels is None else select_events(events, labels.__contains__)


def _tokens(place: Place, starts: Sequence[int], stops: Sequence[int]) -> Sequence[int]:
    """RETURNS (Sequence[int]): The first characters of the annotated Doc's tokens that a span overlaps."""
    return starts[bisect_right(stops, place[0]) : bisect_left(starts, place[1])]
