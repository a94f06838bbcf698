"""In which precision torch runs a backbone that answers. Training has a setting of its own, `mixed_precision`."""

import copy
import math
import warnings
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Dict, Mapping, Sequence

import numpy
import torch
from torch import nn

from ..trunk.base import Precision
from ..trunk.stepper import LayerStepper
from ..trunk.verification import relative_error

FARTHEST = 0.1
"""How far the last states of a probe may be from those in float32, relative to these, before "auto" stays with float32."""


@dataclass(frozen=True)
class TorchPrecision:
    """A backbone in torch, which is saved anyway.

    precision (str): The precision to run it in.
    """

    precision: Precision

    def to_message(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What is saved."""
        return asdict(self)


class TorchRuntime:
    """Torch in another precision. Whoever names one gets it, whatever it costs."""

    title = "torch"
    precisions: Mapping[str, float] = MappingProxyType(dict.fromkeys(("int8", "bf16", "fp32"), math.inf))

    def export(self, stepper: LayerStepper, precision: Precision, samples: Sequence[numpy.ndarray]) -> TorchPrecision:
        """As `Runtime.export`."""
        return TorchPrecision(precision)

    def read(self, message: Dict[str, Any]) -> TorchPrecision:
        """As `Runtime.read`."""
        return TorchPrecision(**message)

    def open(self, exported: TorchPrecision, stepper: LayerStepper) -> LayerStepper:
        """As `Runtime.open`."""
        return in_precision(stepper, exported.precision)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 rather than imitating it.

    device (torch.device): The device.
    RETURNS (bool): Whether it does.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        has = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        return bool(has()) or bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
    return False


def in_precision(stepper: LayerStepper, precision: Precision) -> LayerStepper:
    """Make a backbone that computes in another precision. The one given stays as it is.

    stepper (LayerStepper): The backbone, in float32.
    precision (str): "fp32"; "bf16"; "int8", on a CPU: weights of linear layers by channel, and what they are multiplied with by
        call; or "auto": bfloat16 where the device computes in it and the states stay near, and float32 with a warning otherwise.
    RETURNS (LayerStepper): The backbone.
    RAISES ValueError: The device, or the family, does not go with the precision.
    """
    if precision == "auto":
        return _choose(stepper)
    if precision == "bf16":
        if not computes_in_bfloat16(stepper.device):
            raise ValueError(
                f"The setting `model.trunk.precision` is 'bf16', and this {stepper.device.type.upper()} does not compute in "
                "bfloat16. Set it to 'fp32', or to 'auto' for what there is."
            )
        # transformers wraps `to`, by which its type loses the model.
        return stepper.with_model(copy.deepcopy(stepper.model).eval().to(torch.bfloat16))  # type: ignore[arg-type]
    return stepper if precision == "fp32" else _in_int8(stepper)


def _choose(stepper: LayerStepper) -> LayerStepper:
    if not computes_in_bfloat16(stepper.device):
        why = f"this {stepper.device.type.upper()} does not compute in bfloat16"
    else:
        converted = in_precision(stepper, "bf16")
        far = relative_error(stepper, converted)
        if far <= FARTHEST:  # not so if it is not a number
            return converted
        why = f"its states in bfloat16 are {far:.0%} off"
    warnings.warn(f"The setting `model.trunk.precision` is 'auto', and this backbone runs in float32: {why}.")
    return stepper


def _in_int8(stepper: LayerStepper) -> LayerStepper:
    if stepper.device.type != "cpu":
        raise ValueError(
            "The setting `model.trunk.precision` is 'int8', which runs on the CPU, and this model is on a GPU. Set it to 'bf16' "
            "or 'fp32', or do not call `spacy.require_gpu`."
        )
    model = copy.deepcopy(stepper.model).eval()
    layers = nn.ModuleList(stepper.with_model(model).layers)
    if not any(isinstance(part, nn.Linear) for part in layers.modules()):
        raise ValueError(
            f"The setting `model.trunk.precision` is 'int8', and the layers of the family '{model.config.model_type}' have no "
            "linear modules that torch could quantize. Set it to 'bf16' or 'fp32'."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch will move this to a package of its own
        try:
            from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

            quantize_dynamic(layers, {nn.Linear: per_channel_dynamic_qconfig}, inplace=True)
        except (ImportError, RuntimeError) as error:
            raise ValueError(
                f"The setting `model.trunk.precision` is 'int8', and torch {torch.__version__} cannot quantize here "
                f"({type(error).__name__}). Set it to 'bf16' or 'fp32', or run ONNX graphs (`python -m spacy epee export`)."
            ) from error
    return stepper.with_model(model)
