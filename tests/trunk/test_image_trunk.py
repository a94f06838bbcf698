"""Models of images, layer by layer."""

import sys
from typing import Dict, List

import pytest
import torch
from images_util import FAMILIES, LAYERS, SIDE, make_image_backbone, make_image_docs, make_image_model, make_image_nlp
from torch import Tensor
from util import make_backbone

pytest.importorskip("spacy_transformers")

from spacy_epee.model import get_settings, get_stepper  # noqa: E402
from spacy_epee.trunk.vision import ImageStepper, make_image_stepper  # noqa: E402


def make_batch(side: int = SIDE, rows: int = 4) -> Tensor:
    return torch.randn(rows, 3, side, side, generator=torch.Generator().manual_seed(1))


def full_forward(stepper: ImageStepper, pixels: Tensor):
    """What each layer gives in the model's own forward, and its last hidden state."""
    states: List[Tensor] = []
    hooks = [layer.register_forward_hook(lambda _, __, out: states.append(out[0])) for layer in stepper.layers]
    try:
        last = stepper.model(pixel_values=pixels, **stepper.options).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    return states, last


@pytest.mark.parametrize("side", [SIDE, 48])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_image_stepper_gives_each_layer_of_the_full_forward(family, side):
    stepper = make_image_stepper(make_image_model(family), (side, side))
    pixels = make_batch(side)
    states, last = full_forward(stepper, pixels)
    state = stepper.embed(pixels)
    for expected in states:
        assert (state.hidden - expected).abs().mean() > 0.05  # or layers could be left out
        stepper.step(state)
        torch.testing.assert_close(state.hidden, expected)
    torch.testing.assert_close(stepper.final_hidden(state), last)
    assert len(states) == stepper.depth == LAYERS and stepper.width == 32
    assert stepper.length == last.shape[1] == (side // 8) ** 2 + {"deit": 2, "dinov2_with_registers": 5}.get(family, 1)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_image_stepper_gives_the_same_when_rows_leave(family):
    stepper = make_image_stepper(make_image_model(family), (SIDE, SIDE))
    pixels = make_batch()
    states, last = full_forward(stepper, pixels)
    state = stepper.embed(pixels)
    stepper.step(state)
    state.keep(torch.tensor([0, 1, 3]))
    stepper.step(state)
    torch.testing.assert_close(state.hidden, states[1][[0, 1, 3]])
    state.keep(torch.tensor([1, 2]))
    stepper.step(state)
    torch.testing.assert_close(stepper.final_hidden(state), last[[1, 3]])


@pytest.mark.parametrize("family", FAMILIES)
def test_image_stepper_finds_the_final_norm(family):
    stepper = make_image_stepper(make_image_model(family), (SIDE, SIDE))
    assert stepper.norm is stepper.model.layernorm


@pytest.mark.parametrize("family", FAMILIES)
def test_image_stepper_gradients_are_those_of_the_full_forward(family):
    stepper = make_image_stepper(make_image_model(family), (SIDE, SIDE))
    model, pixels = stepper.model.train(), make_batch()

    def gradients(run) -> Dict[str, Tensor]:
        model.zero_grad()
        torch.manual_seed(0)
        sum((state * (1 + i)).square().sum() for i, state in enumerate(run())).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    def full():
        states, last = full_forward(stepper, pixels)
        return [*states, last]

    def stepped():
        state, states = stepper.embed(pixels), []
        for _ in stepper.layers:
            stepper.step(state)
            states.append(state.hidden)
        return [*states, stepper.final_hidden(state)]

    expected, found = gradients(full), gradients(stepped)
    assert not torch.equal(full()[-1], full()[-1])  # dropout is on
    assert found.keys() == expected.keys() and len(found) > 30
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4, msg=name)


def test_image_trunk_takes_the_size_of_its_processor_or_another(tmp_path):
    folder = make_image_backbone(tmp_path, "dinov2")
    for size, length in ((None, 17), (16, 5), (48, 37)):
        nlp = make_image_nlp(folder, model={"trunk": {"image_size": size}})
        assert get_stepper(nlp.get_pipe("epee_imagecat").model).length == length


def test_image_trunk_bounds_the_patches_of_a_call(tmp_path):
    nlp = make_image_nlp(make_image_backbone(tmp_path), model={"trunk": {"max_patches": 40}})
    model, sizes = nlp.get_pipe("epee_imagecat").model, []
    assert get_settings(model).max_wordpieces == 40
    get_stepper(model).layers[0].register_forward_pre_hook(lambda _, args: sizes.append(tuple(args[0].shape[:2])))
    list(nlp.pipe(make_image_docs(nlp, 7)))
    assert set(sizes) == {(2, 17), (1, 17)}


@pytest.mark.parametrize(
    "settings,problem",
    [
        ({"image_size": 4}, "model.trunk.image_size.*patch"),
        ({"image_size": 0}, "model.trunk.image_size"),
        ({"max_patches": 0}, "model.trunk.max_patches"),
        ({"transformer_config": {"trust_remote_code": True}}, "trust_remote_code"),
        ({"name": "./none/such"}, "no such folder"),
    ],
)
def test_image_trunk_setting_is_named(tmp_path, settings, problem):
    with pytest.raises(ValueError, match=problem):
        make_image_nlp(make_image_backbone(tmp_path), model={"trunk": settings})


def test_image_trunk_refuses_a_backbone_for_text(tmp_path):
    with pytest.raises(ValueError, match="'bert' takes no images.*TransformerTrunk"):
        make_image_nlp(make_backbone(tmp_path))


def test_image_trunk_refuses_gray_backbones(tmp_path):
    with pytest.raises(ValueError, match="'vit' takes no images in colour"):
        make_image_nlp(make_image_backbone(tmp_path, num_channels=1))


def test_image_trunk_refuses_weights_that_can_carry_code(tmp_path):
    model = make_image_model("vit")
    model.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ValueError, match="model.safetensors"):
        make_image_nlp(tmp_path)


def test_image_trunk_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"spacy_epee\[image\]"):
        make_image_nlp(tmp_path)
