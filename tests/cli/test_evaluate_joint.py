"""Evaluating several tasks."""

import json

import pytest
from joint_util import TEXTS, make_example, make_joint_nlp
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_epee.cli  # noqa: F401


@pytest.fixture(scope="module")
def model(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint") / "model"
    make_joint_nlp(backbone, steps=30).to_disk(folder)
    return folder


def rows(nlp):
    for text in TEXTS:
        doc = make_example(nlp, text).reference
        ents = [{"id": i, "start": ent.start_char, "end": ent.end_char, "label": ent.label_} for i, ent in enumerate(doc.ents)]
        places = {(ent.start, ent.end): i for i, ent in enumerate(doc.ents)}
        relations = [
            {"head": places[tuple(found["head"])], "child": places[tuple(found["child"])], "label": found["label"]}
            for found in doc._.relations
        ]
        yield {"text": text, "kind": "drug" if doc.ents else "none", "ents": ents, "relations": relations}


def test_evaluate_joint_prints_each_task(model, tmp_path):
    import spacy

    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows(spacy.load(model))))
    arguments = [model, data, "--cats", "kind", "--rounds", 1, "--batch-sizes", "2", "--output", tmp_path / "figures.json"]
    found = CliRunner().invoke(app, ["epee", "evaluate", *map(str, arguments)])
    assert found.exit_code == 0, found.output
    report = json.loads((tmp_path / "figures.json").read_text())
    assert set(report["tasks"]) == {"kind", "relations", "events"}
    for task in ("kind", "relations"):
        for name in ("full", "exits"):
            assert f"{100 * report['tasks'][task][name]['score']:.2f}" in found.output
    assert report["tasks"]["events"]["full"]["score"] is None  # the rows say nothing of events
    layers = [part["exits"]["layers"] for part in report["tasks"].values()]
    assert min(layers) <= report["exits"]["layers"] <= report["full"]["layers"] == 4
    assert not any(text in found.output for text in TEXTS)


def test_evaluate_joint_by_a_rule_of_one_task(model, tmp_path):
    import spacy

    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows(spacy.load(model))))
    arguments = [model, data, "--cats", "kind", "--rounds", 1, "--batch-sizes", "2", "--output", tmp_path / "figures.json"]
    options = ["--rule", "kind=FixedDepth(1)", "--rule", "relations=none"]
    found = CliRunner().invoke(app, ["epee", "evaluate", *map(str, arguments), *options])
    assert found.exit_code == 0, found.output
    tasks = json.loads((tmp_path / "figures.json").read_text())["tasks"]
    assert tasks["kind"]["exits"]["layers"] == 1 and tasks["relations"]["exits"]["layers"] == 4
    assert tasks["relations"]["disagreement"] == tasks["relations"]["spread"] == 0 and tasks["relations"]["rule"] is None
    assert "Task events: nothing is annotated" in found.output and "Task kind: exit rule: FixedDepth (layer 1)" in found.output
