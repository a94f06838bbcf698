"""Writing modules as ONNX graphs."""

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
"""The first with a layer norm of its own."""


def write(
    module: nn.Module,
    file: Any,
    inputs: Dict[str, Tensor],
    outputs: List[str],
    axes: Dict[str, Dict[int, str]],
    **settings: Any,
) -> None:
    """Write a module in ONNX.

    module (nn.Module): The module.
    file (Union[str, BinaryIO]): Where.
    inputs (Dict[str, Tensor]): What it is traced with, by name.
    outputs (List[str]): Names for what it returns.
    axes (Dict[str, Dict[int, str]]): The axes of any size, of inputs and outputs.
    settings (Any): More settings of the exporter.
    """
    torch.onnx.export(
        module,
        tuple(inputs.values()),
        file,
        input_names=list(inputs),
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
        **settings,
    )


def quantize(source: Path, target: Path, **settings: Any) -> None:
    """Write a graph with weights as int8, by channel; what they are multiplied with is scaled anew in each call.

    source (Path): The graph.
    target (Path): Where to write.
    settings (Any): More settings of `quantize_dynamic`.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice that is not for users
    try:
        quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8, **settings)
    finally:
        logging.disable(before)


def quantize_model(model: "ModelProto") -> "ModelProto":
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        # Nothing can be told of what comes out of ONNX Runtime's own operations.
        extra = {"DefaultTensorType": onnx.TensorProto.FLOAT}
        quantize(source, target, op_types_to_quantize=["MatMul", "Gemm"], extra_options=extra)
        return onnx.load(target)
