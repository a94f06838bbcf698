"""Backbones in ONNX Runtime"""

import copy
import pickle
import warnings
import weakref
from dataclasses import replace

import numpy
import pytest
import spacy
import torch
from util import FAMILIES, SENTENCES, make_examples, make_nlp, make_texts

for module in ("onnx", "onnxruntime", "spacy_transformers"):
    pytest.importorskip(module)

import onnx  # noqa: E402

from spacy_epee.exits.rules.patience import EntropyPatience  # noqa: E402
from spacy_epee.runtimes.onnx import stepper as onnx_stepper  # noqa: E402
from spacy_epee.runtimes.onnx.export import export_trunk  # noqa: E402
from spacy_epee.runtimes.onnx.graphs import FORMAT, READABLE, OnnxGraphs, require  # noqa: E402
from spacy_epee.runtimes.onnx.stepper import OnnxStepper  # noqa: E402
from spacy_epee.trunk.stepper import LayerStepper  # noqa: E402
from spacy_epee.trunk.transformer import TrunkShim  # noqa: E402

LABELS = ["ACUTE", "STABLE", "HISTORY"]
LENGTHS = [21, 3, 7, 20, 21, 11, 15]


def climb(stepper, words, leave=True, padded=True):
    """The states of a batch of another shape than the one that is traced, some rows of which leave."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, words, (len(LENGTHS), 21), generator=generator)
    mask = (torch.arange(21) < torch.tensor(LENGTHS if padded else [21] * len(LENGTHS))[:, None]).long()
    real, found = mask.bool(), []
    with torch.inference_mode():
        state = stepper.embed(ids, mask)
        for layer in range(stepper.depth):
            stepper.step(state)
            if leave and layer == 1:
                rows = torch.tensor([0, 2, 5])
                state.keep(rows)
                real = real[rows]
            found.append(stepper.final_hidden(state)[real].numpy())
    return found


def trunk(nlp) -> TrunkShim:
    return nlp.get_pipe(nlp.pipe_names[0]).model.get_ref("trunk").shims[0]


def layer_of(doc):
    return doc._.exits["epee_textcat"].get("textcat", {}).get("layer")


@pytest.fixture(scope="module")
def exported(backbone, tmp_path_factory):
    """A pipeline with graphs, on disk."""
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    trunk(nlp).export("onnx", "fp32")
    folder = tmp_path_factory.mktemp("onnx") / "model"
    nlp.to_disk(folder)
    return folder


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_graphs_give_what_the_layers_give(backbones, family):
    shim = trunk(make_nlp(backbones(family), LABELS))
    runner = OnnxStepper(export_trunk(shim.stepper), shim.stepper.padding)
    words = shim._model.config.vocab_size
    for padded in (True, False):
        for one, other in zip(*(climb(each, words, padded=padded) for each in (shim.stepper, runner))):
            assert numpy.allclose(one, other, rtol=1e-3, atol=1e-4)


MASKS = {"bert": 1, "roberta": 1, "distilbert": 1, "albert": 1, "gpt2": 0, "modernbert": 0}
"""How many inputs of layers only padded batches need, of families that call attention as one operation."""


@pytest.mark.parametrize("family", sorted(MASKS))
def test_attention_is_one_operation(backbones, family):
    import onnx

    graphs = export_trunk(trunk(make_nlp(backbones(family), LABELS)).stepper)
    assert len(graphs.masks) == MASKS[family]
    assert b"Softmax" not in graphs.layers and b"MultiHeadAttention" in graphs.layers
    onnx.checker.check_model(onnx.load_model_from_string(graphs.embedding))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_words_are_in_one_graph_alone(backbones, family):
    import onnx

    stepper = trunk(make_nlp(backbones(family), LABELS)).stepper
    graphs = export_trunk(stepper)
    tables = {
        name: sum(stepper.model.config.vocab_size in part.dims for part in onnx.load_model_from_string(graph).graph.initializer)
        for name, graph in (("below", graphs.embedding), ("given", graphs.layer_inputs))
        if graph
    }
    assert tables["below"] == 1 and tables.get("given", 0) == 0


def test_layers_that_are_given_states_alone(backbone):
    stepper = trunk(make_nlp(backbone, LABELS)).stepper
    graphs = export_trunk(stepper)
    runner = OnnxStepper(graphs, stepper.padding)
    runner.exported.names, runner.exported.masks, runner._layer_inputs = [], [], None
    state = runner.embed(torch.full((2, 5), 7), torch.ones(2, 5, dtype=torch.long))
    assert set(state.feeds) <= {"padded"}


def test_states_below_are_let_go(backbone):
    stepper = trunk(make_nlp(backbone, LABELS)).stepper
    runner = OnnxStepper(export_trunk(stepper), stepper.padding)
    state = runner.embed(torch.full((2, 5), 7), torch.ones(2, 5, dtype=torch.long))
    for _ in range(runner.depth):
        below = weakref.ref(state.array)
        runner.step(state)
        assert below() is None


def test_no_mask_is_made_without_padding(backbone):
    shim = trunk(make_nlp(backbone, LABELS))
    runner = OnnxStepper(export_trunk(shim.stepper), shim.stepper.padding)
    ids = torch.full((3, 9), 7)
    for padded in (False, True):
        mask = torch.ones_like(ids)
        mask[0, 9 - 2 * padded :] = 0
        state = runner.embed(ids, mask)
        [name] = runner.exported.masks
        assert state.feeds[name].shape == ((3, 1, 9, 9) if padded else (1, 1, 1, 1))
        runner.step(state)
        state.keep(torch.tensor([0, 2]))
        runner.step(state)
        assert state.hidden.shape[:2] == (2, 9)


def test_a_family_with_another_attention_is_written_out(backbones, monkeypatch):
    monkeypatch.setattr("spacy_epee.runtimes.onnx.attention.WatchedAttention.__torch_function__", wrong)
    graphs = export_trunk(trunk(make_nlp(backbones("bert"), LABELS)).stepper)
    assert b"Softmax" in graphs.layers and not graphs.masks


def wrong(mode, func, types, args=(), kwargs=None):
    """Attention that is traced as something else: what is compared must say so."""
    found = func(*args, **(kwargs or {}))
    return 2 * found if func is torch.nn.functional.scaled_dot_product_attention else found


def test_int8_is_near_and_smaller(backbone):
    shim = trunk(make_nlp(backbone, LABELS))
    words = shim._model.config.vocab_size
    full, small = export_trunk(shim.stepper), export_trunk(shim.stepper, "int8")
    for one, other in zip(*(climb(each, words) for each in (shim.stepper, OnnxStepper(small, shim.stepper.padding)))):
        assert 0 < numpy.abs(one - other).max() < 0.5
    assert len(small.layers) < 0.8 * len(full.layers)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_pipeline_gives_the_answers_and_exits_of_torch(exported, batch_size):
    texts = [*SENTENCES, *make_texts(20, seed=5), ""]
    found = []
    for runtime in ("torch", "onnx"):
        nlp = spacy.load(exported, config={"components.epee_textcat.model.trunk.runtime": runtime})
        nlp.get_pipe("epee_textcat").exit = EntropyPatience(0.4, 2)
        found.append(list(nlp.pipe(texts, batch_size=batch_size)))
    assert isinstance(trunk(nlp).runner, OnnxStepper)
    for one, other in zip(*found):
        assert one.cats == pytest.approx(other.cats, abs=1e-4)
        assert layer_of(one) == layer_of(other)
    assert len(set(map(layer_of, found[0]))) > 2


def test_a_saved_pipeline_runs_its_graphs(exported):
    nlp = spacy.load(exported)
    assert isinstance(trunk(nlp).runner, OnnxStepper)
    other = spacy.load(exported).from_bytes(nlp.to_bytes())
    assert isinstance(trunk(other).runner, OnnxStepper) and other(SENTENCES[0]).cats == nlp(SENTENCES[0]).cats


def test_two_processes_whose_parent_has_several_threads(exported, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # a worker must not wait for those of its parent
    nlp = spacy.load(exported)
    texts = make_texts(12, seed=2)
    expected = [doc.cats for doc in nlp.pipe(texts)]
    monkeypatch.undo()
    for doc, cats in zip(nlp.pipe(texts, n_process=2, batch_size=4), expected):
        assert doc.cats == pytest.approx(cats, abs=1e-4)


def test_stored_logits_are_those_of_the_graphs(backbone):
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    trunk(nlp).export("onnx", "int8")  # farther from torch than the tolerance below
    pipe = nlp.get_pipe("epee_textcat")
    docs = [nlp.make_doc(text) for text in SENTENCES]
    stored = next(iter(pipe.exit_logits(docs)))
    # Sums of float32, whose order is that of the threads.
    numpy.testing.assert_allclose(stored.logits[-1], pipe.answer(docs, None).logits, rtol=1e-5, atol=1e-4)
    trunk(nlp).exported = None
    assert numpy.abs(stored.logits[-1] - pipe.answer(docs, None).logits).max() > 1e-3


def test_training_drops_the_graphs(exported):
    nlp = spacy.load(exported)
    examples = make_examples(nlp, LABELS)
    with pytest.warns(UserWarning, match="Export it again"):
        nlp.update(examples, sgd=nlp.resume_training())
    assert trunk(nlp).exported is None and isinstance(trunk(nlp).runner, LayerStepper)


def test_onnx_without_graphs_says_how_to_make_them(backbone):
    nlp = make_nlp(backbone, LABELS)
    trunk(nlp).settings = replace(trunk(nlp).settings, runtime="onnx")
    with pytest.raises(ValueError, match="spacy epee export"):
        nlp(SENTENCES[0])


def test_another_format_is_refused_and_auto_goes_on_in_torch(exported):
    nlp = spacy.load(exported, config={"components.epee_textcat.model.trunk.runtime": "onnx"})
    trunk(nlp).exported.format = FORMAT + 1
    with pytest.raises(ValueError, match="format"):
        nlp(SENTENCES[0])
    nlp = spacy.load(exported)
    trunk(nlp).exported.format = FORMAT + 1
    with pytest.warns(UserWarning, match="runs in torch"):
        nlp(SENTENCES[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp(SENTENCES[1])  # said once


def test_graphs_saved_in_another_format_are_read_as_such():
    found = OnnxGraphs.read({"format": READABLE[0] - 1, "precision": "int8", "graphs": [b"", b""]})
    assert found.format == READABLE[0] - 1 and found.layers == b""


def test_graphs_that_the_runtime_does_not_know(exported):
    nlp = spacy.load(exported, config={"components.epee_textcat.model.trunk.runtime": "onnx"})
    model = onnx.load_model_from_string(trunk(nlp).exported.layers)
    model.opset_import[0].version = 999
    trunk(nlp).exported.layers = model.SerializeToString()
    with pytest.raises(ValueError, match="ONNX Runtime .* cannot run"):
        nlp(SENTENCES[0])


def test_missing_extra(monkeypatch, exported):
    monkeypatch.setattr("spacy_epee.runtimes.onnx.graphs.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"spacy_epee\[onnx\]"):
        require("onnxruntime")
    nlp = spacy.load(exported)
    with pytest.warns(UserWarning, match=r"spacy_epee\[onnx\]"):
        assert nlp(SENTENCES[0]).cats
    assert onnx_stepper.require is require


def test_a_runtime_that_is_too_old(monkeypatch, exported):
    monkeypatch.setattr("onnxruntime.__version__", "1.21.1")
    nlp = spacy.load(exported)
    with pytest.warns(UserWarning, match="needs ONNX Runtime 1.22 or newer, and 1.21.1 is installed"):
        assert nlp(SENTENCES[0]).cats
    with pytest.raises(ValueError, match="pip install -U onnxruntime"):
        require("onnxruntime")


def test_unknown_runtime(backbone):
    with pytest.raises(ValueError, match="runtime"):
        make_nlp(backbone, LABELS, model={"trunk": {"runtime": "tensorrt"}})


@pytest.mark.parametrize("make", [copy.deepcopy, lambda pipe: pickle.loads(pickle.dumps(pipe))], ids=["copy", "pickle"])
def test_onnx_pipelines_are_copied_and_pickled_after_they_have_answered(exported, make):
    """As `n_process` does where processes are spawned."""
    nlp = spacy.load(exported)
    pipe = nlp.get_pipe("epee_textcat")
    docs = list(nlp.pipe(make_texts(8)))
    assert trunk(nlp)._runner is not None
    for other in (make(nlp).get_pipe("epee_textcat"), make(pipe)):
        found = list(other.pipe([nlp.make_doc(doc.text) for doc in docs]))
        runner = other.model.get_ref("trunk").shims[0].runner
        assert isinstance(runner, OnnxStepper) and runner is not trunk(nlp)._runner[1]
        for doc, expected in zip(found, docs):
            assert doc.cats == pytest.approx(expected.cats, abs=1e-5)
    assert trunk(nlp)._runner[1] is trunk(nlp).runner
    assert isinstance(pipe.model.copy().layers[0].shims[0].runner, OnnxStepper)
