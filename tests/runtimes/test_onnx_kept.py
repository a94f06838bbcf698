"""What the layers of a text alone are given beside states is kept by the length of the text."""

import numpy
import pytest
import torch
from util import SENTENCES, make_nlp

for module in ("onnx", "onnxruntime"):
    pytest.importorskip(module)

from onnx import TensorProto, helper  # noqa: E402

from spacy_epee.exits import rules  # noqa: E402
from spacy_epee.model import get_runner, get_trunk_shim  # noqa: E402
from spacy_epee.runtimes.onnx.graphs import reads_values  # noqa: E402
from spacy_epee.runtimes.onnx.stepper import SHORT  # noqa: E402
from spacy_epee.trunk.looks import look_at_once  # noqa: E402

RULE = rules.Entropy(0.3)


@pytest.fixture(scope="module", params=["bert", "mpnet"])
def exported(request, backbones):
    """Layers of MPNet are given how far words are from each other, those of BERT nothing where there is no padding."""
    nlp = make_nlp(backbones(request.param))
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    get_trunk_shim(pipe.model).export("onnx", "fp32")
    return nlp, pipe, get_runner(pipe.model)


def feeds(rows, length, padded=0):
    ids = numpy.arange(5, 5 + rows * length).reshape(rows, length) % 40 + 5
    mask = numpy.ones_like(ids)
    mask[:, length - padded :] = 0
    return ids, mask


def test_nothing_is_kept_before_a_text_has_come_alone(exported):
    nlp, pipe, runner = exported
    runner._by_length = None
    runner.embed_arrays(*feeds(1, 9))
    assert runner._by_length is None


def test_what_is_kept_is_what_is_made_anew(exported):
    nlp, pipe, runner = exported
    look_at_once(runner)
    pipe.answer([nlp.make_doc(SENTENCES[0])], RULE)
    for length in (9, 4, 9):
        ids, mask = feeds(1, length)
        given = runner.embed_arrays(ids, mask).feeds
        made = runner._make_beside({"input_ids": ids[:, ::-1], "attention_mask": mask})
        assert given.keys() == made.keys()
        assert all(numpy.array_equal(given[name], made[name]) for name in made)
    assert {4, 9} <= runner._by_length.keys()


@pytest.mark.parametrize("rows, length, padded", [(2, 11, 0), (1, 11, 3), (1, SHORT + 1, 0)], ids=["two", "padded", "long"])
def test_others_are_not_kept(exported, rows, length, padded):
    nlp, pipe, runner = exported
    runner._by_length = {}
    runner.embed_arrays(*feeds(rows, length, padded))
    assert not runner._by_length


def test_those_that_leave_take_nothing_from_what_is_kept(exported):
    nlp, pipe, runner = exported
    runner._by_length = {}
    state = runner.embed_arrays(*feeds(1, 6))
    before = {name: value.shape for name, value in runner._by_length[6].items()}
    state.keep(torch.zeros(0, dtype=torch.int64))
    assert {name: value.shape for name, value in runner._by_length[6].items()} == before


@pytest.mark.parametrize("operation, reads", [("Shape", False), ("Cast", True)])
def test_a_graph_that_takes_the_shape_of_words_does_not_read_them(operation, reads):
    value = helper.make_tensor_value_info
    to = {"to": TensorProto.INT64} if operation == "Cast" else {}
    nodes = [helper.make_node(operation, ["words"], ["found"], **to), helper.make_node("Identity", ["found"], ["given"])]
    graph = helper.make_graph(
        nodes, "given", [value("words", TensorProto.INT64, ["T"])], [value("given", TensorProto.INT64, None)]
    )
    assert reads_values(helper.make_model(graph).SerializeToString(), "words") is reads
