"""What our torch modules need beside thinc's own shim."""

from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple, cast

import safetensors.torch
import srsly
import torch
from thinc.api import Model, Optimizer, PyTorchShim, Shim, torch2xp, xp2torch
from thinc.types import FloatsXd
from torch import nn


class ScaledShim(PyTorchShim):
    """A torch shim whose parameters have learning rates of their own.

    scale (Callable[[str], float]): From a parameter's name to a factor of the learning rate.
    masks (Dict[str, Tensor]): Which weights of parameters stay zeros in training (False), by name. They are not saved.
    """

    scale: Optional[Callable[[str], float]] = None
    masks: Optional[Dict[str, torch.Tensor]] = None

    def finish_update(self, optimizer: Optimizer) -> None:
        # In place of thinc's own, which gives each parameter a new tensor over the old one: with every update the chain of
        # tensors that keep each other alive gets longer.
        for name, parameter in self._model.named_parameters():
            if parameter.grad is None:
                continue
            weights, _ = optimizer(
                (self.id, name),
                cast(FloatsXd, torch2xp(parameter.data)),
                cast(FloatsXd, torch2xp(parameter.grad)),
                lr_scale=1.0 if self.scale is None else self.scale(name),
            )
            updated = xp2torch(weights, device=parameter.device)
            if updated.data_ptr() != parameter.data_ptr():
                put(parameter, updated)
            else:
                torch.autograd.graph.increment_version(parameter)
            # A gradient of zeros would go on moving what a batch has nothing about, through Adam's momentum.
            parameter.grad = None
            if self.masks is not None and name in self.masks:
                put(parameter, parameter * self.masks[name])

    def weights_changed(self) -> None:
        """Drop what was made of the weights that were there before."""

    def forget(self) -> None:
        """Give up the module, so that a new one is made. To an optimizer that is another one, with moments of its own."""
        self._model = self.masks = None
        with Shim.global_id_lock:
            Shim.global_id += 1
            self.id = Shim.global_id

    @contextmanager
    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
        """Run with other parameters, which spaCy does with averages (`training.optimizer.use_averages`).

        params (Dict[Any, Any]): The parameters, by the keys of the optimizer.
        """
        # In place of thinc's own, which looks for keys that it does not give them itself.
        own = {name: part for name, part in self._named() if (self.id, name) in params}
        kept = {name: part.data.clone() for name, part in own.items()}
        try:
            for name, part in own.items():
                put(part, xp2torch(params[self.id, name], device=part.device))
            yield
        finally:
            for name, part in own.items():
                put(part, kept[name])

    def _named(self) -> Iterable[Tuple[str, nn.Parameter]]:
        return () if self._model is None else self._model.named_parameters()


def scaled_shim(model: Model) -> ScaledShim:
    """RETURNS (ScaledShim): What holds the module of a trunk or of classifiers."""
    return cast(ScaledShim, model.shims[0])


@torch.no_grad()
def put(parameter: nn.Parameter, values: torch.Tensor) -> None:
    """Set a parameter. Unlike through its `data`, what was worked out of it before can be told to be old.

    parameter (Parameter): The parameter.
    values (Tensor): What it is to be.
    """
    parameter.copy_(values)


def dump_module(module: Optional[nn.Module], settings: Dict[str, Any]) -> bytes:
    """Serialize a module with what is needed to build it again.

    module (Optional[nn.Module]): The module, None if it is not built yet.
    settings (Dict[str, Any]): Plain values to build it from.
    RETURNS (bytes): Settings and weights (safetensors, which cannot carry code).
    """
    if module is None:
        return b""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    return srsly.msgpack_dumps({"settings": settings, "state": safetensors.torch.save(state)})


MOST_UNSAVED = 2**28
"""How many numbers a module may have beside those that are saved, such as positions."""


def check_sizes(build: Callable[[], nn.Module], state: Mapping[str, torch.Tensor], pruned: Sequence[str] = ()) -> None:
    """Refuse to build a module that is larger than the weights that were saved for it, before memory is spent on it.

    build (Callable[[], Module]): Makes the module. It is done without memory here.
    state (Mapping[str, Tensor]): The weights, by name.
    pruned (Sequence[str]): Parts of the names of weights of which there may be less than the module is built with.
    RAISES ValueError: It would have others.
    """
    with torch.device("meta"):
        planned = build()
    sizes = {name: tuple(own.shape) for name, own in planned.state_dict().items()}
    saved = {name: tuple(own.shape) for name, own in state.items()}
    loose = {name for name in sizes if any(part in name for part in pruned)}
    unsaved = sum(own.numel() for name, own in planned.named_buffers() if name not in sizes)
    same = sizes.keys() == saved.keys() and all(sizes[name] == saved[name] for name in sizes.keys() - loose)
    if not same or unsaved > MOST_UNSAVED:
        raise ValueError("The weights that were saved are not those of the module that their settings tell of.")


def load_module(
    data: bytes, build: Callable[[Dict[str, Any], Dict[str, torch.Tensor]], nn.Module], device: torch.device
) -> Optional[nn.Module]:
    """Undo `dump_module`.

    data (bytes): What it returned.
    build (Callable[[Dict[str, Any], Dict[str, Tensor]], nn.Module]): Makes the module from its settings, with the weights that it
        will get to compare them with.
    device (torch.device): Where to put it.
    RETURNS (Optional[nn.Module]): The module.
    """
    if not data:
        return None
    message = srsly.msgpack_loads(data)
    state = safetensors.torch.load(message.pop("state"))
    make = partial(build, message["settings"], state)
    check_sizes(make, state)
    module = make()
    module.load_state_dict(state)
    return module.to(device)
