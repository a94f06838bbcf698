"""What is asked of ONNX graphs that come with a pipeline before they answer."""

from typing import TYPE_CHECKING, Any, Iterator

from ...trunk.stepper import LayerStepper
from .attention import DOMAIN, OPERATION
from .export import NEAR
from .graphs import FORMAT, OnnxGraphs, require

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

LIMITS = {"fp32": NEAR, "int8": 0.5}
"""How far the last states of a probe may be from those of torch, relative to these. In int8 it is 0.01 to 0.03 for random weights
of nine families and 0.14 for MiniLM, and more on CPUs that saturate; graphs of another model are at 1 and above."""

_REMEDY = "Make them anew with `python -m spacy epee export`, or set `model.trunk.runtime` to 'torch'."


def check_graphs(exported: OnnxGraphs) -> None:
    """Check that graphs are no more than graphs.

    exported (OnnxGraphs): The graphs.
    RAISES ValueError: They have operations of others, or read other files.
    """
    require("onnx")
    import onnx

    if exported.format != FORMAT:
        return  # which is said where they are opened
    for content in (exported.below, exported.given, exported.stack):
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


def check_answers(stepper: LayerStepper, runner: Any, precision: str) -> None:
    """Check that graphs give what torch gives, in a padded batch and in another one.

    stepper (LayerStepper): The model.
    runner (OnnxStepper): The graphs.
    precision (str): That of the graphs.
    RAISES ValueError: They give something else, or nothing.
    """
    limit = LIMITS.get(precision, 0.0)
    training = stepper.model.training
    stepper.model.eval()  # as it is when it answers
    try:
        near = runner.depth == stepper.depth and all(stepper.relative_error(runner, padded) <= limit for padded in (True, False))
    except Exception:  # onnxruntime's own kinds, and whatever arrays of other shapes and names come to
        near = False
    finally:
        stepper.model.train(training)
    if not near:  # not so either if it is not a number
        raise ValueError(f"The ONNX graphs of this pipeline give something else than its layers. {_REMEDY}")


def _known(node: "NodeProto") -> bool:
    return node.domain in ("", "ai.onnx") or (node.domain, node.op_type) == (DOMAIN, OPERATION)


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
            found = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for sparse in (*found, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
