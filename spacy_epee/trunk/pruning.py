"""Zeros in place of the smallest weights."""

from typing import Dict, List, Tuple

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from .stepper import LayerStepper


def prune_smallest(stepper: LayerStepper, share: float, everywhere: bool) -> Dict[str, Tensor]:
    """Set the smallest weights of linear modules to zero. They are saved as any others: torch's own names for weights with masks
    do not stay.

    stepper (LayerStepper): The layers of a backbone.
    share (float): Which part of the weights become zeros, those that are zeros already included.
    everywhere (bool): Whether the smallest of all modules are chosen together. If not, all modules have that share.
    RETURNS (Dict[str, Tensor]): Which weights are kept, by the names of the parameters in the backbone.
    RAISES ValueError: There are no linear modules.
    """
    model = stepper.model
    modules = [part for layer in dict.fromkeys(stepper.layers) for part in layer.modules() if isinstance(part, nn.Linear)]
    if not modules:
        raise ValueError(f"The layers of the family '{model.config.model_type}' have no linear modules to prune.")
    weights: List[Tuple[nn.Module, str]] = [(part, "weight") for part in modules]
    if everywhere:
        prune.global_unstructured(weights, prune.L1Unstructured, amount=share)
    else:
        for part, name in weights:
            prune.l1_unstructured(part, name, share)
    masks = [part.get_buffer("weight_mask").bool() for part in modules]
    for part, name in weights:
        prune.remove(part, name)
        torch.autograd.graph.increment_version(part.get_parameter(name))
    kept = {id(part.weight): mask for part, mask in zip(modules, masks)}
    return {name: kept[id(parameter)] for name, parameter in model.named_parameters() if id(parameter) in kept}
