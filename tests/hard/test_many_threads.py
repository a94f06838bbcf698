"""Thousands of answers from many threads at once, and a hundred processes that begin beside them."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from threads_util import KINDS, answers_of, make_docs, make_pipeline, near, together

TESTS = Path(__file__).parent.parent
CALLS = 2_000
THREADS = 8

pytestmark = pytest.mark.hard


@pytest.mark.parametrize("kind", KINDS)
def test_calls_from_eight_threads_get_the_answers_of_one(kind):
    if "onnx" in kind:
        pytest.importorskip("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        nlp = make_pipeline(kind, Path(folder))
    docs = make_docs(nlp, 40)
    expected = answers_of(nlp, docs, batch_size=7)

    def work(number: int) -> None:
        # Each thread with calls for one document and for several, from another document on.
        for call in range(CALLS // THREADS):
            first = (number * 5 + call) % len(docs)
            which = [first] if call % 4 else [(first + more) % len(docs) for more in range(9)]
            found = answers_of(nlp, [docs[place] for place in which], batch_size=4)
            assert near(found, [expected[place] for place in which])

    together(work, THREADS, seconds=300)
    assert near(answers_of(nlp, docs, batch_size=7), expected)


@pytest.mark.parametrize(
    "kind,method,count", [("textcat", "fork", 100), ("onnx", "fork", 100), ("textcat", "spawn", 4), ("textcat", "forkserver", 4)]
)
def test_processes_begin_beside_threads_that_answer(kind, method, count):
    if method != "spawn" and not hasattr(os, "fork"):
        pytest.skip("forks")
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    env.pop("OMP_NUM_THREADS", None)  # what is to keep to one thread could have more
    script = [sys.executable, str(TESTS / "threads_util.py"), kind, method, str(count), "580"]
    output = subprocess.run(script, capture_output=True, text=True, timeout=600, env=env)
    assert output.returncode == 0, output.stderr[-3000:]
