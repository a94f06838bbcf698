"""`python -m spacy epee tune --gate-recall`"""

import json

import pytest
import relations_util
import spacy
from typer.testing import CliRunner

from spacy_epee.cli import epee

FAST = ["--steps", "2", "--rounds", "1", "--timed", "4", "--batch-sizes", "4", "--entities", "gold"]


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    """A pipeline with a gate, one without, and documents."""
    folder = tmp_path_factory.mktemp("gate")
    rule = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.5, "patience": 2}
    nlp = relations_util.make_relations_nlp(backbone, relations_util.TEXTS * 2, head={"gate": 300}, exit=rule)
    nlp.to_disk(folder / "model")
    relations_util.make_relations_nlp(backbone, spread=False).to_disk(folder / "without")
    with (folder / "dev.jsonl").open("w", encoding="utf-8") as rows:
        for text in relations_util.TEXTS * 2:
            doc = relations_util.make_example(nlp, text).reference
            ents = [
                {"id": place, "start": ent.start_char, "end": ent.end_char, "label": ent.label_}
                for place, ent in enumerate(doc.ents)
            ]
            places = {ent.start: place for place, ent in enumerate(doc.ents)}
            relations = [
                {"head": places[found["head"][0]], "child": places[found["child"][0]], "label": found["label"]}
                for found in doc._.relations
            ]
            rows.write(json.dumps({"text": text, "ents": ents, "relations": relations}) + "\n")
    return folder


def run(folder, *arguments, code=0, model="model"):
    command = ["tune", folder / model, folder / "dev.jsonl", *FAST, *arguments]
    found = CliRunner().invoke(epee, [str(part) for part in command])
    assert found.exit_code == code, found.output
    return " ".join(found.output.split())


def test_a_gate_is_fitted_told_of_and_saved(folder, tmp_path):
    options = ["--gate-recall", "0.7", "--confidence", "0.9", "--no-time", "--output", tmp_path / "figures.json"]
    output = run(folder, *options, "--output-model", tmp_path / "tuned")
    gate = json.loads((tmp_path / "figures.json").read_text())["gate"]
    assert gate["something"] == 16 and 0 < gate["items"] < 1 and 0 < gate["units"] < 1
    assert "Promised: at most 30 % of relations are lost, with 90 % confidence" in output
    assert "The rule stays" in output and f"{100 * gate['items']:.2f} % of the pairs" in output
    nlp = spacy.load(tmp_path / "tuned")
    assert nlp.get_pipe("epee_relations").slot().cfg["gate"]["threshold"] == pytest.approx(gate["threshold"])
    doc = nlp(relations_util.tag(nlp.make_doc(relations_util.TEXTS[1])))
    assert "units" in doc._.exits["epee_relations"]["relations"]


def test_a_rule_is_chosen_beside_a_gate(folder, tmp_path):
    output = run(folder, "--gate-recall", "0.7", "--confidence", "0.9", "--max-drop", "20", "--output", tmp_path / "figures.json")
    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["gate"]["threshold"] and report["chosen"] and "Promised" in output


def test_too_few_relations_give_no_gate_and_say_so(folder):
    output = run(folder, "--gate-recall", "0.99", "--no-time")
    assert "No gate before the first layer: 16 relations in these documents are too few" in output and "It takes 299" in output


@pytest.mark.parametrize(
    "model, share, message",
    [
        ("without", 0.9, "has no gate before the first layer"),
        ("model", 1.0, "--gate-recall is 1.0"),
        ("model", 0, "--gate-recall is"),
    ],
)
def test_a_gate_that_cannot_be_had_is_refused(folder, model, share, message):
    assert message in run(folder, "--gate-recall", share, code=1, model=model)
