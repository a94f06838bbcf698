"""What stepping costs in ONNX Runtime: all layers one by one against one call of the whole network, as it is exported and
quantized without us.

    python benchmarks/stepping.py --backbones BACKBONES e5-small minilm-l6

Writes benchmarks/results/stepping-onnx.json and .md.
"""

import time
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy
import torch
import typer
from machine import command, machine
from spacy.util import make_tempdir
from tables import made_by, table
from transformers import AutoModel
from wasabi import msg
from written import write_results

from spacy_epee.benchmark.run import describe_machine
from spacy_epee.runtimes.onnx.export import export_trunk
from spacy_epee.runtimes.onnx.stepper import OnnxStepper
from spacy_epee.runtimes.onnx.writing import quantize, write
from spacy_epee.runtimes.threads import single_torch_thread
from spacy_epee.trunk.verification import make_stepper

SHAPES = ((1, 36), (8, 36), (8, 256))
"""Rows and wordpieces: a sentence, a pack of sentences, and one of long notes."""


class States(torch.nn.Module):
    """The last states."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def load_whole(folder: Path, precision: str, target: Path) -> Callable[[numpy.ndarray, numpy.ndarray], Any]:
    """The whole network as a session."""
    import onnxruntime

    model = AutoModel.from_pretrained(folder, attn_implementation="eager", trust_remote_code=False).eval()
    ids = torch.tensor([[1, 5, 6, 7, 2], [1, 5, 2, 0, 0]])
    axes = {0: "rows", 1: "length"}
    path = target / "whole.onnx"
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        write(States(model), str(path), inputs, ["states"], {**dict.fromkeys(inputs, axes), "states": axes})
    if precision == "int8":
        quantize(path, target / "whole-int8.onnx")
        path = target / "whole-int8.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})


def load_steps(folder: Path, precision: Any) -> Callable[[numpy.ndarray, numpy.ndarray], Any]:
    """The layers one by one."""
    stepper = make_stepper(AutoModel.from_pretrained(folder, trust_remote_code=False).eval())
    runner = OnnxStepper(export_trunk(stepper, precision), stepper.padding)

    def call(ids: numpy.ndarray, mask: numpy.ndarray) -> Any:
        with single_torch_thread(runner):
            state = runner.embed(torch.from_numpy(ids), torch.from_numpy(mask))
            while state.layer < runner.depth:
                runner.step(state)
            return runner.final_hidden(state)

    return call


def measure(
    one: Callable[..., Any], other: Callable[..., Any], rows: int, length: int, padded: bool, rounds: int
) -> Dict[str, Any]:
    """Milliseconds of both in turns, and the median of how much longer the second takes."""
    ids = numpy.random.default_rng(0).integers(5, 5000, (rows, length))
    mask = numpy.ones_like(ids)
    if padded:
        mask[:, length - 1] = 0
        mask[0, length - 1] = 1
    calls = max(3, int(1.0 / (rows * length * 1e-4)))
    times: List[List[float]] = [[], []]
    for number in range(rounds + 1):
        for call, own in zip((one, other), times):
            call(ids, mask)
            began = time.perf_counter()
            for _ in range(calls):
                call(ids, mask)
            own.append(1000 * (time.perf_counter() - began) / calls)
    whole, steps = (numpy.array(own[1:]) for own in times)
    return {
        "rows": rows,
        "wordpieces": length,
        "padded": padded,
        "whole_ms": float(numpy.median(whole)),
        "steps_ms": float(numpy.median(steps)),
        "more": float(numpy.median(steps / whole)) - 1,
        "rounds": rounds,
    }


def main(names: List[str], backbones: Path = typer.Option(..., help="Folder of the backbones"), rounds: int = 9):
    measured = []
    for name in names:
        for precision in ("fp32", "int8"):
            with make_tempdir() as folder:
                whole, steps = load_whole(backbones / name, precision, Path(folder)), load_steps(backbones / name, precision)
                for rows, length in SHAPES:
                    for padded in (False, True) if rows > 1 else (False,):
                        row = measure(whole, steps, rows, length, padded, rounds)
                        measured.append({"backbone": name, "precision": precision, **row})
                        msg.info(f"{name} {precision} {rows} x {length}: {100 * row['more']:+.1f} %")
    header = ["backbone", "precision", "shape", "padding", "whole, ms", "by layer, ms", "more"]
    lines = ["# Stepping in ONNX Runtime", "", *made_by(command(), machine())]
    lines += [f"Medians of {rounds} rounds in turns.", ""]
    rows = []
    for row in measured:
        cells = [row["backbone"], row["precision"], f"{row['rows']} x {row['wordpieces']}", "some" if row["padded"] else "none"]
        cells += [f"{row['whole_ms']:.2f}", f"{row['steps_ms']:.2f}", f"{100 * row['more']:+.1f} %"]
        rows.append(cells)
    report = {"command": command(), "machine": describe_machine(), "rows": measured}
    write_results("stepping-onnx", report, "\n".join([*lines, *table(header, rows)]))


if __name__ == "__main__":
    typer.run(main)
