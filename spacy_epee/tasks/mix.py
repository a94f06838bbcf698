"""How much words count, fitted to a trained component: training goes on from what it had found itself."""

from typing import Sequence

import numpy
from thinc.api import Model

from .slot import TaskSlot


def set_fitted_mix(slot: TaskSlot, mix: Sequence[float], model: Model) -> None:
    """Set how much words count by what was found out beside training.

    slot (TaskSlot): The task.
    mix (Sequence[float]): A factor for each exit behind a layer.
    model (Model): The model.
    """
    trained = trained_mix(slot, model)
    slot.set_mix(mix, model)
    slot.cfg["mix"] = {"trained": trained.tolist(), "fitted": slot.mix(model).tolist()}


def trained_mix(slot: TaskSlot, model: Model) -> numpy.ndarray:
    """RETURNS (ndarray): How much words count as training found it, whatever was fitted since."""
    mix: numpy.ndarray = slot.mix(model)
    noted = slot.cfg.get("mix")
    if noted is None or not numpy.array_equal(mix, numpy.float32(noted["fitted"])):  # then these are other weights
        return mix
    return numpy.array(noted["trained"], dtype="float64")


def restore_mix(slot: TaskSlot, model: Model) -> None:
    """Have words count as training found it."""
    if "mix" in slot.cfg:
        slot.set_mix(trained_mix(slot, model).tolist(), model)
        del slot.cfg["mix"]
