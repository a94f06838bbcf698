"""A backbone as ONNX graphs."""

from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any, Dict, List

from spacy.util import is_compatible_version

from ...trunk.packed import RESCALED

FORMAT, READABLE = 4, (3, 4)
"""The layout of exported graphs, and those that can be run. Raise it when an older version could not run newer ones."""

SAVED_AS = {"embedding": "below", "layer_inputs": "given", "layers": "stack", "order": "layers"}
"""The names of fields in what is saved, where they are other ones."""


@dataclass
class OnnxGraphs:
    """A backbone as ONNX graphs.

    precision (str): "fp32", or "int8": weights of matrix products by channel, and what they are multiplied with by call.
    embedding (bytes): From `input_ids` and `attention_mask`, or one of them, to `hidden`.
    layer_inputs (bytes): From the same to what the layers are given beside it. Empty if that is nothing.
    layers (bytes): From states, that, and which layers to run, to `hidden_out`, and to `read`, what heads see, if that is
        something else. In format 3 it runs one layer, in format 4 any number.
    order (List[int]): The number of each layer among the branches of `layers`; some families call one several times.
    names (List[str]): All that is given to layers, in the order in which `layer_inputs` returns it.
    row_args (List[str]): Those with an entry for each row of a batch.
    masks (List[str]): Those that are not read in a batch without padding, of which the input `PADDED` tells.
    rescaled (List[List[Any]]): What `layers` has of weights in int8, so that it need not be saved: see `trunk.packed.RESCALED`.
    made_with (str): The versions of torch and transformers.
    format (int): `FORMAT`.
    """

    precision: str = ""
    embedding: bytes = b""
    layer_inputs: bytes = b""
    layers: bytes = b""
    order: List[int] = field(default_factory=list)
    names: List[str] = field(default_factory=list)
    row_args: List[str] = field(default_factory=list)
    masks: List[str] = field(default_factory=list)
    rescaled: List[List[Any]] = field(default_factory=list)
    made_with: str = ""
    format: int = FORMAT

    def to_message(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What is saved."""
        return {SAVED_AS.get(name, name): value for name, value in asdict(self).items() if value or name != RESCALED}

    @classmethod
    def read(cls, message: Dict[str, Any]) -> "OnnxGraphs":
        """RETURNS (OnnxGraphs): What was saved. Of another format nothing is known but its number."""
        if message["format"] not in READABLE:
            return cls(format=message["format"])
        fields = {saved: name for name, saved in SAVED_AS.items()}
        return cls(**{fields.get(name, name): value for name, value in message.items()})


def reads_values(graph: bytes, name: str) -> bool:
    """Whether what comes out of a graph depends on an input, and not on its shape alone.

    graph (bytes): The graph, without others in it.
    name (str): The input.
    RETURNS (bool): Whether it does, or may do.
    """
    import onnx

    own = onnx.load_model_from_string(graph).graph
    if any(attribute.HasField("g") for node in own.node for attribute in node.attribute):
        return True
    made = {output: node for node in own.node for output in node.output}
    seen, left = set(), [output.name for output in own.output]
    while left:
        value = left.pop()
        if value not in seen:
            seen.add(value)
            left += made[value].input if value in made and made[value].op_type != "Shape" else []
    return name in seen


OLDEST = "1.22"
"""The oldest version of ONNX Runtime. Before, masks of fused attention are read in another way, and answers are wrong."""


def require(*modules: str) -> None:
    """RAISES ValueError: One of the modules is not installed, or ONNX Runtime is too old."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ValueError(
            f"The runtime 'onnx' needs {' and '.join(missing)}. Run `pip install \"spacy_epee[onnx]\"`, or set "
            "`model.trunk.runtime` to 'torch'."
        )
    if "onnxruntime" in modules:
        import onnxruntime

        if not is_compatible_version(onnxruntime.__version__, f">={OLDEST}"):
            raise ValueError(
                f"The runtime 'onnx' needs ONNX Runtime {OLDEST} or newer, and {onnxruntime.__version__} is installed. Update it "
                "with `pip install -U onnxruntime`, or set `model.trunk.runtime` to 'torch'."
            )
