"""The precision in which torch answers."""

import warnings

import numpy
import pytest
import spacy
import torch
from util import FAMILIES, SENTENCES, make_examples, make_nlp, make_texts

pytest.importorskip("spacy_transformers")

from spacy_epee.exits.rules.patience import EntropyPatience  # noqa: E402
from spacy_epee.model import get_runner, get_stepper  # noqa: E402
from spacy_epee.runtimes import torch_precision as precision  # noqa: E402
from spacy_epee.runtimes.torch_precision import in_precision  # noqa: E402
from spacy_epee.trunk.verification import relative_error  # noqa: E402

LABELS = ["ACUTE", "STABLE", "HISTORY"]


@pytest.fixture
def bf16(monkeypatch):
    """A machine that computes in bfloat16; others imitate it, which is enough for a test."""
    monkeypatch.setattr(precision, "computes_in_bfloat16", lambda device: True)


def pipe_of(nlp):
    return nlp.get_pipe("epee_textcat")


def stepper_of(backbone):
    return get_stepper(pipe_of(make_nlp(backbone, LABELS)).model)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_states_in_bf16_are_near(backbones, family, bf16):
    stepper = stepper_of(backbones(family))
    found = in_precision(stepper, "bf16")
    assert next(found.layers[0].parameters()).dtype == torch.bfloat16
    assert next(stepper.layers[0].parameters()).dtype == torch.float32
    assert 0 < relative_error(stepper, found) < 0.05


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"gpt2"}))
def test_states_in_int8_are_near(backbones, family):
    stepper = stepper_of(backbones(family))
    found = in_precision(stepper, "int8")
    assert not any(isinstance(part, torch.nn.Linear) for layer in found.layers for part in layer.modules())
    assert 0 < relative_error(stepper, found) < 0.2


def test_int8_without_linear_modules_is_refused(backbones):
    with pytest.raises(ValueError, match="'gpt2' have no linear modules"):
        in_precision(stepper_of(backbones("gpt2")), "int8")


@pytest.mark.parametrize("choice", ["bf16", "int8"])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_pipeline_answers_nearly_the_same(backbone, bf16, choice, batch_size):
    texts = [*SENTENCES, *make_texts(10, seed=5), ""]
    found = []
    for own in ("fp32", choice):
        nlp = make_nlp(backbone, LABELS, spread=4.0, model={"trunk": {"precision": own}})
        pipe_of(nlp).exit = EntropyPatience(0.3, 2)
        found.append([list(doc.cats.values()) for doc in nlp.pipe(texts, batch_size=batch_size)])
        assert (get_runner(pipe_of(nlp).model) is get_stepper(pipe_of(nlp).model)) == (own == "fp32")
    differences = numpy.abs(numpy.array(found[0]) - numpy.array(found[1])).max(axis=1)
    assert 0 < numpy.median(differences) < 0.1


def test_a_machine_without_bf16(backbone, monkeypatch):
    monkeypatch.setattr(precision, "computes_in_bfloat16", lambda device: False)
    nlp = make_nlp(backbone, LABELS, model={"trunk": {"precision": "fp32"}})
    stepper = get_stepper(pipe_of(nlp).model)
    with pytest.raises(ValueError, match="CPU does not compute in bfloat16.*'auto'"):
        in_precision(stepper, "bf16")
    with pytest.warns(UserWarning, match="runs in float32"):
        assert in_precision(stepper, "auto") is stepper


def test_auto_takes_bf16_only_if_states_stay_near(backbone, bf16, monkeypatch):
    stepper = stepper_of(backbone)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert in_precision(stepper, "auto") is not stepper
    for far in (0.5, float("nan")):
        monkeypatch.setattr(precision, "relative_error", lambda stepper, other, far=far: far)
        with pytest.warns(UserWarning, match="off"):
            assert in_precision(stepper, "auto") is stepper


def test_auto_is_said_once(backbone, monkeypatch):
    monkeypatch.setattr(precision, "computes_in_bfloat16", lambda device: False)
    with pytest.warns(UserWarning, match="float32"):
        nlp = make_nlp(backbone, LABELS, model={"trunk": {"precision": "auto"}})
        nlp(SENTENCES[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp(SENTENCES[1])


def test_training_is_seen(backbone):
    nlp = make_nlp(backbone, LABELS, model={"trunk": {"precision": "int8"}})
    before = nlp(SENTENCES[0]).cats
    stepper = get_stepper(pipe_of(nlp).model)
    old = get_runner(pipe_of(nlp).model)
    nlp.update(make_examples(nlp, LABELS), sgd=nlp.resume_training())
    assert get_runner(pipe_of(nlp).model) is not old and get_stepper(pipe_of(nlp).model) is stepper
    assert nlp(SENTENCES[0]).cats != before


def test_averages_are_seen(backbone):
    nlp = make_nlp(backbone, LABELS, model={"trunk": {"precision": "int8"}})
    model = pipe_of(nlp).model
    old = get_runner(model)
    shim = model.get_ref("trunk").shims[0]
    name, part = next((name, part) for name, part in shim._model.named_parameters() if "layer" in name)
    with shim.use_params({(shim.id, name): part.data.numpy() + 1}):
        inside = get_runner(model)
        assert inside is not old
    assert get_runner(model) is not inside


def test_precision_can_be_changed_on_loading(backbone, tmp_path):
    make_nlp(backbone, LABELS).to_disk(tmp_path)
    nlp = spacy.load(tmp_path, config={"components.epee_textcat.model.trunk.precision": "int8"})
    assert get_runner(pipe_of(nlp).model) is not get_stepper(pipe_of(nlp).model)
    assert set(nlp(SENTENCES[0]).cats) == set(LABELS)


def test_unknown_precision(backbone):
    with pytest.raises(ValueError, match="(?s)trunk -> precision.*'fp8'.*'bf16'"):
        make_nlp(backbone, LABELS, model={"trunk": {"precision": "fp8"}})
