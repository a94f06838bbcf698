"""What a note costs with the encoders that clinicians use, at full depth, each with random weights of its shape.

    python benchmarks/clinical.py

Time does not depend on weights. Each is stepped through, which is compared with its own forward when it is made. A note of
`--wordpieces` is cut into windows, as a component does, and is timed in turns with the first of them.
Writes benchmarks/results/clinical.json and .md.
"""

import gc
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import numpy
import torch
import transformers
import typer
from machine import command, machine
from tables import made_by, table
from wasabi import msg
from written import RESULTS, write_results

from spacy_epee.trunk.verification import make_stepper

OVERLAP = 32


class Shape(NamedTuple):
    """An encoder.

    family (str): Its model type.
    settings (Dict[str, Any]): Its configuration, where it is not that of the family.
    """

    family: str
    settings: Dict[str, Any]


def bert(layers: int, width: int, **more: Any) -> Shape:
    """RETURNS (Shape): A BERT."""
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": 12, "intermediate_size": 4 * width}
    return Shape("bert", {**sizes, **more})


def modernbert(layers: int, width: int, heads: int, inner: int) -> Shape:
    """RETURNS (Shape): A ModernBERT. All have a context of 8192 wordpieces and 50,368 of them."""
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": inner}
    return Shape("modernbert", sizes)


SHAPES: Dict[str, Shape] = {
    "sentence-transformers/all-MiniLM-L6-v2": bert(6, 384),
    "intfloat/e5-small-v2": bert(12, 384),
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext": bert(12, 768),
    "emilyalsentzer/Bio_ClinicalBERT": bert(12, 768, vocab_size=28996),
    "yikuan8/Clinical-Longformer": Shape(  # as `as_roberta` of docs/choosing-a-backbone.md makes it
        "roberta", {"vocab_size": 50265, "max_position_embeddings": 4098, "type_vocab_size": 1}
    ),
    "thomas-sounack/BioClinical-ModernBERT-base": modernbert(22, 768, 12, 1152),
    "thomas-sounack/BioClinical-ModernBERT-large": modernbert(28, 1024, 16, 2624),
}
"""From the names of hubs to shapes. The first is what the others are compared with."""


def make(shape: Shape, **other: Any) -> torch.nn.Module:
    """RETURNS (nn.Module): An encoder with random weights."""
    config = transformers.AutoConfig.for_model(shape.family, **{**shape.settings, **other})
    return transformers.AutoModel.from_config(config).eval()


def windows(wordpieces: int, window: int) -> Tuple[int, int]:
    """RETURNS (Tuple[int, int]): How many windows a note is cut into, and how long they are."""
    size = min(window, wordpieces)
    return max(1, -(-(wordpieces - OVERLAP) // (size - OVERLAP))), size


def climb(stepper: Any, rows: int, length: int) -> Callable[[], Any]:
    """RETURNS (Callable): What steps through all layers with a note."""
    ids = torch.randint(10, 1000, (rows, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)

    def run() -> Any:
        with torch.inference_mode():
            state = stepper.embed(ids, mask)
            for _ in stepper.layers:
                stepper.step(state)
            return stepper.final_hidden(state)

    return run


def in_turns(runs: List[Callable[[], Any]], rounds: int) -> List[float]:
    """RETURNS (List[float]): The median milliseconds of each, of processors: other programs may run meanwhile."""
    times = []
    for number in range(rounds + 1):
        one = []
        for run in runs:
            began = time.process_time()
            run()
            one.append(1000 * (time.process_time() - began))
        times += [one] if number else []  # the first is slower
    return numpy.median(times, axis=0).tolist()


def markdown(reports: List[Dict[str, Any]], wordpieces: int, window: int) -> str:
    """The table."""
    lines = ["# What a note costs with the encoders that clinicians use", "", *made_by(command(), machine())]
    lines += [f"A note of {wordpieces} wordpieces in windows of {window}, all layers, float32: seconds of a processor, and as a"]
    lines += ["multiple of the first, which is timed beside each of the others.", ""]
    rows = []
    for one in reports:
        rows.append([one["name"], one["family"], f"{one['layers']} x {one['width']}", f"{one['parameters'] / 1e6:.0f}"])
        rows[-1] += [f"{one['milliseconds'] / 1000:.2f}", f"{one['times']:.1f}x"]
    return "\n".join([*lines, *table(["encoder", "family", "size", "million weights", "CPU seconds", "times"], rows)])


def main(
    wordpieces: int = typer.Option(1000, help="How long the note is"),
    window: int = typer.Option(256, help="How long the windows are"),
    rounds: int = typer.Option(5, help="How often each is timed"),
    out: Path = typer.Option(RESULTS, help="Where to write"),
):
    reports: List[Dict[str, Any]] = []
    base = None
    for name, shape in SHAPES.items():
        model = make(shape)
        stepper = make_stepper(model)
        run = climb(stepper, *windows(wordpieces, window))
        base = base or run
        own, other = in_turns([run, base], rounds)
        sizes = {"layers": stepper.depth, "width": stepper.width, "parameters": model.num_parameters()}
        reports.append({"name": name, "family": shape.family, **sizes, "milliseconds": own, "times": own / other})
        msg.good(f"{name}: {own / 1000:.2f} s, {own / other:.1f}x")
        del model, stepper, run
        gc.collect()
        page = markdown(reports, wordpieces, window)
        write_results("clinical", {"machine": machine(), "command": command(), "runs": reports}, page, folder=out)
    print(page)


if __name__ == "__main__":
    typer.run(main)
