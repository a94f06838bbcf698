"""A text alone goes its way through ONNX Runtime in plain arrays."""

import numpy
import pytest
import torch
from util import SENTENCES, make_nlp

for module in ("onnx", "onnxruntime"):
    pytest.importorskip(module)

from spacy_epee.exits import rules  # noqa: E402
from spacy_epee.inference import alone  # noqa: E402
from spacy_epee.model import get_runner, get_stepper, get_trunk_shim  # noqa: E402
from spacy_epee.trunk.arrays import embed_arrays, final_array, takes_arrays  # noqa: E402
from spacy_epee.trunk.batch import climb  # noqa: E402
from spacy_epee.trunk.looks import look_at_once  # noqa: E402

RULES = {"full": None, "exits": rules.Entropy(0.3), "in Python": rules.AnyOf({"a": rules.Deadline(1e9), "b": rules.Entropy(0.3)})}


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def exported(request, backbones):
    """GPT-2 has a norm behind its layers, so that heads see other states than the next layer."""
    nlp = make_nlp(backbones(request.param), lexical=64)
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    get_trunk_shim(pipe.model).export("onnx", "fp32")
    look_at_once(get_runner(pipe.model))
    return nlp, pipe


def windows_of(nlp, pipe):
    return get_trunk_shim(pipe.model).windower([nlp.make_doc(text) for text in SENTENCES])


@pytest.mark.parametrize("rows", [[0], [3, 1, 7]])
@pytest.mark.parametrize("find", [get_runner, get_stepper], ids=["onnx", "torch"])
@torch.inference_mode()
def test_arrays_climb_as_tensors_do(exported, find, rows):
    nlp, pipe = exported
    runner = find(pipe.model)
    assert takes_arrays(runner) == (find is get_runner)
    batch = windows_of(nlp, pipe).batch(numpy.array(rows), runner.padding)
    states = [runner.embed(*map(torch.from_numpy, batch)), embed_arrays(runner, *batch)]
    assert numpy.array_equal(states[0].hidden.numpy(), states[1].hidden.numpy())
    for state in states:
        climb(runner, state, runner.depth)
    assert numpy.array_equal(runner.final_hidden(states[0]).numpy(), final_array(runner, states[1]))


@pytest.mark.parametrize("rule", RULES)
def test_a_text_alone_makes_no_tensor(exported, monkeypatch, rule):
    nlp, pipe = exported
    expected = pipe.answer([nlp.make_doc(SENTENCES[0])] * 2, RULES[rule])
    for name in ("from_numpy", "inference_mode", "tensor"):
        monkeypatch.setattr(torch, name, lambda *args, **kwargs: pytest.fail("torch was asked"))
    found = pipe.answer([nlp.make_doc(SENTENCES[0])], RULES[rule])
    assert found.layers[0] == expected.layers[0] > 0 and found.reasons[0] == expected.reasons[0]
    numpy.testing.assert_allclose(found.logits[0], expected.logits[0], rtol=1e-4, atol=1e-4)


def test_torch_climbs_without_gradients(exported, monkeypatch):
    nlp, pipe = exported
    stepper, seen = get_stepper(pipe.model), []
    monkeypatch.setattr(alone, "get_runner", get_stepper)
    step = type(stepper).step
    monkeypatch.setattr(type(stepper), "step", lambda *args: seen.append(torch.is_inference_mode_enabled()) or step(*args))
    assert pipe.answer([nlp.make_doc(SENTENCES[0])], None).layers[0] == len(seen)
    assert all(seen)
