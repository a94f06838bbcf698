"""ONNX Runtime as a runtime of pipelines."""

from types import MappingProxyType
from typing import Any, Dict, Mapping, Sequence

import numpy

from ...trunk.stepper import LayerStepper
from .check import check_graphs
from .export import NEAR, export_trunk
from .graphs import OnnxGraphs
from .stepper import OnnxStepper


class OnnxRuntime:
    """A CPU. In int8 states are off by 0.01 to 0.03 for random weights of nine families and by 0.14 for MiniLM, and more on CPUs
    that saturate and where ranges were measured on texts, as random wordpieces are outside them: 0.51 for mpnet-base, whose
    scores stay. Graphs of another model are off by 1 and more."""

    title = "ONNX Runtime"
    precisions: Mapping[str, float] = MappingProxyType({"int8": 0.75, "fp32": NEAR})

    def export(self, stepper: LayerStepper, precision: str, samples: Sequence[numpy.ndarray] = ()) -> OnnxGraphs:
        """As `Runtime.export`."""
        return export_trunk(stepper, precision, samples)

    def read(self, message: Dict[str, Any]) -> OnnxGraphs:
        """As `Runtime.read`."""
        return OnnxGraphs.read(message)

    def open(self, exported: OnnxGraphs, stepper: LayerStepper) -> OnnxStepper:
        """As `Runtime.open`."""
        if stepper.device.type != "cpu":
            raise ValueError(
                "ONNX graphs run on the CPU, and this model is on a GPU. Set `model.trunk.runtime` to 'torch', or do not call "
                "`spacy.require_gpu`."
            )
        check_graphs(exported)
        return OnnxStepper(exported, stepper.padding)
