"""Nothing tells the makers of a runtime that it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

for module in ("onnx", "onnxruntime"):  # not there with `make test-newest`
    pytest.importorskip(module)

SCRIPT = """
import spacy_epee
import onnxruntime
from onnx import TensorProto, helper

value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
"""


def test_onnx_runtime_keeps_nothing_for_its_makers(tmp_path):
    """It keeps an identifier, and what it has not sent yet, in the home of the user. In tests of its own, and of others (CI), it
    does not."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "CI", "GITHUB_", "XDG_"))}
    env.update(HOME=str(tmp_path), PYTHONPATH=str(Path(__file__).parents[2]))
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, env=env)
    assert [*tmp_path.rglob("deviceid"), *tmp_path.rglob("onnxruntime.db")] == []


def test_who_wants_to_tell_them_may():
    code = "import os, spacy_epee; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    env = {**os.environ, "ORT_DISABLE_TELEMETRY": "0", "PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run([sys.executable, "-c", code], check=True, env=env, capture_output=True, text=True)
    assert found.stdout.split() == ["0"]
