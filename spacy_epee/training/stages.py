"""Freezing what a stage of training leaves alone."""

from typing import Sequence

from torch import nn

from ..heads.base import ExitHeads
from ..trunk.settings import TrunkSettings


def set_stage(stage: str, backbone: nn.Module, heads: Sequence[ExitHeads], settings: TrunkSettings) -> None:
    """Freeze what the training stage leaves alone (see training/callbacks.py).

    stage (str): "joint", "trunk" or "exits".
    backbone (nn.Module): The backbone.
    heads (Sequence[ExitHeads]): The classifiers of each task.
    settings (TrunkSettings): What of the backbone is never trained.
    """
    words = {id(p) for p in backbone.get_input_embeddings().parameters()}  # type: ignore[operator]
    for parameter in backbone.parameters():
        frozen = settings.frozen or (settings.freeze_embeddings and id(parameter) in words)
        _train_or_freeze(parameter, stage != "exits" and not frozen)
    for own in heads:
        last = {id(p) for module in own.of_last_exit() for p in module.parameters()}
        for parameter in own.parameters():
            _train_or_freeze(parameter, {"joint": True, "trunk": id(parameter) in last}.get(stage, id(parameter) not in last))


def _train_or_freeze(parameter: nn.Parameter, train: bool) -> None:
    if parameter.requires_grad != train:
        parameter.requires_grad_(train)
    if not train:
        # A kept gradient would go on moving the weights through Adam's momentum.
        parameter.grad = None
