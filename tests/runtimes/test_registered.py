"""Runtimes of other packages."""

import copy
import subprocess
import sys
import warnings
from pathlib import Path
from types import MappingProxyType

import catalogue
import pytest
import spacy
import srsly
import torch
from spacy.tokens import DocBin
from util import SENTENCES, make_examples, make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.registry import names, runtimes  # noqa: E402
from spacy_epee.runtimes.onnx.graphs import OnnxGraphs  # noqa: E402
from spacy_epee.runtimes.threads import single_torch_thread  # noqa: E402
from spacy_epee.trunk.base import find_runtime  # noqa: E402
from spacy_epee.trunk.stepper import LayerStepper  # noqa: E402

SAVED = Path(__file__).parents[1] / "saved" / "v0.1.0" / "exported"
LABELS = ["ACUTE", "STABLE", "HISTORY"]
TRUNK = "components.epee_textcat.model.trunk"

CODE = """
import copy
from dataclasses import asdict, dataclass

from spacy_epee.registry import runtimes


@dataclass
class Copied:
    precision: str
    scale: float = 1.0

    def to_message(self):
        return asdict(self)


@runtimes("copied")
class CopiedRuntime:
    title = "a copy"
    precisions = {"coarse": 0.5, "fp64": 1e-3}

    def export(self, stepper, precision, samples):
        return Copied(precision)

    def read(self, message):
        return Copied(**message)

    def open(self, exported, stepper):
        model = copy.deepcopy(stepper.model).double()
        for layer in stepper.with_model(model).layers:
            layer.output.dense.weight.data *= exported.scale
        return stepper.with_model(model)
"""


@pytest.fixture(autouse=True)
def forget_registrations(monkeypatch):
    monkeypatch.setattr(catalogue, "REGISTRY", dict(catalogue.REGISTRY))


@pytest.fixture
def copied():
    exec(CODE, {"__name__": "copied"})


@pytest.fixture(scope="module")
def plain(backbone):
    return make_nlp(backbone, LABELS, spread=4.0)


def trunk(nlp):
    return nlp.get_pipe("epee_textcat").model.get_ref("trunk").shims[0]


def save(nlp, folder, **changes):
    """Save a copy of a pipeline that is exported for the runtime of the code."""
    nlp = copy.deepcopy(nlp)
    trunk(nlp).export("copied", "fp64")
    for name, value in changes.items():
        setattr(trunk(nlp).exported, name, value)
    nlp.to_disk(folder)
    return folder


def in_double(runner):
    return isinstance(runner, LayerStepper) and next(runner.model.parameters()).dtype == torch.float64


def test_ours_are_registered():
    assert {"onnx", "torch"} <= {*names(runtimes)}


def test_runtimes_of_others_are_saved_loaded_and_answer(copied, plain, tmp_path):
    nlp = spacy.load(save(plain, tmp_path / "nlp"), config={f"{TRUNK}.runtime": "copied"})
    for batch_size in (1, 5):
        for doc, expected in zip(nlp.pipe(SENTENCES, batch_size=batch_size), plain.pipe(SENTENCES)):
            assert doc.cats == pytest.approx(expected.cats, abs=1e-4)
            layers = [each._.exits["epee_textcat"]["textcat"]["layer"] for each in (doc, expected)]
            assert layers[0] == layers[1]
    assert in_double(trunk(nlp).runner) and trunk(nlp).stepper.model.dtype == torch.float32
    assert in_double(trunk(spacy.load(tmp_path / "nlp")).runner)


def test_runtimes_of_others_are_copied(copied, plain, tmp_path):
    nlp = spacy.load(save(plain, tmp_path / "nlp"))
    before = nlp(SENTENCES[0]).cats
    other = copy.deepcopy(nlp)
    assert other(SENTENCES[0]).cats == before and in_double(trunk(other).runner)


def test_runtimes_that_give_something_else_are_refused(copied, plain, tmp_path):
    folder = save(plain, tmp_path / "nlp", scale=1.5)
    with pytest.raises(ValueError, match="for the runtime 'copied' gives something else than its layers.*spacy epee export"):
        spacy.load(folder, config={f"{TRUNK}.runtime": "copied"})(SENTENCES[0])
    with pytest.warns(UserWarning, match="runs in torch.*something else"):
        nlp = spacy.load(folder)
        assert nlp(SENTENCES[0]).cats == pytest.approx(plain(SENTENCES[0]).cats, abs=1e-5)


def test_runtimes_say_how_near_a_precision_is(copied, plain, tmp_path):
    nlp = spacy.load(save(plain, tmp_path / "nlp", precision="unheard of"), config={f"{TRUNK}.runtime": "copied"})
    with pytest.raises(ValueError, match="something else"):
        nlp(SENTENCES[0])
    assert in_double(trunk(spacy.load(save(plain, tmp_path / "other", precision="coarse", scale=1.01))).runner)


def test_runtimes_that_fail_keep_their_reason(plain, tmp_path):
    class Broken:
        title = "a broken one"
        precisions = MappingProxyType({"fp32": 0.1})

        def export(self, stepper, precision, samples):
            return OnnxGraphs(precision)

        def open(self, exported, stepper):
            return object()

    runtimes("broken", func=Broken)
    nlp = copy.deepcopy(plain)
    trunk(nlp).export("broken", "fp32")
    with pytest.warns(UserWarning, match="runtime 'broken' gives something else"):
        nlp(SENTENCES[0])


def test_what_a_missing_runtime_would_run_is_kept(plain, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "REGISTRY", dict(catalogue.REGISTRY))
        exec(CODE, {"__name__": "copied"})
        folder = save(plain, tmp_path / "nlp")
    with pytest.raises(ValueError, match="'copied'; give 'auto' or one of onnx, torch"):
        spacy.load(folder, config={f"{TRUNK}.runtime": "copied"})
    nlp = spacy.load(folder)
    with pytest.warns(UserWarning, match="runs in torch.*The runtime 'copied' is not installed here; there are onnx, torch"):
        nlp(SENTENCES[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp(SENTENCES[1])  # said once
    nlp.to_disk(tmp_path / "again")
    saved = [(path / "epee_textcat" / "model").read_bytes() for path in (folder, tmp_path / "again")]
    assert saved[0] == saved[1]
    later = spacy.load(tmp_path / "again")
    exec(CODE, {"__name__": "copied"})
    assert later(SENTENCES[0]).cats == pytest.approx(plain(SENTENCES[0]).cats, abs=1e-4) and in_double(trunk(later).runner)


def test_precisions_and_runtimes_that_are_not_there(copied, plain):
    with pytest.raises(ValueError, match="'copied' has no precision 'int8'; it has coarse, fp64"):
        trunk(plain).export("copied", "int8")
    with pytest.raises(ValueError, match="'tpu' is not installed here; there are copied, onnx, torch"):
        trunk(plain).export("tpu", "int8")
    assert trunk(plain).exported is None


def test_training_drops_what_was_exported(copied, plain, tmp_path):
    nlp = spacy.load(save(plain, tmp_path / "nlp"))
    nlp(SENTENCES[0])
    with pytest.warns(UserWarning, match="Export it again"):
        nlp.update(make_examples(nlp, LABELS), sgd=nlp.resume_training())
    assert trunk(nlp).exported is None and trunk(nlp).runner is trunk(nlp).stepper


def test_exported_for_one_runtime_and_wanted_in_another(copied, plain, tmp_path):
    nlp = spacy.load(save(plain, tmp_path / "nlp"), config={f"{TRUNK}.runtime": "onnx"})
    with pytest.raises(ValueError, match="'onnx', and this pipeline has not been exported for it.*--runtime onnx"):
        nlp(SENTENCES[0])


def test_runners_without_threads_leave_those_of_torch(plain):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with single_torch_thread(trunk(plain).stepper):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_command_exports_for_a_runtime_of_others(plain, tmp_path):
    plain.to_disk(tmp_path / "nlp")
    (tmp_path / "code.py").write_text(CODE, encoding="utf-8")
    docs = list(plain.pipe(SENTENCES))
    for doc in docs:
        best = max(doc.cats, key=doc.cats.get)
        doc.cats = {label: float(label == best) for label in LABELS}
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    command = [
        sys.executable,
        "-m",
        "spacy",
        "epee",
        "export",
        tmp_path / "nlp",
        tmp_path / "new",
        "--code",
        tmp_path / "code.py",
    ]
    found = subprocess.run([*command, "--runtime", "copied", "--data", tmp_path / "dev.spacy"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "runs in a copy in coarse" in " ".join(found.stdout.split())
    exec(CODE, {"__name__": "copied"})
    nlp = spacy.load(tmp_path / "new")
    assert trunk(nlp).exported.precision == "coarse" and in_double(trunk(nlp).runner)


def test_graphs_are_saved_under_the_names_that_they_were():
    [saved] = [
        message
        for shims in srsly.msgpack_loads((SAVED / "epee_textcat" / "model").read_bytes())["shims"]
        for message in map(srsly.msgpack_loads, shims)
        if "onnx" in message
    ]
    exported = find_runtime("onnx").read(saved["onnx"])
    assert len(exported.order) == 2 and len(exported.layers) > len(exported.layer_inputs) > 0
    assert exported.to_message() == saved["onnx"]
