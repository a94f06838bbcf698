"""Pruning while a pipeline is trained."""

import pytest
import spacy
from spacy.util import registry
from torch import nn
from util import make_examples, make_nlp

from spacy_epee.model import get_stepper
from spacy_epee.training.pruning import gradual_pruning

PIPE = "epee_textcat"


def weights(nlp):
    layers = get_stepper(nlp.get_pipe(PIPE).model).layers
    return [part.weight for layer in layers for part in layer.modules() if isinstance(part, nn.Linear)]


def zeros(nlp):
    """The share of zeros in each linear module, and in all."""
    counts = [(int((weight == 0).sum()), weight.numel()) for weight in weights(nlp)]
    return [zero / every for zero, every in counts], sum(zero for zero, _ in counts) / sum(every for _, every in counts)


def train(nlp, callback, steps):
    """The share of zeros after each step."""
    optimizer, examples, found = nlp.resume_training(), make_examples(nlp, nlp.get_pipe(PIPE).labels), []
    for step in range(steps):
        callback(nlp, {"step": step, "epoch": 0})
        nlp.update(examples, sgd=optimizer)
        found.append(zeros(nlp)[1])
    return found


@pytest.fixture(scope="module")
def pruned(backbones):
    """A pipeline that was pruned in training, the share of zeros after each step, and its names of weights before."""
    nlp = make_nlp(backbones("bert"))
    before = list(nlp.get_pipe(PIPE).model.layers[0].shims[0]._model.state_dict())
    block = {
        "@callbacks": "spacy-epee.gradual_pruning.v1",
        "pipe": PIPE,
        "sparsity": 0.6,
        "from_step": 1,
        "to_step": 5,
        "every": 2,
    }
    callback = registry.resolve({"callback": block})["callback"]
    return nlp, train(nlp, callback, 8), before


def test_pruning_follows_a_cubic_schedule_and_zeros_stay(pruned):
    _, found, _ = pruned
    # At 1, 3 and 5: nothing, 1 - 1/8 of the share, and all of it. Steps in between keep what is zero.
    assert found[:3] == pytest.approx([0, 0, 0], abs=1e-3)
    assert found[3:5] == pytest.approx([0.6 * 7 / 8] * 2, abs=2e-3)
    assert found[5:] == pytest.approx([0.6] * 3, abs=2e-3)


def test_pruning_everywhere_leaves_layers_with_different_shares(pruned):
    nlp, _, _ = pruned
    each, every = zeros(nlp)
    assert max(each) - min(each) > 0.02 and every == pytest.approx(0.6, abs=2e-3)


def test_pruning_of_each_layer_gives_all_the_same_share(backbone):
    nlp = make_nlp(backbone)
    train(nlp, gradual_pruning(PIPE, 0.5, 0, 2, every=1, everywhere=False), 4)
    assert zeros(nlp)[0] == pytest.approx([0.5] * len(weights(nlp)), abs=0.01)


def test_pruned_weights_are_saved_as_any_others(pruned, tmp_path):
    nlp, _, before = pruned
    [name] = nlp.pipe_names
    nlp.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    shim = loaded.get_pipe(name).model.layers[0].shims[0]
    assert sorted(shim._model.state_dict()) == sorted(before) and shim.masks is None
    assert zeros(loaded) == zeros(nlp)
    doc = "fever and cough since Monday"
    assert loaded(doc).cats == pytest.approx(nlp(doc).cats, abs=1e-6)


def test_pruned_pipeline_that_is_initialized_anew_has_no_zeros(backbone):
    nlp = make_nlp(backbone)
    train(nlp, gradual_pruning(PIPE, 0.5, 0, 1, every=1), 2)
    examples = make_examples(nlp, nlp.get_pipe(PIPE).labels)
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)
    assert zeros(nlp)[1] < 0.01


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"sparsity": 1.0}, "`training.before_update.sparsity` is 1.0; give a number above 0 to below 1"),
        ({"sparsity": 0}, "`training.before_update.sparsity` is 0"),
        ({"to_step": 1}, "`training.before_update.to_step` is 1; give a whole number above 1"),
        ({"every": 0}, "`training.before_update.every` is 0"),
        ({"from_step": -1}, "`training.before_update.from_step` is -1"),
    ],
)
def test_pruning_refuses_settings_that_prune_nothing_or_all(settings, message):
    with pytest.raises(ValueError, match=message):
        gradual_pruning(**{"pipe": PIPE, "sparsity": 0.5, "from_step": 1, "to_step": 5, **settings})


def test_pruning_refuses_training_that_ends_without_the_zeros(pruned):
    nlp, _, _ = pruned
    with pytest.raises(ValueError, match="`training.before_update.pipe` is 'other', which is no early-exiting component"):
        gradual_pruning("other", 0.5, 1, 5)(nlp, {"step": 0})
    nlp = spacy.blank("en")
    nlp.add_pipe(PIPE)
    nlp.config["training"]["max_steps"] = 4
    with pytest.raises(ValueError, match=r"training ends at step 4 \(`training.max_steps`\), before all zeros are there"):
        gradual_pruning(PIPE, 0.5, 1, 5)(nlp, {"step": 0})
    nlp.config["training"]["max_steps"] = 0
    nlp.config["training"]["optimizer"] = {"@optimizers": "Adam.v1", "use_averages": True}
    with pytest.raises(ValueError, match="averages over steps are not zero"):
        gradual_pruning(PIPE, 0.5, 1, 5)(nlp, {"step": 0})
