"""Int8 in ONNX Runtime whose ranges are measured on texts"""

import numpy
import pytest
from util import SENTENCES, make_nlp, make_texts

for module in ("onnx", "onnxruntime", "spacy_transformers"):
    pytest.importorskip(module)

import onnx  # noqa: E402
import spacy  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from spacy_epee.runtimes.onnx.attention import DOMAIN  # noqa: E402
from spacy_epee.runtimes.onnx.ranges import OPERATION, RangeMeter, find_products, quantize_static  # noqa: E402
from spacy_epee.trunk.verification import relative_error  # noqa: E402

LABELS = ["ACUTE", "STABLE", "HISTORY"]
WIDTH, WIDER = 6, 10
TEXTS = make_texts(30, seed=3)


def layer(nodes, constants, outputs=("hidden_out",)):
    """A layer over the states `hidden`."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("hidden", *outputs)]
    weights = [numpy_helper.from_array(value.astype("float32"), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "layer", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def random(*shape, seed=0):
    return numpy.random.default_rng(seed).normal(size=shape).astype("float32")


def run(model, hidden):
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"hidden": hidden})[0]


def quantized(model, hidden):
    meter = RangeMeter([model])
    meter.climb([0], hidden, {})
    return quantize_static(model, meter.ranges[0])[0]


@pytest.mark.parametrize(
    "nodes, constants",
    [
        ([("MatMul", ["hidden", "w"], {})], {"w": random(WIDTH, WIDER)}),
        ([("MatMul", ["hidden", "w"], {}), ("Add", ["b", "0"], {})], {"w": random(WIDTH, WIDER), "b": random(WIDER)}),
        ([("Gemm", ["hidden", "w", "b"], {})], {"w": random(WIDTH, WIDER), "b": random(WIDER)}),
        ([("Gemm", ["hidden", "w", "b"], {"transB": 1})], {"w": random(WIDER, WIDTH), "b": random(WIDER)}),
    ],
    ids=["product", "product and biases", "Gemm", "transposed Gemm"],
)
def test_products_with_weights_are_in_int8_and_near(nodes, constants):
    names = [*map(str, range(len(nodes) - 1)), "hidden_out"]
    model = layer([helper.make_node(kind, given, [name], **own) for (kind, given, own), name in zip(nodes, names)], constants)
    hidden = random(9, WIDTH, seed=1) * 10.0 ** numpy.arange(-2, 4, dtype="float32")  # channels of very different size
    found = quantized(model, hidden)
    assert [node.op_type for node in found.graph.node] == ["Mul", "QuantizeLinear", OPERATION]
    expected = run(model, hidden)
    assert numpy.abs(run(found, hidden) - expected).mean() < 0.02 * numpy.abs(expected).mean()


def test_what_is_read_several_times_is_rounded_once():
    nodes = [helper.make_node("MatMul", ["hidden", name], [f"{name}_out"]) for name in ("q", "k")]
    nodes.append(helper.make_node("Add", ["q_out", "k_out"], ["hidden_out"]))
    found = quantized(layer(nodes, {"q": random(WIDTH, WIDER), "k": random(WIDTH, WIDER, seed=1)}), random(9, WIDTH, seed=2))
    assert [node.op_type for node in found.graph.node].count("QuantizeLinear") == 1


def test_products_of_other_kinds_stay_as_they_are():
    nodes = [
        helper.make_node("Transpose", ["hidden"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["hidden", "turned"], ["square"]),  # of two states
        helper.make_node("Gemm", ["square", "w", "b"], ["hidden_out"], alpha=2.0),
    ]
    model = layer(nodes, {"w": random(9, 4), "b": random(4)})
    assert find_products(model) == [] and quantized(model, random(9, WIDTH)).graph.node == model.graph.node


def test_what_somebody_else_reads_before_biases_are_added_is_still_there():
    nodes = [helper.make_node("MatMul", ["hidden", "w"], ["plain"]), helper.make_node("Add", ["plain", "b"], ["hidden_out"])]
    model = layer(nodes, {"w": random(WIDTH, WIDER), "b": random(WIDER)}, outputs=("hidden_out", "plain"))
    [product] = find_products(model)
    assert product.added is None and product.output == "plain"


def test_channels_that_are_always_zero_do_no_harm():
    hidden = random(9, WIDTH)
    hidden[:, 2] = 0
    found = quantized(layer([helper.make_node("MatMul", ["hidden", "w"], ["hidden_out"])], {"w": random(WIDTH, 4)}), hidden)
    assert numpy.isfinite(run(found, hidden)).all()
    assert numpy.isfinite(run(found, hidden * 0)).all()
    nothing = quantized(layer([helper.make_node("MatMul", ["hidden", "w"], ["hidden_out"])], {"w": random(WIDTH, 4)}), hidden * 0)
    assert numpy.isfinite(run(nothing, hidden)).all()


def test_layers_that_are_called_again_have_the_ranges_of_all_calls():
    model = layer([helper.make_node("MatMul", ["hidden", "w"], ["hidden_out"])], {"w": 2 * numpy.eye(3)})
    meter = RangeMeter([model])
    meter.climb([0, 0], numpy.ones((1, 2, 3), dtype="float32"), {})
    assert meter.ranges[0]["hidden"].tolist() == [2, 2, 2]


@pytest.mark.parametrize("family", ["bert", "albert", "gpt2"])  # each its own way: shared layers, and Gemm
def test_int8_answers_of_a_text_do_not_depend_on_its_batch(backbones, family):
    nlp = make_nlp(backbones(family), LABELS)
    pipe = nlp.get_pipe("epee_textcat")
    shim = pipe.model.get_ref("trunk").shims[0]
    pipe.set_exit(None)
    shim.export("onnx", "int8", [nlp.make_doc(text) for text in TEXTS])
    together, alone = (
        numpy.log([list(doc.cats.values()) for doc in docs]) for docs in (nlp.pipe(TEXTS, batch_size=30), map(nlp, TEXTS))
    )
    # A sum in another order can be rounded to a neighbouring byte. With ranges of each call it is ten times as much.
    assert numpy.abs(together - alone).max() < 0.01
    assert 1e-4 < relative_error(shim.stepper, shim.runner, True) < 0.05


def test_without_texts_ranges_are_those_of_each_call(backbone):
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    shim = nlp.get_pipe("epee_textcat").model.get_ref("trunk").shims[0]
    shim.export("onnx", "int8")
    kinds = {node.op_type for graph in graphs(onnx.load_model_from_string(shim.exported.layers).graph) for node in graph.node}
    assert "DynamicQuantizeLinear" in kinds and OPERATION not in kinds


def graphs(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)


def test_graphs_with_measured_ranges_are_saved_and_read(backbone, tmp_path):
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    shim = nlp.get_pipe("epee_textcat").model.get_ref("trunk").shims[0]
    shim.export("onnx", "int8", [nlp.make_doc(text) for text in SENTENCES])
    nlp.to_disk(tmp_path / "int8")
    assert spacy.load(tmp_path / "int8")(SENTENCES[0]).cats == nlp(SENTENCES[0]).cats
    assert DOMAIN in {known.domain for known in onnx.load_model_from_string(shim.exported.layers).opset_import}
