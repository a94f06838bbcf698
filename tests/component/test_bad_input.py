"""Bad input gives a clear error that names the setting and the fix."""

import json
import shutil

import pytest
import spacy
import srsly
from spacy.training import Example
from util import make_backbone, make_examples, make_nlp

from spacy_epee.exits.rules.composite import AllOf, AnyOf
from spacy_epee.exits.rules.depth import FixedDepth, FromLayer
from spacy_epee.exits.rules.patience import Patience
from spacy_epee.exits.rules.thresholds import Learned


def start(backbone, factory="epee_textcat", cats=({"A": 1.0, "B": 0.0}, {"A": 0.0, "B": 1.0}), **config):
    nlp = spacy.blank("en")
    trunk = {"name": str(backbone), "window": 32, "overlap": 8, **config.pop("trunk", {})}
    config["model"] = {"trunk": trunk, **config.pop("model", {})}
    nlp.add_pipe(factory, config=config)
    examples = [Example.from_dict(nlp.make_doc("fever"), {"cats": dict(c)}) for c in cats]
    nlp.initialize(lambda: examples)
    return nlp


def test_bad_input_no_labels(backbone):
    with pytest.raises(ValueError, match="E143"):
        start(backbone, cats=[{}])


def test_bad_input_one_exclusive_label(backbone):
    with pytest.raises(ValueError, match="epee_textcat_multilabel"):
        start(backbone, cats=[{"A": 1.0}])


def test_bad_input_one_label_is_fine_for_multilabel(backbone):
    nlp = start(backbone, factory="epee_textcat_multilabel", cats=[{"A": 1.0}, {"A": 0.0}])
    assert 0 <= nlp("fever").cats["A"] <= 1


def test_bad_input_two_true_exclusive_labels(backbone):
    with pytest.raises(ValueError, match="epee_textcat_multilabel"):
        start(backbone, cats=[{"A": 1.0, "B": 1.0}])


def test_bad_input_unknown_label_in_update(backbone):
    nlp = start(backbone)
    with pytest.warns(UserWarning, match="labels that the component 'epee_textcat' does not know") as found:
        nlp.update([Example.from_dict(nlp.make_doc("rash"), {"cats": {"STRANGE": 1.0}})])
    assert not any("STRANGE" in str(warning.message) for warning in found)


def test_bad_input_unknown_label_when_initialized(backbone):
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_textcat", config={"model": {"trunk": {"name": str(backbone)}}})
    nlp.config["initialize"]["components"]["epee_textcat"] = {"labels": ["A", "B"]}
    examples = [Example.from_dict(nlp.make_doc("rash"), {"cats": {"STRANGE": 1.0}})]
    with pytest.raises(ValueError, match="unknown labels.*initialize.components") as error:
        nlp.initialize(lambda: examples)
    assert "STRANGE" not in str(error.value)


def test_bad_input_labels_of_another_component_are_left_alone(backbone):
    nlp = start(backbone)
    example = Example.from_dict(nlp.make_doc("rash"), {"cats": {"A": 1.0, "B": 0.0, "other": 1.0}})
    assert nlp.update([example])["epee_textcat"] > 0


def test_bad_input_add_label_after_initialize(backbone):
    nlp = start(backbone)
    pipe = nlp.get_pipe("epee_textcat")
    assert pipe.add_label("A") == 0
    with pytest.raises(ValueError, match="E922"):
        pipe.add_label("C")
    with pytest.raises(ValueError, match="E187"):
        pipe.add_label(3)


def test_bad_input_labels_as_one_string(backbone):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("epee_textcat", config={"model": {"trunk": {"name": str(backbone)}}})
    examples = make_examples(nlp, ["A", "B"])
    with pytest.raises(ValueError, match="list"):
        pipe.initialize(lambda: examples, nlp=nlp, labels="AB")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("other", ["epee_textcat_multilabel", "textcat"])
def test_bad_input_label_in_two_components(backbone, other, first):
    nlp = spacy.blank("en")
    config = {"model": {"trunk": {"name": str(backbone), "window": 32, "overlap": 8}}}
    for name in [other, "epee_textcat"][:: 1 if first else -1]:
        nlp.add_pipe(name, config=config if "epee" in name else {})
    examples = make_examples(nlp, ["A", "B"])
    with pytest.raises(ValueError, match="both have the labels.*'A', 'B'"):
        nlp.initialize(lambda: examples)


def test_bad_input_two_components_with_labels_of_their_own(backbone):
    nlp = spacy.blank("en")
    config = {"model": {"trunk": {"name": str(backbone), "window": 32, "overlap": 8}}}
    nlp.add_pipe("epee_textcat", config=config)
    nlp.add_pipe("epee_textcat_multilabel", config=config)
    labels = {"epee_textcat": {"labels": ["A", "B"]}, "epee_textcat_multilabel": {"labels": ["C"]}}
    nlp.config["initialize"]["components"] = labels
    cats = [{"A": 1.0, "B": 0.0, "C": 0.0}, {"A": 0.0, "B": 1.0, "C": 1.0}]
    examples = [Example.from_dict(nlp.make_doc("fever"), {"cats": c}) for c in cats]
    nlp.initialize(lambda: examples)
    nlp.update(examples)
    assert set(nlp("fever").cats) == {"A", "B", "C"}


def test_bad_input_predict_before_initialize(backbone):
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_textcat", config={"model": {"trunk": {"name": str(backbone)}}})
    with pytest.raises(ValueError, match="E109"):
        nlp("fever")


@pytest.mark.parametrize(
    "rule",
    [
        {"@misc": "spacy-epee.Patience.v1", "patience": 4},
        {"@misc": "spacy-epee.Entropy.v1", "entropy": 0.0},
        {"@misc": "spacy-epee.FixedDepth.v1", "layer": 5},
        {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.0, "patience": 9},
    ],
)
def test_bad_input_rule_that_can_never_fire(backbone, rule):
    with pytest.raises(ValueError, match="never fire.*components.epee_textcat.exit"):
        start(backbone, exit=rule)


def test_bad_input_rule_that_can_never_fire_set_later_or_on_load(backbone, tmp_path):
    nlp = make_nlp(backbone, exit={"@misc": "spacy-epee.Patience.v1", "patience": 2})
    with pytest.raises(ValueError, match="never fire"):
        nlp.get_pipe("epee_textcat").exit = FixedDepth(9)
    assert nlp.get_pipe("epee_textcat").exit == Patience(2)
    nlp.to_disk(tmp_path)
    with pytest.raises(ValueError, match="never fire"):
        spacy.load(tmp_path, config={"components.epee_textcat.exit.patience": 7})


def test_bad_input_rule_of_another_kind(backbone):
    nlp = make_nlp(backbone)
    with pytest.raises(ValueError, match="not an exit rule"):
        nlp.get_pipe("epee_textcat").exit = 0.5


def test_bad_input_learned_rule_without_learned_exit(backbone):
    learned = {"@misc": "spacy-epee.Learned.v1", "doubt": 0.2}
    with pytest.raises(ValueError, match="model.head.learned_exit"):
        make_nlp(backbone, exit=learned)
    pipe = make_nlp(backbone).get_pipe("epee_textcat")
    for rule in (Learned(0.2), FromLayer(2, Learned(0.2)), AnyOf({"one": Patience(1), "two": AllOf({"inner": Learned(0.2)})})):
        with pytest.raises(ValueError, match="model.head.learned_exit"):
            pipe.exit = rule
    make_nlp(backbone, exit=learned, model={"head": {"learned_exit": True}})("fever")


@pytest.mark.parametrize("layers", [[2, 7], [0, 2], [3, 1], [2, 2], []])
def test_bad_input_exit_layers(backbone, layers):
    with pytest.raises(ValueError, match="model.exit_layers"):
        start(backbone, model={"exit_layers": layers})


@pytest.mark.parametrize(
    "config,setting",
    [
        ({"trunk": {"window": 10, "overlap": 9}}, "model.trunk.overlap"),
        ({"model": {"head": {"pooling": "median"}}}, "model.head -> pooling"),
        ({"loss": {"weighting": "none"}}, "loss -> weighting"),
        ({"loss": {"self_distillation": 1.5}}, "loss.self_distillation"),
        ({"label_weights": {"Z": 2.0}}, "label_weights"),
        ({"label_weights": {"A": -2.0}}, "label_weights"),
        ({"trunk": {"transformer_config": {"trust_remote_code": True}}}, "trust_remote_code"),
    ],
)
def test_bad_input_setting_is_named(backbone, config, setting):
    with pytest.raises(ValueError, match=setting):
        start(backbone, **config)


@pytest.mark.parametrize("config,setting", [({"threshold": 1.5}, "threshold"), ({"reduce": "median"}, "reduce")])
def test_bad_input_multilabel_setting_is_named(backbone, config, setting):
    with pytest.raises(ValueError, match=setting):
        start(backbone, factory="epee_textcat_multilabel", **config)


@pytest.mark.parametrize("name", ["", "./no/such/folder", "/no/such/folder"])
def test_bad_input_backbone_that_does_not_exist(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # a path must not reach the network anyway
    with pytest.raises(ValueError, match="model.trunk.name"):
        start(name)


def test_bad_input_backbone_that_is_no_encoder(tmp_path):
    for family in ("t5",):
        folder = make_backbone(tmp_path / family, family, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
        with pytest.raises(ValueError, match="encoder-decoder.*model.trunk.name"):
            start(folder)


def test_bad_input_backbone_folder_without_a_model(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match="model.trunk.name.*config.json"):
        start(tmp_path)


def test_bad_input_backbone_with_damaged_weights(backbone, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(backbone, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ValueError, match="model.trunk.name.*complete folder"):
        start(folder)


@pytest.mark.parametrize("name,keep", [("model", 0), ("model", 1000), ("cfg", 20)])
def test_bad_input_damaged_pipeline(backbone, tmp_path, name, keep):
    nlp = make_nlp(backbone)
    nlp.to_disk(tmp_path)
    file = tmp_path / "epee_textcat" / name
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match="epee_textcat.*damaged"):
        spacy.load(tmp_path)


def test_bad_input_damaged_bytes(backbone):
    pipe = make_nlp(backbone).get_pipe("epee_textcat")
    with pytest.raises(ValueError, match="epee_textcat.*damaged"):
        pipe.from_bytes(pipe.to_bytes()[:-100])


def test_bad_input_pipeline_without_cfg_or_with_that_of_another(backbone, tmp_path):
    make_nlp(backbone).to_disk(tmp_path)
    cfg = tmp_path / "epee_textcat" / "cfg"
    saved = srsly.read_json(cfg)
    saved["tasks"]["textcat"]["labels"] = ["A"]
    srsly.write_json(cfg, saved)
    with pytest.raises(ValueError, match="epee_textcat.*not what was saved together"):
        spacy.load(tmp_path)
    del saved["digest"]  # as before there was one
    srsly.write_json(cfg, saved)
    with pytest.raises(ValueError, match="1 labels.*trained with 3"):
        spacy.load(tmp_path)
    cfg.unlink()
    with pytest.raises(ValueError, match="epee_textcat.*incomplete"):
        spacy.load(tmp_path)


def test_bad_input_pipeline_of_a_newer_version(backbone, tmp_path):
    nlp = make_nlp(backbone)
    nlp.to_disk(tmp_path)
    cfg = tmp_path / "epee_textcat" / "cfg"
    srsly.write_json(cfg, {**srsly.read_json(cfg), "format": 99})
    with pytest.raises(ValueError, match="newer version.*pip install -U"):
        spacy.load(tmp_path)
    with pytest.raises(ValueError, match="newer version"):
        data = srsly.msgpack_loads(nlp.get_pipe("epee_textcat").to_bytes())
        data["cfg"] = json.dumps({"format": 99}).encode()
        nlp.get_pipe("epee_textcat").from_bytes(srsly.msgpack_dumps(data))
