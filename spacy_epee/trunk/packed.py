"""The weights of a backbone in as few bytes as say them exactly: in whole numbers where they were rounded to them, and without
zeros where there are many. And what was exported without the weights that it shares with the backbone."""

from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import numpy
import safetensors.torch
import torch
from torch import Tensor

from .quantized import dequantize, quantize, rescale, rounded_to

SMALL = 1024
"""Fewer numbers than these are saved as they are."""

DENSE = "dense"

Packed = Dict[str, Any]
"""What is saved: the "kinds" and shapes of weights by name, and the "arrays" as safetensors, which cannot carry code."""


def pack(state: Dict[str, Tensor]) -> Optional[Packed]:
    """Pack weights.

    state (Dict[str, Tensor]): The weights, by name.
    RETURNS (Optional[Packed]): What to save; None if nothing is gained by it.
    """
    kinds: Dict[str, Any] = {}
    arrays: Dict[str, Tensor] = {}
    gained = False
    for name, own in state.items():
        own = own.detach().cpu().contiguous()
        kind = rounded_to(own) if own.numel() >= SMALL else None
        values = own
        if kind is not None:
            values, arrays[f"{name}:scale"] = quantize(own, kind)
        zeros = _zeros(values, kind)
        kinds[name] = [kind or DENSE, list(own.shape), zeros is not None]
        if zeros is not None:
            arrays[f"{name}:zeros"], values = zeros, values[values != 0]
        arrays[f"{name}:values"] = _nibbles(values) if kind == "int4" else values
        gained = gained or kind is not None or zeros is not None
    return {"kinds": kinds, "arrays": safetensors.torch.save(arrays)} if gained else None


def unpack(packed: Packed) -> Tuple[Dict[str, Tensor], Dict[str, str]]:
    """Undo `pack`.

    packed (Packed): What it returned.
    RETURNS (Tuple[Dict[str, Tensor], Dict[str, str]]): The weights, and the grids of those that were rounded to one.
    """
    arrays = safetensors.torch.load(packed["arrays"])
    state: Dict[str, Tensor] = {}
    grids: Dict[str, str] = {}
    for name, (kind, shape, sparse) in packed["kinds"].items():
        values = arrays[f"{name}:values"]
        if kind == "int4":
            values = _whole(values)
        if sparse:
            if numpy.prod(shape, dtype="float64") > 8 * arrays[f"{name}:zeros"].numel():
                raise ValueError("A saved weight says that it is larger than it is.")
            there = numpy.unpackbits(arrays[f"{name}:zeros"].numpy(), count=int(numpy.prod(shape))).astype(bool)
            filled = torch.zeros(len(there), dtype=values.dtype)
            filled[torch.from_numpy(there)] = values
            values = filled
        values = values.reshape(shape)
        if kind != DENSE:
            grids[name] = kind
            values = dequantize(values, arrays[f"{name}:scale"])
        state[name] = values
    return state, grids


def _zeros(values: Tensor, kind: Optional[str]) -> Optional[Tensor]:
    """A bit for each number that is not zero; None where that saves nothing."""
    if values.numel() < SMALL or kind == "int4":
        return None
    there = (values != 0).flatten().numpy()
    if (1 - there.mean()) * 8 * values.element_size() < 1.5:  # a bit each, and something to gain
        return None
    return torch.from_numpy(numpy.packbits(there))


def _nibbles(values: Tensor) -> Tensor:
    """Two whole numbers from -7 to 7 in a byte."""
    pairs = (values.flatten() + 8).to(torch.uint8).reshape(-1, 2)
    return pairs[:, 0] * 16 + pairs[:, 1]


def _whole(nibbles: Tensor) -> Tensor:
    """Undo `_nibbles`."""
    return (torch.stack((nibbles // 16, nibbles % 16), dim=1).to(torch.int8) - 8).flatten()


FORMS = ("as", "turned", "whole", "whole turned", "scale")
"""How a runtime may have a weight: as it is, or as whole numbers, rows and columns exchanged or not; and the scales."""

RESCALED = "rescaled"
"""Under this name a runtime may say which weights it multiplied by row and rounded, see `rescale`: lists of the name of a weight,
whether its rows and columns were exchanged before, and the factors as bytes."""

Forms = Dict[bytes, List[Tuple[Union[str, int], str, bytes]]]
"""What may be left out, by its first bytes: the weight or its number, the form, and all of it."""

Shared = Union[bytes, Dict[str, List[Any]]]
"""Bytes; or under "parts" bytes in order, and in place of others a weight, or a number under `RESCALED`, and a form."""


def leave_out_shared(message: Dict[str, Any], state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Leave out of what was exported the weights that are saved anyway.

    message (Dict[str, Any]): What was exported: plain values and bytes, by name.
    state (Dict[str, Tensor]): The weights of the backbone.
    RETURNS (Dict[str, Any]): The message, with `Shared` in place of bytes.
    """
    forms: Forms = {}
    for name, own in state.items():
        if own.numel() >= SMALL:
            for form, content in _forms(own):
                forms.setdefault(content[:8], []).append((name, form, content))
    for number, (name, turned, factors) in enumerate(message.get(RESCALED, ())):
        weight = state.get(name)
        if weight is not None and weight.numel() >= SMALL and 4 * weight.shape[1 if turned else 0] == len(factors):
            content = _rescaled(weight, turned, factors)
            forms.setdefault(content[:8], []).append((number, RESCALED, content))
    return {key: _cut(value, forms) if isinstance(value, bytes) else value for key, value in message.items()}


def put_shared_back(message: Dict[str, Any], state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Undo `leave_out_shared`.

    message (Dict[str, Any]): What it returned.
    state (Dict[str, Tensor]): The same weights.
    RETURNS (Dict[str, Any]): What was exported.
    """
    found: Dict[Tuple[str, str], bytes] = {}

    def whole(part: Any) -> bytes:
        if isinstance(part, bytes):
            return part
        name, form = part
        if form == RESCALED:
            name, turned, factors = message[RESCALED][name]
            return _rescaled(state[name], turned, factors)
        if (name, form) not in found:
            found.update({(name, own): content for own, content in _forms(state[name])})
        return found[name, form]

    return {
        key: b"".join(map(whole, value["parts"])) if isinstance(value, dict) and value.keys() == {"parts"} else value
        for key, value in message.items()
    }


def _forms(own: Tensor) -> Iterator[Tuple[str, bytes]]:
    """The forms of a weight that are long enough to be worth leaving out."""
    own = own.detach().cpu()
    parts = [own, own.T if own.dim() == 2 else None]
    kind = rounded_to(own)
    if kind is not None:
        values, scale = quantize(own, kind)
        parts += [values, values.T, scale]
    for form, part in zip(FORMS, parts):
        if part is not None and part.numel() * part.element_size() >= SMALL:
            yield form, part.contiguous().numpy().tobytes()


def _rescaled(own: Tensor, turned: bool, factors: bytes) -> bytes:
    """What a runtime made of a weight."""
    own = own.detach().cpu()
    return rescale((own.T if turned else own).numpy(), numpy.frombuffer(factors, dtype="<f4"))[0].tobytes()


def _cut(content: bytes, forms: Forms) -> Shared:
    """Cut known weights out of bytes."""
    parts: List[Any] = []
    stop = 0
    if len(content) < SMALL:
        return content
    for place in _places(content, forms):
        if place < stop:
            continue
        for name, form, known in forms[content[place : place + 8]]:
            if content.startswith(known, place):
                parts += [content[stop:place], [name, form]]
                stop = place + len(known)
                break
    return {"parts": [*parts, content[stop:]]} if parts else content


def _places(content: bytes, forms: Forms) -> List[int]:
    """Where one of the beginnings may be, in order. Weights need not be aligned."""
    keys = numpy.sort(numpy.frombuffer(b"".join(forms), dtype="<u8"))
    places: List[int] = []
    for offset in range(8 if len(keys) else 0):
        window = numpy.frombuffer(content, dtype="<u8", offset=offset, count=(len(content) - offset) // 8)
        nearest = keys[numpy.minimum(numpy.searchsorted(keys, window), len(keys) - 1)]
        places += (numpy.flatnonzero(nearest == window) * 8 + offset).tolist()
    return sorted(places)
