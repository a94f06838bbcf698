"""The main figure of relations, of simulated answers."""

from typing import TYPE_CHECKING, Optional

import numpy
from spacy.scorer import PRFScore

from ...doc_attributes import annotation
from ...engine.replay import ReplayResult, Score

if TYPE_CHECKING:
    from ...evaluation.stored_outputs import StoredOutputs


def pair_score(stored: "StoredOutputs") -> Score:
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

    def score(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
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
