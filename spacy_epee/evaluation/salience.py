"""What it counts at each exit that a document is about what is asked, fitted to annotated documents."""

from typing import Callable, Optional

import numpy

from ..exits.salience import fit_salience
from ..tasks.salience import set_salience, weights_of_salience
from .mixing import where_helpful
from .stored_outputs import StoredOutputs


def best_salience(stored: StoredOutputs, docs: Optional[numpy.ndarray] = None) -> numpy.ndarray:
    """Fit the weights.

    stored (StoredOutputs): What all exits say, without salience.
    docs (Optional[ndarray]): Which documents to fit them to, (D,) bool; None for all.
    RETURNS (ndarray): The weights, (E, 1 + F, K), see `exits.salience.fit_salience`.
    """
    rows, (targets, label_mask) = stored.rows(docs), stored.annotation(docs)
    return fit_salience(stored.logits[:, rows], stored.salience[rows], targets, label_mask, exclusive=stored.task.exclusive)


def better_salience(stored: StoredOutputs, docs: Optional[numpy.ndarray] = None, seed: int = 0) -> numpy.ndarray:
    """Fit the weights of the exits where that makes documents more likely that they were not fitted to.

    stored (StoredOutputs): What all exits say, without salience. It is afterwards as before.
    docs (Optional[ndarray]): Which documents to look at, (D,) bool; None for all.
    seed (int): The seed of the split.
    RETURNS (ndarray): The weights, zeros for the other exits.
    """
    nothing = numpy.zeros_like(stored.salience_weights)
    return where_helpful(stored, nothing, lambda some: best_salience(stored, some), stored.set_salience, docs, seed)


def refit_salience(stored: StoredOutputs, find: Callable[[StoredOutputs], numpy.ndarray]) -> None:
    """Fit the weights anew, and set them on the component. Nothing is done where salience is not known.

    stored (StoredOutputs): What all exits say. It is afterwards by what was found.
    find (Callable[[StoredOutputs], ndarray]): Finds the weights.
    """
    if not stored.task.n_salience:
        return
    stored.set_salience(numpy.zeros_like(stored.salience_weights))
    weights = find(stored)
    set_salience(stored.slot, weights if weights.any() else None, stored.component.model)
    stored.set_salience(weights_of_salience(stored.slot, stored.component.model))
