"""A backbone in ONNX Runtime, one layer at a time."""

import os
import warnings
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Mapping, Optional, Tuple

import numpy
import torch
from torch import Tensor

from ...threads import FIRST_USE
from ...trunk.looks import Form, Looks, Reached
from .attention import PADDED
from .branches import CHOICE, COUNT, FIRST, HIDDEN, STATES
from .climbs import RESULTS, with_looks, without_looks
from .graphs import FORMAT, READABLE, OnnxGraphs, reads_values, require
from .looks import PREFIX

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SPIN = "1000"
"""How long threads wait busily for the next layer, in microseconds: longer than the checks of an exit take, and not so long that
they are in the way of another component."""

SLOWER = ["SkipLayerNormFusion"]
"""What is not to be optimized: the fused kernel takes four times as long as a sum and a norm (ONNX Runtime 1.32, 8 x 35
wordpieces), 12 % of all."""

_NO_MASK = numpy.zeros((1, 1, 1, 1), dtype="float32")

FORMS = 2
"""How many forms of rules are kept, each with layers of its own. Threads may ask by different ones."""

ASKED = 256
"""How many texts in a row must come alone, under one form of rule, before a graph is made for it: to make one takes as long as
some dozens of them. So it is not made for rules that are compared in turns."""

SHORT = 64
"""Up to how many wordpieces it is kept what the layers of a text alone are given beside states: biases of relative positions are
the square of them, for each head."""

_LEFT: List[Any] = []
"""Graphs of a parent process. To close one here would wait for its threads forever."""


class OnnxState:
    """A batch on its way up, in the runtime's arrays.

    array (ndarray): The states after the layers run so far, (W, T, H).
    feeds (Dict[str, ndarray]): What the layers are given beside them.
    seen (Optional[ndarray]): What heads see, if that is not the states, (W, T, H).
    """

    def __init__(self, array: numpy.ndarray, feeds: Dict[str, numpy.ndarray], row_args: FrozenSet[str]):
        self.array, self.feeds, self.row_args = array, feeds, row_args
        self.seen: Optional[numpy.ndarray] = None
        self.layer = 0

    @property
    def hidden(self) -> Tensor:
        """RETURNS (Tensor): The states, as torch sees them."""
        return torch.from_numpy(self.array)

    def keep(self, rows: Tensor) -> None:
        kept = rows.numpy()
        for name in self.row_args & self.feeds.keys():
            if len(self.feeds[name]) == len(self.array):  # length 1: broadcast over the batch
                self.feeds[name] = self.feeds[name][kept]
        self.array = self.array[kept]
        self.seen = None if self.seen is None else self.seen[kept]


class _Layers:
    """The layers, opened.

    session (InferenceSession): What runs them.
    inputs (FrozenSet[str]): What that wants. What no layer uses is not in the graph.
    outputs (List[str]): The states, and perhaps what heads see.
    off (Dict[str, ndarray]): Inputs so that it does not look between layers.
    tables (List[Tuple[str, int]]): The same inputs, with their places in `Looks`.
    """

    def __init__(self, graph: bytes, threads: int, off: Mapping[str, numpy.ndarray] = MappingProxyType({})):
        self.session = _open(graph, threads)
        self.inputs = frozenset(part.name for part in self.session.get_inputs())
        self.outputs = [part.name for part in self.session.get_outputs() if not part.name.startswith(PREFIX)]
        self.off = {name: value for name, value in off.items() if name in self.inputs}
        self.tables = [(name, Looks._fields.index(name.removeprefix(PREFIX))) for name in self.off]


class OnnxStepper:
    """Steps exported graphs as `LayerStepper` does a model.

    waits (int): How many texts in a row come alone before it looks at them, see `ASKED`.
    """

    device = torch.device("cpu")
    own_threads = True
    _embedding: "InferenceSession"
    _layers: _Layers
    _layer_inputs: Optional["InferenceSession"]

    def __init__(self, exported: OnnxGraphs, padding: int):
        """
        exported (OnnxGraphs): The graphs.
        padding (int): The wordpiece to pad with.
        RAISES ValueError: ONNX Runtime is missing, or cannot run them.
        """
        require("onnxruntime")
        if exported.format not in READABLE:
            raise ValueError(
                f"The ONNX graphs of this pipeline are of format {exported.format}, and this version of spacy_epee runs formats "
                f"{READABLE[0]} to {READABLE[-1]}. Make them anew with `python -m spacy epee export`."
            )
        if exported.format != FORMAT:
            warnings.warn(
                "The ONNX graphs of this pipeline were made by an older version of spacy_epee: they run one layer in a call, so "
                "that a text alone takes longer. Make them anew with `python -m spacy epee export`."
            )
        self.exported = exported
        self.padding = padding
        self._row_args = frozenset(exported.row_args)
        self._process: Optional[int] = None
        self.waits = ASKED
        self._start()

    @property
    def depth(self) -> int:
        """RETURNS (int): The number of layers."""
        return len(self.exported.order)

    def _start(self) -> None:
        """Open the graphs. A forked worker cannot use those of its parent, whose threads it does not have."""
        import onnxruntime

        threads = self._threads = torch.get_num_threads() if self._process is None else 1
        try:
            embedding, layers = _open(self.exported.embedding, 1), _Layers(self.exported.layers, threads)
            layer_inputs = _open(self.exported.layer_inputs, 1) if self.exported.names else None
        except Exception as error:  # onnxruntime's own kinds
            raise ValueError(
                f"ONNX Runtime {onnxruntime.__version__} cannot run the graphs of this pipeline ({type(error).__name__}), which "
                f"were made with {self.exported.made_with}. Update it with `pip install -U onnxruntime`, or make them anew with "
                "`python -m spacy epee export`."
            ) from error
        if self._process is not None:
            _LEFT.append((self._embedding, self._layer_inputs, self._layers, self._looking))
        self._embedding, self._layer_inputs, self._layers = embedding, layer_inputs, layers
        self._needed = [
            [] if graph is None else [part.name for part in graph.get_inputs()] for graph in (embedding, layer_inputs)
        ]
        self._embedded = [part.name for part in embedding.get_outputs()]
        self._inputs = layers.inputs
        self._looking: Dict[Form, Optional[_Layers]] = {}
        self._by_length: Optional[Dict[int, Dict[str, numpy.ndarray]]] = None
        self._asked: Tuple[Optional[Form], int] = (None, 0)
        self._choices = [numpy.array([number]) for number in self.exported.order]
        self._numbers = [numpy.array(number) for number in range(self.depth + 1)]
        self._process = os.getpid()

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> OnnxState:
        """As `LayerStepper.embed`."""
        return self.embed_arrays(input_ids.numpy(), attention_mask.numpy())

    def embed_arrays(self, input_ids: numpy.ndarray, attention_mask: numpy.ndarray) -> OnnxState:
        """As `trunk.arrays.embed_arrays`."""
        if self._process != os.getpid():
            with FIRST_USE:
                if self._process != os.getpid():
                    self._start()
        feeds = {"input_ids": input_ids, "attention_mask": attention_mask}
        return OnnxState(self._hidden(feeds), self._beside(feeds), self._row_args)

    def below(self, input_ids: Tensor, attention_mask: Tensor) -> Tuple[numpy.ndarray, Dict[str, numpy.ndarray]]:
        """RETURNS (Tuple[ndarray, Dict[str, ndarray]]): The states below the first layer (W, T, H), and all that layers may be
        given beside them."""
        feeds = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        return self._hidden(feeds), self._given(feeds)

    def restart_at(self, hidden: Tensor, layer: int, input_ids: Tensor, attention_mask: Tensor) -> OnnxState:
        """As `LayerStepper.restart_at`."""
        feeds = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        state = OnnxState(hidden.numpy(), self._beside(feeds), self._row_args)
        state.layer = layer
        return state

    def _hidden(self, feeds: Dict[str, numpy.ndarray]) -> numpy.ndarray:
        """The states below the first layer."""
        return self._embedding.run(self._embedded, {name: feeds[name] for name in self._needed[0]})[0]

    def _given(self, feeds: Dict[str, numpy.ndarray]) -> Dict[str, numpy.ndarray]:
        """All that layers may be given beside states."""
        if self._layer_inputs is None:
            return {}
        values = self._layer_inputs.run(None, {name: feeds[name] for name in self._needed[1]})
        return dict(zip(self.exported.names, values))

    def _beside(self, feeds: Dict[str, numpy.ndarray]) -> Dict[str, numpy.ndarray]:
        """What the layers are given beside the states. That of a window alone is kept by its length."""
        kept, mask = self._by_length, feeds["attention_mask"]
        length = mask.shape[1]
        if kept is None or len(mask) > 1 or length > SHORT or 0 in mask:
            return self._make_beside(feeds)
        if length not in kept:
            kept[length] = self._make_beside(feeds)
        return dict(kept[length])

    def _make_beside(self, feeds: Dict[str, numpy.ndarray]) -> Dict[str, numpy.ndarray]:
        """The same, anew. Nobody reads masks of a batch without padding."""
        exported = self.exported
        given: Dict[str, numpy.ndarray] = {}
        padded = True
        if PADDED in self._inputs:
            padded = 0 in feeds["attention_mask"]
            given[PADDED] = numpy.array(padded)
        if self._layer_inputs is not None and (padded or len(exported.masks) < len(exported.names)):
            given.update(pair for pair in self._given(feeds).items() if pair[0] in self._inputs)
        if not padded:
            given.update(dict.fromkeys(exported.masks, _NO_MASK))
        return given

    def step(self, state: OnnxState) -> None:
        """As `LayerStepper.step`."""
        self.climb(state, 1)

    def climb(self, state: OnnxState, layers: int) -> None:
        """Run the next layers on a batch, in one call.

        state (OnnxState): The batch, moved up in place.
        layers (int): How many layers.
        """
        if COUNT not in self._inputs:  # format 3
            for _ in range(layers):
                self._run_one(state)
            return
        opened = self._layers
        feeds = {**state.feeds, **opened.off, STATES: state.array, COUNT: self._numbers[layers]}
        if FIRST in opened.inputs:
            feeds[FIRST] = self._numbers[state.layer]
        self._move_up(state, opened, feeds, layers)

    def climb_until(self, state: OnnxState, looks: Looks) -> Optional[Reached]:
        """As `trunk.looks.climb_until`: layers, exits and rule run in one call."""
        opened = self._looking.get(looks.form)
        if opened is None and looks.form not in self._looking and self._goes_on(looks.form):
            opened = self._open_looking(looks.form)
        if opened is None:
            return None
        feeds = {**state.feeds, STATES: state.array, COUNT: self._numbers[self.depth], FIRST: self._numbers[0]}
        for name, place in opened.tables:
            feeds[name] = looks[place]  # type: ignore[assignment]
        layer, found, fired = opened.session.run(RESULTS, feeds)
        return Reached(int(layer), found, fired)

    def _goes_on(self, form: Form) -> bool:
        """Whether a form of rule has been asked for often enough in a row to be worth a graph. Threads that count at once may
        need some more."""
        before, times = self._asked
        times = times + 1 if form == before else 1
        self._asked = form, times
        return times > self.waits

    @FIRST_USE
    def _open_looking(self, form: Form) -> Optional[_Layers]:
        """The layers with what looks between them. They run batches from now on, so that there is one copy of the weights as
        long as there is one form of rule."""
        if form not in self._looking:
            try:
                opened = self._make_looking(form)
            except Exception as error:  # onnx's and onnxruntime's own kinds
                warnings.warn(
                    f"The exit rule cannot be put into the ONNX graphs of this pipeline ({type(error).__name__}), so that a text "
                    "alone takes longer. Update ONNX Runtime, or make them anew with `python -m spacy epee export`."
                )
                opened = None
            self._layers = opened or self._layers
            if self._by_length is None and self._depends_on_length():  # texts come alone
                self._by_length = {}
            self._looking = {**dict([*self._looking.items()][1 - FORMS :]), form: opened}
        return self._looking[form]

    def _make_looking(self, form: Form) -> Optional[_Layers]:
        graph = with_looks(self.exported.layers, form) if self.exported.format == FORMAT else None
        return None if graph is None else _Layers(graph, self._threads, without_looks(form, self.depth))

    def _depends_on_length(self) -> bool:
        """Whether a window without padding has what all others of its length are given beside states."""
        return self._layer_inputs is None or not reads_values(self.exported.layer_inputs, "input_ids")

    def _run_one(self, state: OnnxState) -> None:
        """The next layer of graphs that run one."""
        feeds = {**state.feeds, HIDDEN: state.array}
        if CHOICE in self._inputs:
            feeds[CHOICE] = self._choices[state.layer]
        self._move_up(state, self._layers, feeds, 1)

    @staticmethod
    def _move_up(state: OnnxState, opened: _Layers, feeds: Dict[str, numpy.ndarray], layers: int) -> None:
        state.array, *seen = opened.session.run(opened.outputs, feeds)
        state.seen = seen[0] if seen else None
        state.layer += layers

    def final_hidden(self, state: OnnxState) -> Tensor:
        """As `LayerStepper.final_hidden`."""
        return torch.from_numpy(self.final_array(state))

    def final_array(self, state: OnnxState) -> numpy.ndarray:
        """As `trunk.arrays.final_array`."""
        return state.array if state.seen is None else state.seen


def _open(graph: bytes, threads: int) -> "InferenceSession":
    """Open a graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER)
