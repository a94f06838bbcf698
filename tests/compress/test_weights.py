"""Weights in fewer bits"""

import pytest
import spacy
import srsly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from util import SENTENCES, make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.compress.choose import compress  # noqa: E402
from spacy_epee.model import get_runner, get_trunk_shim  # noqa: E402
from spacy_epee.trunk.packed import RESCALED, leave_out_shared, pack, put_shared_back, unpack  # noqa: E402
from spacy_epee.trunk.quantized import GRIDS, QuantizedEmbedding, dequantize, quantize, rescale, rounded_to  # noqa: E402

KINDS = sorted(GRIDS)


def shrink(nlp, *steps):
    for method, choice in steps:
        compress(nlp, nlp.get_pipe("epee_textcat"), method, choice)


def cats(nlp):
    return [doc.cats for doc in nlp.pipe(SENTENCES)]


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 99), size=st.floats(1e-6, 1e6))
@settings(max_examples=30)
def test_what_is_rounded_once_stays_as_it_is_and_is_near(kind, seed, size):
    rows = torch.randn(40, 64, generator=torch.Generator().manual_seed(seed)) * size
    rows[3] = 0
    assert rounded_to(rows) is None
    once = dequantize(*quantize(rows, kind))
    assert rounded_to(once) == kind and torch.equal(dequantize(*quantize(once, kind)), once)
    assert (once - rows).abs().max() <= rows.abs().max() / GRIDS[kind].most / 1.9


@given(kind=st.sampled_from([None, *KINDS]), zeros=st.sampled_from([0.0, 0.3, 0.9]), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_packed_weights_are_exactly_what_they_were(kind, zeros, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(40, 64, generator=generator)
    rows *= torch.rand(40, 64, generator=generator) >= zeros
    rows = rows if kind is None else dequantize(*quantize(rows, kind))
    state = {"rows": rows, "bias": torch.randn(7, generator=generator), "ids": torch.arange(2000)}
    packed = pack(state)
    if packed is None:
        assert kind is None and not zeros
        return
    found, grids = unpack(packed)
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)
    assert grids == ({} if kind is None else {"rows": kind})
    assert len(packed["arrays"]) < 4 * rows.numel() + 8 * 2000


def test_sparse_weights_take_less_room_and_ordinary_ones_as_much_as_before():
    rows = torch.randn(100, 100)
    assert pack({"rows": rows}) is None
    rows[torch.rand(100, 100) < 0.3] = 0
    assert len(pack({"rows": rows})["arrays"]) < 0.76 * 4 * rows.numel()


@given(st.integers(0, 99), st.binary(max_size=40), st.binary(max_size=40))
@settings(max_examples=30)
def test_weights_are_left_out_of_what_was_exported_and_put_back(seed, first, last):
    generator = torch.Generator().manual_seed(seed)
    state = {name: torch.randn(40, 32, generator=generator) for name in "ab"}
    state["c"] = dequantize(*quantize(torch.randn(48, 64, generator=generator), "int8"))
    whole = quantize(state["c"], "int8")[0].numpy()
    content = first + state["a"].T.numpy().tobytes() + whole.T.tobytes() + last + state["b"].numpy().tobytes() + whole.tobytes()
    message = {"graph": content, "number": 3, "other": first}
    cut = leave_out_shared(message, state)
    left = sum(len(part) for part in cut["graph"]["parts"] if isinstance(part, bytes))
    assert left == len(first) + len(last) and cut["number"] == 3
    assert put_shared_back(cut, state) == message


@given(st.integers(0, 99), st.booleans(), st.binary(max_size=40))
@settings(max_examples=30)
def test_weights_that_a_runtime_has_rescaled_are_left_out_and_put_back(seed, turned, first):
    generator = torch.Generator().manual_seed(seed)
    state = {"a": torch.randn(40, 48, generator=generator), "gone": torch.randn(40, 32, generator=generator)}
    factors = torch.rand(48 if turned else 40, generator=generator).numpy() + 0.5
    rows = state["a"].T if turned else state["a"]
    content = first + rescale(rows.numpy(), factors)[0].tobytes()
    others = [["gone", True, factors.tobytes()[4:]], ["unknown", True, factors.tobytes()]]
    message = {"graph": content, RESCALED: [*others, ["a", turned, factors.tobytes()]]}
    cut = leave_out_shared(message, state)
    assert [part for part in cut["graph"]["parts"] if not isinstance(part, bytes)] == [[2, RESCALED]]
    assert put_shared_back(cut, state) == message


def test_what_was_rescaled_is_near_and_within_a_byte():
    weights, factors = torch.randn(64, 32).numpy(), torch.rand(64).numpy() + 0.5
    whole, steps = rescale(weights, factors)
    assert whole.dtype == "int8" and abs(whole.astype(int)).max() == 127
    assert abs(whole * steps - weights * factors[:, None]).max() <= steps.max() / 1.99


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("family", ["bert", "mpnet", "gpt2"])
def test_what_is_exported_in_int8_is_not_saved_beside_the_weights(backbones, family, rounded):
    pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    head = {"pooling": "last"} if family == "gpt2" else {}
    nlp = make_nlp(backbones(family), spread=4.0, model={"head": head})
    if rounded:
        shrink(nlp, ("weights", "int8"))
    shim = get_trunk_shim(nlp.get_pipe("epee_textcat").model)
    shim.export("onnx", "int8", [nlp.make_doc(text) for text in SENTENCES])
    named = [name for name, _, _ in shim.exported.rescaled]
    assert len(named) == len(set(named)) >= 4 * 4
    message = srsly.msgpack_loads(shim.to_bytes())["onnx"]
    put_back = [part for part in message["stack"]["parts"] if not isinstance(part, bytes)]
    assert len([part for part in put_back if part[1] == RESCALED]) == len(named)
    loaded = make_nlp(backbones(family), seed=1, model={"head": head}).from_bytes(nlp.to_bytes())
    assert get_trunk_shim(loaded.get_pipe("epee_textcat").model).exported.to_message() == shim.exported.to_message()
    assert cats(loaded) == cats(nlp)


@pytest.mark.parametrize("kind", KINDS)
def test_quantized_embeddings_are_saved_looked_up_and_trained_around(backbone, kind, tmp_path):
    nlp = make_nlp(backbone, spread=4.0)
    size, before = len(nlp.to_bytes()), cats(nlp)
    shrink(nlp, ("embeddings", kind))
    after = cats(nlp)
    assert before != after and len(nlp.to_bytes()) < size
    nlp.to_disk(tmp_path / "small")
    loaded = spacy.load(tmp_path / "small")
    words = get_trunk_shim(loaded.get_pipe("epee_textcat").model)._model.get_input_embeddings()
    assert isinstance(words, QuantizedEmbedding) and words.values.dtype == torch.int8 and words.kind == kind
    assert cats(loaded) == after and loaded.to_bytes() == nlp.to_bytes()
    examples = [spacy.training.Example.from_dict(loaded.make_doc(SENTENCES[0]), {"cats": {"ACUTE": 1.0}})]
    kept = words.weight.clone()
    loaded.update(examples, sgd=loaded.resume_training())
    assert torch.equal(words.weight, kept)


def test_rounded_weights_are_saved_small_and_whole_again_once_they_are_trained(backbone):
    nlp = make_nlp(backbone, spread=4.0)
    size = len(nlp.to_bytes())
    shrink(nlp, ("embeddings", "int8"), ("weights", "int8"))
    small, after = len(nlp.to_bytes()), cats(nlp)
    loaded = make_nlp(backbone, seed=1).from_bytes(nlp.to_bytes())
    assert small < 0.6 * size and cats(loaded) == after
    examples = [spacy.training.Example.from_dict(nlp.make_doc(SENTENCES[0]), {"cats": {"ACUTE": 1.0}})]
    nlp.update(examples, sgd=nlp.resume_training())
    assert cats(make_nlp(backbone, seed=1).from_bytes(nlp.to_bytes())) == cats(nlp)
    assert len(nlp.to_bytes()) > small


@pytest.mark.parametrize("method", ["embeddings", "weights"])
def test_nothing_is_quantized_twice(backbone, method):
    nlp = make_nlp(backbone)
    shrink(nlp, (method, "int8"))
    before = nlp.to_bytes()
    with pytest.raises(ValueError, match=f"The {method} of the component 'epee_textcat' are in int8 already"):
        shrink(nlp, (method, "int8"))
    assert nlp.to_bytes() == before


@pytest.mark.parametrize("family, precision", [("bert", "int8"), ("mpnet", "fp32")])
def test_graphs_have_small_embeddings_and_share_weights_with_torch(backbones, family, precision, tmp_path):
    pytest.importorskip("onnxruntime")
    nlp = make_nlp(backbones(family), spread=4.0)
    shrink(nlp, ("embeddings", "int8"), ("weights", "int8"))
    alone, in_torch = len(nlp.to_bytes()), cats(nlp)
    compress(nlp, nlp.get_pipe("epee_textcat"), "export", precision, runtime="onnx")
    after = cats(nlp)
    exported = get_trunk_shim(nlp.get_pipe("epee_textcat").model).exported
    graphs = sum(len(part) for part in exported.to_message().values() if isinstance(part, bytes))
    shared = len(nlp.to_bytes()) - alone
    assert shared < graphs
    nlp.to_disk(tmp_path / "small")
    loaded = spacy.load(tmp_path / "small")
    assert cats(loaded) == after and get_runner(loaded.get_pipe("epee_textcat").model).own_threads
    if precision == "fp32":
        assert [sorted(each, key=each.get) for each in after] == [sorted(each, key=each.get) for each in in_torch]
    with pytest.raises(ValueError, match="was exported in"):
        shrink(nlp, ("weights", "fp32"))
