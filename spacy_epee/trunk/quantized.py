"""Weights in fewer bits: whole numbers and a scale for each row, or each part of one.

Scales have few bits of their own, so that a product with a whole number is exact. What is rounded once can be told from the
numbers alone, and is the same however often it is packed and unpacked.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

import numpy
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Grid:
    """How rows are rounded.

    most (int): The largest whole number; the least one is its negative.
    block (int): How many numbers have a scale together; 0 for a whole row.
    """

    most: int
    block: int = 0

    def fits(self, rows: Tensor) -> bool:
        """RETURNS (bool): Whether rows can be cut into blocks."""
        return rows.shape[1] % (self.block or rows.shape[1]) == 0

    def split(self, rows: Tensor) -> Tensor:
        """RETURNS (Tensor): Rows as blocks, (R, B, N)."""
        return rows.reshape(len(rows), -1, self.block or rows.shape[1])


GRIDS = {"int4": Grid(7, 32), "int8": Grid(127)}
"""By name. 4 bits are too few for one scale a row."""

SCALE_BITS = 11
"""Those of the mantissa of a scale."""


def quantize(rows: Tensor, kind: str) -> Tuple[Tensor, Tensor]:
    """Round rows.

    rows (Tensor): The rows, (R, N).
    kind (str): One of `GRIDS`.
    RETURNS (Tuple[Tensor, Tensor]): Whole numbers (R, N) int8, and what they are multiplied with (R, B).
    RAISES ValueError: The rows cannot be cut into blocks.
    """
    grid = GRIDS[kind]
    if not grid.fits(rows):
        raise ValueError(f"Rows of {rows.shape[1]} numbers cannot be saved in {kind}, which takes multiples of {grid.block}.")
    blocks = grid.split(rows.float())
    mantissa, exponent = torch.frexp(blocks.abs().amax(dim=2) / grid.most)
    scale = torch.ldexp((mantissa * 2**SCALE_BITS).round() / 2**SCALE_BITS, exponent)
    whole = (blocks / scale.where(scale > 0, torch.ones_like(scale))[..., None]).round().clamp(-grid.most, grid.most)
    return whole.to(torch.int8).reshape(rows.shape), scale


def dequantize(values: Tensor, scale: Tensor) -> Tensor:
    """Undo `quantize`, for any number of dimensions before the last.

    values (Tensor): Whole numbers, (..., N).
    scale (Tensor): What they are multiplied with, (..., B).
    RETURNS (Tensor): The rows, (..., N).
    """
    if scale.shape[-1] == 1:
        return values.to(scale.dtype) * scale
    blocks = values.unflatten(-1, (scale.shape[-1], values.shape[-1] // scale.shape[-1]))
    return (blocks.to(scale.dtype) * scale[..., None]).flatten(-2)


def rounded_to(rows: Tensor) -> Optional[str]:
    """RETURNS (Optional[str]): The grid that rows were rounded to; None for other numbers."""
    if rows.dim() != 2 or rows.dtype != torch.float32 or not rows.numel():
        return None
    for kind, grid in GRIDS.items():
        # A few rows say no at once; what is all zeros says nothing.
        if grid.fits(rows) and all(bool(part.any()) and _is_rounded(part, kind) for part in (rows[-8:], rows)):
            return kind
    return None


def _is_rounded(rows: Tensor, kind: str) -> bool:
    return torch.equal(dequantize(*quantize(rows, kind)), rows)


def rescale(weights: numpy.ndarray, factors: numpy.ndarray) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Multiply each row by a factor, and round to 8 bits by column.

    weights (ndarray): The weights, (K, N) float32.
    factors (ndarray): What rows are multiplied with, (K,) float32.
    RETURNS (Tuple[ndarray, ndarray]): Whole numbers (K, N) int8, and the step of each column, (N,) float32.
    """
    scaled = weights * factors[:, None]
    steps = numpy.maximum(numpy.abs(scaled).max(axis=0) / 127, 1e-20).astype("float32")
    return numpy.clip(numpy.round(scaled / steps), -127, 127).astype("int8"), steps


class QuantizedEmbedding(nn.Module):
    """An embedding in whole numbers, which are multiplied as they are looked up. In a state dict it is as any other: what is put
    into it is rounded. It is not trained."""

    values: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, kind: str, padding_idx: Optional[int] = None):
        """
        weight (Tensor): The vectors, (V, H).
        kind (str): One of `GRIDS`.
        padding_idx (Optional[int]): The row of padding, which some families derive positions from.
        """
        super().__init__()
        self.kind, self.padding_idx = kind, padding_idx
        self.num_embeddings, self.embedding_dim = weight.shape
        values, scale = quantize(weight.detach(), kind)
        self.register_buffer("values", values)
        self.register_buffer("scale", scale)

    @property
    def weight(self) -> Tensor:
        """RETURNS (Tensor): The vectors, (V, H)."""
        return dequantize(self.values, self.scale)

    def forward(self, ids: Tensor) -> Tensor:
        return dequantize(self.values[ids], self.scale[ids])

    def _save_to_state_dict(self, destination: Dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.weight

    def _load_from_state_dict(self, state_dict: Dict[str, Any], prefix: str, *args: Any) -> None:
        self.values, self.scale = quantize(state_dict[f"{prefix}weight"].to(self.values.device), self.kind)


def quantize_embedding(model: "PreTrainedModel", kind: str) -> None:
    """Put a quantized embedding in place of that of the words of a model.

    model (PreTrainedModel): The model, which is changed.
    kind (str): One of `GRIDS`.
    """
    words: Any = model.get_input_embeddings()
    model.set_input_embeddings(QuantizedEmbedding(words.weight, kind, words.padding_idx))


def embed_alike(model: "PreTrainedModel", other: "PreTrainedModel") -> None:
    """Quantize the embedding of a model if that of another one is.

    model (PreTrainedModel): The model, which is changed.
    other (PreTrainedModel): The other one.
    """
    words = other.get_input_embeddings()
    if isinstance(words, QuantizedEmbedding):
        quantize_embedding(model, words.kind)
