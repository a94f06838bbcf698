"""What it counts at each exit that a document is about what is asked: fitted to a trained component, and given up in training."""

from typing import Any, Optional, Tuple

import numpy
from thinc.api import Model

from .slot import LARGEST_MIX, TaskSlot


def set_salience(slot: TaskSlot, weights: Optional[numpy.ndarray], model: Model) -> None:
    """Set what is added to logits by the salience of their items. What was found out about other answers is given up.

    slot (TaskSlot): The task.
    weights (Optional[ndarray]): For each exit and logit what is added always, and what is for each number of the salience,
        (E, 1 + F, K), see `exits.salience`. None adds nothing.
    model (Model): The model.
    RAISES ValueError: Something else.
    """
    slot.drop_fitted(("salience", "reference", "tuned"))
    if weights is not None:
        kept = [[[float(f"{number:.6g}") for number in row] for row in exit] for exit in weights.tolist()]
        check_salience(kept, slot, model)
        slot.cfg["salience"] = kept


def check_salience(weights: Any, slot: TaskSlot, model: Model) -> None:
    """Refuse what does not fit a task, or comes from a file and can be anything.

    weights (Any): The weights.
    slot (TaskSlot): The task.
    model (Model): Its model.
    RAISES ValueError: They do not fit. It shows nothing of them.
    """
    shape = salience_shape(slot, model)
    try:
        numbers = numpy.array(weights, dtype="float64")
    except (TypeError, ValueError):
        numbers = numpy.zeros(0)
    if not slot.task.n_salience or numbers.shape != shape or not (numpy.abs(numbers) <= LARGEST_MIX).all():
        raise ValueError(
            f"The weights of salience of {slot.called} are not numbers for its {shape[0]} exits, {shape[1]} each for its "
            f"{shape[2]} outputs. Fit them with `python -m spacy epee tune`, or copy or save the pipeline again."
        )


def weights_of_salience(slot: TaskSlot, model: Model) -> numpy.ndarray:
    """RETURNS (ndarray): The weights that there are, (E, 1 + F, K); zeros where nothing is added."""
    return numpy.array(slot.cfg.get("salience", numpy.zeros(salience_shape(slot, model))), dtype="float64")


def salience_shape(slot: TaskSlot, model: Model) -> Tuple[int, int, int]:
    """RETURNS (Tuple[int, int, int]): Exits, what is added always and the numbers of the salience, and logits."""
    return len(slot.exit_layers(model)), 1 + slot.task.n_salience, slot.n_logits()
