"""ONNX graphs that came with a pipeline and do not give what its layers give, or are more than graphs."""

from dataclasses import replace
from pathlib import Path

import pytest
import spacy
from util import SENTENCES, make_model

for module in ("onnx", "onnxruntime", "spacy_transformers"):
    pytest.importorskip(module)

import numpy  # noqa: E402
import onnx  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from spacy_epee.runtimes.onnx.export import export_trunk  # noqa: E402
from spacy_epee.runtimes.onnx.stepper import OnnxStepper  # noqa: E402
from spacy_epee.trunk.verification import make_stepper  # noqa: E402

SAVED = Path(__file__).parents[1] / "saved" / "v0.1.0" / "exported"


def load(runtime="onnx"):
    nlp = spacy.load(SAVED, config={"components.epee_textcat.model.trunk.runtime": runtime})
    return nlp, nlp.get_pipe("epee_textcat").model.get_ref("trunk").shims[0]


def change(shim, edit):
    """Change the graph of the layers."""
    model = onnx.load_model_from_string(shim.exported.layers)
    edit(model)
    shim.exported = replace(shim.exported, layers=model.SerializeToString())


def constants(graph):
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from constants(attribute.g)


def scale(model):
    for tensor in constants(model.graph):
        values = numpy_helper.to_array(tensor)
        if values.dtype == numpy.float32 and values.ndim == 2:
            tensor.CopyFrom(numpy_helper.from_array(values * -1.0, tensor.name))


def external(model):
    tensor = next(own for own in constants(model.graph) if own.data_type == own.FLOAT and len(own.dims) == 2)
    tensor.data_location = tensor.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/hostname")


def custom(model):
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    model.graph.node.append(helper.make_node("Run", ["hidden"], ["more"], domain="com.evil"))


def custom_in_a_branch(model):
    node = next(own for own in model.graph.node if own.op_type == "If")
    node.attribute[0].g.node.append(helper.make_node("EPContext", [], ["more"], domain="com.microsoft"))


def function(model):
    made = helper.make_function("local", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], model.opset_import)
    model.functions.append(made)


@pytest.mark.parametrize(
    "edit,said",
    [
        (scale, "something else than its layers"),
        (external, "other files"),
        (custom, "not those of ONNX"),
        (custom_in_a_branch, "not those of ONNX"),
        (function, "not those of ONNX"),
    ],
)
def test_graphs_that_are_refused(edit, said):
    nlp, shim = load()
    change(shim, edit)
    with pytest.raises(ValueError, match=f"{said}.*spacy epee export"):
        nlp(SENTENCES[0])
    nlp, shim = load("auto")
    change(shim, edit)
    with pytest.warns(UserWarning, match=f"runs in torch.*{said}"):
        found = nlp(SENTENCES[0]).cats
    assert found == pytest.approx(load("torch")[0](SENTENCES[0]).cats, abs=1e-6)


def test_graphs_that_are_no_graphs_are_refused():
    nlp, shim = load()
    shim.exported = replace(shim.exported, embedding=b"\xff" * 100)
    with pytest.raises(ValueError, match="cannot be read.*spacy epee export"):
        nlp(SENTENCES[0])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_graphs_of_another_model_are_refused(precision):
    nlp, shim = load()
    sizes = {
        name: getattr(shim._model.config, name)
        for name in (
            "vocab_size",
            "num_hidden_layers",
            "hidden_size",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
        )
    }
    shim.exported = export_trunk(make_stepper(make_model("bert", seed=7, **sizes)), precision)
    with pytest.raises(ValueError, match="something else than its layers"):
        nlp(SENTENCES[0])


@pytest.mark.parametrize("field,value", [("order", [0]), ("names", ["given_9"]), ("precision", "fp64")])
def test_graphs_whose_description_does_not_fit_are_refused(field, value):
    nlp, shim = load()
    shim.exported = replace(shim.exported, **{field: value})
    with pytest.raises(ValueError, match="something else than its layers"):
        nlp(SENTENCES[0])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_graphs_that_were_made_here_pass(precision):
    nlp, shim = load()
    shim.export("onnx", precision)
    nlp(SENTENCES[0])
    assert isinstance(shim.runner, OnnxStepper)


def test_graphs_are_checked_once(monkeypatch):
    nlp, shim = load()
    nlp(SENTENCES[0])
    monkeypatch.setattr("spacy_epee.trunk.transformer.check_runner", None)
    nlp(SENTENCES[1])


def test_graphs_that_are_loaded_anew_are_checked_anew():
    nlp, shim = load("auto")
    change(shim, custom)
    with pytest.warns(UserWarning, match="runs in torch"):
        nlp(SENTENCES[0])
    nlp.get_pipe("epee_textcat").from_disk(SAVED / "epee_textcat", exclude=["vocab"])
    assert isinstance(shim.runner, OnnxStepper)
