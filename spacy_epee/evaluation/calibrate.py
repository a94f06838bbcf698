"""Temperatures of a component and thresholds of its labels, fitted to annotated documents."""

from typing import Any, Dict, Iterable, List, Optional

from spacy.training import Example

from ..component.pipe import EarlyExitTransformer
from .mixing import best_mix, refit_mix
from .salience import best_salience, refit_salience
from .stored_outputs import StoredOutputs
from .threshold_fitter import ThresholdFitter


def calibrate(component: EarlyExitTransformer, examples: Iterable[Example], task: Optional[str] = None) -> List[Dict[str, Any]]:
    """Fit a temperature for each exit to examples that were not trained on, and set them: entropy, confidence and the like,
    and the probabilities that are written, are then those of the scaled logits. Before, how much words count at each exit is
    fitted, if there is an exit before the first layer; answers can change by that, and by nothing else. Training further drops
    both.

    component (EarlyExitTransformer): The component.
    examples (Iterable[Example]): The examples.
    task (Optional[str]): The task; None if there is only one.
    RETURNS (List[Dict[str, Any]]): What it does to each exit, see `exits.calibration.calibration_report`.
    RAISES ValueError: Nothing is annotated.
    """
    stored = StoredOutputs(component, list(examples), task)
    refit_mix(stored, best_mix)
    refit_salience(stored, best_salience)
    component.set_temperatures(stored.fit(), task)
    return stored.calibration(stored.slot.cfg["temperatures"])


def fit_thresholds(component: EarlyExitTransformer, examples: Iterable[Example], task: Optional[str] = None) -> Dict[str, float]:
    """Fit a threshold for each label to examples that were not trained on, and set them: a label counts as given from its own on.
    The probabilities that are written stay as they are. Training further drops the thresholds.

    component (EarlyExitTransformer): The component.
    examples (Iterable[Example]): The examples.
    task (Optional[str]): The task; None if there is only one.
    RETURNS (Dict[str, float]): The thresholds by label.
    RAISES ValueError: Labels exclude each other, or too few examples.
    """
    thresholds = ThresholdFitter(StoredOutputs(component, list(examples), task)).fit()
    component.set_label_thresholds(thresholds, task)
    return thresholds
