"""Train a ViT on PneumoniaMNIST, and compare its exits with the full depth and with the best fixed depth.

    python scripts/convert_pneumonia.py ../shared/corpora/medmnist_pneumonia DATA
    python benchmarks/pneumonia.py DATA --backbone BACKBONES/vit-small --epochs 3 --image-size 112 --out MODELS

A second run takes the model that is there. Temperatures and rules are chosen on dev as `tune --score macro-auc` does: of two
labels that is the AUROC of either. Test is used once, for the chosen ones. Seconds are of the whole pipeline on test images,
reading them included, in turns in one run. Writes benchmarks/results/NAME.json and .md.
"""

from pathlib import Path
from typing import Any, Dict, Optional

import spacy
import torch
import typer
from machine import command, machine
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config
from tables import made_by, table
from written import write_results

from spacy_epee.component.pipe import EarlyExitTransformer
from spacy_epee.data.image_reader import ImageReader
from spacy_epee.data.readers import read_rows
from spacy_epee.evaluation.compare import find_component
from spacy_epee.evaluation.timing import milliseconds, prepare
from spacy_epee.exits.rules.base import ExitRule
from spacy_epee.exits.rules.depth import FixedDepth
from spacy_epee.tuning.names import name_figure
from spacy_epee.tuning.tuner import Tuner, TuningGoal

CONFIG = Path(__file__).parent.parent / "configs" / "imagecat.cfg"
PIPE, BATCH, SIZES = "epee_imagecat", 16, (1, 32)
DROPS = (0.0, 0.1, 0.3, 1.0)
"""Points of AUROC that may be lost."""


def configure(data: Path, backbone: str, image_size: Optional[int], epochs: int, self_distillation: float):
    """The configuration of the training."""
    rows = read_rows(data / "train.jsonl", needs=("image",))
    steps = epochs * -(-len(rows) // BATCH)
    return load_config(
        CONFIG,
        overrides={
            "paths.train": str(data / "train.jsonl"),
            "paths.dev": str(data / "dev.jsonl"),
            "paths.backbone": backbone,
            f"components.{PIPE}.model.trunk.image_size": image_size,
            f"components.{PIPE}.loss.self_distillation": self_distillation,
            "training.batcher.size": BATCH,
            "training.optimizer.learn_rate.total_steps": steps,
            "training.eval_frequency": max(steps // max(epochs, 2), 1),
            "training.optimizer.learn_rate.warmup_steps": steps // 10,
        },
    )


def choose(nlp, pipe: EarlyExitTransformer, examples) -> Dict[str, Optional[ExitRule]]:
    """RETURNS (Dict[str, Optional[ExitRule]]): The rules to be compared, by name, chosen on dev. Temperatures are set."""
    figure = name_figure(pipe.task.figures, "macro-auc")
    tuner = Tuner(nlp, pipe, examples, wish=TuningGoal(max_drop=DROPS[0]), figure=figure)
    rules: Dict[str, Optional[ExitRule]] = {"full depth": None, "best fixed depth": tuner.trials.fixed_depth().rule}
    for drop in DROPS:
        tuner.wish = TuningGoal(max_drop=drop)
        rules[f"--max-drop {drop:g}"] = tuner.choose()
    return rules


def judge(pipe: EarlyExitTransformer, examples, rule: Optional[ExitRule]) -> Dict[str, float]:
    """RETURNS (Dict[str, float]): Accuracy and AUROC of two labels in points, and layers."""
    answers = pipe.answer([eg.predicted for eg in examples], rule)
    scores = pipe.score_answers(examples, answers)
    figures = {"accuracy": scores["cats_micro_f"], "auroc": scores["cats_macro_auc"]}
    return {**{name: 100 * float(value) for name, value in figures.items()}, "layers": float(answers.layers.mean())}


def main(
    data: Path = typer.Argument(..., help="What scripts/convert_pneumonia.py wrote"),
    backbone: str = typer.Option(..., help="Folder of the backbone"),
    out: Path = typer.Option(..., help="Where the model goes"),
    epochs: int = typer.Option(3, help="Passes over the training images"),
    image_size: int = typer.Option(112, help="The side of images; 0 for that of the backbone"),
    timed: int = typer.Option(200, help="How many test images are timed"),
    rounds: int = typer.Option(3, help="How often"),
    self_distillation: float = typer.Option(0.0, help="How much exits learn from the last one and not from labels"),
    name: str = typer.Option("pneumonia", help="Name of the results"),
):
    model = out / "model-last"  # a fixed number of epochs: nothing else is chosen on dev
    if not model.exists():
        out.mkdir(parents=True, exist_ok=True)
        train(init_nlp(configure(data, backbone, image_size or None, epochs, self_distillation)), out)
    nlp = spacy.load(model)
    pipe = find_component(nlp)
    splits = {split: list(ImageReader(data / f"{split}.jsonl")(nlp)) for split in ("dev", "test")}
    rules = choose(nlp, pipe, splits["dev"])
    test = prepare(nlp, pipe, splits["test"])
    found: Dict[str, Any] = {title: judge(pipe, test, rule) for title, rule in rules.items()}
    depths = {str(layer): judge(pipe, test, FixedDepth(layer)) for layer in pipe.slot().exit_layers(pipe.model)}
    contestants = [dict.fromkeys(pipe.slots, rule) for rule in rules.values()]
    for size in SIZES:
        times = milliseconds(nlp, splits["test"][:timed], pipe, contestants, size, rounds, progress=True)
        for title, own in zip(found, times):
            found[title][f"ms, batch {size}"] = own
    for title, rule in rules.items():
        found[title]["rule"] = rule.to_config() if rule is not None else None
    rows = [
        [
            title,
            *(f"{own[figure]:.2f}" for figure in ("accuracy", "auroc", "layers")),
            *(f"{own[f'ms, batch {size}']:.1f}" for size in SIZES),
        ]
        for title, own in found.items()
    ]
    header = ["", "accuracy", "AUROC", "layers", *(f"ms, batch {size}" for size in SIZES)]
    by_depth = table(
        ["layer", "accuracy", "AUROC"], [[name, f"{own['accuracy']:.2f}", f"{own['auroc']:.2f}"] for name, own in depths.items()]
    )
    page = ["# Films of the chest", "", *made_by(command(), machine()), *table(header, rows), "", *by_depth]
    print("\n".join(page))
    settings = {"backbone": Path(backbone).name, "epochs": epochs, "image_size": image_size, "threads": torch.get_num_threads()}
    report = {"machine": machine(), "command": command(), **settings, "test": found, "depths": depths}
    write_results(name, report, "\n".join(page))


if __name__ == "__main__":
    spacy.util.fix_random_seed(0)
    typer.run(main)
