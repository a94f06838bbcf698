"""Classifiers of tokens, and of links between the spans that they make up."""

from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple

import numpy
import torch
from thinc.api import Model
from torch import Tensor, nn

from ...heads.base import ExitHeads, HeadInputs, check_ngrams, head_model
from ...heads.pair_layer import DISTANCES, PairLayer
from ...heads.span_pooling import SpanPooling, locate
from .instances import KIND, START, STOP, UNIT, TokenInstances

if TYPE_CHECKING:
    from ...trunk.batch import PaddedBatch

ADVANTAGE = 3.0
"""How much surer than of any other tag a new classifier is that a token is in no span. Nearly all are in none, and each span that
is found must be paired with others."""


class TokenInputs(HeadInputs):
    """The tokens that are asked about.

    items (TokenInstances): The tokens.
    """

    def __init__(self, items: TokenInstances, device: torch.device):
        self.items = items
        self.device = device

    def find(self, packs: Sequence["PaddedBatch"], units: numpy.ndarray) -> Tuple[List[Tensor], Optional[Tensor]]:
        """RETURNS (Tuple[List[Tensor], Optional[Tensor]]): For each pack the places of the tokens' first wordpieces, as if
        its rows were one; and how these are to be sorted, None if they are in order."""
        live = self.items.of_units(units)
        places = numpy.column_stack((self.items.units[live], self.items.first[live]))
        found = [locate(members, places) for members in packs]
        index = [self._put(rows * members.longest + places[here, 1]) for members, (here, rows) in zip(packs, found)]
        order = numpy.concatenate([here for here, _ in found])
        return index, self._put(numpy.argsort(order)) if (order[1:] < order[:-1]).any() else None

    def _put(self, values: numpy.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)


class EventHeads(ExitHeads):
    """At each exit a linear layer that tags tokens by their first wordpiece, and a small network that links the spans found.

    The second part runs for windows in which the first finds a trigger.
    """

    kind = "tokens"

    def __init__(self, *, width: int, kinds: int, outputs: int, hidden: int, exits: int, **settings: Any):
        """
        width (int): The size of a hidden state, H.
        kinds (int): The number of kinds of spans.
        outputs (int): What a link can say.
        hidden (int): The size of the hidden layer of links.
        exits (int): The number of exits.
        settings (Any): Those of all classifiers.
        """
        super().__init__(width=width, features=width, kinds=kinds, outputs=outputs, hidden=hidden, exits=exits, **settings)
        with torch.no_grad():
            for exit in range(exits):
                self.classifier(exit).bias[::3] = ADVANTAGE
        count = exits if outputs else 0
        self.layers = nn.ModuleList(PairLayer(width, hidden, kinds, True, True) for _ in range(count))
        self.links = nn.ModuleList(nn.Linear(hidden, outputs) for _ in range(count))

    def prepare(self, items: TokenInstances, device: torch.device) -> TokenInputs:  # type: ignore[override]
        return TokenInputs(items, device)

    def of_last_exit(self) -> List[nn.Module]:
        return [*super().of_last_exit(), *self.layers[-1:], *self.links[-1:]]

    def vectors(
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: TokenInputs, units: numpy.ndarray
    ) -> Tensor:
        index, order = inputs.layout(packs, units)
        parts = [hidden.flatten(0, 1).index_select(0, places) for hidden, places in zip(states, index)]
        vectors = (torch.cat(parts) if len(parts) > 1 else parts[0]).float()
        if order is not None:
            vectors = vectors[order]
        return vectors if self.standardize is None else self.standardize(exit, vectors)

    def link_scorer(
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: TokenInputs
    ) -> Optional[Callable[[numpy.ndarray, numpy.ndarray], Tensor]]:
        if not len(self.layers):
            return None

        def link(heads: numpy.ndarray, children: numpy.ndarray) -> Tensor:
            return self._link(exit, packs, states, inputs.items, heads, children)

        return link

    def _link(
        self,
        exit: int,
        packs: Sequence["PaddedBatch"],
        states: Sequence[Tensor],
        items: TokenInstances,
        heads: numpy.ndarray,
        children: numpy.ndarray,
    ) -> Tensor:
        device = states[0].device
        outputs = self.settings["outputs"]
        if not len(heads):
            return torch.zeros(0, outputs, device=device)
        nodes, numbers = numpy.unique(numpy.concatenate((heads, children)), axis=0, return_inverse=True)
        head, child = numbers.reshape(2, -1)
        windows = nodes[:, UNIT]
        begins, ends = items.first[nodes[:, START]], items.stop[nodes[:, STOP] - 1]
        start, stop = numpy.minimum(ends[head], ends[child]), numpy.maximum(begins[head], begins[child])
        gaps = numpy.maximum(stop - start, 0)
        between = numpy.column_stack((windows[head], start, start + gaps))
        spans = numpy.concatenate((numpy.column_stack((windows, begins, ends)), between))
        pooling = SpanPooling(packs, spans)
        vectors = pooling(states)
        if self.standardize is not None:
            vectors = self.standardize.apply_to(exit, vectors, pooling.empty)

        def put(values: numpy.ndarray) -> Tensor:
            return torch.from_numpy(values).to(device)

        vectors = vectors[put(pooling.places)]
        first = (nodes[head, START] < nodes[child, START]).astype("int64")
        features = self.layers[exit](
            vectors[: len(nodes)],
            put(nodes[:, KIND] + 1),
            put(head),
            put(child),
            vectors[len(nodes) :],
            put(numpy.searchsorted(DISTANCES, gaps, side="right")),
            put(first),
        )
        return self.links[exit](self.dropout(features) if self.training else features)


def EventHead(
    hidden: int = 128,
    dropout: float = 0.1,
    learned_exit: bool = False,
    standardize: bool = True,
    lr_scale: float = 10.0,
    gate: int = 0,
) -> Model:
    """Build the classifiers for events. They get their sizes when the component is initialized.

    hidden (int): The size of the hidden layer of links between spans.
    dropout (float): Dropout on the states of tokens and the vectors of pairs.
    learned_exit (bool): Whether to train an estimate of being wrong, for the rule `spacy-epee.Learned.v1`.
    standardize (bool): Whether states are brought to mean 0 and size 1 by statistics of the pretrained trunk on the first
        training data.
    lr_scale (float): Times the learning rate of the trunk. The classifiers start from nothing.
    gate (int): The most n-grams of a linear model that finds windows without a trigger before the first layer, once
        `tune --gate-recall` has set how surely. 0 for none.
    RETURNS (Model): The model.
    """
    if hidden < 1:
        raise ValueError(f"The setting `model.head.hidden` is {hidden}; give a size from 1 on.")
    settings = {"hidden": hidden, "dropout": dropout, "learned_exit": learned_exit, "standardize": standardize}
    return head_model(EventHeads, {**settings, "gate": check_ngrams("gate", gate)}, lr_scale)
