"""`python -m spacy epee evaluate`"""

import json

import pytest
import spacy
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


@pytest.mark.parametrize(
    "arguments,problem",
    [
        (["{model}", "none.jsonl"], "no file"),
        (["{model}", "none.spacy"], "no file"),
        (["no-such-model", "none.jsonl"], "E050"),
        (["{model}", "none.jsonl", "--batch-sizes", "0"], "--batch-sizes"),
        (["{model}", "none.jsonl", "--component", "other"], "--component"),
    ],
)
def test_evaluate_bad_input(model, arguments, problem):
    found = run(*(argument.format(model=model) for argument in arguments))
    assert found.exit_code == 1 and problem in found.output


def figures(model, examples, tmp_path, *arguments):
    DocBin(docs=[eg.reference for eg in examples], store_user_data=True).to_disk(tmp_path / "data.spacy")
    found = run(model, tmp_path / "data.spacy", "--batch-sizes", "4", "--output", tmp_path / "figures.json", *arguments)
    assert found.exit_code == 0, found.output
    return json.loads((tmp_path / "figures.json").read_text()), found.output


@pytest.mark.parametrize(
    "arguments,layers,shown",
    [
        (["--rule", "FixedDepth(1)"], 1, "FixedDepth (layer 1)"),
        (["--rule", "FixedDepth", "--threshold", "3"], 3, "FixedDepth (layer 3)"),
        (["--threshold", "1"], 1, "FixedDepth (layer 1)"),
        (["--rule", "none"], 4, "none, the full depth"),
        (["--rule", '{"@misc": "spacy-epee.FixedDepth.v1", "layer": 3}'], 3, "FixedDepth (layer 3)"),
        (["--rule", "textcat=FixedDepth(1)"], 1, "FixedDepth (layer 1)"),
    ],
)
def test_evaluate_by_another_rule(model, examples, tmp_path, arguments, layers, shown):
    report, output = figures(model, examples, tmp_path, *arguments)
    assert report["exits"]["layers"] == layers and shown in output
    assert (report["rule"] or {"layer": 4})["layer"] == layers


@pytest.mark.parametrize(
    "arguments,problem",
    [
        (["--rule", "FixedDepth(9)"], "never fire"),
        (["--rule", "Fixed(1)"], "did you mean FixedDepth"),
        (["--rule", "FixedDepth(1)", "--rule", "FixedDepth(2)"], "given twice for the task 'textcat'"),
        (["--rule", "none", "--threshold", "1"], "no threshold"),
        (["--threshold", "low"], "give a number"),
    ],
)
def test_evaluate_refuses_what_is_no_rule(model, examples, tmp_path, arguments, problem):
    DocBin(docs=[eg.reference for eg in examples]).to_disk(tmp_path / "data.spacy")
    found = run(model, tmp_path / "data.spacy", *arguments)
    assert found.exit_code == 1 and problem in " ".join(found.output.split())


def test_evaluate_threshold_needs_a_rule(backbone, examples, tmp_path):
    make_nlp(backbone).to_disk(tmp_path / "model")
    DocBin(docs=[eg.reference for eg in examples]).to_disk(tmp_path / "data.spacy")
    found = run(tmp_path / "model", tmp_path / "data.spacy", "--threshold", "0.3")
    assert found.exit_code == 1 and "give --rule too" in " ".join(found.output.split())


def test_evaluate_says_how_much_is_luck_and_how_many_answers_are_others(model, examples, tmp_path):
    report, output = figures(model, examples, tmp_path)
    assert report["difference"] == pytest.approx(report["exits"]["score"] - report["full"]["score"])
    assert f"{100 * report['difference']:+.2f} ± {100 * report['spread']:.2f}" in output and "may be luck" in output
    assert f"{100 * report['disagreement']:.2f} %" in output and 0 < report["disagreement"] <= 1


def test_evaluate_without_annotation_has_no_scores(model, examples, tmp_path):
    bare = [spacy.training.Example(eg.predicted, eg.reference.copy()) for eg in examples]
    for eg in bare:
        eg.reference.cats = {}
    report, output = figures(model, bare, tmp_path)
    assert report["full"]["score"] is report["exits"]["score"] is report["difference"] is report["spread"] is None
    assert set(report["full"]["scores"].values()) == {None} and report["full"]["per_label"] == {}
    assert "nothing is annotated" in output and " 0.00 " not in output


def test_evaluate_says_which_labels_no_document_has(model, examples, tmp_path):
    some = [eg for eg in examples if not eg.reference.cats["ACUTE"]]
    report, output = figures(model, some, tmp_path)
    assert report["absent"] == ["ACUTE"] and "none of these documents has" in " ".join(output.split())
    [line] = [line for line in output.splitlines() if line.startswith("ACUTE")]
    assert line.split() == ["ACUTE", *6 * "-"] and report["full"]["per_label"]["ACUTE"]["f"] is None


def test_evaluate_of_some_draws_them_and_leaves_rare_labels_out_of_the_mean(model, examples, tmp_path):
    many = [*examples * 3, *[eg for eg in examples if eg.reference.cats["ACUTE"]] * 8]
    many.sort(key=lambda eg: sorted(eg.reference.cats.items()))
    report, output = figures(model, many, tmp_path, "--limit", "20")
    assert report["documents"] == 20 and report["left_out"] == ["STABLE", "HISTORY"]
    assert report["full"]["score_desc"] == "macro F of 1 of 3 labels"
    assert report["full"]["score"] == pytest.approx(report["full"]["per_label"]["ACUTE"]["f"])
    assert "are left out of the score" in " ".join(output.split())
    assert figures(model, many, tmp_path, "--limit", "20")[0]["exits"]["scores"] == report["exits"]["scores"]
    assert figures(model, many, tmp_path)[0]["left_out"] == []
