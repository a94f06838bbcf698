"""What a component's files hold, and how it is told that they are those that were saved."""

import copy
import gc
import hashlib
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

import srsly
from thinc.api import Model

from .files import inside

DIGEST = "digest"
"""What of the `cfg` is made of all else in it and of the model. Pipelines saved by 0.1.0 have none."""

Parts = Dict[str, bytes]
"""The contents of a component's files, `cfg` and `model`."""


class Refused(ValueError):
    """Files that are not loaded. The message says why."""


def seal(cfg: Dict[str, Any], model: bytes) -> Parts:
    """Make the contents of a component's files.

    cfg (Dict[str, Any]): Its `cfg`.
    model (bytes): Its model, serialized.
    RETURNS (Parts): The contents.
    """
    sealed = {**cfg, DIGEST: _digest(cfg, model)}
    return {"cfg": json.dumps(sealed, indent=2, allow_nan=False).encode("utf-8"), "model": model}


def read_cfg(parts: Parts) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): The `cfg` of a component's files. Its numbers are read as they were written, unlike by srsly."""
    return json.loads(parts["cfg"])


def check_seal(cfg: Dict[str, Any], model: Optional[bytes]) -> Dict[str, Any]:
    """Check that nothing has changed since a component was saved.

    cfg (Dict[str, Any]): Its `cfg` as it was read.
    model (Optional[bytes]): Its model as it was read, or None if it was not.
    RETURNS (Dict[str, Any]): The `cfg` without the digest.
    RAISES Refused: Something has changed.
    """
    found = {name: value for name, value in cfg.items() if name != DIGEST}
    if DIGEST in cfg and model is not None and cfg[DIGEST] != _digest(found, model):
        raise Refused("`cfg` and `model` are not what was saved together: one is damaged, was changed, or is of another save")
    return found


def _digest(cfg: Dict[str, Any], model: bytes) -> str:
    found = hashlib.sha256(json.dumps(cfg).encode("utf-8"))
    found.update(model)
    return found.hexdigest()


def read_disk(folder: Path) -> Parts:
    """Read the files of a component.

    folder (Path): The component's folder.
    RETURNS (Parts): Their contents, of those that are there.
    RAISES Refused: One is a link that leads elsewhere.
    """
    try:
        files = {name: inside(folder / name, folder) for name in ("cfg", "model")}
    except ValueError as error:
        raise Refused(str(error)) from None
    return {name: file.read_bytes() for name, file in files.items() if file.exists()}


def read_bytes(data: bytes) -> Parts:
    """RETURNS (Parts): The contents of what would be a component's files, and of its vocabulary."""
    return srsly.msgpack_loads(data)


@contextmanager
def collecting() -> Iterator[None]:
    """Leave the garbage collector as it is. srsly leaves it switched off where it cannot read something."""
    enabled = gc.isenabled()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def twin(model: Model) -> Model:
    """Make a model that can be loaded into while the other one answers.

    model (Model): The model. It has no parameters of its own: they are in its shims.
    RETURNS (Model): Another one that shares with it what loading makes anew.
    """
    nodes = list(model.walk())
    made = {id(node): copy.copy(node) for node in nodes}
    for node in nodes:
        own = made[id(node)]
        own._layers = [made[id(layer)] for layer in node._layers]
        own._refs = {name: None if ref is None else made[id(ref)] for name, ref in node._refs.items()}
        own._shims = [copy.copy(shim) for shim in node._shims]
        own._dims, own._attrs = dict(node._dims), dict(node._attrs)
    return made[id(model)]


def take_over(model: Model, other: Model) -> None:
    """Make a model what its twin has become. Nothing in here can fail.

    model (Model): The model.
    other (Model): The twin.
    """
    for node, own in zip(model.walk(), other.walk()):
        node._dims, node._attrs = own._dims, own._attrs
        for shim, loaded in zip(node._shims, own._shims):
            vars(shim).update(vars(loaded))
