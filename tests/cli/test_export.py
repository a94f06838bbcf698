"""`python -m spacy epee export`"""

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner
from util import SENTENCES, make_nlp, make_texts

from spacy_epee.cli import epee
from spacy_epee.model import get_trunk_shim
from spacy_epee.runtimes.onnx.stepper import OnnxStepper

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

LABELS = ["ACUTE", "STABLE", "HISTORY"]


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    """A pipeline, and documents with its own answers as labels."""
    folder = tmp_path_factory.mktemp("export")
    nlp = make_nlp(backbone, LABELS, spread=4.0)
    docs = list(nlp.pipe([*SENTENCES, *make_texts(20, seed=3)]))
    for doc in docs:
        best = max(doc.cats, key=doc.cats.get)
        doc.cats = {label: float(label == best) for label in LABELS}
    DocBin(docs=docs).to_disk(folder / "dev.spacy")
    nlp.to_disk(folder / "model")
    return folder


def run(folder, *arguments, code=0):
    found = CliRunner().invoke(epee, ["export", str(folder / "model"), *map(str, arguments)])
    assert found.exit_code == code, found.output
    return " ".join(found.output.split())


def shim(path):
    return spacy.load(path).get_pipe("epee_textcat").model.get_ref("trunk").shims[0]


def test_auto_takes_int8_if_the_score_is_kept(folder, tmp_path):
    output = run(folder, tmp_path / "new", "--data", folder / "dev.spacy", "--max-drop", "100")
    assert "int8" in output and not any(sentence in output for sentence in SENTENCES)
    found = shim(tmp_path / "new")
    assert found.exported.precision == "int8" and isinstance(found.runner, OnnxStepper)


def test_auto_falls_back_to_fp32(folder, tmp_path, monkeypatch):
    from spacy_epee.compress import choose

    def compare(self):
        worse = self.pipe.model.get_ref("trunk").shims[0].exported.precision == "int8"
        scores = {"before": 0.9, "after": 0.8 if worse else 0.9, "difference": -0.1 if worse else 0.0, "spread": 0.05}
        return [{"task": "textcat", "depth": "full", **scores, "differs": 0.1}]

    monkeypatch.setattr(choose.Reference, "compare", compare)
    output = run(folder, tmp_path / "new", "--data", folder / "dev.spacy")
    assert "80.00" in output and shim(tmp_path / "new").exported.precision == "fp32"
    refused = run(folder, tmp_path / "other", "--data", folder / "dev.spacy", "--precision", "int8", code=1)
    assert "falls by 10.00 points" in refused
    assert not (tmp_path / "other").exists()


def test_without_data_it_is_fp32(folder, tmp_path):
    assert "fp32" in run(folder, tmp_path / "new")
    assert shim(tmp_path / "new").exported.precision == "fp32"


def test_fp32_changes_no_answer(folder, tmp_path):
    output = run(folder, tmp_path / "new", "--data", folder / "dev.spacy", "--precision", "fp32")
    assert output.count("100.00") >= 2 and "0.00 %" in output


def test_bad_choices(folder, tmp_path):
    assert "--precision" in run(folder, tmp_path / "new", "--precision", "int4", code=1)
    (tmp_path / "there").mkdir()
    assert "exists already" in run(folder, tmp_path / "there", code=1)
    assert "--runtime" in run(folder, tmp_path / "new", "--runtime", "tensorrt", code=1)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_torch_in_another_precision(folder, tmp_path, precision):
    data = ("--data", folder / "dev.spacy", "--max-drop", "100")
    output = run(folder, tmp_path / "new", "--runtime", "torch", "--precision", precision, *data)
    assert f"in torch in {precision}" in output
    found = shim(tmp_path / "new")
    assert found.settings.precision == precision and found.exported is None
    assert (found.runner is found.stepper) == (precision == "fp32")


def test_torch_auto_goes_on_where_there_is_no_bf16(folder, tmp_path, monkeypatch):
    from spacy_epee.compress import choose

    def compare(self):
        worse = get_trunk_shim(self.pipe.model).settings.precision == "int8"
        scores = {"before": 0.9, "after": 0.8 if worse else 0.9, "difference": -0.1 if worse else 0.0, "spread": 0.05}
        return [{"task": "textcat", "depth": "full", **scores, "differs": 0.1}]

    monkeypatch.setattr(choose.Reference, "compare", compare)
    monkeypatch.setattr("spacy_epee.runtimes.torch_precision.computes_in_bfloat16", lambda device: False)
    output = run(folder, tmp_path / "new", "--runtime", "torch", "--data", folder / "dev.spacy")
    assert "Without bf16" in output and shim(tmp_path / "new").settings.precision == "fp32"


def test_precision_is_not_chosen_by_documents_without_annotation(folder, tmp_path):
    nlp = spacy.load(folder / "model")
    DocBin(docs=[nlp.make_doc(sentence) for sentence in SENTENCES]).to_disk(tmp_path / "bare.spacy")
    refused = run(folder, tmp_path / "new", "--data", tmp_path / "bare.spacy", code=1)
    assert "there is no score to choose the precision by" in refused and not (tmp_path / "new").exists()
    named = run(folder, tmp_path / "new", "--data", tmp_path / "bare.spacy", "--precision", "int8")
    assert " 0.00 " not in named.replace("0.00 %", "") and "Saved" in named
