"""Classifiers of whole documents."""

from typing import TYPE_CHECKING, Any, List, Literal, Optional, Sequence, Tuple

import numpy
import torch
from thinc.api import Model
from torch import Tensor, nn

from ..items import Items
from .base import ExitHeads, Question, head_model

if TYPE_CHECKING:
    from ..loop import Pack

Pooling = Literal["cls", "mean", "last"]


class PooledQuestion(Question):
    """How much each window counts in its unit.

    units (ndarray): The unit of each window, -1 for none, (W,).
    factors (ndarray): From a window's pooled sum to its part in its unit, (W, 1).
    """

    def __init__(self, items: Items, device: torch.device, weights: numpy.ndarray):
        self.device = device
        self.units = items.window_units
        asked = self.units >= 0
        totals = numpy.bincount(self.units[asked], weights[asked], minlength=items.n_units)
        self.factors = (1 / numpy.maximum(totals[self.units], 1)).astype("float32")[:, None]

    def find(self, packs: Sequence["Pack"], units: numpy.ndarray) -> Tuple[List[Tensor], Optional[Tensor], Optional[Tensor]]:
        """RETURNS (Tuple[List[Tensor], Optional[Tensor], Optional[Tensor]]): The factors of the windows of each pack; which of
        the windows are wanted, None for all; and the place of the unit of each that is, None if they are the units in order."""
        rows = numpy.concatenate([members.rows for members in packs])
        factors = [torch.from_numpy(self.factors[members.rows]).to(self.device) for members in packs]
        own = self.units[rows]
        places = numpy.minimum(numpy.searchsorted(units, own), len(units) - 1)
        wanted = units[places] == own
        kept = None if wanted.all() else torch.from_numpy(numpy.flatnonzero(wanted)).to(self.device)
        places = places[wanted]
        if numpy.array_equal(places, numpy.arange(len(units))):
            return factors, kept, None
        return factors, kept, torch.from_numpy(places).to(self.device)


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

    def prepare(self, items: Items, device: torch.device) -> PooledQuestion:
        weights = items.windows.lengths if self.pooling == "mean" else numpy.ones(len(items.windows))
        return PooledQuestion(items, device, weights)

    def vectors(
        self, exit: int, packs: Sequence["Pack"], states: Sequence[Tensor], question: PooledQuestion, units: numpy.ndarray
    ) -> Tensor:
        factors, wanted, places = question.arrange(packs, units)
        parts = [
            self.pool(hidden, members.lengths, members.mask) * share for members, hidden, share in zip(packs, states, factors)
        ]
        pooled = torch.cat(parts)
        if wanted is not None:
            pooled = pooled[wanted]
        if places is not None:
            pooled = pooled.new_zeros(len(units), pooled.shape[1]).index_add(0, places, pooled)
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

    def answer(
        self, exit: int, packs: Sequence["Pack"], states: Sequence[Tensor], question: PooledQuestion, units: numpy.ndarray
    ) -> Tuple[numpy.ndarray, numpy.ndarray]:
        # In numpy where it can be: on a few numbers each call of torch takes several times as long, a third of a layer in all.
        if any(hidden.device.type != "cpu" or hidden.dtype != torch.float32 for hidden in states):
            return super().answer(exit, packs, states, question, units)
        factors, wanted, places = question.arrange(packs, units)
        parts = [
            self._pool_array(hidden.numpy(), members) * share.numpy() for members, hidden, share in zip(packs, states, factors)
        ]
        pooled = parts[0] if len(parts) == 1 else numpy.concatenate(parts)
        if wanted is not None:
            pooled = pooled[wanted.numpy()]
        if places is not None:
            parts, pooled = pooled, numpy.zeros((len(units), pooled.shape[1]), dtype="float32")
            numpy.add.at(pooled, places.numpy(), parts)
        if self.standardize is not None:
            pooled = (pooled - self.standardize.mean[exit].numpy()) * self.standardize.scale[exit].numpy()
        logits = _apply(self.classifiers[exit], pooled)
        return logits, logits[:0, 0] if self.doubt is None else _apply(self.doubt, pooled)[:, 0]

    def _pool_array(self, hidden: numpy.ndarray, members: "Pack") -> numpy.ndarray:
        """As `pool`."""
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "last":
            return hidden[numpy.arange(len(hidden)), members.lengths.numpy() - 1]
        if members.mask is None:
            return hidden.sum(axis=1)
        return (members.mask.numpy() @ hidden)[:, 0]


def _apply(layer: nn.Linear, vectors: numpy.ndarray) -> numpy.ndarray:
    """Apply a linear layer."""
    return vectors @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


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
