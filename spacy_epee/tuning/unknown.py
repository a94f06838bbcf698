"""From which probability on documents are given the best of exclusive labels."""

from typing import Any, Dict

import numpy

from ..engine.replay import ReplayResult
from ..evaluation.stored_outputs import StoredOutputs
from ..exits.coverage import precise_threshold


def find_unknown_threshold(stored: StoredOutputs, simulation: ReplayResult, precision: float) -> Dict[str, Any]:
    """Find the probability below which documents are given none, and set it.

    stored (StoredOutputs): The documents.
    simulation (ReplayResult): What is answered to them.
    precision (float): The share of labels given that is to be right.
    RETURNS (Dict[str, Any]): The threshold, the share of documents that are given a label, and how many of these are right.
    RAISES ValueError: The task has no such threshold.
    """
    task: Any = stored.task
    if not task.exclusive or not hasattr(task, "unknown_threshold"):
        raise ValueError(
            f"The task '{stored.name}' has no setting `unknown_threshold`: that is for exclusive labels of documents."
        )
    probabilities = simulation.probabilities
    best, rows = probabilities.argmax(axis=1), numpy.arange(len(probabilities))
    counted = numpy.asarray(stored.label_mask.any(axis=1))
    # Of these documents any label is wrong. Those that never run have no row, and are given none.
    counted |= numpy.isin(stored.items_docs, [*stored.unknown.with_labels, *stored.unknown.without])
    right, confidence = stored.targets[rows, best][counted] > 0, probabilities[rows, best][counted]
    task.unknown_threshold = precise_threshold(confidence, right, precision)
    given = confidence >= task.unknown_threshold
    return {
        "precision": precision,
        "threshold": task.unknown_threshold,
        "given": float(given.mean()),
        "right": float(right[given].mean()) if given.any() else None,
    }
