"""What the loop asks of classifiers, and what all of them share."""

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Type, cast

import numpy
import torch
from thinc.api import Model, get_torch_default_device
from torch import Tensor, nn

from ..inputs.instances import Instances
from ..inputs.ngrams import BITS
from ..settings import check_number
from ..trunk.shims import ScaledShim, dump_module, load_module
from .lexical import LexicalHead, LinearHead
from .standardize import Standardize

if TYPE_CHECKING:
    from ..trunk.batch import PaddedBatch


class HeadInputs:
    """What is the same at every exit. Tasks add to it what they ask."""

    _arranged: Optional[Tuple[Any, Any]] = None

    def layout(self, packs: Sequence["PaddedBatch"], units: numpy.ndarray) -> Any:
        """RETURNS (Any): Where everything is. It stays as it was until a unit leaves or packs change."""
        key = (units.tobytes(), *((members.longest, members.rows.tobytes()) for members in packs))
        if self._arranged is None or self._arranged[0] != key:
            self._arranged = key, self.find(packs, units)
        return self._arranged[1]

    def find(self, packs: Sequence["PaddedBatch"], units: numpy.ndarray) -> Any:
        """Find what is asked.

        packs (Sequence[PaddedBatch]): The windows still climbing. Some may be of other units, and there for other tasks.
        units (ndarray): The units still climbing, in order.
        RETURNS (Any): Where it is.
        """
        raise NotImplementedError


class Linear(NamedTuple):
    """Classifiers of sums of states.

    weights (ndarray): From a sum to the logits of each exit, that of being wrong last, (E, H, K') float32.
    biases (ndarray): What is added to these, (E, K') float32.
    mix (ndarray): What the logits of words count at each exit, (E, 1) float32.
    """

    weights: numpy.ndarray
    biases: numpy.ndarray
    mix: numpy.ndarray


class ExitHeads(nn.Module):
    """A linear layer per exit over what a task makes of the states."""

    kind = ""
    """What they classify, which must be what a task takes: see `Task.head_kind`."""
    sums_states = False
    """Whether the vector of a unit is a sum of states, so that `weigh` and `classify` can be asked. A unit that is more goes
    through the loop."""

    def __init__(
        self,
        *,
        width: int,
        features: int,
        exits: int,
        labels: int,
        dropout: float,
        learned_exit: bool,
        standardize: bool = False,
        gate_ngrams: int = 0,
        **settings: Any,
    ):
        """
        width (int): The size of a hidden state, H.
        features (int): The size of an item's vector.
        exits (int): The number of exits, E.
        labels (int): The number of logits, K.
        dropout (float): Dropout on the items' vectors.
        learned_exit (bool): Whether to add the estimate of being wrong: one linear layer shared by all exits (BERxiT, Xin
            et al. 2021, section 3.3).
        standardize (bool): Whether vectors from the trunk are standardized.
        gate_ngrams (int): How many n-grams the gate knows; 0 for none.
        settings (Any): What else the module is built from, so that it can be built again.
        """
        super().__init__()
        self.settings: Dict[str, Any] = {
            "width": width,
            "exits": exits,
            "labels": labels,
            "dropout": dropout,
            "learned_exit": learned_exit,
            "standardize": standardize,
            **settings,
        }
        self.standardize = Standardize(exits, width) if standardize else None
        self.lexical: Optional[LexicalHead] = None  # what answers before the first layer, if anything does
        self.gate: Optional[LinearHead] = None  # what tells before the first layer where there is nothing to find
        if gate_ngrams:
            self.make_gate(gate_ngrams)
        self.n_labels = labels
        self.dropout = nn.Dropout(dropout)
        classifiers = [nn.Linear(features, labels) for _ in range(exits)]
        self.classifiers = nn.ModuleList(classifiers)
        for classifier in classifiers:
            nn.init.normal_(classifier.weight, std=0.02)
            nn.init.zeros_(classifier.bias)
        self.doubt = nn.Linear(features, 1) if learned_exit else None

    def make_gate(self, ngrams: int) -> LinearHead:
        """Make a gate, before the first layer.

        ngrams (int): How many n-grams it knows.
        RETURNS (LinearHead): What holds it.
        """
        self.settings["gate_ngrams"] = ngrams
        self.gate = LinearHead(ngrams, 1)
        return self.gate

    def prepare(self, items: Instances, device: torch.device) -> Any:
        """Work out what is the same at every exit.

        items (Instances): What is asked about the batch, at least one item.
        device (torch.device): Where the states are.
        RETURNS (Any): What `forward` wants.
        """
        raise NotImplementedError

    def classifier(self, exit: int) -> nn.Linear:
        """RETURNS (nn.Linear): The layer of an exit."""
        return cast(nn.Linear, self.classifiers[exit])

    def of_last_exit(self) -> List[nn.Module]:
        """RETURNS (List[nn.Module]): What the answer at full depth depends on; it is trained with the trunk."""
        return [self.classifiers[-1]]

    def vectors(
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: Any, units: numpy.ndarray
    ) -> Tensor:
        """Make a vector of each item.

        exit (int): Which exit, from 0.
        packs (Sequence[PaddedBatch]): The windows still climbing. Some may be there for other tasks alone.
        states (Sequence[Tensor]): Their states, (W, T, H) for each pack.
        inputs (Any): What `prepare` made.
        units (ndarray): The units still climbing, in order.
        RETURNS (Tensor): The vectors of their items, in order, (N, features) in float32.
        """
        raise NotImplementedError

    def link_scorer(
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: Any
    ) -> Optional[Callable[[numpy.ndarray, numpy.ndarray], Tensor]]:
        """What can be asked once it is known what the items say; the arguments are those of `vectors`.

        RETURNS (Optional[Callable[[ndarray, ndarray], Tensor]]): From nodes, heads and children (P, 4), to the logits of their
            links (P, outputs). None if the task has no links.
        """
        return None

    def forward(
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: Any, units: numpy.ndarray
    ) -> Tuple[Tensor, Tensor]:
        """Classify items; the arguments are those of `vectors`.

        RETURNS (Tuple[Tensor, Tensor]): Logits (N, K), and the logit of being wrong (N,), which is empty without a learned
            exit. The latter sends no gradient into the trunk's states of this exit.
        """
        vectors = self.vectors(exit, packs, states, inputs, units)
        logits = self.classifiers[exit](self.dropout(vectors) if self.training else vectors)
        if self.doubt is None:
            return logits, logits.new_zeros(0)
        return logits, self.doubt(vectors.detach())[:, 0]

    def weigh(self, lengths: numpy.ndarray) -> numpy.ndarray:
        """How much each state counts in a unit of some windows. Only asked if `sums_states`.

        lengths (ndarray): Wordpieces per window, (W,).
        RETURNS (ndarray): The weights of all states of the padded windows, (W * T,) float32.
        """
        raise NotImplementedError

    def classify(self, exit: int, vectors: numpy.ndarray, words: Optional[numpy.ndarray]) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """Classify units by their sums of states, without training. Only asked if `sums_states`.

        exit (int): Which exit, from 0.
        vectors (ndarray): The sums, (U, H) float32.
        words (Optional[ndarray]): The logits of their words, (U, K).
        RETURNS (Tuple[ndarray, ndarray]): As `answer`.
        """
        raise NotImplementedError

    def linear(self) -> Optional[Linear]:
        """RETURNS (Optional[Linear]): The arrays of `classify`, for those who classify units by themselves. None if it is more
        than they say."""
        return None

    def answer(
        self, exit: int, packs: Sequence["PaddedBatch"], states: Sequence[Tensor], inputs: Any, units: numpy.ndarray
    ) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """Classify items without training; the arguments are those of `vectors`.

        RETURNS (Tuple[ndarray, ndarray]): Logits (N, K), and the logit of being wrong (N,), empty without a learned exit.
        """
        logits, doubt = self(exit, packs, states, inputs, units)
        return logits.float().cpu().numpy(), doubt.float().cpu().numpy()


class HeadShim(ScaledShim):
    """What holds classifiers, and makes them once their sizes are known.

    kind (Type[ExitHeads]): The classifiers.
    build (partial): Makes them from their sizes. Its keywords are the settings.
    """

    kind: Type[ExitHeads]
    build: "partial[ExitHeads]"


def head_shim(model: Model) -> HeadShim:
    """RETURNS (HeadShim): What holds the classifiers of a model made by `head_model`."""
    return cast(HeadShim, model.shims[0])


def head_model(kind: Type[ExitHeads], settings: Dict[str, Any], lr_scale: float) -> Model:
    """Make a model of classifiers that get their sizes when the component is initialized.

    kind (Type[ExitHeads]): The classifiers.
    settings (Dict[str, Any]): What they are built from beside their sizes.
    lr_scale (float): Times the learning rate of the trunk. Classifiers start from nothing.
    RETURNS (Model): The model.
    """
    check_number("model.head.dropout", settings["dropout"], 0, 1, below=True)
    check_number("model.head.lr_scale", lr_scale, 0, above=True)
    shim = HeadShim(None, serialize_model=dump_heads, deserialize_model=partial(load_heads, kind))
    shim.scale = partial(learning_rate, lr_scale)
    shim.kind, shim.build = kind, partial(kind, **settings)
    return Model("epee-head", run_alone, shims=[shim])


def check_ngrams(setting: str, ngrams: int) -> int:
    """RETURNS (int): A setting of how many n-grams to look at.

    setting (str): Its name in `model.head`.
    ngrams (int): Its value.
    RAISES ValueError: It is none, or more than can be told apart.
    """
    check_number(f"model.head.{setting}", ngrams, 0, 1 << (BITS - 1), whole=True)
    return int(ngrams)


def learning_rate(lr_scale: float, name: str) -> float:
    """RETURNS (float): A factor of the learning rate of the trunk. How much words count is one number for each exit, which has a
    long way to go."""
    return lr_scale * MIX_SCALE if name == MIX else lr_scale


MIX, MIX_SCALE = "lexical.mix", 10.0


def run_alone(model: Model, X, is_train: bool):
    raise TypeError("A head is run by the early-exit model that it is part of, not on its own.")


def build_heads(model: Model, *, width: int, exits: int, labels: int, **sizes: Any) -> None:
    """Give a head model its sizes.

    model (Model): The model made by `head_model`.
    width (int): The size of a hidden state.
    exits (int): The number of exits.
    labels (int): The number of logits.
    sizes (Any): What else depends on the data.
    """
    shim = head_shim(model)
    shim._model = shim.build(width=width, exits=exits, labels=labels, **sizes).to(get_torch_default_device())


def dump_heads(heads: ExitHeads) -> bytes:
    return dump_module(heads, heads.settings if heads is not None else {})


def load_heads(kind: Callable[..., ExitHeads], _, data: bytes, device: torch.device) -> ExitHeads:
    return load_module(data, lambda settings, state: _build_as_saved(kind, settings, len(state)), device)  # type: ignore[return-value]


def _build_as_saved(kind: Callable[..., ExitHeads], settings: Dict[str, Any], weights: int) -> ExitHeads:
    """Make classifiers from what was saved, each of which has weights."""
    if settings["exits"] > weights:
        raise ValueError("Classifiers that were saved say that they have more exits than weights.")
    return kind(**settings)
