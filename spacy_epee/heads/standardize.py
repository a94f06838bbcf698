"""Bringing the vectors of a pretrained trunk to mean 0 and size 1."""

from contextlib import contextmanager
from typing import Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

SMALLEST = 0.001
"""The least variance that vectors are taken to have, as a share of their mean square."""


class Standardize(nn.Module):
    """Brings the vectors that are read from the trunk to mean 0 and size 1, for each exit on its own.

    Pooled states of a pretrained encoder differ little from text to text: most of a vector is the same everywhere, and what
    is left can be small (e5-small: 0.04 around a mean of 0.2). Linear classifiers on them learn slowly. The statistics are
    taken once, from the pretrained trunk; running ones were tried, and classifiers learn worse on a moving scale.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, exits: int, width: int):
        """
        exits (int): The number of exits, E.
        width (int): The size of a vector.
        """
        super().__init__()
        self.register_buffer("mean", torch.zeros(exits, width))
        self.register_buffer("scale", torch.ones(exits))
        self.seen: Optional[List[List[Tensor]]] = None

    def forward(self, exit: int, vectors: Tensor, empty: Optional[Tensor] = None) -> Tensor:
        """Standardize vectors.

        exit (int): Which exit, from 0.
        vectors (Tensor): Vectors of any meaning, (N, width).
        empty (Optional[Tensor]): Those of nothing at all, which stay zeros, (N,) bool. None if there are none.
        RETURNS (Tensor): The same with mean 0 and size 1, as far as is known, (N, width).
        """
        if self.seen is not None:
            self.seen[exit].append((vectors if empty is None else vectors[~empty]).detach().float())
        return self.apply_to(exit, vectors, empty)

    def apply_to(self, exit: int, vectors: Tensor, empty: Optional[Tensor] = None) -> Tensor:
        """As `forward`, but the vectors never count in the statistics."""
        found = (vectors - self.mean[exit]) * self.scale[exit]
        return found if empty is None else found.masked_fill(empty[:, None], 0.0)

    def fold(self, exit: int, weight: Tensor, bias: Tensor) -> Tuple[Tensor, Tensor]:
        """RETURNS (Tuple[Tensor, Tensor]): Weights (K, width) and biases (K,) of one layer in place of this and a linear one."""
        weight = weight * self.scale[exit]
        return weight, bias - weight @ self.mean[exit]

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Take the statistics from all vectors that come by in this context."""
        self.seen = [[] for _ in self.scale]
        try:
            yield
            for exit, seen in enumerate(self.seen):
                vectors = torch.cat(seen) if seen else torch.zeros(0)
                if len(vectors) > 1:
                    self.mean[exit] = vectors.mean(dim=0)
                    variance = (vectors - self.mean[exit]).square().mean()
                    # Texts that are alike must not make a small difference look large.
                    self.scale[exit] = torch.maximum(variance, SMALLEST * vectors.square().mean()).clamp(min=1e-12).rsqrt()
        finally:
            self.seen = None
