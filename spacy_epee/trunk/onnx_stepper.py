"""A backbone in ONNX Runtime, one layer at a time."""

import os
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List, Optional, Union

import torch
from torch import Tensor, nn

from .onnx_export import FORMAT, Exported, require
from .stepper import LayerState, LayerStepper

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
        self.width = int(model.config.hidden_size) if hasattr(model.config, "hidden_size") else 0
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

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads() if self._process is None else 1
        # Each graph has threads of its own, and they must not wait busily while those of the next one work.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            own = [
                onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
                for graph in (self.exported.below, *self.exported.graphs)
            ]
        except Exception as error:  # onnxruntime's own kinds
            raise ValueError(
                f"ONNX Runtime {onnxruntime.__version__} cannot run the graphs of this pipeline ({type(error).__name__}), which "
                f"were made with {self.exported.made_with}. Update it with `pip install -U onnxruntime`, or make them anew with "
                "`python -m spacy epee export`."
            ) from error
        if self._process is not None:
            _LEFT.append((self._below, self._layers))
        self._below, graphs = own[0], own[1:]
        self._layers = [graphs[number] for number in self.exported.layers]
        # What a layer does not use is not in its graph.
        self._inputs = [{part.name for part in layer.get_inputs()} for layer in self._layers]
        self._process = os.getpid()

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> OnnxState:
        """As `LayerStepper.embed`."""
        if self._process != os.getpid():
            self._start()
        found = self._below.run(None, {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()})
        hidden, *given = map(torch.from_numpy, found)
        named = dict(zip(self.exported.names, given))
        arguments: List[Dict[str, Any]] = [
            {name: value for name, value in named.items() if name in inputs} for inputs in self._inputs
        ]
        return OnnxState(hidden, arguments, self._row_args)

    def step(self, state: OnnxState) -> None:
        """As `LayerStepper.step`."""
        given = {name: value.numpy() for name, value in state.arguments[state.layer].items()}
        hidden, *read = self._layers[state.layer].run(None, {"hidden": state.hidden.numpy(), **given})
        state.hidden = torch.from_numpy(hidden)
        state.read = torch.from_numpy(read[0]) if read else None
        state.layer += 1

    def read(self, state: OnnxState) -> Tensor:
        """As `LayerStepper.read`."""
        return state.hidden if state.read is None else state.read


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
