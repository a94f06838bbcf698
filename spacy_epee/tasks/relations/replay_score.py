"""The main figure of relations, of simulated answers."""

from typing import Any, Mapping, Optional, Sequence, Set, cast

import numpy
from spacy.scorer import PRFScore

from ...doc_attributes import annotation
from ...engine.replay import ReplayResult, Score
from ..replay_score import StoredAnnotation


def pair_score(
    stored: StoredAnnotation, right: numpy.ndarray, gold: Sequence[Mapping[Any, Set[str]]], *, exclusive: bool
) -> Score:
    """Make what finds micro F.

    stored (StoredAnnotation): The documents, with the tokens, or concepts, of head and child as places of pairs.
    right (ndarray): Which labels are annotated at each place, (P, K) bool.
    gold (Sequence[Mapping[Any, Set[str]]]): The labels of each annotated pair of each document.
    exclusive (bool): Whether a pair has one label or none.
    RETURNS (Score): The figure.
    """
    first = int(exclusive)  # the first logit of exclusive labels is "not related"
    annotated = numpy.array([annotation(eg.reference, "relations") is not None for eg in stored.examples], dtype=bool)
    counted = set(stored.all_labels)
    totals = numpy.array([sum(len(given & counted) for given in own.values()) for own in gold])
    places = numpy.unique(cast(numpy.ndarray, stored.places), axis=0, return_inverse=True)[1].reshape(-1)
    docs_of, items = stored.items_docs[stored.place_items], stored.place_items
    scored = annotated[docs_of]

    def score(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        some = scored if docs is None else scored & docs[docs_of]
        rows, columns = numpy.nonzero(simulation.decision[items, first:] & some[:, None])
        # A place can have entities of several labels, or mentions, of which the surest pair counts.
        order = numpy.argsort(-simulation.probabilities[items[rows], columns + first], kind="stable")
        rows, columns = rows[order], columns[order]
        keys = places[rows] if first else places[rows] * len(stored.labels) + columns
        kept = numpy.unique(keys, return_index=True)[1]
        hits = int(right[rows[kept], columns[kept]].sum())
        wanted = int(totals.sum() if docs is None else totals[docs].sum())
        return PRFScore(tp=hits, fp=len(kept) - hits, fn=wanted - hits).fscore

    return score
