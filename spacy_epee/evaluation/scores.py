"""The scorers' main figures of simulated answers, by counting what was worked out once."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Protocol, Sequence, Tuple

import numpy
from scipy.stats import rankdata
from spacy.scorer import PRFScore

from ..annotation import annotate, annotation, copy_doc
from ..tasks.event_answers import write_events
from .events import facts_of
from .simulate import Replay, Simulation

if TYPE_CHECKING:
    from .stored import Stored


class Score(Protocol):
    """A figure of the answers that a rule gives."""

    def __call__(self, simulation: Simulation, docs: Optional[numpy.ndarray] = None) -> float:
        """RETURNS (float): The figure, on all documents or some of them, (D,) bool."""


def label_score(stored: "Stored") -> Score:
    """For the labels of documents: the F-score of the positive label if there is one, macro F of exclusive labels, macro AUC of
    others."""
    labels, cfg = stored.labels, stored.component.task_cfg(stored.name)
    every = [*labels, *stored.unknown.labels]
    truths, given = (numpy.zeros((stored.n_docs, len(every)), dtype="float32") for _ in range(2))
    for doc, eg in enumerate(stored.examples):
        cats = eg.reference.cats
        for column, label in enumerate(every):
            truths[doc, column] = cats.get(label, 0) > 0
            given[doc, column] = label in cats
    known = given.any(axis=1)
    probabilities = numpy.zeros_like(truths)  # labels that are not known have none
    counted = [every.index(label) for label in stored.scoring.counted]
    gold = truths.argmax(axis=1)
    gold[~truths.any(axis=1)] = len(every)  # none of them, so that every answer is wrong

    def of_exclusive(simulation: Simulation, docs: Optional[numpy.ndarray] = None) -> float:
        # Without an image all scores are 0, and no label is right; without a wordpiece the first one is the answer.
        said = (truths > 0).argmin(axis=1) if stored.task.name == "imagecat" else numpy.zeros(stored.n_docs, dtype=int)
        said[stored.docs] = simulation.logits.argmax(axis=1)
        counts = numpy.zeros((len(every) + 1, len(every)))
        rows = known if docs is None else known & docs
        numpy.add.at(counts, (gold[rows], said[rows]), 1)
        hits = counts.diagonal()
        scores = 2 * hits / numpy.maximum(counts.sum(axis=0) + counts[:-1].sum(axis=1), 1)
        positive = cfg.get("positive_label")
        return float(scores[counted].mean() if positive is None else scores[labels.index(positive)])

    def of_others(simulation: Simulation, docs: Optional[numpy.ndarray] = None) -> float:
        probabilities[stored.docs, : len(labels)] = simulation.probabilities
        total = 0.0
        for column in counted:
            rows = given[:, column] > 0 if docs is None else (given[:, column] > 0) & docs
            true = truths[rows, column] > 0
            if true.any() and not true.all():
                ranks = rankdata(probabilities[rows, column])
                total += (ranks[true].sum() / true.sum() - (true.sum() + 1) / 2) / (~true).sum()
        return total / len(counted)

    return of_exclusive if stored.task.exclusive else of_others


def pair_score(stored: "Stored") -> Score:
    """For relations: micro F."""
    first = int(stored.task.exclusive)  # the first logit of exclusive labels is "not related"
    annotated = numpy.array([annotation(eg.reference, "relations") is not None for eg in stored.examples], dtype=bool)
    counted = {*stored.labels, *stored.unknown.labels}
    gold = numpy.array(
        [
            sum(len(given & counted) for given in stored.task.gold(eg.reference).values())  # type: ignore[attr-defined]
            for eg in stored.examples
        ]
    )
    places = numpy.unique(stored.places, axis=0, return_inverse=True)[1].reshape(-1)
    here = annotated[stored.items_docs]
    truths = stored.truths[:, first:] > 0

    def score(simulation: Simulation, docs: Optional[numpy.ndarray] = None) -> float:
        some = here if docs is None else here & docs[stored.items_docs]
        rows, columns = numpy.nonzero(simulation.decision[:, first:] & some[:, None])
        # A place can have entities of several labels, of which the surest pair counts.
        order = numpy.argsort(-simulation.probabilities[rows, columns + first], kind="stable")
        rows, columns = rows[order], columns[order]
        keys = places[rows] if first else places[rows] * len(stored.labels) + columns
        kept = numpy.unique(keys, return_index=True)[1]
        right = int(truths[rows[kept], columns[kept]].sum())
        wanted = int(gold.sum() if docs is None else gold[docs].sum())
        return PRFScore(tp=right, fp=len(kept) - right, fn=wanted - right).fscore

    return score


def event_score(stored: "Stored", replay: Replay) -> Score:
    """For events: the mean of the F-scores of triggers and arguments."""
    found, right, gold = count_events(stored, replay, ("ev_trigger", "ev_arg"))
    units = numpy.arange(replay.n_units)

    def score(simulation: Simulation, docs: Optional[numpy.ndarray] = None) -> float:
        some = units if docs is None else units[docs[stored.docs]]
        said, hits = (part[simulation.exits[some], some].sum(axis=0) for part in (found, right))
        totals = said + (gold if docs is None else gold[docs]).sum(axis=0)
        wanted = totals > 0
        return float((2 * hits[wanted] / totals[wanted]).mean()) if wanted[0] else 0.0

    return score


def count_events(
    stored: "Stored", replay: Replay, names: Sequence[str]
) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Count what each window says at each exit. What two windows say of one thing is counted twice, which is rare: a trigger is
    of one window only.

    stored (Stored): The documents.
    replay (Replay): What their exits say.
    names (Sequence[str]): What to count, by the names of `evaluation.events`.
    RETURNS (Tuple[ndarray, ndarray, ndarray]): What is found and what of it is right, (E, U, names) each, and what is annotated
        in each document, (D, names). Documents without annotation count nothing.
    """
    counted = [*stored.labels, *stored.unknown.labels]
    facts: List[Dict[str, Any]] = [facts_of(eg.reference, eg.reference, counted) for eg in stored.examples]
    annotated = [annotation(eg.reference, "events") is not None for eg in stored.examples]
    gold = numpy.array([[len(own[name]) for name in names] for own in facts])
    found = numpy.zeros((len(replay.evidence), replay.n_units, len(names)))
    right = numpy.zeros_like(found)
    docs = [copy_doc(eg.predicted) for eg in stored.examples]
    for exit, evidence in enumerate(replay.evidence):
        for unit, index in enumerate(stored.docs.tolist()):
            if not annotated[index]:
                continue
            annotate(docs[index], "events", [])
            write_events(docs[index], [evidence.graph(unit)], stored.outputs.items, stored.labels)  # type: ignore
            said = facts_of(docs[index], stored.examples[index].reference, stored.labels)
            for column, name in enumerate(names):
                found[exit, unit, column] = len(said[name])
                right[exit, unit, column] = len(said[name] & facts[index][name])
    return found, right, gold
