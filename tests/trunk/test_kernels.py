"""What training in bfloat16 keeps in memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from util import make_nlp

from spacy_epee.runtimes.torch_precision import computes_in_bfloat16
from spacy_epee.trunk.kernels import KERNELS, bound_kernels

TESTS = Path(__file__).parent.parent
UPDATES = 60
MOST = 750_000_000
"""Bytes that the process may grow by. With oneDNN's own limit it is over a thousand million."""

SCRIPT = f"""
import random, sys, tempfile
from pathlib import Path
import spacy
from spacy.training import Example
from util import make_backbone, make_words

def resident():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmRSS"))

with tempfile.TemporaryDirectory() as folder:
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_textcat", config={{"model": {{"trunk": {{"name": str(make_backbone(Path(folder)))}}}}}})
    chance, words = random.Random(0), make_words()

    def make_example():
        doc = nlp.make_doc(" ".join(chance.choice(words) for _ in range(chance.randint(5, 300))))
        answer = float(chance.random() < 0.5)
        return Example.from_dict(doc, {{"cats": {{"A": answer, "B": 1 - answer}}}})

    optimizer = nlp.initialize(lambda: [make_example() for _ in range(20)])
    nlp.update([make_example()], sgd=optimizer)
    before = resident()
    for _ in range({UPDATES}):
        nlp.update([make_example() for _ in range(8)], sgd=optimizer)
    print(resident() - before)
"""


def test_kernels_are_bounded_unless_the_user_has_said_how_many(monkeypatch):
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    bound_kernels()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == str(KERNELS)
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    bound_kernels()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"


def test_whoever_makes_a_trunk_bounds_them(backbone, monkeypatch):
    pytest.importorskip("spacy_transformers")  # not there with `make test-newest`, and a pipeline needs it
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    make_nlp(backbone)
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == str(KERNELS)


@pytest.mark.hard
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read as Linux has it")
@pytest.mark.skipif(not computes_in_bfloat16(torch.device("cpu")), reason="this CPU does not compute in bfloat16")
def test_training_in_bfloat16_does_not_fill_memory_with_kernels():
    env = {name: value for name, value in os.environ.items() if not name.startswith("ONEDNN")}
    env.update(OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join([str(TESTS), str(TESTS.parent)]))
    output = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, env=env)
    assert output.returncode == 0, output.stderr[-3000:]
    assert int(output.stdout) < MOST
