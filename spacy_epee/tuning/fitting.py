"""What is fitted before rules are tried: how much words count, temperatures, and thresholds of labels."""

from functools import partial
from typing import Any, Dict, List, Optional

import numpy

from ..component.pipe import EarlyExitTransformer
from ..evaluation.mixing import best_mix, better_mix, refit_mix
from ..evaluation.salience import best_salience, better_salience, refit_salience
from ..evaluation.stored_outputs import StoredOutputs
from ..evaluation.threshold_fitter import ThresholdFitter
from .noted import plain


def fit_mix(
    component: EarlyExitTransformer, stored: StoredOutputs, wanted: Optional[bool], half: Optional[numpy.ndarray], seed: int
) -> List[float]:
    """Fit how much words count at each exit, to some of the documents."""
    if wanted is not False:
        refit_mix(stored, partial(best_mix, docs=half) if wanted else partial(better_mix, docs=half, seed=seed))
    return stored.mix.tolist()


def fit_salience(
    component: EarlyExitTransformer, stored: StoredOutputs, wanted: Optional[bool], half: Optional[numpy.ndarray], seed: int
) -> bool:
    """Fit what salience counts at each exit, to some of the documents. RETURNS (bool): Whether it counts at any."""
    if wanted is not False:
        find = partial(best_salience, docs=half) if wanted else partial(better_salience, docs=half, seed=seed)
        refit_salience(stored, find)
    return bool(stored.salience_weights.any())


def fit_temperatures(
    component: EarlyExitTransformer, stored: StoredOutputs, wanted: Optional[bool], half: Optional[numpy.ndarray], seed: int
) -> Dict[str, Any]:
    """Fit temperatures, to some of the documents."""
    kept = component.slots[stored.name].cfg.get("temperatures")
    if wanted is not False and (wanted or stored.helps(half, seed)):
        component.set_temperatures(stored.fit(half), stored.name)
    elif wanted is None:
        component.set_temperatures(None, stored.name)
    temperatures = component.slots[stored.name].cfg.get("temperatures")
    fitted = wanted is not False and temperatures is not None
    figures = stored.calibration(temperatures or [1.0] * len(stored.layers))
    exits = [{"layer": layer, **plain(exit)} for layer, exit in zip(stored.layers, figures)]
    documents = 0 if not fitted else stored.n_docs if half is None else int(half.sum())
    return {"fitted": fitted, "kept": kept is not None and wanted is False, "documents": documents, "exits": exits}


def fit_thresholds(
    component: EarlyExitTransformer,
    stored: StoredOutputs,
    wanted: Optional[bool],
    half: Optional[numpy.ndarray],
    seed: int,
    said: Optional[numpy.ndarray] = None,
) -> Dict[str, Any]:
    """Fit a threshold for each label, or role and attribute, to some of the documents: to what the full depth says, or a rule."""
    fitter = ThresholdFitter(stored, said)
    own = fitter.fit(half) if wanted else fitter.fit_helpful(half, seed) if wanted is None else {}
    fitted = bool(own)
    if wanted is not False:
        component.set_label_thresholds(own or None, stored.name)
    if "label_thresholds" not in stored.cfg:
        return {"fitted": False, "labels": {}}
    setting = stored.cfg["threshold"]
    return {
        "fitted": fitted,
        "labels": component.label_thresholds(stored.name),
        "threshold": setting,
        "documents": 0 if not fitted else stored.n_docs if half is None else int(half.sum()),
        "macro_f": [fitter.macro_f(setting), fitter.macro_f(stored.slot.thresholds)],
    }
