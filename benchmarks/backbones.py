"""What stepping costs: all layers one by one, without heads, against the model's own forward on the same batch.

    python benchmarks/backbones.py
    python benchmarks/backbones.py --backbones ../backbones --name backbones-real

Without --backbones a model of each family is made with random weights (`--layers 4 --width 32` for tiny ones): time does not
depend on weights. With it, each Hugging Face folder in there that is for text. Poolers are taken out, for stepping does not run
them. The two run in turns, first one first and then the other.
"""

import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy
import srsly
import torch
import transformers
import typer
from machine import command, machine
from tables import made_by, table
from wasabi import msg
from written import RESULTS, write_results

from spacy_epee.trunk.verification import make_stepper

FAMILIES: Dict[str, Dict[str, Any]] = {
    "bert": {},
    "roberta": {},
    "electra": {},
    "albert": {"embedding_size": 128},
    "distilbert": {},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_buckets": 256,
        "max_relative_positions": -1,
        "type_vocab_size": 0,
    },
    "mpnet": {},
    "modernbert": {"reference_compile": False, "pad_token_id": 0},
    "gpt2": {"n_positions": 512},
}
"""Settings beside the sizes; DeBERTa-v2 has those of DeBERTa-v3."""
SIZES = {
    "distilbert": ("n_layers", "dim", "n_heads", "hidden_dim"),
    "gpt2": ("n_layer", "n_embd", "n_head", "n_inner"),
}
"""What the sizes are called, where it is not as in BERT."""


def random_models(layers: int, width: int) -> Iterator[Tuple[str, torch.nn.Module]]:
    """A model of each family."""
    for family, settings in FAMILIES.items():
        names = SIZES.get(family, ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"))
        sizes = dict(zip(names, (layers, width, max(width // 64, 4), 4 * width)))
        config = transformers.AutoConfig.for_model(family, **{"vocab_size": 2000, **settings, **sizes})
        yield family, transformers.AutoModel.from_config(config)


def saved_models(folder: Path) -> Iterator[Tuple[str, torch.nn.Module]]:
    """The models in the folders of a folder."""
    for path in sorted(folder.glob("*/config.json")):
        if "vocab_size" in srsly.read_json(path) or (path.parent / "tokenizer.json").exists():
            yield path.parent.name, transformers.AutoModel.from_pretrained(path.parent, trust_remote_code=False)


def measure(name: str, model: torch.nn.Module, sizes: List[int], longest: int, seconds: float) -> Dict[str, Any]:
    """Time one model."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    stepper = make_stepper(model.eval())
    report: Dict[str, Any] = {"backbone": name, "family": model.config.model_type, "layers": stepper.depth}
    report.update(width=stepper.width, alike=stepper.plan.alike, batches={})
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        ids = torch.randint(10, model.config.vocab_size, (size, longest), generator=generator)
        lengths = torch.linspace(longest, longest // 2, size).long()
        mask = (torch.arange(longest) < lengths[:, None]).long()
        ids[mask == 0] = model.config.pad_token_id or 0

        def own() -> torch.Tensor:
            return model(input_ids=ids, attention_mask=mask).last_hidden_state

        def stepped() -> torch.Tensor:
            state = stepper.embed(ids, mask)
            for _ in stepper.layers:
                stepper.step(state)
            return stepper.final_hidden(state)

        with torch.inference_mode():
            real = mask.bool()
            difference = float((own()[real] - stepped()[real]).abs().max())
            report["batches"][size] = {**compare(own, stepped, seconds), "difference": difference}
    return report


def compare(one: Callable[[], Any], other: Callable[[], Any], seconds: float) -> Dict[str, Any]:
    """Run two things in turns, for some seconds and at least 15 times each."""
    times: List[List[float]] = []
    began = time.perf_counter()
    while len(times) < 15 or time.perf_counter() - began < seconds:
        pair = [0.0, 0.0]
        for place in (0, 1) if len(times) % 2 else (1, 0):
            started = time.perf_counter()
            (one, other)[place]()
            pair[place] = time.perf_counter() - started
        times.append(pair)
    found = numpy.array(times)
    return {
        "own": float(numpy.median(found[:, 0])),
        "stepped": float(numpy.median(found[:, 1])),
        "overhead": float(numpy.median(found[:, 1] / found[:, 0]) - 1),
        "rounds": len(times),
    }


def markdown(name: str, reports: List[Dict[str, Any]]) -> str:
    """The table."""
    sizes = list(reports[0]["batches"])
    lines = [f"# {name}", "", *made_by(command(), machine())]
    lines += ["Milliseconds of the model's own forward, and how much longer stepping through all layers takes (median of"]
    lines += ["ratios).", ""]
    heads = [f"{what}, batch {size}" for size in sizes for what in ("own", "stepping")]
    rows = []
    for report in reports:
        batches = report["batches"].values()
        cells = [cell for b in batches for cell in (f"{1000 * b['own']:.1f}", f"{100 * b['overhead']:+.1f} %")]
        largest = max(b["difference"] for b in batches)
        size = f"{report['layers']} x {report['width']}"
        rows.append([report["backbone"], report["family"], size, *cells, f"{largest:.1e}"])
    return "\n".join([*lines, *table(["backbone", "family", "size", *heads, "largest difference"], rows)])


def main(
    backbones: Optional[Path] = typer.Option(None, help="Folder of backbones; none for random weights"),
    name: str = typer.Option("backbones", help="Name of the results"),
    layers: int = typer.Option(6, help="Layers of those with random weights"),
    width: int = typer.Option(384, help="Width of those with random weights"),
    longest: int = typer.Option(64, help="Wordpieces of the longest text; the shortest has half of it"),
    seconds: float = typer.Option(10.0, help="How long to measure each batch of a model"),
    out: Path = typer.Option(RESULTS, help="Where to write"),
):
    torch.manual_seed(0)
    reports: List[Dict[str, Any]] = []
    for backbone, model in random_models(layers, width) if backbones is None else saved_models(backbones):
        try:
            report = measure(backbone, model, [1, 32], longest, seconds)
        except ValueError as error:
            msg.warn(f"{backbone} is left out", str(error))
            continue
        reports.append(report)
        shown = ", ".join(f"batch {size}: {100 * found['overhead']:+.1f} %" for size, found in report["batches"].items())
        msg.good(f"{backbone}: {shown}")
        figures = {"machine": machine(), "command": command(), "runs": reports}
        write_results(name, figures, markdown(name, reports), folder=out)
    if not reports:
        msg.fail(f"There is no model for text in {backbones}", exits=1)
    print(markdown(name, reports))


if __name__ == "__main__":
    typer.run(main)
