"""Help for model families in which the stepper does not find by itself where things are."""

from dataclasses import dataclass
from typing import Callable, Optional, Sequence

import catalogue
from torch import nn


@dataclass(frozen=True)
class Family:
    """Where to find in a model what the stepper needs.

    layers (Sequence[nn.Module]): The layers in the order in which the model calls them. The first argument of each is the
        hidden states, (W, T, H), and so is what it returns, or the first part of it.
    norm (Optional[nn.Module]): What the model applies to the states behind its last layer, if anything. None: nothing, or a
        module whose class has "Norm" in its name, which is found.
    """

    layers: Sequence[nn.Module]
    norm: Optional[nn.Module] = None


families = catalogue.create("spacy_epee", "families", entry_points=True)
"""From a `model_type` to a function that takes a model and returns its Family. An installed package can register one by an
entry point in the group `spacy_epee_families`."""


def find_family(model: nn.Module) -> Optional[Family]:
    """RETURNS (Optional[Family]): What is registered for a model's family, None if nothing is."""
    name = str(getattr(model.config, "model_type", "") or "")
    if name not in families:
        return None
    make: Callable[[nn.Module], Family] = families.get(name)
    return make(model)
