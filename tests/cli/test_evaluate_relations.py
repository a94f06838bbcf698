"""The command that compares, on relations."""

import json

import pytest
from relations_util import RELATIONS, TEXTS, make_relations_nlp, tag
from typer.testing import CliRunner

from spacy_epee.cli import epee


@pytest.fixture(scope="module")
def model(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("relations") / "model"
    exit = {"@misc": "spacy-epee.FixedDepth.v1", "layer": 2}
    nlp = make_relations_nlp(backbone, exit=exit, window=120, candidates={"labels": [["Drug", "Problem"]], "symmetric": True})
    ruler = nlp.add_pipe("entity_ruler", before="epee_relations")
    ruler.add_patterns([{"label": "Drug", "pattern": "today"}, {"label": "Problem", "pattern": "report"}])
    nlp.to_disk(folder)
    return folder, nlp


def run(model, tmp_path, *args):
    folder, nlp = model
    rows = []
    for text in TEXTS:
        spans = tag(nlp.make_doc(text)).ents
        ents = [{"id": span.text, "start": span.start_char, "end": span.end_char, "label": span.label_} for span in spans]
        relations = [{"head": head, "child": child, "label": label} for head, child, label in RELATIONS.get(text, [])]
        rows.append({"text": text, "ents": ents, "relations": relations})
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = ["--output", tmp_path / "figures.json", "--batch-sizes", "1,4", "--rounds", "1"]
    found = CliRunner().invoke(epee, ["evaluate", *map(str, (folder, tmp_path / "notes.jsonl", *output, *args))])
    assert found.exit_code == 0, found.output
    return found.output, json.loads((tmp_path / "figures.json").read_text())


def test_evaluate_relations_with_gold_entities(model, tmp_path):
    output, report = run(model, tmp_path)
    assert report["entities"] == "gold" and "With gold entities" in output
    assert report["unit"] == "window" and report["exits"]["layers"] == 2 and report["speedup_layers"] == 2
    # Four of the texts have pairs; the rule's entities are in none of them and are not asked about.
    assert report["exits"]["histogram"] == [0, 4, 0, 0]
    assert set(report["full"]["per_label"]) == {"CAUSES", "TREATS"}


def test_evaluate_relations_with_predicted_entities(model, tmp_path):
    _, report = run(model, tmp_path, "--entities", "predicted")
    assert report["entities"] == "predicted"
    assert report["exits"]["histogram"] == [0, 1, 0, 0]
    assert report["full"]["score"] == 0
