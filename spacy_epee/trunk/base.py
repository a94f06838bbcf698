"""What can be climbed."""

from typing import Union

from ..runtimes.onnx.stepper import OnnxStepper
from .stepper import LayerStepper

Runner = Union[LayerStepper, OnnxStepper]
"""What steps a batch up the layers."""
