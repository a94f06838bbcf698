"""One ONNX graph that runs any layers of several, one after the other.

All layers in one session share its threads, and what is run in one call costs less than in several. With a session for each,
the threads of one layer would have to be woken while those of the layer below wait busily, and a layer of a short text takes
less time than that.
"""

from typing import TYPE_CHECKING, List, Mapping, Sequence, Tuple

import numpy

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

STATES = "states"
"""The input with the states below the first of the layers that are run."""

HIDDEN = "hidden"
"""The same within a layer."""

FIRST, COUNT = "first", "count"
"""The inputs that say which layers are run: the number of the first, from 0, and how many, both () int64."""

CHOICE = "layer"
"""The number of a graph, (1,) int64; before format 4 the input that said which one is run."""


def join(models: Sequence["ModelProto"], order: Sequence[int]) -> bytes:
    """Put layers into one graph.

    models (Sequence[ModelProto]): The graphs of layers, from `HIDDEN` and others to the same outputs: the states behind the
        layer, and perhaps what heads see of them.
    order (Sequence[int]): The number of the graph of each layer.
    RETURNS (bytes): A graph with all their inputs, with `STATES` for `HIDDEN`, and `FIRST` and `COUNT`.
    """
    from onnx import TensorProto, helper, numpy_helper

    inputs = {part.name: part for model in models for part in model.graph.input if part.name != HIDDEN}
    outputs = list(models[0].graph.output)
    carried = [HIDDEN, *(f"{part.name}/before" for part in outputs[1:])]
    nodes, constants, found = _choose(models, 0, len(models))
    find = [
        helper.make_node("Add", ["turn", FIRST], ["place"]),
        helper.make_node("Gather", ["order", "place"], ["number"]),
        helper.make_node("Unsqueeze", ["number", "axis"], [CHOICE]),
    ]
    constants += [numpy_helper.from_array(numpy.array(order, dtype="int64"), "order")]
    constants += [numpy_helper.from_array(numpy.array([0], dtype="int64"), "axis")]
    results = [f"{part.name}/behind" for part in outputs]
    nodes = [*(find if len(models) > 1 else []), *nodes, helper.make_node("Identity", ["go"], ["going"])]
    nodes += [helper.make_node("Identity", [name], [result]) for name, result in zip(found, results)]
    floats, whole, flag = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        nodes,
        "turns",
        [value("turn", whole, []), value("go", flag, []), *(value(name, floats, None) for name in carried)],
        [value("going", flag, []), *(value(name, floats, None) for name in results)],
        constants,
    )
    loop = helper.make_node("Loop", [COUNT, "", *[STATES] * len(carried)], [part.name for part in outputs], body=body)
    asked = [value(STATES, floats, ["rows", "length", None]), *inputs.values()]
    asked += [value(name, whole, []) for name in ((FIRST, COUNT) if len(models) > 1 else (COUNT,))]
    graph = helper.make_graph([loop], "layers", asked, outputs)
    versions = {known.domain: known for model in models for known in model.opset_import}
    ir_version = max(model.ir_version for model in models)
    return helper.make_model(graph, opset_imports=list(versions.values()), ir_version=ir_version).SerializeToString()


def _choose(models: Sequence["ModelProto"], first: int, stop: int) -> Tuple[List, List, List[str]]:
    """What runs one of some graphs, by halves: nodes, constants, and the names of what comes out."""
    from onnx import compose, helper, numpy_helper

    if stop - first == 1:
        graph = models[first].graph
        own = compose.add_prefix_graph(graph, f"{first}/", rename_inputs=False)
        _rename(own, {f"{first}/{part.name}": part.name for part in graph.input})  # before ONNX 1.19 nodes get the prefix
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


def _rename(graph: "GraphProto", names: Mapping[str, str]) -> None:
    """Have the nodes of a graph, and of the graphs in it, read values of other names."""
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names)


def _branch(models: Sequence["ModelProto"], first: int, stop: int) -> "GraphProto":
    """A graph without inputs of its own: it sees those of the whole."""
    from onnx import TensorProto, helper

    nodes, constants, names = _choose(models, first, stop)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    return helper.make_graph(nodes, f"{first}-{stop}", [], outputs, constants)
