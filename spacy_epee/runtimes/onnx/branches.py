"""One ONNX graph that runs any one of several.

All layers in one session share its threads. With a session for each, the threads of one layer would have to be woken while
those of the layer below wait busily, and a layer of a short text takes less time than that.
"""

from typing import TYPE_CHECKING, List, Sequence, Tuple

import numpy

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

CHOICE = "layer"
"""The input that says which graph is run."""


def join(models: Sequence["ModelProto"]) -> bytes:
    """Put graphs into one.

    models (Sequence[ModelProto]): The graphs, all with the same outputs.
    RETURNS (bytes): A graph with all their inputs, and `CHOICE`, which of them to run, (1,) int64. The latter is not there if
        there is but one.
    """
    import onnx
    from onnx import helper

    if len(models) == 1:
        return models[0].SerializeToString()
    inputs = {part.name: part for model in models for part in model.graph.input}
    inputs[CHOICE] = helper.make_tensor_value_info(CHOICE, onnx.TensorProto.INT64, [1])
    outputs = list(models[0].graph.output)
    nodes, constants, found = _choose(models, 0, len(models))
    nodes += [helper.make_node("Identity", [name], [part.name]) for name, part in zip(found, outputs)]
    whole = helper.make_graph(nodes, "layers", list(inputs.values()), outputs, constants)
    versions = {known.domain: known for model in models for known in model.opset_import}
    ir_version = max(model.ir_version for model in models)
    return helper.make_model(whole, opset_imports=list(versions.values()), ir_version=ir_version).SerializeToString()


def _choose(models: Sequence["ModelProto"], first: int, stop: int) -> Tuple[List, List, List[str]]:
    """What runs one of some graphs, by halves: nodes, constants, and the names of what comes out."""
    from onnx import compose, helper, numpy_helper

    if stop - first == 1:
        own = compose.add_prefix_graph(models[first].graph, f"{first}/", rename_inputs=False)
        return list(own.node), list(own.initializer), [part.name for part in own.output]
    middle = (first + stop) // 2
    name = f"{first}-{stop}"
    branches = [_branch(models, *half) for half in ((first, middle), (middle, stop))]
    outputs = [f"{name}/{number}" for number in range(len(branches[0].output))]
    nodes = [
        helper.make_node("Less", [CHOICE, f"{name}/middle"], [f"{name}/below"]),
        helper.make_node("If", [f"{name}/below"], outputs, then_branch=branches[0], else_branch=branches[1]),
    ]
    return nodes, [numpy_helper.from_array(numpy.array([middle]), f"{name}/middle")], outputs


def _branch(models: Sequence["ModelProto"], first: int, stop: int) -> "GraphProto":
    """A graph without inputs of its own: it sees those of the whole."""
    from onnx import TensorProto, helper

    nodes, constants, names = _choose(models, first, stop)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    return helper.make_graph(nodes, f"{first}-{stop}", [], outputs, constants)
