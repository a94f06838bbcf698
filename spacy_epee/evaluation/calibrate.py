"""Temperatures of a component, fitted to annotated documents."""

from typing import Any, Dict, Iterable, List, Optional

from spacy.training import Example

from ..component.pipe import EarlyExitTransformer
from .stored_outputs import StoredOutputs


def calibrate(component: EarlyExitTransformer, examples: Iterable[Example], task: Optional[str] = None) -> List[Dict[str, Any]]:
    """Fit a temperature for each exit to examples that were not trained on, and set them: entropy, confidence and the like,
    and the probabilities that are written, are then those of the scaled logits. No decision changes by itself. Training
    further drops the temperatures.

    component (EarlyExitTransformer): The component.
    examples (Iterable[Example]): The examples.
    task (Optional[str]): The task; None if there is only one.
    RETURNS (List[Dict[str, Any]]): What it does to each exit, see `exits.calibration.calibration_report`.
    RAISES ValueError: Nothing is annotated.
    """
    stored = StoredOutputs(component, list(examples), task)
    component.set_temperatures(stored.fit(), task)
    return stored.calibration(stored.slot.cfg["temperatures"])
