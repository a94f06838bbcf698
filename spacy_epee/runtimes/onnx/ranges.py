"""Int8 with ranges that are measured once, on texts. Every text is then scaled in the same way, whatever else is in its batch."""

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple

import numpy

from ...trunk.quantized import rescale
from .attention import DOMAIN

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

Ranges = Dict[str, numpy.ndarray]
"""The largest absolute value of each channel of what is multiplied with weights, (K,), by its name in a layer."""

Rescaled = Tuple[numpy.ndarray, numpy.ndarray]
"""Weights (K, N), and what their rows were multiplied with before they were rounded, (K,)."""

SHARE = 0.85
"""How much of the difference between channels is moved into the weights (SmoothQuant, Xiao et al. 2023, section 4, its alpha).
From 0.8 to 0.95 the states of two encoders are the nearest to those in float32."""

OPERATION = "MatMulIntegerToFloat"

_ONE, _MIDDLE = "int8/one", "int8/middle"
"""Constants: a scale of 1, and the byte that stands for 0."""


@dataclass
class Product:
    """Something times weights, and plus biases.

    node (NodeProto): The product.
    source (str): What is multiplied.
    weights (ndarray): The weights, (K, N).
    bias (str): What is added, (N,); empty for nothing.
    output (str): What comes out.
    added (Optional[NodeProto]): What adds it, if that is not the product itself.
    """

    node: "NodeProto"
    source: str
    weights: numpy.ndarray
    bias: str
    output: str
    added: Optional["NodeProto"] = None


def find_products(model: "ModelProto") -> List[Product]:
    """RETURNS (List[Product]): All products of a layer with weights."""
    from onnx import numpy_helper

    constants = {part.name: part for part in model.graph.initializer}
    readers: Dict[str, List["NodeProto"]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    returned = {part.name for part in model.graph.output}
    products = []
    for node in model.graph.node:
        weights = constants.get(node.input[1]) if node.op_type in ("MatMul", "Gemm") else None
        if weights is None or len(weights.dims) != 2 or node.input[0] in constants:
            continue
        array = numpy_helper.to_array(weights)
        if node.op_type == "Gemm":
            settings = {part.name: part for part in node.attribute}
            plain = all(settings[name].f == 1 for name in ("alpha", "beta") if name in settings)
            bias = node.input[2] if len(node.input) > 2 else ""
            if not plain or ("transA" in settings and settings["transA"].i) or (bias and not _is_bias(constants, bias)):
                continue
            array = array.T if "transB" in settings and settings["transB"].i else array
            products.append(Product(node, node.input[0], array, bias, node.output[0]))
            continue
        product = Product(node, node.input[0], array, "", node.output[0])
        adding = readers[product.output]
        if len(adding) == 1 and adding[0].op_type == "Add" and product.output not in returned:
            [bias] = [name for name in adding[0].input if name != product.output] or [""]
            if _is_bias(constants, bias):
                product.bias, product.output, product.added = bias, adding[0].output[0], adding[0]
        products.append(product)
    return products


def _is_bias(constants: Dict[str, "TensorProto"], name: str) -> bool:
    return name in constants and len(constants[name].dims) == 1


class RangeMeter:
    """Runs layers in float32 and keeps the ranges of what is multiplied with weights."""

    def __init__(self, models: Sequence["ModelProto"]):
        """
        models (Sequence[ModelProto]): The layers, in float32.
        """
        import onnxruntime
        from onnx import ModelProto, TensorProto, helper

        self.ranges: List[Ranges] = []
        self._sessions = []
        for model in models:
            watched = ModelProto()
            watched.CopyFrom(model)
            names = list(dict.fromkeys(product.source for product in find_products(model)))
            inside = {name for node in model.graph.node for name in node.output} - {part.name for part in model.graph.output}
            watched.graph.output.extend(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name in inside
            )
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
            self._sessions.append((session, [part.name for part in session.get_inputs()], [*watched.graph.output]))
            self.ranges.append({name: numpy.zeros(0, dtype="float32") for name in names})

    def climb(self, order: Sequence[int], hidden: numpy.ndarray, given: Dict[str, numpy.ndarray]) -> None:
        """Look at a batch without padding.

        order (Sequence[int]): The number of each layer among the models.
        hidden (ndarray): The states below the first layer, (W, T, H).
        given (Dict[str, ndarray]): What layers are given beside them.
        """
        for number in order:
            session, needed, outputs = self._sessions[number]
            feeds = {**given, "hidden": hidden}
            values = dict(zip((part.name for part in outputs), session.run(None, {name: feeds[name] for name in needed})))
            ranges = self.ranges[number]
            for name, before in ranges.items():
                seen = values[name] if name in values else feeds[name]
                most = numpy.abs(seen).reshape(-1, seen.shape[-1]).max(axis=0)
                ranges[name] = most if not len(before) else numpy.maximum(before, most)
            hidden = values[outputs[0].name]


def quantize_static(model: "ModelProto", ranges: Ranges) -> Tuple["ModelProto", List[Rescaled]]:
    """Write a layer with weights as int8, by channel, and what they are multiplied with as bytes of a fixed range.

    model (ModelProto): The layer in float32.
    ranges (Ranges): What was measured.
    RETURNS (Tuple[ModelProto, List[Tuple[ndarray, ndarray]]]): The layer in int8; and the weights in it as they were, with what
        their rows were multiplied with.
    """
    from onnx import ModelProto, helper, numpy_helper

    written = ModelProto()
    written.CopyFrom(model)
    graph = written.graph
    products = {product.output: product for product in find_products(written)}
    added = {id(product.added): product for product in products.values() if product.added is not None}
    scales = {source: _scales(source, ranges[source], products.values()) for source in ranges}
    constants = {_ONE: numpy.array(1, dtype="float32"), _MIDDLE: numpy.array(128, dtype="uint8")}
    nodes: List["NodeProto"] = []
    rescaled: List[Rescaled] = []
    scaled = set()
    by_node = {id(product.node): product for product in products.values()}
    for node in graph.node:
        product = by_node.get(id(node))
        if product is None:
            if id(node) not in added:
                nodes.append(node)
            continue
        source, scale = product.source, scales[product.source]
        if source not in scaled:
            scaled.add(source)
            constants[f"{source}/int8/inverse"] = 1 / scale
            nodes.append(helper.make_node("Mul", [source, f"{source}/int8/inverse"], [f"{source}/int8/scaled"]))
            nodes.append(helper.make_node("QuantizeLinear", [f"{source}/int8/scaled", _ONE, _MIDDLE], [f"{source}/int8/bytes"]))
        weights, steps = rescale(product.weights, scale)
        rescaled.append((product.weights, scale))
        names = [f"{product.output}/int8/{part}" for part in ("weights", "steps")]
        constants.update(zip(names, (weights, steps)))
        inputs = [f"{source}/int8/bytes", names[0], _ONE, names[1], _MIDDLE, *(["", product.bias] if product.bias else [])]
        nodes.append(helper.make_node(OPERATION, inputs, [product.output], domain=DOMAIN))
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input} | {part.name for part in graph.output}
    kept = [part for part in graph.initializer if part.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items() if name in read)
    del graph.value_info[:]
    if DOMAIN not in {known.domain for known in written.opset_import}:
        written.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return written, rescaled


def _scales(source: str, most: numpy.ndarray, products) -> numpy.ndarray:
    """What each channel is divided by to be a byte, (K,) float32."""
    weights = numpy.maximum.reduce([numpy.abs(each.weights).max(axis=1) for each in products if each.source == source])
    most = numpy.maximum(most, 1e-4 * max(float(most.max()), 1e-20))  # of channels that were never seen to do anything
    weights = numpy.maximum(weights, 1e-4 * max(float(weights.max()), 1e-20))
    smooth = most**SHARE / weights ** (1 - SHARE)
    return (smooth * (most / smooth).max() / 127).astype("float32")
