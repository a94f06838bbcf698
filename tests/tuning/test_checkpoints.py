"""What a checkpoint gets from dev, and that training goes on as without it."""

import json
from pathlib import Path

import numpy
import pytest
import spacy
import torch
from joint_util import TEXTS, make_example, make_joint_nlp
from spacy.cli.train import train
from spacy.util import registry
from thinc.api import Adam
from util import SENTENCES, make_backbone, make_nlp, make_texts

from spacy_epee.evaluation.calibrate import calibrate
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.tasks.mix import set_fitted_mix, trained_mix
from spacy_epee.training.callbacks import two_stage
from spacy_epee.tuning.checkpoints import fit_on_dev

LABELS = ["A", "B"]


@pytest.fixture
def dev(tmp_path):
    """Notes whose label their words nearly give away."""
    path = tmp_path / "dev.jsonl"
    rows = []
    for number, text in enumerate([*SENTENCES, *make_texts(48, seed=1)]):
        label = LABELS[number % 2]
        word = ("acute", "stable")[(number + (number % 5 == 0)) % 2]
        rows.append({"text": f"{text} {word}", "cats": {one: int(one == label) for one in LABELS}})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def trained_on(dev, backbone, multilabel=False, **settings):
    """A pipeline that is in training on such notes, with layers that are far too sure of what they do not know."""
    nlp = make_nlp(backbone, LABELS, multilabel, spread=None, lexical=200, **settings)
    [pipe] = [part for _, part in nlp.pipeline]
    read = spacy.registry.readers.get("spacy-epee.JsonlReader.v1")
    examples = list(read(str(dev))(nlp))
    nlp.initialize(lambda: examples)
    pipe.slot().set_mix([0.1] * 4, pipe.model)
    with torch.no_grad():
        for classifier in pipe.slot().heads(pipe.model).classifiers:
            classifier.weight.normal_(0, 5)
    nlp.config["corpora"] = {"dev": {"@readers": "spacy-epee.JsonlReader.v1", "path": str(dev)}}
    nlp.config["training"]["dev_corpus"] = "corpora.dev"
    return nlp, pipe, examples


def weights_of(pipe):
    return [part.clone() for layer in pipe.model.layers for part in layer.shims[0]._model.state_dict().values()]


def test_checkpoint_has_words_and_temperatures_of_dev(dev, backbone, tmp_path):
    nlp, pipe, _ = trained_on(dev, backbone)
    assert fit_on_dev()(nlp) is nlp
    nlp.to_disk(tmp_path / "saved")
    [saved] = [part for _, part in spacy.load(tmp_path / "saved").pipeline]
    assert min(saved.cfg["temperatures"][1:]) > 2
    assert (saved.slot().mix(saved.model) > 1).any()
    assert trained_mix(saved.slot(), saved.model) == pytest.approx(0.1)


def test_checkpoint_has_thresholds_of_labels(dev, backbone):
    nlp, pipe, _ = trained_on(dev, backbone, multilabel=True)
    last = pipe.slot().heads(pipe.model).classifiers[-1]
    with torch.no_grad():
        last.bias += 50  # everything is given
    fit_on_dev()(nlp)
    assert pipe.cfg["label_thresholds"].keys() & set(LABELS)


def test_checkpoint_twice_is_as_once(dev, backbone):
    nlp, pipe, _ = trained_on(dev, backbone)
    found = []
    for _ in range(2):
        fit_on_dev()(nlp)
        found.append((pipe.to_bytes(), pipe.cfg))
    assert found[0] == found[1]


@pytest.mark.parametrize("averages", [False, True])
def test_training_is_the_same_with_checkpoints(averages, dev, tmp_path):
    backbone = make_backbone(tmp_path / "backbone", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    found = []
    for fitted in (False, True):
        nlp, pipe, examples = trained_on(dev, backbone, model={"head": {"dropout": 0.0}})
        optimizer = Adam(0.01, use_averages=averages)
        for _ in range(3):
            nlp.update(examples[:16], sgd=optimizer)
            if fitted:
                with nlp.use_params(optimizer.averages):
                    fit_on_dev()(nlp)
                    assert "mix" in pipe.cfg
        nlp.update(examples[:16], sgd=optimizer)
        assert not {"mix", "temperatures"} & set(pipe.cfg)
        found.append(weights_of(pipe))
    assert all(torch.equal(one, other) for one, other in zip(*found))


def test_training_in_parts_is_the_same_after_a_fit(dev, tmp_path):
    backbone = make_backbone(tmp_path / "backbone", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    found = []
    for fitted in (False, True):
        nlp, pipe, examples = trained_on(dev, backbone, model={"head": {"dropout": 0.0}})
        if fitted:
            calibrate(pipe, examples)
        optimizer = Adam(0.01)
        nlp.update(examples[:8])
        nlp.update(examples[8:16])
        pipe.finish_update(optimizer)
        found.append(weights_of(pipe))
    assert all(torch.equal(one, other) for one, other in zip(*found))


def test_second_fit_does_not_start_at_the_first_one(dev, backbone):
    nlp, pipe, examples = trained_on(dev, backbone)
    fit_on_dev()(nlp)
    once = pipe.slot().mix(pipe.model)
    set_fitted_mix(pipe.slot(), [9.0] * 4, pipe.model)
    fit_on_dev()(nlp)
    assert numpy.array_equal(pipe.slot().mix(pipe.model), once)


def test_words_may_count_against_what_they_say(dev, backbone):
    """Training finds that of words that know nothing."""
    nlp, pipe, _ = trained_on(dev, backbone)
    pipe.slot().set_mix([-0.9] * 4, pipe.model)
    fit_on_dev()(nlp)
    assert trained_mix(pipe.slot(), pipe.model) == pytest.approx(-0.9)


def test_weights_that_were_put_back_are_what_training_found(dev, backbone):
    """As after averages of weights."""
    nlp, pipe, _ = trained_on(dev, backbone)
    fit_on_dev()(nlp)
    pipe.slot().set_mix([0.3] * 4, pipe.model)
    assert trained_mix(pipe.slot(), pipe.model) == pytest.approx(0.3)


def test_frozen_components_stay_as_they_are(dev, backbone):
    nlp, pipe, _ = trained_on(dev, backbone)
    nlp.config["training"]["frozen_components"] = [pipe.name]
    before = pipe.to_bytes()
    with pytest.raises(ValueError, match="training.before_to_disk.*none of this pipeline is trained"):
        fit_on_dev()(nlp)
    assert pipe.to_bytes() == before


def test_dev_that_says_nothing_changes_nothing(dev, backbone):
    nlp, pipe, _ = trained_on(dev, backbone)
    dev.write_text('{"text": "fever", "cats": {}}\n' * 4)
    mix = pipe.slot().mix(pipe.model)
    fit_on_dev()(nlp)
    assert numpy.array_equal(pipe.slot().mix(pipe.model), mix)
    assert "temperatures" not in pipe.cfg


def test_fewer_documents_than_there_are(dev, backbone):
    nlp, pipe, _ = trained_on(dev, backbone)
    fit_on_dev()(nlp)
    all_of_them = pipe.cfg["temperatures"]
    fit_on_dev(limit=30)(nlp)
    assert pipe.cfg["temperatures"] != all_of_them
    with pytest.raises(ValueError, match="before_to_disk.limit"):
        fit_on_dev(limit=-1)


def test_two_stages_leave_the_last_exit_as_it_was(dev, backbone):
    nlp, pipe, examples = trained_on(dev, backbone)
    two_stage(pipe.name, exits_from_step=0)(nlp, {"step": 0, "epoch": 0})
    fit_on_dev()(nlp)
    nlp.update(examples[:8], sgd=Adam(0.01))
    assert pipe.slot().mix(pipe.model)[-1] == pytest.approx(0.1)


def test_train_fits_what_it_saves(dev, backbone, tmp_path):
    config = spacy.util.load_config(Path(__file__).parent.parent.parent / "configs" / "textcat.cfg")
    overrides = {
        "paths.train": str(dev),
        "paths.dev": str(dev),
        "paths.backbone": str(backbone),
        "training.max_steps": 4,
        "training.eval_frequency": 2,
        "training.optimizer.learn_rate.warmup_steps": 1,
        "components.epee_textcat.model.trunk.window": 32,
        "components.epee_textcat.model.trunk.overlap": 8,
        "components.epee_textcat.exit.patience": 2,
    }
    config["training"]["before_to_disk"] = {"@callbacks": "spacy-epee.fit_on_dev.v1"}
    config.to_disk(tmp_path / "config.cfg")
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=overrides)
    for name in ("model-best", "model-last"):
        pipe = spacy.load(tmp_path / "out" / name).get_pipe("epee_textcat")
        assert "mix" in pipe.cfg


def test_all_tasks_of_a_component_are_fitted(backbone, monkeypatch):
    monkeypatch.setattr(StoredOutputs, "helps", lambda *_: True)
    nlp = make_joint_nlp(backbone, ["kind", "relations"], lexical=100)
    [(_, pipe)] = nlp.pipeline
    examples = [make_example(nlp, text, ["kind", "relations"]) for text in TEXTS] * 4
    nlp.config["corpora"] = {"dev": {"@readers": "tests.examples.v1"}}
    nlp.config["training"]["dev_corpus"] = "corpora.dev"
    registry.readers("tests.examples.v1", func=lambda: lambda nlp: examples)
    fit_on_dev()(nlp)
    assert all("temperatures" in slot.cfg for slot in pipe.slots.values())
