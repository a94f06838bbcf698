"""One light classifier per exit."""

from functools import partial
from typing import Literal, Optional, Tuple

import numpy
import torch
from thinc.api import Model, get_torch_default_device
from torch import Tensor, nn

from .shims import ScaledShim, constant, dump_module, load_module

Pooling = Literal["cls", "mean", "last"]


class ExitHeads(nn.Module):
    """A linear layer per exit over the pooled states of a unit."""

    def __init__(self, *, width: int, exits: int, labels: int, pooling: Pooling, dropout: float, learned_exit: bool):
        """
        width (int): The size of a hidden state, H.
        exits (int): The number of exits, E.
        labels (int): The number of labels, K.
        pooling (str): How wordpieces become a unit: "cls" (the first of each window), "mean" (all), or "last" (the last of
            each window, for causal models). Several windows are averaged.
        dropout (float): Dropout on the pooled states.
        learned_exit (bool): Whether to add the estimate of being wrong: one linear layer shared by all exits (BERxiT, Xin
            et al. 2021, section 3.3).
        """
        super().__init__()
        self.settings = {
            "width": width,
            "exits": exits,
            "labels": labels,
            "pooling": pooling,
            "dropout": dropout,
            "learned_exit": learned_exit,
        }
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.classifiers = nn.ModuleList(nn.Linear(width, labels) for _ in range(exits))
        for classifier in self.classifiers:
            nn.init.normal_(classifier.weight, std=0.02)
            nn.init.zeros_(classifier.bias)
        self.doubt = nn.Linear(width, 1) if learned_exit else None

    def weights(self, lengths: numpy.ndarray) -> numpy.ndarray:
        """How much each window counts in its unit.

        lengths (ndarray): Wordpieces per window, (W,).
        RETURNS (ndarray): Its weight, (W,).
        """
        return lengths if self.pooling == "mean" else numpy.ones_like(lengths)

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

    def forward(self, exit: int, pooled: Tensor) -> Tuple[Tensor, Tensor]:
        """Classify units.

        exit (int): Which exit, from 0.
        pooled (Tensor): The units, (U, H).
        RETURNS (Tuple[Tensor, Tensor]): Logits (U, K), and the logit of being wrong (U,), which is empty without a learned
            exit. The latter sends no gradient into the trunk's states of this exit.
        """
        logits = self.classifiers[exit](self.dropout(pooled) if self.training else pooled)
        if self.doubt is None:
            return logits, logits.new_zeros(0)
        return logits, self.doubt(pooled.detach())[:, 0]


def PooledHead(
    pooling: Pooling = "mean", dropout: float = 0.1, learned_exit: bool = False, lr_scale: float = 10.0
) -> Model:
    """Build the classifiers for whole documents. They get their sizes when the component is initialized.

    pooling (str): "cls", "mean" or "last".
    dropout (float): Dropout on the pooled states.
    learned_exit (bool): Whether to train an estimate of being wrong, for the rule `spacy-epee.Learned.v1`.
    lr_scale (float): Times the learning rate of the trunk. The classifiers start from nothing.
    RETURNS (Model): The model.
    """
    if pooling not in ("cls", "mean", "last"):
        raise ValueError(f"The setting `model.head.pooling` is '{pooling}'; give 'cls', 'mean' or 'last'.")
    shim = ScaledShim(None, serialize_model=dump_heads, deserialize_model=load_heads)
    shim.scale = partial(constant, lr_scale)
    attrs = {"pooling": pooling, "dropout": dropout, "learned_exit": learned_exit}
    return Model("epee-head", forward, attrs=attrs, shims=[shim])


def forward(model: Model, X, is_train: bool):
    raise TypeError("A head is run by the early-exit model that it is part of, not on its own.")


def build_heads(model: Model, *, width: int, exits: int, labels: int) -> None:
    """Give a head model its sizes.

    model (Model): The model made by `PooledHead`.
    width (int): The size of a hidden state.
    exits (int): The number of exits.
    labels (int): The number of labels.
    """
    heads = ExitHeads(width=width, exits=exits, labels=labels, **model.attrs)
    model.shims[0]._model = heads.to(get_torch_default_device())


def dump_heads(heads: ExitHeads) -> bytes:
    return dump_module(heads, heads.settings if heads is not None else {})


def load_heads(_, data: bytes, device: torch.device) -> ExitHeads:
    return load_module(data, lambda settings: ExitHeads(**settings), device)
