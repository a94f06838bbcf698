"""Any Hugging Face encoder, one layer at a time, with rows leaving the batch at any depth.

The model's own forward prepares what its layers are called with. The layers are then called one by one on the rows that are
still in the batch. Where layers are not all called with the same, the forward goes on through layers that only pass on what
they are given. No modelling code is copied, so a family needs no class of its own, only to pass `verification.find_plan`.
"""

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Optional, Sequence

import torch
from torch import Tensor, nn

from .forward import Inputs, ModelForward

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LayerState:
    """A batch of windows somewhere on its way up.

    hidden (Tensor): The states after the layers run so far, (W, T, H).
    arguments (List[Dict[str, Any]]): What each layer is called with beside them.
    row_args (FrozenSet[str]): The arguments with an entry for each row of the batch. All others (flags, relative positions) are
        shared by the rows and must not be cut, whatever their first dimension is.
    """

    def __init__(self, hidden: Tensor, arguments: List[Dict[str, Any]], row_args: FrozenSet[str]):
        self.hidden = hidden
        self.arguments = arguments
        self.row_args = row_args
        self.layer = 0

    def keep(self, rows: Tensor) -> None:
        """Drop all but some rows.

        rows (Tensor): Their indices, (W',).
        """
        size = len(self.hidden)
        cut: Dict[int, Any] = {}  # layers share most of their arguments

        def keep_of(value: Tensor) -> Tensor:
            if id(value) not in cut:
                cut[id(value)] = value[rows]
            return cut[id(value)]

        for arguments in {id(arguments): arguments for arguments in self.arguments[self.layer :]}.values():
            for name in self.row_args & arguments.keys():
                value = arguments[name]
                if value is not None and len(value) == size:  # length 1: broadcast over the batch
                    arguments[name] = keep_of(value)
        self.hidden = self.hidden[rows]


@dataclass(frozen=True)
class LayerPlan:
    """How a model calls its layers.

    layers (Sequence[nn.Module]): The layers in the order in which it calls them.
    norm (Optional[nn.Module]): What it applies to the states behind the last one.
    width (int): The size of a hidden state.
    alike (bool): Whether it calls all with the same arguments.
    parts (int): The length of the tuple that a layer returns; 0 if it returns its states alone.
    row_args (FrozenSet[str]): The arguments with an entry for each row of the batch.
    """

    layers: Sequence[nn.Module]
    norm: Optional[nn.Module]
    width: int
    alike: bool
    parts: int
    row_args: FrozenSet[str] = frozenset()


class LayerStepper:
    """Steps a Hugging Face model layer by layer."""

    own_threads = False

    def __init__(self, model: "PreTrainedModel", plan: LayerPlan):
        """
        model (PreTrainedModel): An encoder, or a decoder used as one.
        plan (LayerPlan): How it calls its layers (`verification.find_plan`).
        """
        self.model = model
        self.plan = plan
        self.layers = plan.layers
        self.norm = plan.norm
        self.forward = ModelForward(model, plan.layers)

    @property
    def depth(self) -> int:
        """RETURNS (int): The number of layers."""
        return len(self.layers)

    @property
    def width(self) -> int:
        """RETURNS (int): The size of a hidden state."""
        return self.plan.width

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): Where the model is."""
        return self.model.device

    @property
    def padding(self) -> int:
        """RETURNS (int): The wordpiece to pad with. Some families derive positions from it."""
        return max(getattr(self.model.config, "pad_token_id", None) or 0, 0)

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> LayerState:
        """Run everything that comes before the first layer.

        input_ids (Tensor): Padded wordpieces, (W, T).
        attention_mask (Tensor): 1 for wordpieces and 0 for padding, (W, T).
        RETURNS (LayerState): The batch below layer 1.
        """
        return self.embed_inputs({"input_ids": input_ids, "attention_mask": attention_mask})

    def embed_inputs(self, inputs: Inputs) -> LayerState:
        """As `embed`, with whatever the model takes.

        inputs (Dict[str, Any]): What its forward takes.
        RETURNS (LayerState): The batch below layer 1.
        """
        calls = self.forward.prepare(inputs, 1 if self.plan.alike else self.depth, self.plan.parts)
        for call in calls:
            bias = call.arguments.get("position_bias")
            if bias is not None and bias.dim() == 4 and len(bias) > 1 and torch.equal(bias, bias[:1].expand_as(bias)):
                # MPNet repeats it for each row, which can be more memory than all hidden states. The layers broadcast it.
                call.arguments["position_bias"] = bias[:1]
        arguments = [call.arguments for call in calls]
        return LayerState(calls[0].hidden, arguments * self.depth if self.plan.alike else arguments, self.plan.row_args)

    def restart_at(self, hidden: Tensor, layer: int, *inputs: Tensor) -> LayerState:
        """Go on from states that have come up to a layer, in a batch of another shape.

        hidden (Tensor): The states, (W, T, H).
        layer (int): The layers run so far.
        inputs (Tensor): Those of `embed`. To embed them again gives masks in any family's own form, for a fraction of a layer.
        RETURNS (LayerState): The batch.
        """
        state = self.embed(*inputs)
        state.hidden, state.layer = hidden, layer
        return state

    def step(self, state: LayerState) -> None:
        """Run the next layer on a batch.

        state (LayerState): The batch, moved up in place.
        """
        # Positional hidden states: reentrant gradient checkpointing needs them.
        output = self.layers[state.layer](state.hidden, **state.arguments[state.layer])
        state.hidden = output[0] if isinstance(output, tuple) else output
        state.layer += 1

    def final_hidden(self, state: LayerState) -> Tensor:
        """The states as a head should see them.

        state (LayerState): The batch.
        RETURNS (Tensor): Its states behind the model's final norm, if it has one, (W, T, H) in float32.
        """
        return (state.hidden if self.norm is None else self.norm(state.hidden)).float()

    def with_model(self, model: "PreTrainedModel") -> "LayerStepper":
        """The same for a copy of the model, without checking it again.

        model (PreTrainedModel): The copy, in any precision.
        RETURNS (LayerStepper): What steps through it.
        """
        names = {id(module): name for name, module in self.model.named_modules()}
        layers = [model.get_submodule(names[id(layer)]) for layer in self.layers]
        norm = None if self.norm is None else model.get_submodule(names[id(self.norm)])
        other = copy.copy(self)
        LayerStepper.__init__(other, model, replace(self.plan, layers=layers, norm=norm))
        return other
