"""A component as it was before something failed, whatever was done to it meanwhile."""

import copy
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple

import torch
from spacy.language import Language
from torch import nn

from ..component.pipe import EarlyExitTransformer
from ..trunk.shims import put

Attributes = List[Tuple[Any, Dict[str, Any]]]
"""Objects, and what their attributes were."""


@contextmanager
def unchanged_if_refused(nlp: Language, pipe: EarlyExitTransformer) -> Iterator[None]:
    """Put a component back as it was if something is raised: its weights and modules, what was exported of it, its settings and
    rules, and what the config of the pipeline says of it. All are the same objects as before.

    nlp (Language): The pipeline.
    pipe (EarlyExitTransformer): Its component.
    """
    config = nlp.get_pipe_config(pipe.name)
    settings = copy.deepcopy(dict(config))
    attributes = _attributes(pipe)
    weights = [(part, part.requires_grad, part.detach().clone()) for part in _tensors(pipe)]
    try:
        yield
    except BaseException:
        config.clear()
        config.update(settings)
        for thing, values in attributes:
            for name in set(_names(thing)) - set(values):
                thing.__dict__.pop(name)  # slots are all set from the beginning
            for name, value in values.items():
                _set(thing, name, value)
        for part, trained, value in weights:
            _restore(part, value)
            part.requires_grad_(trained)
        raise


def _modules(pipe: EarlyExitTransformer) -> List[nn.Module]:
    shims = [shim for node in pipe.model.walk() for shim in node.shims]
    return [module for shim in shims if isinstance(shim._model, nn.Module) for module in shim._model.modules()]


def _tensors(pipe: EarlyExitTransformer) -> List[torch.Tensor]:
    """The parameters and buffers of a component, each once."""
    parts = [part for module in _modules(pipe) for part in (*module.parameters(False), *module.buffers(False))]
    return list({id(part): part for part in parts}.values())


def _attributes(pipe: EarlyExitTransformer) -> Attributes:
    """The attributes of all that a component consists of. What it has learned of the data and the configurations of its modules
    are copied down to the ground, and everything else as far as its own lists and dicts."""
    modules = _modules(pipe)
    configs = [module.config for module in modules if hasattr(module, "config") and hasattr(module.config, "__dict__")]
    shims = [shim for node in pipe.model.walk() for shim in node.shims]
    deep = {id(config): (config, copy.deepcopy(vars(config))) for config in configs}
    flat = [pipe, *pipe.slots.values(), *pipe.model.walk(), *shims, *modules]
    return [*deep.values(), *((thing, {name: _copied(name, getattr(thing, name)) for name in _names(thing)}) for thing in flat)]


def _names(thing: Any) -> List[str]:
    """The attributes of an object itself: thinc's models have slots."""
    return list(vars(thing)) if hasattr(thing, "__dict__") else [name for name in thing.__slots__ if hasattr(thing, name)]


def _set(thing: Any, name: str, value: Any) -> None:
    """Set an attribute as it was, past what a class does when it is set."""
    if hasattr(thing, "__dict__"):
        thing.__dict__[name] = value
    else:
        setattr(thing, name, value)


def _copied(name: str, value: Any) -> Any:
    if name == "cfg":
        return copy.deepcopy(value)
    return copy.copy(value) if isinstance(value, (dict, list, set)) else value


def _restore(part: torch.Tensor, value: torch.Tensor) -> None:
    if (part.shape, part.dtype, part.device) != (value.shape, value.dtype, value.device):
        part.data = value
    else:
        put(part, value)  # type: ignore[arg-type]
