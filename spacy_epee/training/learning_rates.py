"""Learning rates by layer."""

from typing import Any

from thinc.api import Model


def set_learning_rates(trunk: Model) -> None:
    """Give each layer its learning rate.

    trunk (Model): The trunk, with its backbone.
    """
    shim: Any = trunk.shims[0]
    decay = shim.settings.lr_decay
    if decay == 1.0 or shim.scale is not None:
        return
    stepper = shim.stepper
    level = {id(p): 1 + i for i, layer in enumerate(stepper.layers) for p in layer.parameters()}
    if stepper.norm is not None:
        level.update({id(p): stepper.depth for p in stepper.norm.parameters()})
    shim.scale = {
        name: decay ** (stepper.depth - level.get(id(p), 0)) for name, p in stepper.model.named_parameters()
    }.__getitem__
