"""Any Hugging Face encoder, one layer at a time, with rows leaving the batch at any depth.

The model's own forward prepares embeddings, masks and position terms, in a likeness of the model that shares all with it but
the layers: in their place stands what keeps the arguments of the first one and stops there. The layers are then called one by one
on the rows that are still in the batch. Where layers are not all called with the same, the forward goes on through layers that
only pass on what they are given. No modelling code is copied, so a family needs no class of its own, only to pass `verify`.
"""

import copy
import inspect
import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from .families import find_family

Inputs = Dict[str, Any]
"""What a model's forward takes."""

_HERE = threading.local()
"""What stands in place of the layers in the forward that a thread is in, as `instead`."""


class StopForward(Exception):
    """Leaves a model's forward before a layer."""


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

        for own in {id(own): own for own in self.arguments[self.layer :]}.values():
            for name in self.row_args & own.keys():
                value = own[name]
                if value is not None and len(value) == size:  # length 1: broadcast over the batch
                    own[name] = keep_of(value)
        self.hidden = self.hidden[rows]


@dataclass
class LayerCall:
    """A call of a layer in the model's own forward.

    layer (nn.Module): The layer.
    hidden (Tensor): The states that it got.
    arguments (Dict[str, Any]): What it was called with beside them.
    output (Any): What it returned.
    """

    layer: nn.Module
    hidden: Tensor
    arguments: Dict[str, Any]
    output: Any = None

    @property
    def states(self) -> Tensor:
        """RETURNS (Tensor): The states that it returned."""
        return self.output[0] if isinstance(self.output, tuple) else self.output


class LayerStepper:
    """Steps a Hugging Face model layer by layer."""

    known = "a BERT, RoBERTa, ELECTRA, DistilBERT, MPNet or DeBERTa"

    def __init__(self, model: nn.Module):
        """
        model (PreTrainedModel): An encoder, or a decoder used as one. It is checked once, with a small padded batch, that
            stepping gives what the model's own forward gives.
        RAISES ValueError: The model cannot be stepped.
        """
        self.model = model
        config = model.config
        if getattr(config, "use_cache", False):
            # Decoders would grow a cache with every batch.
            config.use_cache = False
        padding = getattr(config, "pad_token_id", None)
        if padding is not None and not 0 <= padding < getattr(config, "vocab_size", padding + 1):
            # Such as LLaMA's -1. What is behind the end of a text is masked, so that any wordpiece will do.
            config.pad_token_id = None
        family = find_family(model)
        self.layers = _find_layers(model) if family is None else list(family.layers)
        self.norm: Optional[nn.Module] = None if family is None else family.norm
        self._argument_names = list(inspect.signature(self.layers[0].forward).parameters)
        # Made and found out in `_verify`.
        self._hollow: nn.Module = model
        self._alike = True
        self._parts = 0
        self._row_args: FrozenSet[str] = frozenset()
        self._width = 0
        self._verify()

    @property
    def depth(self) -> int:
        """RETURNS (int): The number of layers."""
        return len(self.layers)

    @property
    def width(self) -> int:
        """RETURNS (int): The size of a hidden state."""
        return self._width

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): Where the model is."""
        return self.model.device

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> LayerState:
        """Run everything that comes before the first layer.

        input_ids (Tensor): Padded wordpieces, (W, T).
        attention_mask (Tensor): 1 for wordpieces and 0 for padding, (W, T).
        RETURNS (LayerState): The batch below layer 1.
        """
        return self._embed({"input_ids": input_ids, "attention_mask": attention_mask})

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

    def _embed(self, inputs: Inputs) -> LayerState:
        """As `embed`, with whatever the model takes."""
        calls = self._prepare(inputs)
        for call in calls:
            bias = call.arguments.get("position_bias")
            if bias is not None and bias.dim() == 4 and len(bias) > 1 and torch.equal(bias, bias[:1].expand_as(bias)):
                # MPNet repeats it for each row, which can be more memory than all hidden states. The layers broadcast it.
                call.arguments["position_bias"] = bias[:1]
        arguments = [call.arguments for call in calls]
        return LayerState(calls[0].hidden, arguments * self.depth if self._alike else arguments, self._row_args)

    def _prepare(self, inputs: Inputs) -> List[LayerCall]:
        """What the model's forward calls its layers with: the first one, if that stands for all, or each of them."""
        calls: List[LayerCall] = []
        wanted = 1 if self._alike else self.depth

        def pass_on(call: LayerCall, *given: Any) -> Any:
            calls.append(call)
            if len(calls) == wanted:
                raise StopForward
            return (call.hidden, *[None] * (self._parts - 1)) if self._parts else call.hidden

        try:
            self._forward(inputs, pass_on)
        except StopForward:
            pass
        return calls

    def _forward(self, inputs: Inputs, instead: Callable[..., Any]) -> Any:
        """The model's own forward, with something in place of its layers.

        inputs (Dict[str, Any]): What it takes.
        instead (Callable): From the call of a layer, its arguments in order and those by name, to what it returns.
        RETURNS (Any): What the forward returns.
        """
        name = self._argument_names[0]

        def note(layer: nn.Module, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
            arguments = {**dict(zip(self._argument_names, args)), **kwargs}
            return instead(LayerCall(layer, arguments.pop(name), arguments), args, kwargs)

        _HERE.instead = note
        try:
            return self._hollow(**inputs, output_hidden_states=False, output_attentions=False)
        finally:
            del _HERE.instead

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

    def __getstate__(self) -> Dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_hollow"}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        vars(self).update(state)
        self._hollow = _hollow(self.model, self.layers)

    def with_model(self, model: nn.Module) -> "LayerStepper":
        """The same for a copy of the model, without checking it again.

        model (PreTrainedModel): The copy, in any precision.
        RETURNS (LayerStepper): What steps through it.
        """
        names = {id(module): name for name, module in self.model.named_modules()}
        other = copy.copy(self)
        other.model = model
        other.layers = [model.get_submodule(names[id(layer)]) for layer in self.layers]
        other.norm = None if self.norm is None else model.get_submodule(names[id(self.norm)])
        other._hollow = _hollow(model, other.layers)
        return other

    @torch.no_grad()
    def relative_error(self, other: Any, padded: bool = True) -> float:
        """How far the last states of another stepper are from these, on a small input.

        other (Union[LayerStepper, OnnxStepper]): The other one, of the same kind of model.
        padded (bool): Whether rows are padded, if they are of text.
        RETURNS (float): The size of the difference as a share of the size of these states.
        """
        inputs, real = self._probe()
        if not padded:
            inputs, real = {**inputs, "attention_mask": torch.ones_like(inputs["attention_mask"])}, torch.ones_like(real)
        found = []
        for stepper in (self, other):
            state = stepper._embed(inputs)
            while state.layer < stepper.depth:
                stepper.step(state)
            read = stepper.final_hidden(state)
            found.append(read[real.expand(read.shape[:2])])
        return float((found[0] - found[1]).norm() / found[0].norm())

    @torch.no_grad()
    def _verify(self) -> None:
        """Compare stepping, with a row leaving on the way, with the model's own forward."""
        training = self.model.training
        self.model.eval()
        try:
            self._hollow = _hollow(self.model, self.layers)
            missing = self._compare(*self._probe())
        except _UNFIT as error:
            missing = f"stepping through it raises {type(error).__name__}"
        finally:
            self.model.train(training)
        if missing is not None:
            refuse_nan(self.model)
            raise ValueError(
                f"The model family '{self.model.config.model_type}' cannot exit early: {missing}. Name another encoder in "
                f"the setting `model.trunk.name`, such as {self.known}. If wrong modules were taken for its layers or its final "
                "norm, see 'Backbones' in the README."
            )

    def _probe(self) -> Tuple[Inputs, Tensor]:
        """RETURNS (Tuple[Inputs, Tensor]): Small inputs, and where they are not padding, (W, T) or (W, 1) bool."""
        ids, mask = _probe(self.model)
        return {"input_ids": ids, "attention_mask": mask}, mask.bool()

    def _compare(self, inputs: Inputs, real: Tensor) -> Optional[str]:
        """Find out how the model calls its layers, and what is missing for them to be called one by one."""
        calls, expected = self._watch(inputs)
        if [call.layer for call in calls] != self.layers:
            return f"its own forward does not call the {self.depth} layers that were found, one after the other"
        rows, length = real.shape
        if len(calls[0].hidden) != rows or length not in (1, calls[0].hidden.shape[1]):
            return (
                f"its layers are not given a row for each text, but {tuple(calls[0].hidden.shape)}. If its attention works "
                "without padding, set `model.trunk.transformer_config.attn_implementation` to 'sdpa'"
            )
        real = real.expand(calls[0].hidden.shape[:2])
        for number, (below, above) in enumerate(zip(calls, calls[1:]), start=1):
            if not _close(below.states, above.hidden, real):
                return f"something runs between its layers {number} and {number + 1}"
        norms = (None, *_norms(self.model, self.layers)) if self.norm is None else (self.norm,)
        fitting = [norm for norm in norms if _close(_apply(norm, calls[-1].states), expected, real)]
        if not fitting:
            return "what comes behind its last layer is not a norm that was found"
        self.norm = fitting[0]
        self._width = int(expected.shape[-1])
        self._alike = all(_same(call.arguments, calls[0].arguments) for call in calls)
        self._parts = len(calls[0].output) if isinstance(calls[0].output, tuple) else 0
        fewer = {name: value[1:] if isinstance(value, Tensor) else value for name, value in inputs.items()}
        self._row_args = _row_args(self._prepare(inputs), self._prepare(fewer))
        state = self._embed(inputs)
        rest = torch.arange(1, rows, device=real.device)
        for call in calls:
            self.step(state)
            if len(state.hidden) == rows:
                state.keep(rest)
            if not _close(state.hidden, call.states[1:], real[1:]):
                given = sorted(name for name, value in call.arguments.items() if isinstance(value, Tensor))
                return (
                    f"its layer {state.layer} called on its own does not give what it gives in the model's forward, once a row "
                    f"has left. It is given {', '.join(given) or 'no tensors'} beside the states, and these may depend on the "
                    "layers below, or hold the rows of the batch in a way that is not understood"
                )
        return None

    def _watch(self, inputs: Inputs) -> Tuple[List[LayerCall], Tensor]:
        """How the model's own forward calls its layers, and its last hidden state."""
        calls: List[LayerCall] = []

        def run(call: LayerCall, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
            calls.append(call)
            call.output = call.layer(*args, **kwargs)
            return call.output

        return calls, self._forward(inputs, run).last_hidden_state


def refuse_nan(model: nn.Module) -> None:
    """Refuse weights that are no numbers: whatever they are multiplied with is none either.

    model (nn.Module): The model.
    RAISES ValueError: A weight is NaN or infinite.
    """
    bad = [name for name, value in model.state_dict().items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise ValueError(
            f"The weights of this backbone hold NaN or infinity ({len(bad)} of its tensors, the first being '{bad[0]}'): it "
            "is damaged, or training went wrong. Load an intact copy, or train again with a lower learning rate."
        )


_UNFIT = (TypeError, ValueError, AttributeError, LookupError, RuntimeError, AssertionError)
"""What modules raise that are not made for what they are given."""


def _hollow(model: nn.Module, layers: Sequence[nn.Module]) -> nn.Module:
    """Make what looks like a model, down to attributes that are set later, and calls `_HERE.instead` in place of its layers. So
    the model itself stays as it is while it is looked into, whoever else runs it.

    model (PreTrainedModel): The model.
    layers (Sequence[nn.Module]): The layers.
    RETURNS (PreTrainedModel): Its likeness.
    """
    found = set(layers)

    def of(module: nn.Module) -> nn.Module:
        if module in found:
            return _like(module, __call__=lambda _, *args, **kwargs: _HERE.instead(module, args, kwargs))
        if found.isdisjoint(module.modules()):
            return module
        parts = {name: None if part is None else of(part) for name, part in module._modules.items()}
        return _like(
            module,
            _modules=property(lambda _: parts),
            __getattr__=lambda own, name: parts[name] if name in parts else type(module).__getattr__(own, name),
        )

    return of(model)


def _like(module: nn.Module, **differences: Any) -> nn.Module:
    """A module of the same class with some differences, which has all else of the module."""
    kind = type(module)
    like = object.__new__(type(kind.__name__, (kind,), differences))
    like.__dict__ = module.__dict__
    return like


def _row_args(calls: Sequence[LayerCall], fewer: Sequence[LayerCall]) -> FrozenSet[str]:
    """Which arguments have an entry for each row: they get shorter with the batch, which no other does by chance."""
    found = set()
    for call, other in zip(calls, fewer):
        for name, value in call.arguments.items():
            if _length(value) == len(call.hidden) and _length(other.arguments.get(name)) == len(other.hidden):
                found.add(name)
    return frozenset(found)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Tensor) and value.dim() else 0


def _same(one: Any, other: Any) -> bool:
    """Whether two layers are given the same. Tensors that happen to be equal may differ in a longer batch."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_same, one, other))
    plain = (bool, int, float, str)
    return one is other or (isinstance(one, plain) and isinstance(other, plain) and one == other)


def _close(found: Any, expected: Tensor, real: Tensor) -> bool:
    """Whether states agree but for padding."""
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        return False
    return found is expected or torch.allclose(found[real], expected[real], rtol=1e-3, atol=1e-3)


def _apply(norm: Optional[nn.Module], states: Tensor) -> Any:
    """What a norm gives; None if it is for something else. Whole models can have "Norm" in their name, too."""
    try:
        return states if norm is None else norm(states)
    except _UNFIT:
        return None


def _find_layers(model: nn.Module) -> List[nn.Module]:
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
            "`model.trunk.name`, such as a BERT or a RoBERTa. If its layers are elsewhere, see 'Backbones' in the README."
        )
    return [stack[i * size // depth] for i in range(depth)]


def _norms(model: nn.Module, layers: List[nn.Module]) -> List[nn.Module]:
    """Norms outside the layers: one of them may be the final norm of a pre-norm family (GPT-2, ModernBERT)."""
    inside = {id(module) for layer in layers for module in layer.modules()}
    norms = [m for m in model.modules() if "Norm" in type(m).__name__ and id(m) not in inside]
    return norms[::-1]


def _probe(model: nn.Module):
    """Rows of different lengths, without the padding wordpiece inside a row.

    There are as many rows as heads, so that what is meant by head cannot pass for what is meant by row; and they are longer
    than a local attention window, where there is one, so that a layer that looks farther than it should is noticed.
    """
    config = model.config
    local = getattr(config, "sliding_window", None) or getattr(config, "local_attention", None) or 0
    rows = max(3, getattr(config, "num_attention_heads", 0) or 0)
    longest = getattr(config, "max_position_embeddings", 0) or 0
    length = min(max(7, local + 8), longest // 2 if longest > 0 else 1024, 1024)
    length -= length > 1 and length % 2 == 0  # odd, so that a model that fills up blocks is noticed
    padding = getattr(config, "pad_token_id", None) or 0
    low, high = (padding + 1, config.vocab_size) if padding + 1 < config.vocab_size else (0, max(padding, 1))
    ids = torch.randint(low, high, (rows, length), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([length if row % 2 else max(length // 2, length - 2 * row - 2) for row in range(rows)])
    mask = (torch.arange(length) < lengths[:, None]).long()
    ids[mask == 0] = padding
    return ids.to(model.device), mask.to(model.device)
