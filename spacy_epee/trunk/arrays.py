"""Trunks that take and give plain arrays, so that what is answered alone does without torch where that does not run the layers:
each of its calls takes as long as several of numpy."""

from typing import cast

import numpy
import torch

from .base import Runner, State


def takes_arrays(stepper: Runner) -> bool:
    """RETURNS (bool): Whether a trunk has an `embed_arrays` and a `final_array` of its own."""
    return hasattr(stepper, "embed_arrays")


def embed_arrays(stepper: Runner, *inputs: numpy.ndarray) -> State:
    """Run everything that comes before the first layer.

    stepper (Runner): The trunk, on a CPU. It does without torch if it has a method of this name.
    inputs (ndarray): What its `embed` takes.
    RETURNS (State): The batch below layer 1.
    """
    if takes_arrays(stepper):
        return stepper.embed_arrays(*inputs)  # type: ignore[attr-defined]
    return stepper.embed(*map(torch.from_numpy, inputs))


def final_array(stepper: Runner, state: State) -> numpy.ndarray:
    """RETURNS (ndarray): The states of a batch as a head should see them, (W, T, H) float32, see `Runner.final_hidden`."""
    if takes_arrays(stepper):
        return cast(numpy.ndarray, stepper.final_array(state))  # type: ignore[attr-defined]
    return stepper.final_hidden(state).numpy()
