"""Classifiers of whole documents."""

from typing import TYPE_CHECKING, Any, Literal, Optional, Sequence

import numpy
import torch
from thinc.api import Model
from torch import Tensor

from ..items import Items
from .base import ExitHeads, head_model

if TYPE_CHECKING:
    from ..loop import Pack

Pooling = Literal["cls", "mean", "last"]


class Shares:
    """How much each window counts in its unit.

    units (ndarray): The unit of each window, (W,).
    factors (Tensor): From a window's pooled sum to its part in its unit, (W, 1).
    """

    def __init__(self, units: numpy.ndarray, factors: Tensor):
        self.units = units
        self.factors = factors

    def of(self, pack: "Pack") -> Tensor:
        """RETURNS (Tensor): The factors of the windows in a pack, (W', 1)."""
        return pack.note("shares", lambda members: self.factors[torch.from_numpy(members.rows).to(self.factors.device)])


class PooledHeads(ExitHeads):
    """A linear layer per exit over the pooled states of a unit."""

    task = "textcat"
    also = ("imagecat",)

    def __init__(self, *, width: int, pooling: Pooling, **settings: Any):
        """
        width (int): The size of a hidden state, H.
        pooling (str): How wordpieces become a unit: "cls" (the first of each window), "mean" (all), or "last" (the last of
            each window, for causal models). Several windows are averaged.
        settings (Any): Those of all classifiers.
        """
        super().__init__(width=width, features=width, pooling=pooling, **settings)
        self.pooling = pooling

    def prepare(self, items: Items, device: torch.device) -> Shares:
        weights = items.windows.lengths if self.pooling == "mean" else numpy.ones(len(items.windows))
        totals = numpy.bincount(items.window_units, weights, minlength=items.n_units)
        factors = (1 / totals[items.window_units]).astype("float32")[:, None]
        return Shares(items.window_units, torch.from_numpy(factors).to(device))

    def vectors(
        self, exit: int, packs: Sequence["Pack"], states: Sequence[Tensor], question: Shares, units: numpy.ndarray
    ) -> Tensor:
        parts = [
            self.pool(hidden, members.lengths, members.mask) * question.of(members)
            for members, hidden in zip(packs, states)
        ]
        pooled = torch.cat(parts)
        if len(pooled) > 1:
            places = numpy.searchsorted(units, question.units[numpy.concatenate([members.rows for members in packs])])
            empty = pooled.new_zeros(len(units), pooled.shape[1])
            pooled = empty.index_add(0, torch.from_numpy(places).to(pooled.device), pooled)
        return pooled if self.standardize is None else self.standardize(exit, pooled)

    def pool(self, hidden: Tensor, lengths: Tensor, mask: Optional[Tensor]) -> Tensor:
        """Sum up each window, by its weight.

        hidden (Tensor): The states, (W, T, H).
        lengths (Tensor): Wordpieces per window, (W,).
        mask (Optional[Tensor]): 1 for wordpieces and 0 for padding, (W, 1, T); None if no window is shorter than T.
        RETURNS (Tensor): One vector a window, (W, H) in float32.
        """
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        elif self.pooling == "last":
            pooled = hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]
        elif mask is not None:
            pooled = torch.bmm(mask.to(hidden.dtype), hidden)[:, 0]
        else:
            pooled = hidden.sum(dim=1)
        return pooled.float()


def PooledHead(
    pooling: Pooling = "mean",
    dropout: float = 0.1,
    learned_exit: bool = False,
    standardize: bool = True,
    lr_scale: float = 10.0,
) -> Model:
    """Build the classifiers for whole documents. They get their sizes when the component is initialized.

    pooling (str): "cls", "mean" or "last".
    dropout (float): Dropout on the pooled states.
    learned_exit (bool): Whether to train an estimate of being wrong, for the rule `spacy-epee.Learned.v1`.
    standardize (bool): Whether pooled states are brought to mean 0 and size 1 by statistics of the pretrained
        trunk on the first training data.
    lr_scale (float): Times the learning rate of the trunk. The classifiers start from nothing.
    RETURNS (Model): The model.
    """
    if pooling not in ("cls", "mean", "last"):
        raise ValueError(f"The setting `model.head.pooling` is '{pooling}'; give 'cls', 'mean' or 'last'.")
    settings = {"pooling": pooling, "dropout": dropout, "learned_exit": learned_exit, "standardize": standardize}
    return head_model(PooledHeads, settings, lr_scale)
