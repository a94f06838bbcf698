"""`python -m spacy epee evaluate`"""

import json

import pytest
from spacy.cli._util import app
from spacy.tokens import DocBin
from typer.testing import CliRunner
from util import make_examples, make_nlp

import spacy_epee.cli  # noqa: F401

EPEE = {"@misc": "spacy-epee.FixedDepth.v1", "layer": 2}


@pytest.fixture(scope="module")
def model(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    nlp = make_nlp(backbone, exit=EPEE)
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def examples(backbone):
    return make_examples(make_nlp(backbone), ["ACUTE", "STABLE", "HISTORY"])


def run(*arguments):
    return CliRunner().invoke(app, ["epee", "evaluate", *map(str, arguments), "--rounds", "1"])


@pytest.mark.parametrize("suffix", [".jsonl", ".spacy"])
def test_evaluate_prints_and_saves_the_same(model, examples, tmp_path, suffix):
    data = tmp_path / f"data{suffix}"
    if suffix == ".spacy":
        DocBin(docs=[eg.reference for eg in examples]).to_disk(data)
    else:
        rows = [{"text": eg.reference.text, "cats": eg.reference.cats} for eg in examples]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run(model, data, "--batch-sizes", "1,4", "--output", tmp_path / "out" / "figures.json")
    assert found.exit_code == 0, found.output
    report = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert report["documents"] == len(examples) and report["depth"] == 4
    assert report["full"]["layers"] == 4 and report["exits"]["layers"] == 2 and report["speedup_layers"] == 2
    assert report["exits"]["wordpiece_layers"] == 2 and report["speedup_wordpieces"] == 2
    assert report["exits"]["histogram"] == [0, len(examples), 0, 0]
    assert set(report["speedup_seconds"]) == {"1", "4"}
    for name in ("full", "exits"):
        assert f"{100 * report[name]['score']:.2f}" in found.output
    assert not any(eg.reference.text in found.output for eg in examples)


def test_evaluate_leaves_the_rule_as_it_was(backbone, examples):
    from spacy_epee.evaluation.compare import compare, find_component

    nlp = make_nlp(backbone, exit=EPEE)
    pipe = find_component(nlp)
    rule = pipe.exit
    compare(nlp, examples, pipe, batch_sizes=[2], rounds=1)
    assert pipe.exit is rule


@pytest.mark.parametrize("arguments,problem", [
    (["{model}", "none.jsonl"], "no file"),
    (["{model}", "none.spacy"], "no file"),
    (["no-such-model", "none.jsonl"], "E050"),
    (["{model}", "none.jsonl", "--batch-sizes", "0"], "--batch-sizes"),
    (["{model}", "none.jsonl", "--component", "other"], "--component"),
])
def test_evaluate_bad_input(model, arguments, problem):
    found = run(*(argument.format(model=model) for argument in arguments))
    assert found.exit_code == 1 and problem in found.output
