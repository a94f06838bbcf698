"""The main figure of events, of simulated answers."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy

from ...doc_attributes import annotate, annotation, copy_doc
from ...engine.replay import Replay, ReplayResult, Score
from ..replay_score import StoredAnnotation
from .decoder import write_events
from .scorer import facts_of


def event_score(stored: StoredAnnotation, replay: Replay) -> Score:
    """For events: the mean of the F-scores of triggers and arguments."""
    answered, right, gold = _counts(stored, replay)
    units = numpy.arange(replay.n_units)

    def score(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        some = units if docs is None else units[docs[stored.docs]]
        predicted, hits = (part[simulation.exits[some], some].sum(axis=0) for part in (answered, right))
        totals = predicted + (gold if docs is None else gold[docs]).sum(axis=0)
        wanted = totals > 0
        return float((2 * hits[wanted] / totals[wanted]).mean()) if wanted[0] else 0.0

    return score


def worse_than_last(stored: StoredAnnotation, replay: Replay, units: numpy.ndarray) -> numpy.ndarray:
    """Tell where windows would cost some of the score: a found one is worth as much as the score rises by it. Where nothing is
    annotated an answer is worse if it is another one.

    stored (StoredAnnotation): The documents.
    replay (Replay): What their exits say.
    units (ndarray): The windows whose score it is, (U,) bool.
    RETURNS (ndarray): Where the answer is worse than that of the last exit, (E, U) bool.
    """
    answered, right, gold = _counts(stored, replay)
    last = len(replay.layers) - 1
    docs = numpy.unique(stored.docs[units])
    predicted, hits = (part[last, units].sum(axis=0) for part in (answered, right))
    totals = numpy.maximum(predicted + gold[docs].sum(axis=0), 1)
    worth = ((2 * right - 2 * hits / totals * answered) / totals).sum(axis=2)[: last + 1]
    known = numpy.array([annotation(eg.reference, "events") is not None for eg in stored.examples], dtype=bool)
    return numpy.where(known[stored.docs], worth < worth[last] - 1e-12, replay.differs[: last + 1])


def _counts(stored: StoredAnnotation, replay: Replay) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """What of triggers and arguments is found, what of it is right, and what is annotated, counted once for all who ask."""
    if "events" not in replay.kept:
        replay.kept["events"] = count_events(stored, replay, ("ev_trigger", "ev_arg"))
    counts: Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray] = replay.kept["events"]
    return counts


def count_events(
    stored: StoredAnnotation, replay: Replay, names: Sequence[str]
) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Count what each window says at each exit. What two windows say of one thing is counted twice, which is rare: a trigger is
    of one window only.

    stored (StoredAnnotation): The documents.
    replay (Replay): What their exits say.
    names (Sequence[str]): What to count, by the names that `facts_of` gives.
    RETURNS (Tuple[ndarray, ndarray, ndarray]): What is found and what of it is right, (E, U, names) each, and what is annotated
        in each document, (D, names). The exits are those of `Replay.answers`. Documents without annotation count nothing.
    """
    facts: List[Dict[str, Any]] = [facts_of(eg.reference, eg.reference, stored.all_labels) for eg in stored.examples]
    annotated = [annotation(eg.reference, "events") is not None for eg in stored.examples]
    gold = numpy.array([[len(doc_facts[name]) for name in names] for doc_facts in facts])
    answered = numpy.zeros((len(replay.answers), replay.n_units, len(names)))
    right = numpy.zeros_like(answered)
    docs = [copy_doc(eg.predicted) for eg in stored.examples]
    for exit, evidence in enumerate(replay.answers):
        for unit, index in enumerate(stored.docs.tolist()):
            graph = evidence.graph(unit)  # type: ignore[attr-defined]  # that of a structure
            if not annotated[index] or not len(graph.nodes):
                continue
            annotate(docs[index], "events", [])
            write_events(docs[index], [graph], stored.items, stored.labels)  # type: ignore
            predicted = facts_of(docs[index], stored.examples[index].reference, stored.labels)
            for column, name in enumerate(names):
                answered[exit, unit, column] = len(predicted[name])
                right[exit, unit, column] = len(predicted[name] & facts[index][name])
    return answered, right, gold
