"""Classifiers of whole documents."""

from typing import TYPE_CHECKING, Any, Dict, List, Literal, Mapping, NamedTuple, Optional, Sequence, Tuple, cast

import numpy
import torch
from thinc.api import Model
from torch import Tensor

from ..inputs.instances import Instances
from .base import ExitHeads, HeadInputs, Linear, check_ngrams, head_model
from .lexical import LexicalHead

if TYPE_CHECKING:
    from ..trunk.batch import PaddedBatch

Pooling = Literal["cls", "mean", "last"]

Watched = Tuple[Mapping[str, Optional[Tensor]], str, Tensor, int]
"""Weights: what they belong to, under which name, themselves, and how often they had been changed."""


class PooledInputs(HeadInputs):
    """How much each window counts in its unit.

    units (ndarray): The unit of each window, -1 for none, (W,).
    factors (ndarray): From a window's pooled sum to its part in its unit, (W, 1).
    lexical (Optional[ndarray]): The logits of the words of each unit, (U, K).
    """

    def __init__(self, items: Instances, weights: numpy.ndarray):
        self.units = items.window_units
        self.lexical = None if items.lexical is None else items.lexical.logits
        asked = self.units >= 0
        totals = numpy.bincount(self.units[asked], weights[asked], minlength=items.n_units)
        self.factors = (1 / numpy.maximum(totals[self.units], 1)).astype("float32")[:, None]

    def find(self, packs: Sequence["PaddedBatch"], units: numpy.ndarray) -> "UnitLayout":
        """RETURNS (UnitLayout): Where the units are."""
        rows = packs[0].rows if len(packs) == 1 else numpy.concatenate([members.rows for members in packs])
        own = self.units[rows]
        places = numpy.minimum(numpy.searchsorted(units, own), len(units) - 1)
        wanted = units[places] == own
        places = places[wanted]
        return UnitLayout(
            factors=self.factors[rows],
            wanted=None if wanted.all() else numpy.flatnonzero(wanted),
            units=None if numpy.array_equal(places, numpy.arange(len(units))) else places,
        )


class UnitLayout(NamedTuple):
    """Where units are among the windows that climb.

    factors (ndarray): From the pooled sum of each window to its part in its unit, (W, 1).
    wanted (Optional[ndarray]): The windows that are looked at, (W',). None for all.
    units (Optional[ndarray]): The place of the unit of each of these, (W',). None if they are the units in order.
    """

    factors: numpy.ndarray
    wanted: Optional[numpy.ndarray]
    units: Optional[numpy.ndarray]


class PooledHeads(ExitHeads):
    """A linear layer per exit over the pooled states of a unit."""

    kind = "document"
    sums_states = True

    def __init__(self, *, width: int, pooling: Pooling, ngrams: int = 0, **settings: Any):
        """
        width (int): The size of a hidden state, H.
        pooling (str): How wordpieces become a unit: "cls" (the first of each window), "mean" (all), or "last" (the last of
            each window, for causal models). Several windows are averaged.
        ngrams (int): How many n-grams are looked at before the first layer; 0 for no exit there.
        settings (Any): Those of all classifiers, and `lexical`, how many were asked for.
        """
        super().__init__(width=width, features=width, pooling=pooling, ngrams=ngrams, **settings)
        self.pooling = pooling
        if ngrams:
            self.lexical = LexicalHead(ngrams, self.n_labels, len(self.classifiers))
        self._layers: Dict[int, Any] = {}
        self._linear: Optional[Tuple[List[Watched], Linear]] = None

    def prepare(self, items: Instances, device: torch.device) -> PooledInputs:
        weights = items.windows.lengths if self.pooling == "mean" else numpy.ones(len(items.windows))
        return PooledInputs(items, weights)

    def vectors(
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: PooledInputs, units: numpy.ndarray
    ) -> Tensor:
        places = inputs.layout(packs, units)
        pooled = torch.cat([self.pool(hidden, members.lengths, members.mask) for members, hidden in zip(packs, states)])
        pooled = pooled * _on(places.factors, pooled)
        if places.wanted is not None:
            pooled = pooled[_on(places.wanted, pooled)]
        if places.units is not None:
            pooled = pooled.new_zeros(len(units), pooled.shape[1]).index_add(0, _on(places.units, pooled), pooled)
        return pooled if self.standardize is None else self.standardize(exit, pooled)

    def forward(
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: PooledInputs, units: numpy.ndarray
    ) -> Tuple[Tensor, Tensor]:
        logits, doubt = super().forward(exit, packs, states, inputs, units)
        # In training each says what it can without the words, see `learn_mix`.
        if self.training or self.lexical is None or inputs.lexical is None:
            return logits, doubt
        return logits + self.lexical.mix[exit] * _on(inputs.lexical[units], logits), doubt

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
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: PooledInputs, units: numpy.ndarray
    ) -> Tuple[numpy.ndarray, numpy.ndarray]:
        # In numpy where it can be: on a few numbers each call of torch takes several times as long, a third of a layer in all.
        if any(hidden.device.type != "cpu" or hidden.dtype != torch.float32 for hidden in states):
            return super().answer(exit, packs, states, inputs, units)
        places = inputs.layout(packs, units)
        parts = [self._pool_array(hidden.numpy(), members) for members, hidden in zip(packs, states)]
        pooled = (parts[0] if len(parts) == 1 else numpy.concatenate(parts)) * places.factors
        if places.wanted is not None:
            pooled = pooled[places.wanted]
        if places.units is not None:
            windows, pooled = pooled, numpy.zeros((len(units), pooled.shape[1]), dtype="float32")
            numpy.add.at(pooled, places.units, windows)
        return self.classify(exit, pooled, None if inputs.lexical is None else inputs.lexical[units])

    def weigh(self, lengths: numpy.ndarray) -> numpy.ndarray:
        if self.pooling == "mean" and len(lengths) == 1:
            weights = numpy.empty(lengths[0], dtype="float32")
            weights.fill(1 / lengths[0])  # `full` goes through Python
            return weights
        weights = numpy.zeros((len(lengths), lengths.max()), dtype="float32")
        if self.pooling == "cls":
            weights[:, 0] = 1 / len(lengths)
        elif self.pooling == "last":
            weights[numpy.arange(len(lengths)), lengths - 1] = 1 / len(lengths)
        else:
            weights[numpy.arange(weights.shape[1]) < lengths[:, None]] = 1 / lengths.sum()
        return weights.reshape(-1)

    def classify(self, exit: int, vectors: numpy.ndarray, words: Optional[numpy.ndarray]) -> Tuple[numpy.ndarray, numpy.ndarray]:
        weight, bias, mix = self._folded(exit)
        found = vectors @ weight + bias
        if words is not None:
            found[:, : self.n_labels] += mix * words
        return found[:, : self.n_labels], found[:, self.n_labels] if self.doubt is not None else found[:0, 0]

    def linear(self) -> Linear:
        kept = self._linear
        if kept is not None and _unchanged(kept[0]):
            return kept[1]
        folded = [self._folded(exit) for exit in range(len(self.classifiers))]
        weights, biases, mix = (numpy.array(parts, dtype="float32") for parts in zip(*folded))
        made = Linear(weights, biases, mix[:, None])
        layers = [self._layers.get(exit, ((), None)) for exit in range(len(folded))]
        if all(layer[1] is own for layer, own in zip(layers, folded)):
            watched = {(id(part[0]), part[1]): part for layer in layers for part in layer[0]}  # most exits share some
            self._linear = list(watched.values()), made
        return made

    def _folded(self, exit: int) -> Tuple[numpy.ndarray, numpy.ndarray, float]:
        """From pooled states to all logits, that of being wrong last, in one layer: weights (H, K') and biases (K',); and what
        the words count. It is made anew when weights have changed, unless that was done through their `data`."""
        kept = self._layers.get(exit)
        if kept is not None and _unchanged(kept[0]):
            return kept[1]
        layers = [self.classifier(exit)] if self.doubt is None else [self.classifier(exit), self.doubt]
        weight = torch.cat([layer.weight.detach() for layer in layers])
        bias = torch.cat([layer.bias.detach() for layer in layers])
        owners: List[Tuple[Mapping[str, Optional[Tensor]], str]]
        owners = [(layer._parameters, name) for layer in layers for name in ("weight", "bias")]
        if self.standardize is not None:
            weight, bias = self.standardize.fold(exit, weight, bias)
            owners += [(self.standardize._buffers, name) for name in ("mean", "scale")]
        if self.lexical is not None:
            owners.append((self.lexical._parameters, "mix"))
        mix = 0.0 if self.lexical is None else float(self.lexical.mix[exit].detach())
        folded = numpy.ascontiguousarray(weight.numpy().T), bias.numpy(), mix
        parts = [(owner, name, cast(Tensor, owner[name])) for owner, name in owners]
        if not any(part.is_inference() for _, _, part in parts):  # nobody could tell that these have changed
            self._layers[exit] = [(owner, name, part, part._version) for owner, name, part in parts], folded
        return folded

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_layers": {}, "_linear": None}  # copies count versions from 0

    def _apply(self, *args: Any, **kwargs: Any) -> "PooledHeads":
        self._layers, self._linear = {}, None  # of where the weights were before
        return super()._apply(*args, **kwargs)

    def _pool_array(self, hidden: numpy.ndarray, members: "PaddedBatch") -> numpy.ndarray:
        """As `pool`."""
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "last":
            return hidden[numpy.arange(len(hidden)), members.lengths.numpy() - 1]
        if members.mask is None:
            return hidden.sum(axis=1)
        return (members.mask.numpy() @ hidden)[:, 0]


def _unchanged(watched: Sequence[Watched]) -> bool:
    """Whether weights are what they were."""
    return all(owner[name] is part and part._version == version for owner, name, part, version in watched)


def _on(values: numpy.ndarray, like: Tensor) -> Tensor:
    """An array where a tensor is."""
    return torch.from_numpy(values).to(like.device)


def PooledHead(
    pooling: Pooling = "mean",
    dropout: float = 0.1,
    learned_exit: bool = False,
    standardize: bool = True,
    lr_scale: float = 10.0,
    lexical: int = 50_000,
) -> Model:
    """Build the classifiers for whole documents. They get their sizes when the component is initialized.

    pooling (str): "cls", "mean" or "last".
    dropout (float): Dropout on the pooled states.
    learned_exit (bool): Whether to train an estimate of being wrong, for the rule `spacy-epee.Learned.v1`.
    standardize (bool): Whether pooled states are brought to mean 0 and size 1 by statistics of the pretrained
        trunk on the first training data.
    lr_scale (float): Times the learning rate of the trunk. The classifiers start from nothing.
    lexical (int): The most n-grams (words and pairs of them, and 3 to 5 characters) of a linear model that answers before the
        first layer, and that each exit adds to. 0 for no exit there. Images have none.
    RETURNS (Model): The model.
    """
    lexical = check_ngrams("lexical", lexical)
    if pooling not in ("cls", "mean", "last"):
        raise ValueError(f"The setting `model.head.pooling` is '{pooling}'; give 'cls', 'mean' or 'last'.")
    settings = {"pooling": pooling, "dropout": dropout, "learned_exit": learned_exit, "standardize": standardize}
    return head_model(PooledHeads, {**settings, "lexical": lexical}, lr_scale)
