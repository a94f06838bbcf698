"""A model's own forward, with something in place of its layers.

It prepares embeddings, masks and position terms. It is run in a likeness of the model that shares all with it but the layers, so
that the model itself stays as it is while it is looked into, whoever else runs it.
"""

import inspect
import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Sequence, Tuple

from torch import Tensor, nn

Inputs = Dict[str, Any]
"""What a model's forward takes."""

_HERE = threading.local()
"""What stands in place of the layers in the forward that a thread is in, as `instead`."""


class StopForward(Exception):
    """Leaves a model's forward before a layer."""


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


class ModelForward:
    """The forward of a model whose layers are known."""

    def __init__(self, model: nn.Module, layers: Sequence[nn.Module]):
        """
        model (PreTrainedModel): The model.
        layers (Sequence[nn.Module]): Its layers.
        """
        self.model = model
        self.layers = layers
        self._argument_names = list(inspect.signature(layers[0].forward).parameters)
        self._hollow = _hollow(model, layers)

    def __getstate__(self) -> Dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_hollow"}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        vars(self).update(state)
        self._hollow = _hollow(self.model, self.layers)

    def watch(self, inputs: Inputs) -> Tuple[List[LayerCall], Tensor]:
        """Run the layers.

        inputs (Dict[str, Any]): What the forward takes.
        RETURNS (Tuple[List[LayerCall], Tensor]): How they were called, and the last hidden state.
        """
        calls: List[LayerCall] = []

        def run(call: LayerCall, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
            calls.append(call)
            call.output = call.layer(*args, **kwargs)
            return call.output

        return calls, self._run(inputs, run).last_hidden_state

    def prepare(self, inputs: Inputs, layers: int, parts: int) -> List[LayerCall]:
        """Run all but the layers.

        inputs (Dict[str, Any]): What the forward takes.
        layers (int): How many layers to get the call of; each passes on what it is given.
        parts (int): The length of the tuple that a layer returns; 0 if it returns its states alone.
        RETURNS (List[LayerCall]): Their calls.
        """
        calls: List[LayerCall] = []

        def pass_on(call: LayerCall, *given: Any) -> Any:
            calls.append(call)
            if len(calls) == layers:
                raise StopForward
            return (call.hidden, *[None] * (parts - 1)) if parts else call.hidden

        try:
            self._run(inputs, pass_on)
        except StopForward:
            pass
        return calls

    def _run(self, inputs: Inputs, instead: Callable[..., Any]) -> Any:
        """Run it, with a function in place of each layer: from the call of a layer, its arguments in order and those by name, to
        what it returns."""
        name = self._argument_names[0]

        def note(layer: nn.Module, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
            arguments = {**dict(zip(self._argument_names, args)), **kwargs}
            return instead(LayerCall(layer, arguments.pop(name), arguments), args, kwargs)

        _HERE.instead = note
        try:
            return self._hollow(**inputs, output_hidden_states=False, output_attentions=False)
        finally:
            del _HERE.instead


def _hollow(model: nn.Module, layers: Sequence[nn.Module]) -> nn.Module:
    """Make what looks like a model, down to attributes that are set later, and calls `_HERE.instead` in place of its layers.

    model (PreTrainedModel): The model.
    layers (Sequence[nn.Module]): The layers.
    RETURNS (PreTrainedModel): Its likeness.
    """
    replaced = set(layers)

    def of(module: nn.Module) -> nn.Module:
        if module in replaced:
            return _like(module, __call__=lambda _, *args, **kwargs: _HERE.instead(module, args, kwargs))
        if replaced.isdisjoint(module.modules()):
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
    like: nn.Module = object.__new__(type(kind.__name__, (kind,), differences))
    like.__dict__ = module.__dict__
    return like
