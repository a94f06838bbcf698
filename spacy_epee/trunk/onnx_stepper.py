"""A backbone in ONNX Runtime, one layer at a time."""

import os
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Iterator, List, Optional, Union

import numpy
import torch
from torch import Tensor, nn

from .onnx_attention import PADDED
from .onnx_branches import CHOICE
from .onnx_export import FORMAT, Exported, require
from .stepper import LayerState, LayerStepper

SPIN = "1000"
"""How long threads wait busily for the next layer, in microseconds: longer than the checks of an exit take, and not so long that
they are in the way of another component."""

SLOWER = ["SkipLayerNormFusion"]
"""What is not to be optimized: the fused kernel takes four times as long as a sum and a norm (ONNX Runtime 1.32, 8 x 35
wordpieces), 12 % of all."""

_NO_MASK = torch.zeros(1, 1, 1, 1)

_LEFT: List[Any] = []
"""Graphs of a parent process. To close one here would wait for its threads forever."""


class OnnxState(LayerState):
    """A batch on its way up.

    read (Optional[Tensor]): What heads see, if that is not the states, (W, T, H).
    """

    read: Optional[Tensor] = None

    def keep(self, rows: Tensor) -> None:
        super().keep(rows)
        self.read = None if self.read is None else self.read[rows]


class OnnxStepper:
    """Steps exported graphs as `LayerStepper` does a model. States are torch's views of the runtime's arrays."""

    device = torch.device("cpu")

    def __init__(self, exported: Exported, model: nn.Module):
        """
        exported (Exported): The graphs.
        model (PreTrainedModel): The model that they were made of, for its configuration.
        RAISES ValueError: ONNX Runtime is missing, or cannot run them.
        """
        require("onnxruntime")
        if exported.format != FORMAT:
            raise ValueError(
                f"The ONNX graphs of this pipeline are of format {exported.format}, and this version of spacy_epee runs format "
                f"{FORMAT}. Make them anew with `python -m spacy epee export`."
            )
        self.exported = exported
        self.model = SimpleNamespace(config=model.config, training=False)
        self._row_args = frozenset(exported.row_args)
        self._process: Optional[int] = None
        self._start()

    @property
    def depth(self) -> int:
        """RETURNS (int): The number of layers."""
        return len(self.exported.layers)

    def _start(self) -> None:
        """Open the graphs. A forked worker cannot use those of its parent, whose threads it does not have."""
        import onnxruntime

        threads = torch.get_num_threads() if self._process is None else 1
        try:
            below, stack = _open(self.exported.below, 1), _open(self.exported.stack, threads)
        except Exception as error:  # onnxruntime's own kinds
            raise ValueError(
                f"ONNX Runtime {onnxruntime.__version__} cannot run the graphs of this pipeline ({type(error).__name__}), which "
                f"were made with {self.exported.made_with}. Update it with `pip install -U onnxruntime`, or make them anew with "
                "`python -m spacy epee export`."
            ) from error
        if self._process is not None:
            _LEFT.append((self._below, self._stack))
        self._below, self._stack = below, stack
        # What no layer uses is not in the graph.
        self._inputs = {part.name for part in stack.get_inputs()}
        self._choices = [numpy.array([number]) for number in self.exported.layers]
        self._process = os.getpid()

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> OnnxState:
        """As `LayerStepper.embed`."""
        if self._process != os.getpid():
            self._start()
        found = self._below.run(None, {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()})
        hidden, *given = map(torch.from_numpy, found)
        arguments = {name: value for name, value in zip(self.exported.names, given) if name in self._inputs}
        if PADDED in self._inputs:
            padded = not attention_mask.all()
            arguments[PADDED] = torch.tensor(padded)
            if not padded:  # nobody reads them
                arguments.update(dict.fromkeys(self.exported.masks, _NO_MASK))
        return OnnxState(hidden, [arguments] * self.depth, self._row_args)

    def step(self, state: OnnxState) -> None:
        """As `LayerStepper.step`."""
        given = {name: value.numpy() for name, value in state.arguments[state.layer].items()}
        given["hidden"] = state.hidden.numpy()
        if CHOICE in self._inputs:
            given[CHOICE] = self._choices[state.layer]
        hidden, *read = self._stack.run(None, given)
        state.hidden = torch.from_numpy(hidden)
        state.read = torch.from_numpy(read[0]) if read else None
        state.layer += 1

    def read(self, state: OnnxState) -> Tensor:
        """As `LayerStepper.read`."""
        return state.hidden if state.read is None else state.read


def _open(graph: bytes, threads: int) -> Any:
    """Open a graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER)


Runner = Union[LayerStepper, OnnxStepper]
"""What steps a batch up the layers."""


@contextmanager
def undisturbed(runner: Runner) -> Iterator[None]:
    """Keep torch to one thread while ONNX Runtime has work: after each small step of ours, torch's other threads wait busily, and
    take the cores from the next layer (measured on two cores: a fifth to a third more time).

    runner (Runner): What runs.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not isinstance(runner, OnnxStepper):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
