"""The main figure of relations, of simulated answers."""

from typing import Any, Callable, Dict, Optional, Set, cast

import numpy
from spacy.scorer import PRFScore
from spacy.tokens import Doc

from ...doc_attributes import annotation
from ...engine.replay import ReplayResult, Score
from ..replay_score import StoredAnnotation


def pair_score(stored: StoredAnnotation, gold_of: Callable[[Doc], Dict[Any, Set[str]]], *, exclusive: bool) -> Score:
    """Make what finds micro F.

    stored (StoredAnnotation): The documents, with the tokens, or concepts, of head and child as places of pairs.
    gold_of (Callable[[Doc], Dict[Any, Set[str]]]): Finds the labels of each annotated pair.
    exclusive (bool): Whether a pair has one label or none.
    RETURNS (Score): The figure.
    """
    first = int(exclusive)  # the first logit of exclusive labels is "not related"
    annotated = numpy.array([annotation(eg.reference, "relations") is not None for eg in stored.examples], dtype=bool)
    counted = set(stored.all_labels)
    gold = numpy.array([sum(len(given & counted) for given in gold_of(eg.reference).values()) for eg in stored.examples])
    places = numpy.unique(cast(numpy.ndarray, stored.places), axis=0, return_inverse=True)[1].reshape(-1)
    scored = annotated[stored.items_docs]
    targets = stored.targets[:, first:] > 0

    def score(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        some = scored if docs is None else scored & docs[stored.items_docs]
        rows, columns = numpy.nonzero(simulation.decision[:, first:] & some[:, None])
        # A place can have entities of several labels, of which the surest pair counts.
        order = numpy.argsort(-simulation.probabilities[rows, columns + first], kind="stable")
        rows, columns = rows[order], columns[order]
        keys = places[rows] if first else places[rows] * len(stored.labels) + columns
        kept = numpy.unique(keys, return_index=True)[1]
        right = int(targets[rows[kept], columns[kept]].sum())
        wanted = int(gold.sum() if docs is None else gold[docs].sum())
        return PRFScore(tp=right, fp=len(kept) - right, fn=wanted - right).fscore

    return score
