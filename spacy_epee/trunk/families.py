"""Where the layers of a model are, and help for families in which they are not found."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, List, Optional, Sequence

from torch import nn

from ..registry import families

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HELP = "see 'A backbone family of your own' in docs/extending.md"


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


def find_family(model: "PreTrainedModel") -> Family:
    """Find the layers of a model.

    model (PreTrainedModel): The model.
    RETURNS (Family): What is registered for its family, or else what is where most families have it.
    RAISES ValueError: There are no layers.
    """
    name = str(getattr(model.config, "model_type", "") or "")
    if name not in families:
        return Family(_find_layers(model))
    make: Callable[["PreTrainedModel"], Family] = families.get(name)
    return make(model)


def final_norms(model: "PreTrainedModel", family: Family) -> List[Optional[nn.Module]]:
    """List what may be applied to the states behind the last layer.

    model (PreTrainedModel): The model.
    family (Family): Its layers.
    RETURNS (List[Optional[nn.Module]]): The norm that the family names, or else nothing, and each norm outside the layers: one
        of them may be the final one (GPT-2, ModernBERT).
    """
    if family.norm is not None:
        return [family.norm]
    inside = {id(module) for layer in family.layers for module in layer.modules()}
    norms = [module for module in model.modules() if "Norm" in type(module).__name__ and id(module) not in inside]
    return [None, *norms[::-1]]


def _find_layers(model: "PreTrainedModel") -> List[nn.Module]:
    """List the layers in call order. ALBERT calls a few groups repeatedly, the others have one module a layer."""
    config = model.config
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"A model of the family '{config.model_type}' is an encoder-decoder, and early exit needs an encoder alone. Name "
            "one in the setting `model.trunk.name`, such as a BERT or a RoBERTa."
        )
    depth = getattr(config, "num_hidden_layers", 0)
    size = getattr(config, "num_hidden_groups", depth)
    stack = next((m for m in model.modules() if depth and isinstance(m, nn.ModuleList) and len(m) == size), None)
    if stack is None:
        raise ValueError(
            f"A model of the family '{config.model_type}' has no stack of {depth} layers (an `nn.ModuleList` as long as "
            f"`num_hidden_layers` says) that could be stepped through. Name another encoder in the setting "
            f"`model.trunk.name`, such as a BERT or a RoBERTa. If its layers are elsewhere, {HELP}."
        )
    return [stack[i * size // depth] for i in range(depth)]
