"""Starting from the transformer of an existing pipeline."""

import gc
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import torch
from spacy.tokens import Doc
from util import SENTENCES, make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.model import get_settings, get_stepper, get_windows  # noqa: E402
from spacy_epee.trunk.spacy_pipelines import find_pipeline  # noqa: E402
from spacy_epee.trunk.transformer import TransformerTrunk, load_backbone  # noqa: E402


def make_pipeline(backbone, names=("transformer",)):
    """A pipeline with transformers of spacy-transformers, and a component before them that nobody else has."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    for name in names:
        nlp.add_pipe("transformer", name=name, config={"model": {"name": str(backbone)}})
    nlp.initialize()
    for name in names:  # as if trained
        change(nlp.get_pipe(name).model.layers[0].shims[0]._model)
    return nlp


@torch.no_grad()
def change(model):
    for parameter in model.parameters():
        parameter.add_(torch.randn(parameter.shape) * 0.01)


def weights_of(shim):
    return {name: value.clone() for name, value in shim._model.state_dict().items()}


def load(name, **settings):
    trunk = TransformerTrunk(str(name), window=32, overlap=8, **settings)
    load_backbone(trunk)
    return trunk.shims[0]


def assert_same(shim, other):
    found, expected = weights_of(shim), weights_of(other)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    texts = list(SENTENCES)
    assert shim._hfmodel.tokenizer(texts)["input_ids"] == other._hfmodel.tokenizer(texts)["input_ids"]


@pytest.fixture
def pipeline(backbone, tmp_path):
    nlp = make_pipeline(backbone)
    nlp.to_disk(tmp_path / "nlp")
    return nlp, tmp_path / "nlp"


def test_loading_takes_the_transformer_of_a_pipeline(pipeline):
    nlp, folder = pipeline
    assert_same(load(folder), nlp.get_pipe("transformer").model.layers[0].shims[0])


@pytest.mark.parametrize("family", ["roberta", "gpt2", "deberta-v2"])
def test_loading_takes_the_transformer_of_a_pipeline_of_other_families(backbones, tmp_path, family):
    nlp = make_nlp(backbones(family))
    change(get_stepper(nlp.get_pipe("epee_textcat").model).model)
    nlp.to_disk(tmp_path / "nlp")
    assert_same(load(tmp_path / "nlp"), nlp.get_pipe("epee_textcat").model.get_ref("trunk").shims[0])


def test_loading_gives_the_states_of_the_pipeline(pipeline):
    nlp, folder = pipeline
    early = make_nlp(folder)
    pipe = early.get_pipe("epee_textcat")
    doc = nlp.get_pipe("transformer")(nlp.make_doc(SENTENCES[0]))
    (ids,) = get_windows(pipe.model, [early.make_doc(SENTENCES[0])]).ids
    stepper = get_stepper(pipe.model)
    with torch.no_grad():
        state = stepper.embed(torch.from_numpy(ids)[None], torch.ones(1, len(ids), dtype=torch.long))
        for _ in stepper.layers:
            stepper.step(state)
    expected = torch.from_numpy(doc._.trf_data.model_output.last_hidden_state)
    torch.testing.assert_close(stepper.final_hidden(state), expected, rtol=1e-5, atol=1e-5)


def test_loading_carries_the_weights_from_then_on(pipeline, tmp_path):
    _, folder = pipeline
    early = make_nlp(folder)
    folder.rename(tmp_path / "gone")
    early.to_disk(tmp_path / "early")
    loaded = spacy.load(tmp_path / "early")
    assert loaded("Knee swollen.").cats == pytest.approx(early("Knee swollen.").cats)


def test_loading_applies_settings_to_the_transformer_of_a_pipeline(pipeline):
    shim = load(pipeline[1], transformer_config={"hidden_dropout_prob": 0.3}, tokenizer_config={"mask_token": "[UNK]"})
    assert shim._model.config.hidden_dropout_prob == 0.3 and shim._model.encoder.layer[0].output.dropout.p == 0.3
    assert shim._hfmodel.tokenizer.mask_token == "[UNK]"


def test_loading_needs_nothing_of_the_other_components(pipeline):
    nlp, folder = pipeline
    config = (folder / "config.cfg").read_text()
    (folder / "config.cfg").write_text(config.replace('factory = "sentencizer"', 'factory = "not_installed"'))
    assert_same(load(folder), nlp.get_pipe("transformer").model.layers[0].shims[0])


def test_loading_wants_to_know_which_of_several(backbone, tmp_path):
    nlp = make_pipeline(backbone, ["one", "two"])
    nlp.to_disk(tmp_path)
    with pytest.raises(ValueError, match="2 components.*'one', 'two'.*model.trunk.component"):
        load(tmp_path)
    assert_same(load(tmp_path, component="two"), nlp.get_pipe("two").model.layers[0].shims[0])


def test_loading_refuses_a_pipeline_without_a_transformer(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path)
    with pytest.raises(ValueError, match=r"model\.trunk\.name.*0 components.*spacy-transformers.*curated"):
        load(tmp_path)


@pytest.mark.parametrize("component,said", [("sentencizer", "no trained"), ("tagger", "no such component")])
def test_loading_refuses_a_component_without_a_transformer(pipeline, component, said):
    with pytest.raises(ValueError, match=f"'{component}'.*{said}.*'transformer'"):
        load(pipeline[1], component=component)


def test_loading_refuses_a_transformer_without_weights(backbone, tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("transformer", config={"model": {"name": str(backbone)}})
    nlp.to_disk(tmp_path)
    with pytest.raises(ValueError, match="'transformer'.*no trained"):
        load(tmp_path)


def test_loading_refuses_a_component_of_what_is_no_pipeline(backbone):
    with pytest.raises(ValueError, match="model.trunk.component.*'transformer'.*null"):
        load(backbone, component="transformer")


def test_loading_runs_nothing_of_a_pipeline(pipeline):
    nlp, folder = pipeline
    config = (folder / "config.cfg").read_text()
    (folder / "config.cfg").write_text(config.replace('factory = "transformer"', 'factory = "not_installed"'))
    assert_same(load(folder), nlp.get_pipe("transformer").model.layers[0].shims[0])


def test_loading_says_why_a_pipeline_cannot_be_loaded(pipeline):
    model = pipeline[1] / "transformer" / "model"
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(ValueError, match="'transformer' of the pipeline.*could not be loaded.*incomplete"):
        load(pipeline[1])
    assert gc.isenabled()


def test_loading_takes_the_transformer_of_an_installed_package(backbone, tmp_path, monkeypatch):
    nlp = make_pipeline(backbone)
    nlp.meta.update(name="epee_test", version="1.0")
    nlp.to_disk(tmp_path / "nlp")
    spacy.cli.package(tmp_path / "nlp", tmp_path, create_sdist=False, name="epee_test", version="1.0", silent=True)
    packed = tmp_path / "en_epee_test-1.0"
    shutil.copy(packed / "meta.json", packed / "en_epee_test")  # as its setup.py does
    (packed / "en_epee_test-1.0.dist-info").mkdir()
    (packed / "en_epee_test-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: en_epee_test\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(packed)  # as good as installed
    assert_same(load("en_epee_test"), nlp.get_pipe("transformer").model.layers[0].shims[0])


def test_loading_takes_no_other_package_for_a_pipeline():
    assert find_pipeline("numpy") is None and find_pipeline("owner/model") is None


def test_loading_is_configured(pipeline):
    nlp = make_nlp(pipeline[1], model={"trunk": {"component": "transformer"}})
    pipe = nlp.get_pipe("epee_textcat")
    assert get_settings(pipe.model).component == "transformer"
    assert isinstance(nlp(SENTENCES[0]), Doc)


def test_loading_is_all_that_needs_spacy_transformers():
    code = (
        "import sys; sys.modules['spacy_transformers'] = None\n"
        "import spacy_epee.engine.loop, spacy_epee.trunk.verification, spacy_epee.runtimes.onnx.runtime\n"
        "import spacy_epee.heads.pooled, spacy_epee.tasks.relations.head, spacy_epee.tasks.events.head"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    for file in (Path(__file__).parents[2] / "spacy_epee").rglob("*.py"):
        if re.search(r"^\s*(from|import) spacy_transformers", file.read_text(encoding="utf-8"), flags=re.MULTILINE):
            assert file.name == "transformer.py"
