"""A model card tells what is known, and that the rest is not."""

import json

import pytest
import spacy
import srsly
from joint_util import make_joint_nlp
from typer.testing import CliRunner
from util import make_nlp

from spacy_epee.card import UNKNOWN, make_card
from spacy_epee.cli import epee
from spacy_epee.exits.rules import Entropy
from spacy_epee.tasks.slot import answers_by
from spacy_epee.tuning.noted import noted

TUNED = {
    "documents": 500,
    "score_desc": "macro F",
    "wish": {"max_disagreement": 0.02, "confidence": 0.9},
    "promise": {"max_disagreement": 0.02, "confidence": 0.9, "documents": 250, "kept": True},
    "score": 0.9,
    "full": 0.91,
    "drop": 0.01,
    "spread": 0.02,
    "disagreement": 0.013,
    "wordpiece_layers": 2.5,
    "speedup": 1.6,
    "rule": "null",
}


@pytest.fixture(scope="module")
def nlp(backbone):
    return make_nlp(backbone, ("ACUTE", "A|B"), multilabel=True)


def read(card):
    _, matter, body = card.split("---\n", 2)
    return srsly.yaml_loads(matter), body


def test_card_of_a_bare_pipeline_says_what_is_unknown(nlp):
    matter, body = read(make_card(nlp, "model"))
    assert matter["library_name"] == "spacy" and matter["language"] == ["en"] and "license" not in matter
    assert matter["pipeline_tag"] == "text-classification" and "model-index" not in matter
    for words in (
        "which data it has learned from",
        "under which terms",
        "`performance` in `meta.json` is empty",
        "groups of patients",
    ):
        assert f"{UNKNOWN}: " in body and words in body
    assert "no rule was chosen by `spacy epee tune`" in body and "A\\|B" in body and "none, the full depth" in body


def test_card_tells_what_is_known(nlp, backbone):
    own = make_nlp(backbone)
    own.meta.update(name="notes", license="MIT", description="Kinds of notes.", author="A hospital")
    own.meta["sources"] = [{"name": "Invented notes", "author": "us", "license": "CC0", "url": ""}]
    own.meta["performance"] = {
        "cats_score": 0.9,
        "exit_layer": 2.5,
        "cats_f_per_type": {"ACUTE": {"p": 0.5, "r": 0.25, "f": 1 / 3}},
    }
    pipe = own.get_pipe("epee_textcat")
    pipe.slot().cfg["tuned"] = TUNED
    matter, body = read(make_card(own, "model"))
    assert matter["license"] == "mit" and "# en_notes" in body and "Invented notes, us, CC0" in body
    [result] = matter["model-index"][0]["results"]
    assert {metric["name"]: metric["value"] for metric in result["metrics"]} == {"cats_score": 0.9, "exit_layer": 2.5}
    assert "| ACUTE | 0.5000 | 0.2500 | 0.3333 |" in body
    assert "With a confidence of 0.9, at most 2 % of documents like these" in body and "90.00 (-1.00 ± 2.00)" in body
    pipe.exit = Entropy(0.3)
    assert "the rule was changed since" in make_card(own, "model")


@pytest.mark.parametrize(
    "name,value", [("temperatures", [2.0] * 4), ("gate", {"threshold": 0.3}), ("threshold", 0.7), ("unknown_threshold", 0.9)]
)
def test_card_does_not_show_figures_of_other_settings_than_those_that_were_tuned(backbone, name, value):
    own = make_nlp(backbone)
    slot = own.get_pipe("epee_textcat").slot()
    slot.cfg["tuned"] = {**TUNED, "settings": json.dumps(answers_by(slot))}
    assert "90.00 (-1.00" in make_card(own, "model")
    (vars(slot.task) if name == "unknown_threshold" else slot.cfg)[name] = value
    card = make_card(own, "model")
    assert "were changed since `spacy epee tune`. Nothing is promised." in card and "90.00 (-1.00" not in card


def test_card_names_the_files_of_the_training_and_the_backbone_that_a_path_stands_for(backbone, tmp_path):
    nlp = make_nlp(backbone)
    nlp.config["paths"].update(train="/home/someone/train.jsonl", backbone="/home/someone/clinical-base")
    nlp.config["components"]["epee_textcat"]["model"]["trunk"]["name"] = "${paths.backbone}"
    card = make_card(nlp, "model")
    assert "Files of the training: `train.jsonl` (train)." in card and "| backbone | clinical-base |" in card
    assert "someone" not in card


def test_card_has_all_tasks_and_is_written_whole(backbone, tmp_path):
    make_joint_nlp(backbone).to_disk(tmp_path / "joint")
    done = CliRunner().invoke(epee, ["card", str(tmp_path / "joint"), str(tmp_path / "README.md")])
    assert done.exit_code == 0 and "things are unknown" in done.output, done.output
    body = read((tmp_path / "README.md").read_text())[1]
    pipe = spacy.load(tmp_path / "joint").get_pipe("epee")
    assert all(f"## `epee.{name}`" in body for name in pipe.slots) and "# en_" in body
    again = CliRunner().invoke(epee, ["card", str(tmp_path / "joint"), str(tmp_path / "README.md")])
    assert again.exit_code == 1 and "exists already" in " ".join(again.output.split())


def test_card_says_that_figures_are_unknown_that_are_no_numbers(nlp):
    slot = nlp.get_pipe("epee_textcat_multilabel").slot()
    slot.cfg["tuned"] = {**TUNED, "rule": json.dumps(answers_by(slot)["rule"]), "score": None, "full": None, "drop": None}
    body = read(make_card(nlp, "model"))[1]
    del slot.cfg["tuned"]
    assert f"| macro F, with the rule | {UNKNOWN} |" in body


def test_figures_that_are_no_numbers_can_be_saved():
    row = dict.fromkeys(["score", "drop", "spread", "disagreement", "wordpiece_layers", "speedup"], float("nan"))
    json.dumps(noted({"chosen": row, "full": row}, {"rule": None}), allow_nan=False)
