"""What is asked of ONNX graphs that come with a pipeline before they answer."""

from typing import TYPE_CHECKING, Iterator

from . import attention, ranges
from .attention import DOMAIN
from .graphs import READABLE, OnnxGraphs, require

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

_OPERATIONS = (attention.OPERATION, ranges.OPERATION)
"""Those of ONNX Runtime's own that are written."""

_REMEDY = "Make them anew with `python -m spacy epee export`, or set `model.trunk.runtime` to 'torch'."


def check_graphs(exported: OnnxGraphs) -> None:
    """Check that graphs are no more than graphs.

    exported (OnnxGraphs): The graphs.
    RAISES ValueError: They have operations of others, or read other files.
    """
    require("onnx")
    import onnx

    if exported.format not in READABLE:
        return  # which is said where they are opened
    for content in (exported.embedding, exported.layer_inputs, exported.layers):
        if not content:
            continue
        try:
            model = onnx.load_model_from_string(content)
        except Exception as error:  # protobuf's own kinds
            raise ValueError(f"The ONNX graphs of this pipeline cannot be read. {_REMEDY}") from error
        if len(model.functions) or not all(_known(node) for graph in _graphs(model.graph) for node in graph.node):
            raise ValueError(f"The ONNX graphs of this pipeline have operations that are not those of ONNX. {_REMEDY}")
        if any(_external(tensor) for graph in _graphs(model.graph) for tensor in _tensors(graph)):
            raise ValueError(f"The ONNX graphs of this pipeline read other files. {_REMEDY}")


def _known(node: "NodeProto") -> bool:
    return node.domain in ("", "ai.onnx") or (node.domain == DOMAIN and node.op_type in _OPERATIONS)


def _external(tensor: "TensorProto") -> bool:
    return tensor.data_location == tensor.EXTERNAL or len(tensor.external_data) > 0


def _graphs(graph: "GraphProto") -> Iterator["GraphProto"]:
    """A graph and those in its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for own in ([attribute.g] if attribute.HasField("g") else [], attribute.graphs):
                for inner in own:
                    yield from _graphs(inner)


def _tensors(graph: "GraphProto") -> Iterator["TensorProto"]:
    """The constants of a graph."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            single = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for sparse in (*single, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
