"""`python -m spacy epee benchmark`"""

import json
import sys

import numpy
import pytest
import torch
from spacy.util import load_model
from typer.testing import CliRunner
from util import make_examples, make_nlp, make_texts

from spacy_epee.benchmark.networks import load_network
from spacy_epee.benchmark.targets import CONTESTANTS, choose
from spacy_epee.benchmark.workspace import Unavailable, Workspace
from spacy_epee.cli import epee

LABELS = ["ACUTE", "STABLE", "HISTORY"]
EXIT = {"@misc": "spacy-epee.FixedDepth.v1", "layer": 2}
OURS = ["full", "exits", "exits-single"]


@pytest.fixture(scope="module")
def saved(backbone, tmp_path_factory):
    """A pipeline and annotated documents, one of them of several windows."""
    folder = tmp_path_factory.mktemp("benchmark")
    make_nlp(backbone, LABELS, exit=EXIT).to_disk(folder / "model")
    rows = [{"text": eg.reference.text, "cats": eg.reference.cats} for eg in make_examples(make_nlp(backbone), LABELS)]
    rows.append({"text": " ".join(row["text"] for row in rows), "cats": rows[0]["cats"]})
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run(folder, *arguments, data="data.jsonl"):
    words = ["benchmark", folder / "model", folder / data, "--rounds", "2", *arguments]
    return CliRunner().invoke(epee, [str(word) for word in words])


def answer(name, nlp, model, folder, texts, size):
    [component] = [pipe for _, pipe in nlp.pipeline]
    target = CONTESTANTS[name](Workspace(str(model), component, folder))
    target.prepare()
    target.load()
    return target.read(target.run(texts, size))


def test_benchmark_prints_and_saves_the_same(saved, tmp_path):
    names = [*OURS, "spacy-transformers", "torch"]
    output = tmp_path / "out" / "figures.json"
    found = run(saved, "--contestants", ",".join(names), "--batch-sizes", "1,4", "--base", "torch", "--output", output)
    assert found.exit_code == 0, found.output
    report = json.loads(output.read_text())
    assert report["documents"] == 13 and list(report["contestants"]) == names and report["base"] == "torch"
    for own in report["contestants"].values():
        assert f"{100 * own['score']:.2f}" in found.output and f"{own['load_seconds']:.2f}" in found.output
        assert set(own["batches"]) == {"1", "4"}
        for timed in own["batches"].values():
            assert f"{timed['milliseconds']:.2f}" in found.output and f"{timed['speedup']:.2f}x" in found.output
            assert f"{timed['docs_per_second']:.1f}" in found.output
            assert timed["fastest"] <= timed["milliseconds"] <= timed["slowest"] and len(timed["rounds"]) == 2
    assert all(timed["speedup"] == 1 for timed in report["contestants"]["torch"]["batches"].values())
    for name in ("full", "torch"):
        assert report["contestants"][name]["same_answers"] == 1
    exits = report["contestants"]["exits"]
    assert 1 < exits["fewer_layers"] <= 4 and "fewer_layers" not in report["contestants"]["full"]
    for size, timed in exits["batches"].items():
        full = report["contestants"]["full"]["batches"][size]
        faster = numpy.median(numpy.divide(full["rounds"], timed["rounds"]))
        assert timed["realised"] == pytest.approx(faster / exits["fewer_layers"])
    machine = report["machine"]
    assert machine["cpu"] in " ".join(found.output.split()) and {"spacy", "torch"} <= set(machine["versions"])
    texts = [json.loads(line)["text"] for line in (saved / "data.jsonl").read_text().splitlines()]
    assert not any(text in found.output + output.read_text() for text in texts)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("size", [1, 8])
def test_benchmark_torch_answers_as_the_full_depth(backbone, tmp_path, multilabel, size):
    nlp = make_nlp(backbone, LABELS, multilabel)
    nlp.pipeline[0][1].set_temperatures([1.0, 1.0, 1.0, 2.5])
    nlp.to_disk(tmp_path / "model")
    texts = [*make_texts(20), ""]
    expected = answer("full", nlp, tmp_path / "model", tmp_path, texts, size)
    assert not expected[-1].any() and len(nlp.pipeline[0][1].make_instances([nlp.make_doc(text) for text in texts]).windows) > 21
    numpy.testing.assert_allclose(answer("torch", nlp, tmp_path / "model", tmp_path, texts, size), expected, atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_benchmark_onnx_answers_as_the_full_depth(backbone, tmp_path, pooling):
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    nlp = make_nlp(backbone, LABELS, model={"head": {"pooling": pooling}})
    nlp.to_disk(tmp_path / "model")
    texts = make_texts(20)
    expected = answer("full", nlp, tmp_path / "model", tmp_path, texts, 8)
    found = answer("onnx", nlp, tmp_path / "model", tmp_path, texts, 8)
    numpy.testing.assert_allclose(found, expected, atol=1e-3)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    numpy.testing.assert_allclose(answer("torch", nlp, tmp_path / "model", tmp_path, texts, 8), expected, atol=1e-4)


def test_benchmark_int8_is_near_the_full_depth(saved, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    nlp, texts = load_model(saved / "model"), make_texts(20)
    expected = answer("full", nlp, saved / "model", tmp_path, texts, 8)
    found = answer("onnx-int8", nlp, saved / "model", tmp_path, texts, 8)
    assert abs(found - expected).max() > 1e-6  # or nothing was quantized
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.8


def test_benchmark_openvino_answers_as_the_full_depth(saved, tmp_path):
    pytest.importorskip("onnx", reason="the extra `bench` is not installed")
    pytest.importorskip("openvino", reason="the extra `bench` is not installed")
    nlp, texts = load_model(saved / "model"), make_texts(20)
    expected = answer("full", nlp, saved / "model", tmp_path, texts, 8)
    numpy.testing.assert_allclose(answer("openvino", nlp, saved / "model", tmp_path, texts, 8), expected, atol=1e-3)


@pytest.mark.parametrize("name", ["exits", "exits-single"])
def test_benchmark_exits_are_those_of_the_pipeline(saved, tmp_path, name):
    nlp, texts = load_model(saved / "model"), make_texts(20)
    expected = [[doc.cats[label] for label in LABELS] for doc in nlp.pipe(texts)]
    found = answer(name, nlp, saved / "model", tmp_path, texts, 8)
    numpy.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(found - answer("full", nlp, saved / "model", tmp_path, texts, 8)).max() > 1e-2


@pytest.mark.parametrize("multilabel", [False, True])
def test_benchmark_spacy_transformers_has_our_weights(backbone, tmp_path, multilabel):
    nlp = make_nlp(backbone, LABELS, multilabel, model={"trunk": {"window": 64}})
    pipe = nlp.pipeline[0][1]
    pipe.set_temperatures([1.0, 1.0, 1.0, 2.5])
    texts = ["chest " * length for length in (3, 20, 25)]  # tokens of as many wordpieces: a mean of means is that of all
    found = answer("spacy-transformers", nlp, tmp_path / "model", tmp_path, texts, 8)
    network = load_network(pipe, tmp_path / "trunk")
    windows = pipe.make_instances([nlp.make_doc(text) for text in texts]).windows
    assert len(windows) == 3
    with torch.no_grad():
        hidden = [network.trunk(torch.from_numpy(ids)[None]).last_hidden_state[0, 1:-1] for ids in windows.ids]
        logits = network.classifier(torch.stack([states.mean(dim=0) for states in hidden])).numpy()
    expected = pipe.reading().evidence(logits, layer=4, units=numpy.arange(3)).probabilities
    numpy.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    "missing,target,extra",
    [
        ("onnx", "onnx", "onnx"),
        ("onnxruntime", "onnx-int8", "onnx"),
        ("openvino", "openvino", "bench"),
    ],
)
def test_benchmark_goes_on_without_a_package(saved, tmp_path, monkeypatch, missing, target, extra):
    for name in ("onnx", "onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else sys)
    found = run(saved, "--contestants", f"full,{target}", "--batch-sizes", "4", "--output", tmp_path / "figures.json")
    assert found.exit_code == 0, found.output
    report = json.loads((tmp_path / "figures.json").read_text())
    assert list(report["contestants"]) == ["full"] and f"spacy_epee[{extra}]" in report["skipped"][target]
    shown = " ".join(found.output.split())
    assert f"Without {target}" in shown and f"spacy_epee[{extra}]" in shown


def test_benchmark_goes_on_without_a_compiler(saved, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("no working C++ compiler")

    monkeypatch.setattr("torch.compile", lambda *args, **kwargs: refuse)
    found = run(saved, "--contestants", "full", "--compiled", "--batch-sizes", "4")
    assert found.exit_code == 0, found.output
    assert "no working C++ compiler" in " ".join(found.output.split())


def test_benchmark_goes_on_without_who_fails(saved, monkeypatch):
    text = json.loads((saved / "data.jsonl").read_text().splitlines()[0])["text"]

    def refuse(self, texts, size):
        if text in texts:
            raise RuntimeError(f"cannot read {text}")

    monkeypatch.setattr("spacy_epee.benchmark.targets.Torch.run", refuse)
    found = run(saved, "--contestants", "full,torch", "--batch-sizes", "4")
    assert found.exit_code == 0, found.output
    assert "Without torch: it cannot answer these documents (RuntimeError)" in " ".join(found.output.split())
    assert text not in found.output
    found = run(saved, "--contestants", "full,torch", "--batch-sizes", "4", "--base", "torch")
    assert found.exit_code == 1 and "which cannot take part: it cannot answer" in " ".join(found.output.split())


def test_benchmark_without_a_rule(backbone, tmp_path):
    nlp = make_nlp(backbone, LABELS)
    with pytest.raises(Unavailable, match="no exit rule"):
        CONTESTANTS["exits"](Workspace("", nlp.pipeline[0][1], tmp_path)).prepare()


def test_benchmark_compiles_only_when_asked():
    assert choose(None) == [name for name in CONTESTANTS if name != "torch-compiled"]
    assert choose(None, compiled=True) == list(CONTESTANTS)
    assert choose("torch, full") == ["full", "torch"]


@pytest.mark.parametrize(
    "arguments,problem",
    [
        (["--contestants", "full,tensorflow"], "'tensorflow'; give some of full, exits"),
        (["--contestants", "full", "--base", "torch"], "--base is 'torch'"),
        (["--batch-sizes", "0"], "--batch-sizes"),
        (["--component", "other"], "--component"),
    ],
)
def test_benchmark_bad_input(saved, arguments, problem):
    found = run(saved, *arguments)
    assert found.exit_code == 1 and problem in " ".join(found.output.split())


def test_benchmark_refuses_other_tasks(backbone, tmp_path):
    from relations_util import make_relations_nlp

    make_relations_nlp(backbone).to_disk(tmp_path / "model")
    (tmp_path / "data.jsonl").write_text('{"text": "a"}\n')
    found = run(tmp_path, "--contestants", "full")
    assert found.exit_code == 1 and "only text classifiers" in " ".join(found.output.split())


@pytest.mark.hard
def test_benchmark_by_another_rule_on_some_documents_and_memory_in_processes_of_their_own(saved, tmp_path):
    output = tmp_path / "figures.json"
    arguments = ["--contestants", "full,exits", "--batch-sizes", "4", "--rule", "FixedDepth(1)", "--limit", "9"]
    found = run(saved, *arguments, "--memory", "--output", output)
    assert found.exit_code == 0, found.output
    report = json.loads(output.read_text())
    exits = report["contestants"]["exits"]
    assert exits["fewer_layers"] == 4 and report["documents"] == 9
    assert report["left_out"] == LABELS and exits["score"] is None  # none of them is in five of nine documents
    assert "are left out of the score" in " ".join(found.output.split())
    measured = [own["memory_mb"] for own in report["contestants"].values()]
    if None in measured:
        pytest.skip("this system does not tell")
    assert all(0 <= value < 500 for value in measured) and "MB at the peak" in found.output


def test_benchmark_compares_scores_with_the_base(saved, tmp_path):
    output = tmp_path / "figures.json"
    found = run(saved, "--contestants", "full,exits", "--batch-sizes", "4", "--output", output)
    assert found.exit_code == 0, found.output
    full, exits = json.loads(output.read_text())["contestants"].values()
    assert full["difference"] == full["spread"] == 0
    assert exits["difference"] == pytest.approx(exits["score"] - full["score"]) and exits["spread"] >= 0
    assert f"{100 * exits['difference']:+.2f} ± {100 * exits['spread']:.2f}" in found.output
    assert f"{100 - 100 * exits['same_answers']:.2f} %" in found.output


FRONT = ["--front", "--contestants", "tfidf,fixed,ours", "--batch-sizes", "1,4"]


def with_splits(saved):
    return [*FRONT, "--train", saved / "data.jsonl", "--dev", saved / "data.jsonl"]


def test_front_prints_saves_and_draws(saved, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `front` is not installed")
    output, picture = tmp_path / "front.json", tmp_path / "new" / "front.png"
    found = run(saved, *with_splits(saved), "--output", output, "--picture", picture)
    assert found.exit_code == 0, found.output
    report = json.loads(output.read_text())
    assert {row["kind"] for row in report["rows"]} == {"simple", "fixed", "ours"} and report["documents"]["test"] == 13
    assert picture.read_bytes().startswith(b"\x89PNG")
    shown = " ".join(found.output.split())
    for row in report["rows"]:
        assert f"{row['score']:.2f}" in shown and f"{row['ms']['4']:.3g}" in shown
    assert "the best score of the others has" in shown
    texts = [json.loads(line)["text"] for line in (saved / "data.jsonl").read_text().splitlines()]
    assert not any(text in found.output + output.read_text() for text in texts)


@pytest.mark.parametrize(
    "arguments,problem",
    [
        (["--front"], "--front needs --train and --dev"),
        (["--front", "--train", "a.jsonl"], "--front needs --dev"),
        (["--dev", "a.jsonl"], "--dev is for --front"),
        (["--front", "--memory"], "--memory is not for --front"),
        (["--front", "--train", "a.jsonl", "--dev", "a.jsonl", "--contestants", "torch"], "'torch'; give some of tfidf"),
        (["--front", "--train", "no.jsonl", "--dev", "no.jsonl"], "no.jsonl"),
    ],
)
def test_front_bad_input(saved, arguments, problem):
    found = run(saved, *arguments)
    assert found.exit_code == 1 and problem in " ".join(found.output.split())
