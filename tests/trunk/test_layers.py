"""Students that begin with some layers of a larger backbone."""

import pytest
import spacy
import torch
from images_util import FAMILIES as IMAGE_FAMILIES
from images_util import SIDE, make_image_backbone, make_image_nlp
from util import DEPTH, FAMILIES, SENTENCES, make_examples, make_nlp

pytest.importorskip("spacy_transformers")  # not there with `make test-newest`, and what is tested imports it
from spacy_epee.model import get_stepper  # noqa: E402
from spacy_epee.trunk.layers import check_layers, choose_layers  # noqa: E402
from spacy_epee.trunk.transformer import TransformerTrunk, load_backbone  # noqa: E402
from spacy_epee.trunk.verification import probe_text  # noqa: E402

CHOICES = {"first 2": [1, 2], "every 2": [2, 4], "every 3": [3], "first 4": [1, 2, 3, 4], "list": [1, 4]}


def load(name, layers):
    trunk = TransformerTrunk(str(name), window=32, overlap=8, layers=layers)
    load_backbone(trunk)
    return trunk.shims[0].stepper


@torch.no_grad()
def climb(stepper, numbers, *inputs):
    state = stepper.embed(*inputs)
    for number in numbers:
        state.layer = number - 1
        stepper.step(state)
    return stepper.final_hidden(state)


def states_of(stepper, numbers=None):
    ids, mask = probe_text(stepper.model)
    return climb(stepper, numbers or range(1, stepper.depth + 1), ids, mask)[mask.bool()]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("family", FAMILIES)
def test_layers_that_are_kept_do_what_they_did(family, choice, backbones):
    """But where a layer is another one in another place, or two share weights that would be in places which share none."""
    numbers = CHOICES[choice]
    folder, layers = backbones(family), numbers if choice == "list" else choice
    whole = load(folder, None)
    if family == "modernbert" and numbers not in ([1, 2], [1, 2, 3, 4], [1, 4]):
        with pytest.raises(ValueError, match="they differ by their place, or share weights"):
            load(folder, layers)
        return
    kept = load(folder, layers)
    assert kept.depth == len(numbers) == kept.model.config.num_hidden_layers
    torch.testing.assert_close(states_of(kept), states_of(whole, numbers), rtol=1e-4, atol=1e-4)
    fewer, more = (sum(value.numel() for value in stepper.model.state_dict().values()) for stepper in (kept, whole))
    assert fewer < more or len(numbers) == DEPTH or family == "albert"


def test_layers_that_share_weights_otherwise_are_refused(backbones):
    with pytest.raises(ValueError, match=r"'albert' with the layers \[1, 3, 4\] alone is something else"):
        load(backbones("albert"), [1, 3, 4])


@pytest.mark.parametrize("layers", ["last 2", "first", "first 0", "6", "every -1", "", [], [0, 1], [2, 1], [1, 1], [-1]])
def test_settings_that_name_no_layers_are_refused_at_once(layers):
    with pytest.raises(ValueError, match="`model.trunk.layers` is .*; give 'first 6'"):
        check_layers(layers)
    with pytest.raises(ValueError, match="`model.trunk.layers`"):
        TransformerTrunk("", layers=layers)


@pytest.mark.parametrize("layers", ["first 5", "every 5", [1, 5]])
def test_layers_that_are_not_there_are_refused(layers, backbone):
    with pytest.raises(ValueError, match="this backbone has 4 layers. Name fewer"):
        load(backbone, layers)


def test_layers_by_number_and_by_word():
    assert choose_layers("every 3", 12) == [3, 6, 9, 12] and choose_layers("first 3", 12) == [1, 2, 3]
    assert choose_layers("every 5", 12) == [5, 10] and choose_layers([1, 12], 12) == [1, 12]


@pytest.mark.parametrize("layers", ["every 2", [2, 4]])
def test_pipeline_has_the_layers_that_are_kept_and_no_others(layers, backbone, tmp_path):
    nlp = make_nlp(backbone, model={"trunk": {"layers": layers}})
    examples = make_examples(nlp, ["ACUTE", "STABLE", "HISTORY"])
    nlp.update(examples, sgd=nlp.resume_training())
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    stepper = get_stepper(loaded.get_pipe("epee_textcat").model)
    assert stepper.depth == 2 and not [name for name in stepper.model.state_dict() if ".layer.2." in name]
    for text in SENTENCES:
        expected, found = nlp(text), loaded(text)
        assert found.cats == pytest.approx(expected.cats, abs=1e-6)
    assert loaded("fever")._.exits["epee_textcat"]["textcat"]["layer"] == 2
    assert loaded.to_bytes() == spacy.blank("en").from_config(loaded.config).from_bytes(loaded.to_bytes()).to_bytes()


def test_layers_are_kept_of_a_pipeline_too(backbone, tmp_path):
    make_nlp(backbone).to_disk(tmp_path / "nlp")
    torch.testing.assert_close(states_of(load(tmp_path / "nlp", "every 2")), states_of(load(backbone, None), [2, 4]))


def test_pipeline_is_initialized_anew_with_the_same_layers(backbone, tmp_path):
    make_nlp(backbone, model={"trunk": {"layers": [3]}}).to_disk(tmp_path / "nlp")
    nlp = spacy.load(tmp_path / "nlp")
    nlp.initialize(lambda: make_examples(nlp, ["A", "B"]))
    assert get_stepper(nlp.get_pipe("epee_textcat").model).depth == 1


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_layers_of_an_encoder_of_images(family, tmp_path):
    folder = make_image_backbone(tmp_path / "backbone", family)
    pipelines = [make_image_nlp(folder, model={"trunk": {"layers": layers}}) for layers in (None, [1, 3])]
    whole, kept = (get_stepper(nlp.get_pipe("epee_imagecat").model) for nlp in pipelines)
    pixels = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(climb(kept, [1, 2], pixels), climb(whole, [1, 3], pixels), rtol=1e-4, atol=1e-4)
    pipelines[1].to_disk(tmp_path / "nlp")
    assert get_stepper(spacy.load(tmp_path / "nlp").get_pipe("epee_imagecat").model).depth == 2
