"""A student with some of the layers of a larger backbone."""

import copy
import re
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Sequence, Union

import torch
from torch import Tensor
from transformers import AutoModel

from .families import find_family
from .stepper import LayerStepper

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Layers = Union[str, List[int], None]
"""Which layers are kept: "first K", "every K", or their numbers from 1; None for all."""

CLOSE = 1e-3
"""How far the last states may be off, as a share of their size."""


def check_layers(layers: Layers) -> None:
    """Refuse a setting that names no layers, whatever the depth.

    layers (Union[str, List[int], None]): The setting `model.trunk.layers`.
    RAISES ValueError: It does not.
    """
    if isinstance(layers, str):
        fit = re.fullmatch(r"(first|every) [1-9]\d*", layers) is not None
    else:
        fit = layers is None or (0 < len(layers) and layers == sorted(set(layers)) and layers[0] > 0)
    if not fit:
        raise ValueError(
            f"The setting `model.trunk.layers` is {layers!r}; give 'first 6', 'every 2', numbers of layers from 1 on in order, "
            "such as [2, 4, 6], or null for all."
        )


def choose_layers(layers: Union[str, List[int]], depth: int) -> List[int]:
    """Find the layers that are kept.

    layers (Union[str, List[int]]): The setting.
    depth (int): How many layers there are.
    RETURNS (List[int]): Their numbers, from 1.
    RAISES ValueError: There are not so many.
    """
    if isinstance(layers, str):
        kind, number = layers.split()
        chosen = list(range(1, int(number) + 1)) if kind == "first" else list(range(int(number), depth + 1, int(number)))
    else:
        chosen = layers
    if not chosen or chosen[-1] > depth:
        raise ValueError(f"The setting `model.trunk.layers` is {layers!r}, and this backbone has {depth} layers. Name fewer.")
    return chosen


@torch.no_grad()
def keep_layers(
    model: "PreTrainedModel",
    layers: Union[str, List[int]],
    make_stepper: Callable[["PreTrainedModel"], LayerStepper],
    inputs: Sequence[Tensor],
    real: Tensor,
) -> "PreTrainedModel":
    """Make a smaller model of some of the layers of a model. It is compared with these layers, called one after the other.

    model (PreTrainedModel): The model.
    layers (Union[str, List[int]]): Which layers.
    make_stepper (Callable[[PreTrainedModel], LayerStepper]): Makes what steps through a model.
    inputs (Sequence[Tensor]): A small input, as `LayerStepper.embed` takes it.
    real (Tensor): Where it is not padding, (W, T) or (W, 1) bool.
    RETURNS (PreTrainedModel): The smaller model.
    RAISES ValueError: There are no such layers, or a model of them is not what they are.
    """
    whole = make_stepper(model.eval())
    chosen = choose_layers(layers, whole.depth)
    wanted = _climb(whole, chosen, inputs)
    try:
        smaller = _rebuild(model, [whole.layers[number - 1] for number in chosen])
        stepper = make_stepper(smaller)
        found = _climb(stepper, range(1, stepper.depth + 1), inputs)
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
        raise ValueError(_refusal(model, chosen, type(error).__name__)) from error
    real = real.expand(wanted.shape[:2])
    if found.shape != wanted.shape or not (found - wanted)[real].norm() <= CLOSE * wanted[real].norm():
        raise ValueError(_refusal(model, chosen, "other states"))
    return smaller


def _refusal(model: "PreTrainedModel", chosen: List[int], what: str) -> str:
    return (
        f"A model of the family '{model.config.model_type}' with the layers {chosen} alone is something else than these layers "
        f"({what}): they differ by their place, or share weights. Set `model.trunk.layers` to 'first {len(chosen)}', or to null."
    )


def _climb(stepper: LayerStepper, numbers: Sequence[int], inputs: Sequence[Tensor]) -> Tensor:
    """The last states behind some layers."""
    state = stepper.embed(*inputs)
    for number in numbers:
        state.layer = number - 1
        stepper.step(state)
    return stepper.final_hidden(state)


def _rebuild(model: "PreTrainedModel", layers: List[Any]) -> "PreTrainedModel":
    """Make a model of the same family with as many layers, and give it their weights."""
    config = copy.deepcopy(model.config)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        every = find_family(model).layers
        config.layer_types = [kinds[list(every).index(layer)] for layer in layers]
    if config.pruned_heads:
        every = find_family(model).layers
        pruned = {new: config.pruned_heads.get(list(every).index(layer), []) for new, layer in enumerate(layers)}
        config.pruned_heads = {new: heads for new, heads in pruned.items() if heads}
    config.num_hidden_layers = len(layers)
    if getattr(config, "num_hidden_groups", None):
        config.num_hidden_groups = len(set(layers))
    if getattr(config, "stage_names", None) is not None:  # the names of what comes before the layers, and of each
        config.stage_names = config.stage_names[: len(layers) + 1]
        config.out_features = None  # the last of them
    smaller = AutoModel.from_config(config, trust_remote_code=False).eval()
    names = {module: name for name, module in model.named_modules()}
    places = {module: name for name, module in smaller.named_modules()}
    sources = {places[place]: names[layer] for place, layer in zip(find_family(smaller).layers, layers)}
    for name in [name for name, _ in smaller.named_children() if getattr(model, name, None) is None]:
        setattr(smaller, name, None)  # a pooler that was taken away
    weights = model.state_dict()
    smaller.load_state_dict({name: weights[_source(name, sources)] for name in smaller.state_dict()})
    return smaller.to(model.device)


def _source(name: str, sources: Dict[str, str]) -> str:
    """The name that a weight has in the larger model."""
    return next((old + name[len(new) :] for new, old in sources.items() if name.startswith(f"{new}.")), name)
