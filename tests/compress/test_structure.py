"""Pruned heads, widths, layers and weights"""

import pytest
import spacy
import torch
from spacy.training import Example
from util import SENTENCES, make_examples, make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.compress import importance  # noqa: E402
from spacy_epee.compress.choose import compress  # noqa: E402
from spacy_epee.exits.rules.depth import FixedDepth  # noqa: E402
from spacy_epee.exits.rules.thresholds import Entropy  # noqa: E402
from spacy_epee.model import get_exit_layers, get_trunk_shim  # noqa: E402
from spacy_epee.registry import compressors  # noqa: E402

LABELS = ["ACUTE", "STABLE", "HISTORY"]
NAME = "epee_textcat"


def cats(nlp):
    return [doc.cats for doc in nlp.pipe(SENTENCES)]


def trunk(nlp):
    return get_trunk_shim(nlp.get_pipe(NAME).model)


def size(nlp):
    return sum(part.numel() for part in trunk(nlp)._model.parameters())


def make(nlp, method, **settings):
    return compressors.get(method)(nlp, nlp.get_pipe(NAME), **settings)


@pytest.mark.parametrize("family, method", [("bert", "heads"), ("distilbert", "heads"), ("bert", "width"), ("mpnet", "width")])
def test_pruned_layers_are_smaller_and_are_saved(backbones, family, method, tmp_path):
    nlp = make_nlp(backbones(family), LABELS, spread=4.0)
    before, whole, first = cats(nlp), size(nlp), nlp.to_bytes()
    step = make(nlp, method, judged_by=make_examples(nlp, LABELS))
    assert nlp.to_bytes() == first  # it only looks
    step.use("60 %")
    after, small = cats(nlp), size(nlp)
    assert after != before and small < whole
    nlp.to_disk(tmp_path / "pruned")
    loaded = spacy.load(tmp_path / "pruned")
    assert cats(loaded) == after and size(loaded) == small
    step.use("all")
    assert cats(nlp) == before and nlp.to_bytes() == first


def test_what_matters_most_is_kept(backbone):
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    layer = trunk(nlp).stepper.layers[1]
    with torch.no_grad():
        layer.output.dense.weight[:, [3, 40]] *= 50
        layer.attention.output.dense.weight[:, 16:24] *= 50  # the third head
    examples = make_examples(nlp, LABELS)
    assert set(make(nlp, "width", judged_by=examples).importance[1].topk(2).indices.tolist()) == {3, 40}
    assert int(make(nlp, "heads", judged_by=examples).importance[1].argmax()) == 2


def test_pruned_heads_can_be_pruned_further_and_exported(backbone):
    pytest.importorskip("onnxruntime")
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    examples = make_examples(nlp, LABELS)
    for _ in range(2):
        make(nlp, "heads", judged_by=examples).use("70 %")
    make(nlp, "width", judged_by=examples).use("50 %")
    before = cats(nlp)
    compress(nlp, nlp.get_pipe(NAME), "export", "fp32", runtime="onnx")
    for one, other in zip(before, cats(nlp)):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("family", ["modernbert", "mpnet"])
def test_a_family_that_cannot_be_pruned_is_named(backbones, family):
    nlp = make_nlp(backbones(family), LABELS)
    with pytest.raises(ValueError, match=f"The heads of a model of the family '{family}' cannot be pruned"):
        make(nlp, "heads", judged_by=make_examples(nlp, LABELS))


def test_documents_without_annotation_cannot_tell_what_matters(backbone):
    nlp = make_nlp(backbone, LABELS)
    with pytest.raises(ValueError, match="documents is annotated"):
        make(nlp, "heads", judged_by=[Example.from_dict(nlp.make_doc("Cough."), {})])


def test_what_matters_is_told_by_documents_from_everywhere(backbone, monkeypatch):
    """Not by the first ones of a file that is sorted."""
    monkeypatch.setattr(importance, "DOCS", 4)
    nlp = make_nlp(backbone, LABELS)
    examples = [Example.from_dict(nlp.make_doc("Cough."), {}) for _ in range(6)] + make_examples(nlp, LABELS)[:3]
    judges = importance.draw_judges(nlp, nlp.get_pipe(NAME), examples)
    assert [eg.reference.text for eg in judges if eg.reference.cats] == SENTENCES[:3] and len(judges) == 4
    assert make(nlp, "width", judged_by=examples).importance


@pytest.mark.parametrize("exits", [None, [2, 3]])
@pytest.mark.parametrize("lexical", [0, 100])
def test_dropped_layers_answer_as_if_texts_left_below_them(backbone, exits, lexical, tmp_path):
    nlp = make_nlp(backbone, LABELS, spread=4.0, lexical=lexical, model={"exit_layers": exits})
    pipe = nlp.get_pipe(NAME)
    first = nlp.to_bytes()
    pipe.set_temperatures([1.5] * len(pipe.slot().exit_layers(pipe.model)))
    pipe.set_exit(FixedDepth(3))
    expected = cats(nlp)
    step = make(nlp, "layers")
    step.use("first 3")
    assert cats(nlp) == expected and pipe.exit is None
    assert get_exit_layers(pipe.model) == ([1, 2, 3] if exits is None else exits)
    nlp.to_disk(tmp_path / "low")
    loaded = spacy.load(tmp_path / "low")
    assert cats(loaded) == expected and trunk(loaded).stepper.depth == 3
    step.use("all")
    assert cats(nlp) == expected and pipe.exit == FixedDepth(3)
    pipe.set_exit(None)
    pipe.set_temperatures(None)
    assert nlp.to_bytes() == first


def test_a_rule_keeps_the_thresholds_of_the_exits_that_are_left(backbone):
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    pipe = nlp.get_pipe(NAME)
    pipe.set_exit(Entropy((0.1, 0.2, 0.3, 0.4)))
    pipe.slot().cfg["reference"] = {"layers": {"4": 60}}
    step = make(nlp, "layers")
    step.use("first 2")
    assert pipe.exit == Entropy((0.1, 0.2)) and "reference" not in pipe.slot().cfg
    cats(nlp)
    step.use("all")
    assert "reference" in pipe.slot().cfg


@pytest.mark.parametrize("everywhere", [True, False])
def test_the_smallest_weights_become_zero_and_are_left_out_of_the_folder(backbone, everywhere):
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    before = len(nlp.to_bytes())
    make(nlp, "sparsity", everywhere=everywhere).use("50 %")
    linear = [part.weight for part in trunk(nlp)._model.encoder.modules() if isinstance(part, torch.nn.Linear)]
    shares = [float((weight == 0).float().mean()) for weight in linear]
    assert sum(int((weight == 0).sum()) for weight in linear) == pytest.approx(sum(w.numel() for w in linear) / 2, abs=8)
    assert everywhere or all(part == pytest.approx(0.5, abs=0.01) for part in shares)
    assert len(nlp.to_bytes()) < before
    assert cats(make_nlp(backbone, LABELS, seed=1).from_bytes(nlp.to_bytes())) == cats(nlp)
