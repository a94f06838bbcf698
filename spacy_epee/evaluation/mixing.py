"""How much words count at each exit, fitted to annotated documents."""

from typing import Optional

import numpy

from ..exits.mix import fit_mix
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


def mix_helps(stored: StoredOutputs, docs: Optional[numpy.ndarray] = None, seed: int = 0) -> bool:
    """Whether to fit how much words count makes documents more likely that it was not fitted to, as `StoredOutputs.helps` finds
    out of temperatures.

    stored (StoredOutputs): What all exits say. It is afterwards as before.
    docs (Optional[ndarray]): Which documents to look at, (D,) bool; None for all.
    seed (int): The seed of the split.
    RETURNS (bool): Whether the mean negative log-likelihood falls.
    """
    before, gain = stored.mix, 0.0
    for fitted, tried in stored.halves(docs, seed) if has_words(stored) else ():
        if not stored.annotation(fitted)[1].any() or not stored.annotation(tried)[1].any():
            return False
        for sign, mix in ((1, before), (-1, best_mix(stored, fitted))):
            stored.set_mix(mix)
            gain += sign * sum(exit["nll"][1] for exit in stored.calibration(stored.fit(fitted), tried))
        stored.set_mix(before)
    return gain > 0
