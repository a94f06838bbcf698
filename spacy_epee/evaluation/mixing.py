"""How much words count at each exit, fitted to annotated documents."""

from typing import Callable, Optional

import numpy

from ..exits.mix import fit_mix
from ..tasks.mix import set_fitted_mix, trained_mix
from .stored_outputs import StoredOutputs


def has_words(stored: StoredOutputs) -> bool:
    """RETURNS (bool): Whether there is an exit before the first layer, whose words count at the others."""
    return stored.layers[0] == 0 and len(stored.layers) > 1


def best_mix(stored: StoredOutputs, docs: Optional[numpy.ndarray] = None) -> numpy.ndarray:
    """Fit how much words count.

    stored (StoredOutputs): What all exits say.
    docs (Optional[ndarray]): Which documents to fit it to, (D,) bool; None for all.
    RETURNS (ndarray): A factor for each exit behind a layer, see `exits.mix.fit_mix`.
    """
    rows = stored.rows(docs)
    words = stored.logits[0, rows]
    plain = stored.logits[1:, rows] - stored.mix[:, None, None] * words
    return fit_mix(plain, words, *stored.annotation(docs), stored.mix, exclusive=stored.task.exclusive)


def refit_mix(stored: StoredOutputs, find: Callable[[StoredOutputs], numpy.ndarray]) -> None:
    """Fit how much words count anew, from what training found, and set it on the component. Nothing is done without words.

    stored (StoredOutputs): What all exits say. It is afterwards by what was found.
    find (Callable[[StoredOutputs], ndarray]): Finds a factor for each exit behind a layer.
    """
    if has_words(stored):
        model = stored.component.model
        stored.set_mix(trained_mix(stored.slot, model))  # what was fitted before may have seen these documents
        stored.set_mix(find(stored))
        set_fitted_mix(stored.slot, stored.mix.tolist(), model)


def better_mix(stored: StoredOutputs, docs: Optional[numpy.ndarray] = None, seed: int = 0) -> numpy.ndarray:
    """Fit how much words count at the exits where that makes documents more likely that it was not fitted to, as
    `StoredOutputs.helps` finds out of temperatures.

    stored (StoredOutputs): What all exits say. It is afterwards as before.
    docs (Optional[ndarray]): Which documents to look at, (D,) bool; None for all.
    seed (int): The seed of the split.
    RETURNS (ndarray): A factor for each exit behind a layer: the fitted one where the mean negative log-likelihood falls by it
        over two halves, each tried with what is fitted to the other one, and elsewhere the one that there is.
    """
    return where_helpful(stored, stored.mix, lambda some: best_mix(stored, some), stored.set_mix, docs, seed)


def where_helpful(
    stored: StoredOutputs,
    before: numpy.ndarray,
    fit: Callable[[Optional[numpy.ndarray]], numpy.ndarray],
    put: Callable[[numpy.ndarray], None],
    docs: Optional[numpy.ndarray],
    seed: int,
) -> numpy.ndarray:
    """Fit something to the exits where that makes documents more likely that it was not fitted to.

    stored (StoredOutputs): What all exits say, by what there is. It is afterwards as before.
    before (ndarray): What there is for each exit but one before the first layer, (E, ...).
    fit (Callable[[Optional[ndarray]], ndarray]): Fits it to some documents, (D,) bool; None for all.
    put (Callable[[ndarray], None]): Sets it in what is stored.
    docs (Optional[ndarray]): Which documents to look at, (D,) bool; None for all.
    seed (int): The seed of the split.
    RETURNS (ndarray): What is fitted where the mean negative log-likelihood falls by it over two halves, each tried with what is
        fitted to the other one, and elsewhere what there is, (E, ...).
    """
    gains = numpy.zeros(len(before))
    for fitted, tried in stored.halves(docs, seed):
        if not stored.annotation(fitted)[1].any() or not stored.annotation(tried)[1].any():
            return before
        for sign, values in ((1, before), (-1, fit(fitted))):
            put(values)
            gains += [sign * exit["nll"][1] for exit in stored.calibration(stored.fit(fitted), tried)[-len(before) :]]
        put(before)
    helps = (gains > 0).reshape(-1, *[1] * (before.ndim - 1))
    return numpy.where(helps, fit(docs), before)
