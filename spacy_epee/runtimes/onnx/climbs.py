"""ONNX graphs of layers that look at one unit between them, and stop where a rule says so. They are made here, of graphs that are
checked, when they are first needed, and run batches without looks as well."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import numpy

from ...trunk.looks import Form
from .branches import FIRST
from .looks import EXIT, FIRED, FOUND, LAST, PREFIX, SCALED, LookNodes
from .writing import OPSET

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

LAYER = LAST + "layer"
"""The number of the last layer that was run, () int64."""

BEHIND = PREFIX + "behind/"
"""How the names begin of what a layer gives to the next one."""

GOING = PREFIX + "going"
"""Whether the next layer is run."""

RESULTS = [BEHIND + name.removeprefix(LAST) for name in (LAYER, FOUND, FIRED)]
"""The outputs of a climb."""

TABLES = {"exits": "int64", "pool": "float32", "weights": "float32", "biases": "float32"}
TABLES.update({"thresholds": "float64", "numbers": "float64"})
STARTS = {"runs": "float64", "votes": "float64", "found": "float32", "scaled": "float64"}
"""Inputs, by the names of `Looks`: what is the same for all layers, and what is carried from one to the next."""


def with_looks(layers: bytes, form: Form) -> Optional[bytes]:
    """Have a graph of layers look between them.

    layers (bytes): The graph, as `branches.join` makes it.
    form (Form): What is looked at.
    RETURNS (Optional[bytes]): The graph, with more inputs and with the outputs `RESULTS`. None if it is none of these graphs.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_model_from_string(layers)
    loop = _loop(model)
    if loop is None:
        return None
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    states = body.output[-1].name  # behind the final norm, if there is one
    looks = LookNodes(form, states)
    known = {part.name for part in model.graph.input}
    if FIRST not in known:
        model.graph.input.append(_value(FIRST, "int64"))
    kinds = {FOUND: "float32", FIRED: "bool", SCALED: "float64"}
    carried = {name: kinds.get(name, "float64") for name in looks.carried}
    start, starts = _start(form, looks)
    _look(body, looks, carried)
    for name, kind in {**carried, LAYER: "int64"}.items():
        behind = BEHIND + name.removeprefix(LAST)
        body.input.append(_value(name, kind))
        body.output.append(_value(behind, kind))
        loop.input.append(starts[name])
        loop.output.append(f"{behind}/last")
    nodes = list(model.graph.node)
    del model.graph.node[:]
    ends = [helper.make_node("Identity", [f"{name}/last"], [name]) for name in RESULTS]
    model.graph.node.extend([*start, *nodes, *ends])
    model.graph.initializer.append(numpy_helper.from_array(numpy.zeros(len(form.tests), dtype=bool), starts[FIRED]))
    used = {name for node in [*start, *looks.nodes, *body.node] for name in node.input} | set(loop.input)
    inputs = {PREFIX + name: kind for name, kind in {**TABLES, **STARTS}.items() if PREFIX + name in used}
    model.graph.input.extend(_value(name, kind) for name, kind in inputs.items())
    model.graph.output.extend(_value(name, kind) for name, kind in zip(RESULTS, ("int64", "float32", "bool")))
    return model.SerializeToString()


def without_looks(form: Form, depth: int) -> Dict[str, numpy.ndarray]:
    """RETURNS (Dict[str, ndarray]): Inputs for a graph that looks, so that it does not look."""
    logits = form.labels + form.learned
    shapes: Dict[str, Tuple[int, ...]] = dict.fromkeys(TABLES, (1,))
    shapes.update(
        runs=(_many(form, "run"),), votes=(_many(form, "votes"), form.labels), found=(1, logits), scaled=(1, form.labels)
    )
    off = {PREFIX + name: numpy.zeros(shapes[name], dtype=kind) for name, kind in {**TABLES, **STARTS}.items()}
    return {**off, PREFIX + "exits": numpy.full(depth, -1)}


def _many(form: Any, kind: str) -> int:
    """How many tests of a kind there are, in others too."""
    if not isinstance(form, tuple):
        return 0
    return (form[:1] == (kind,)) + sum(_many(part, kind) for part in form)


def _loop(model: "ModelProto") -> Optional["NodeProto"]:
    """The loop over layers, of a graph that has nothing else."""
    nodes = model.graph.node
    versions = {known.version for known in model.opset_import if known.domain in ("", "ai.onnx")}
    return nodes[0] if len(nodes) == 1 and nodes[0].op_type == "Loop" and versions == {OPSET} else None


def _start(form: Form, looks: LookNodes) -> Tuple[List["NodeProto"], Dict[str, str]]:
    """What is carried into the first layer: the nodes that take it from inputs, and its names."""
    from onnx import helper

    nodes: List["NodeProto"] = []
    starts = {name: PREFIX + "start/" + name.removeprefix(LAST) for name in [*looks.carried, LAYER]}
    starts.update({FOUND: PREFIX + "found", SCALED: PREFIX + "scaled", LAYER: FIRST})
    for name, own in starts.items():
        table, _, place = name.removeprefix(LAST).partition("/")
        if place:
            index = helper.make_tensor(f"{own}/place", 7, [1], [int(place)])
            nodes.append(helper.make_node("Constant", [], [f"{own}/place"], value=index))
            nodes.append(helper.make_node("Gather", [PREFIX + table, f"{own}/place"], [own], axis=0))
    return nodes, starts


def _look(body: "GraphProto", looks: LookNodes, carried: Dict[str, str]) -> None:
    """Have the body of the loop look behind a layer that has an exit."""
    from onnx import helper, numpy_helper

    names = [GOING, *(BEHIND + name.removeprefix(LAST) for name in carried)]
    kinds = ["bool", *carried.values()]
    stopped = helper.make_node("Not", [looks.stop], [f"{PREFIX}on"])
    there = _branch("there", [*looks.nodes, stopped], [f"{PREFIX}on", *looks.carried.values()], kinds)
    there.initializer.extend(looks.constants)
    always = helper.make_node("Constant", [], [f"{PREFIX}always"], value=helper.make_tensor("", 9, [], [True]))
    away = _branch("away", [always], [f"{PREFIX}always", *carried], kinds)
    body.initializer.extend(numpy_helper.from_array(numpy.array(value), f"{PREFIX}{value}") for value in (0, 1))
    body.node.extend(
        [
            helper.make_node("Gather", [f"{PREFIX}exits", LAYER], [EXIT], axis=0),
            helper.make_node("GreaterOrEqual", [EXIT, f"{PREFIX}0"], [f"{PREFIX}looks"]),
            helper.make_node("If", [f"{PREFIX}looks"], names, then_branch=there, else_branch=away),
            helper.make_node("Add", [LAYER, f"{PREFIX}1"], [BEHIND + "layer"]),
        ]
    )
    body.output[0].name = GOING


def _branch(name: str, nodes: List["NodeProto"], values: List[str], kinds: List[str]) -> "GraphProto":
    """A graph without inputs of its own that gives some values."""
    from onnx import helper

    made = {output for node in nodes for output in node.output}
    results = [value if value in made else f"{PREFIX}{name}/{value}" for value in values]
    copies = [helper.make_node("Identity", pair[:1], pair[1:]) for pair in zip(values, results) if pair[0] != pair[1]]
    return helper.make_graph([*nodes, *copies], name, [], [_value(*pair) for pair in zip(results, kinds)])


def _value(name: str, kind: str) -> "ValueInfoProto":
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(numpy.dtype(kind)), None)
