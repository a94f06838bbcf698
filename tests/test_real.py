"""Real backbones and real corpora. Run with `-m slow`."""

import gc
import gzip
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import torch

from spacy_epee.data.readers import JsonlReader, read_jsonl
from spacy_epee.evaluation.compare import compare, find_component
from spacy_epee.model import get_stepper

ROOT = Path(__file__).parent.parent
CORPORA = ROOT.parent / "shared" / "corpora"
pytestmark = pytest.mark.slow
needs_corpora = pytest.mark.skipif(not CORPORA.exists(), reason=f"there are no corpora in {CORPORA}")


@pytest.fixture(scope="session")
def minilm():
    folder = ROOT / "backbones" / "minilm-l6"
    subprocess.run([sys.executable, ROOT / "scripts" / "get_minilm.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def trained(minilm):
    """A classifier that has seen some health advice."""
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_textcat", config={"model": {"trunk": {"name": str(minilm)}}, "exit": {"entropy": 0.4, "patience": 3}})
    spacy.util.fix_random_seed(0)
    examples = list(JsonlReader(CORPORA / "health_advice" / "normalised" / "train.jsonl", limit=480)(nlp))
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 1e-4
    for _ in range(2):
        for start in range(0, len(examples), 16):
            nlp.update(examples[start : start + 16], sgd=optimizer)
    return nlp


@needs_corpora
def test_real_stepping_equals_the_full_forward(trained):
    pipe = find_component(trained)
    tokenizer = pipe.model.get_ref("trunk").shims[0]._hfmodel.tokenizer
    rows = read_jsonl(CORPORA / "hoc_doc10" / "normalised" / "dev.jsonl", limit=8)
    batch = tokenizer([row["text"] for row in rows], truncation=True, max_length=256, padding=True, return_tensors="pt")
    stepper = get_stepper(pipe.model)
    with torch.no_grad():
        expected = stepper.model.eval()(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        state = stepper.embed(batch["input_ids"], batch["attention_mask"])
        for _ in stepper.layers:
            stepper.step(state)
    real = batch["attention_mask"].bool()
    assert torch.allclose(state.hidden[real], expected[real], atol=1e-4)


@needs_corpora
def test_real_learns_and_exits(trained):
    examples = list(JsonlReader(CORPORA / "health_advice" / "normalised" / "dev.jsonl", limit=200)(trained))
    report = compare(trained, examples, find_component(trained), batch_sizes=[32], rounds=1)
    assert report["full"]["score"] > 0.33  # the majority label alone gives 0.25; sixty updates are few
    assert report["exits"]["layers"] < 6 and report["exits"]["score"] > report["full"]["score"] - 0.1


@needs_corpora
@pytest.mark.parametrize("size", [1, 2, 7])
def test_real_batches_equal_one_by_one(trained, size):
    rows = read_jsonl(CORPORA / "health_advice" / "normalised" / "test.jsonl", limit=40)
    alone = [trained(row["text"]) for row in rows]
    together = list(trained.pipe((row["text"] for row in rows), batch_size=size))
    for one, other in zip(alone, together):
        assert one.cats == pytest.approx(other.cats, abs=1e-4)
        assert one._.exits["epee_textcat"]["textcat"]["layer"] == other._.exits["epee_textcat"]["textcat"]["layer"]


@needs_corpora
@pytest.mark.parametrize(
    "name,folder,files",
    [
        ("health_advice", "health_advice/normalised", ["annotations_structured_abstract.csv"]),
        ("ade_v2", "ade_v2/normalised/sentences", ["DRUG-AE.rel", "ADE-NEG.txt"]),
    ],
)
def test_real_corpora_are_converted(name, folder, files, tmp_path):
    (tmp_path / name).mkdir()
    for file in files:
        (tmp_path / name / file).write_bytes(gzip.decompress((CORPORA / name / f"{file}.gz").read_bytes()))
    subprocess.run([sys.executable, ROOT / "scripts" / "convert_corpora.py", tmp_path], check=True)
    for split in ("train", "dev", "test"):
        found = [(row["text"], row["cats"]) for row in read_jsonl(tmp_path / folder / f"{split}.jsonl")]
        expected = [(row["text"], row["cats"]) for row in read_jsonl(CORPORA / folder / f"{split}.jsonl")]
        assert found == expected


@needs_corpora
def test_real_memory_is_flat_over_many_documents(trained):
    rows = read_jsonl(CORPORA / "ade_v2" / "normalised" / "sentences" / "train.jsonl", limit=1000)
    counts = []
    for _ in range(3):
        for doc in trained.pipe(row["text"] for row in rows):
            assert isinstance(doc, spacy.tokens.Doc)
        gc.collect()
        counts.append(sum(1 for thing in gc.get_objects() if isinstance(thing, torch.Tensor)))
    assert counts[2] <= counts[1]
