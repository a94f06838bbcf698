"""Classifiers of pairs of entities."""

from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple

import numpy
import torch
from thinc.api import Model
from torch import Tensor, nn

from ...heads.base import ExitHeads, HeadInputs, check_ngrams, head_model
from ...heads.pair_layer import DISTANCES, PairLayer
from ...heads.span_pooling import SpanPooling
from ...inputs.ranges import ranges
from .instances import PairInstances

if TYPE_CHECKING:
    from ...trunk.batch import PaddedBatch


class PairInputs(HeadInputs):
    """What is the same at every exit.

    items (PairInstances): The pairs.
    types (ndarray): The number of each mention's label, (M,).
    distances (ndarray): The number of each pair's distance, (N,).
    orders (ndarray): Whether the head comes first, (N,).
    """

    def __init__(self, items: PairInstances, device: torch.device, between: bool):
        self.items = items
        self.device = device
        self.between = between
        self.types = items.types
        gaps = items.between[:, 2] - items.between[:, 1]
        self.distances = numpy.searchsorted(DISTANCES, gaps, side="right")
        self.orders = (items.head_tokens[:, 0] < items.child_tokens[:, 0]).astype("int64")

    def find(self, packs: Sequence["PaddedBatch"], units: numpy.ndarray) -> "PairLayout":
        """RETURNS (PairLayout): Where everything is."""
        return PairLayout(self, packs, units)


class PairLayout:
    """Where the mentions and pairs of the units still climbing are.

    live (ndarray): The pairs, (N',).
    pooling (SpanPooling): Averages spans.
    mentions (Tensor): Which of the averages are of mentions, (M',).
    heads (Tensor): Which of these mentions is the head of each pair, (N',).
    children (Tensor): Which is the child, (N',).
    middle (Optional[Tensor]): Which of the averages is what is between the two, (N',).
    groups (Optional[Tensor]): Which pairs are of the same concepts, as numbers from 0, (N',); None if each is for itself.
    types (Tensor): The numbers of the mentions' labels, (M',).
    distances (Tensor): The numbers of the pairs' distances, (N',).
    orders (Tensor): Whether the head comes first, (N',).
    """

    def __init__(self, inputs: PairInputs, packs: Sequence["PaddedBatch"], units: numpy.ndarray):
        items, live = inputs.items, inputs.items.of_units(units)
        # Of the windows that climb, and of no others: there may be many.
        windows = numpy.sort(numpy.concatenate([members.rows for members in packs]))
        first, stop = (numpy.searchsorted(items.mentions[:, 0], windows, side=side) for side in ("left", "right"))
        known = ranges(first, stop - first)
        spans = items.mentions[known]
        self.pooling = SpanPooling(packs, numpy.concatenate((spans, items.between[live])) if inputs.between else spans)
        places = self.pooling.places

        def put(values: numpy.ndarray) -> Tensor:
            return torch.from_numpy(values).to(inputs.device)

        self.mentions = put(places[: len(known)])
        self.heads, self.children = (put(numpy.searchsorted(known, who[live])) for who in (items.heads, items.children))
        self.middle = put(places[len(known) :]) if inputs.between else None
        self.live = live
        self.groups = None if items.groups is None else put(numpy.unique(items.groups[live], return_inverse=True)[1].reshape(-1))
        self.types, self.distances, self.orders = (
            put(values) for values in (inputs.types[known], inputs.distances[live], inputs.orders[live])
        )


class PairHeads(ExitHeads):
    """At each exit a small network over head, child and what is between, all pairs of a window from one pass of the trunk.

    Its first layer is split by its inputs, so that an entity is projected once and not once for each of its pairs.
    """

    kind = "pairs"

    def __init__(
        self,
        *,
        width: int,
        types: int,
        hidden: int,
        between: bool,
        attributes: bool,
        exits: int,
        **settings: Any,
    ):
        """
        width (int): The size of a hidden state, H.
        types (int): The number of labels of entities.
        hidden (int): The size of the hidden layer; 0 for none, so that the classifier sees head and child side by side.
        between (bool): Whether to look at the mean of what is between the two.
        attributes (bool): Whether to look at the labels of the two, their distance and which comes first.
        exits (int): The number of exits.
        settings (Any): Those of all classifiers.
        """
        features = hidden or width * (3 if between else 2)
        super().__init__(
            width=width,
            features=features,
            exits=exits,
            types=types,
            hidden=hidden,
            between=between,
            attributes=attributes,
            **settings,
        )
        self.hidden = hidden
        self.between = between
        self.layers = nn.ModuleList(PairLayer(width, hidden, types, between, attributes) for _ in range(exits if hidden else 0))

    def prepare(self, items: PairInstances, device: torch.device) -> PairInputs:  # type: ignore[override]
        return PairInputs(items, device, self.between)

    def of_last_exit(self) -> List[nn.Module]:
        return [*super().of_last_exit(), *self.layers[-1:]]

    def forward(
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: PairInputs, units: numpy.ndarray
    ) -> Tuple[Tensor, Tensor]:
        logits, doubt = super().forward(exit, packs, states, inputs, units)
        items = inputs.items
        if self.training or items.salience_weights is None or items.salience is None:
            return logits, doubt
        weights = items.salience_weights[exit]
        added = weights[0] + items.salience[inputs.layout(packs, units).live] @ weights[1:]
        return logits + torch.from_numpy(added).to(logits.device), doubt

    def vectors(
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: PairInputs, units: numpy.ndarray
    ) -> Tensor:
        here = inputs.layout(packs, units)
        vectors = here.pooling(states)
        if self.standardize is not None:
            vectors = self.standardize(exit, vectors, here.pooling.empty)
        mentions = vectors[here.mentions]
        middle = None if here.middle is None else vectors[here.middle]
        if not self.hidden:
            parts = [mentions[here.heads], mentions[here.children]]
            return pool(torch.cat(parts if middle is None else [*parts, middle], dim=1), here.groups)
        pairs = self.layers[exit](mentions, here.types, here.heads, here.children, middle, here.distances, here.orders)
        return pool(pairs, here.groups)


def pool(vectors: Tensor, groups: Optional[Tensor]) -> Tensor:
    """Give all pairs of mentions of two concepts in a window the same vector.

    vectors (Tensor): Those of the pairs, (N', features).
    groups (Optional[Tensor]): Which belong together, as numbers from 0, (N',); None if each is for itself.
    RETURNS (Tensor): The largest of each feature in the group of each pair, (N', features).
    """
    if groups is None or not len(groups):
        return vectors
    index = groups[:, None].expand_as(vectors)
    pooled = vectors.new_zeros(int(groups.max()) + 1, vectors.shape[1])
    return pooled.scatter_reduce(0, index, vectors, "amax", include_self=False)[groups]


def PairHead(
    hidden: int = 128,
    between: bool = True,
    attributes: bool = True,
    dropout: float = 0.1,
    learned_exit: bool = False,
    standardize: bool = True,
    lr_scale: float = 10.0,
    gate: int = 0,
) -> Model:
    """Build the classifiers for pairs of entities. They get their sizes when the component is initialized.

    hidden (int): The size of the hidden layer; 0 for none, so that the classifier sees head and child side by side.
    between (bool): Whether to look at the mean of what is between the two.
    attributes (bool): Whether to look at the labels of the two, their distance and which comes first. Needs a hidden layer.
    dropout (float): Dropout on the vectors of the pairs.
    learned_exit (bool): Whether to train an estimate of being wrong, for the rule `spacy-epee.Learned.v1`.
    standardize (bool): Whether states of spans are brought to mean 0 and size 1 by statistics of the
        pretrained trunk on the first training data.
    lr_scale (float): Times the learning rate of the trunk. The classifiers start from nothing.
    gate (int): The most n-grams of a linear model that finds pairs without a relation before the first layer, once
        `tune --gate-recall` has set how surely. 0 for none.
    RETURNS (Model): The model.
    """
    if hidden < 0:
        raise ValueError(f"The setting `model.head.hidden` is {hidden}; give a size from 1 on, or 0 for no hidden layer.")
    if attributes and not hidden:
        raise ValueError("The setting `model.head.attributes` needs a hidden layer; set `model.head.hidden`, or this to false.")
    settings = {
        "hidden": hidden,
        "between": between,
        "attributes": attributes,
        "dropout": dropout,
        "learned_exit": learned_exit,
        "standardize": standardize,
        "gate": check_ngrams("gate", gate),
    }
    return head_model(PairHeads, settings, lr_scale)
