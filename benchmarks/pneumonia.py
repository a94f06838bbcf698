"""Train a ViT on PneumoniaMNIST, and compare its exits with the full depth.

    python scripts/convert_pneumonia.py ../shared/corpora/medmnist_pneumonia DATA
    python benchmarks/pneumonia.py DATA --backbone BACKBONES/vit-small --epochs 3 --image-size 112 --out MODELS

A second run takes the model that is there. AUROC ranks the answers of different exits in one list, so that they must mean the
same: temperatures are fitted on dev. EPEE's settings are chosen there too, from stored logits: the fastest one whose AUROC
is not below that of the full depth. Test is used once, for the chosen ones. Seconds are those of the whole pipeline on
test images, reading them included, full depth and exits in turns in one run. Writes benchmarks/results/NAME.json.
"""

import itertools
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy
import spacy
import torch
import typer
from sklearn.metrics import roc_auc_score
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config
from wasabi import msg
from written import write_results

from spacy_epee.data.image_reader import ImageReader
from spacy_epee.data.readers import read_rows
from spacy_epee.engine.replay import Replay
from spacy_epee.evaluation.calibrate import calibrate
from spacy_epee.evaluation.compare import compare, find_component
from spacy_epee.exits.rules.patience import EntropyPatience
from spacy_epee.model import get_exit_layers

CONFIG = Path(__file__).parent.parent / "configs" / "imagecat.cfg"
PIPE, POSITIVE, BATCH = "epee_imagecat", "pneumonia", 16
TAUS = [0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9]
RUNS = [*range(1, 11), None]


def configure(data: Path, backbone: str, image_size: Optional[int], epochs: int):
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
            "training.batcher.size": BATCH,
            "training.optimizer.learn_rate.total_steps": steps,
            "training.eval_frequency": max(steps // max(epochs, 2), 1),
            "training.optimizer.learn_rate.warmup_steps": steps // 10,
        },
    )


def judge(scores: numpy.ndarray, targets: numpy.ndarray, positive: int) -> Dict[str, float]:
    """Accuracy and AUROC.

    scores (ndarray): Logits or probabilities, (N, K).
    targets (ndarray): The number of the true label, (N,).
    positive (int): The number of the label whose AUROC it is.
    """
    shares = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    accuracy = float((scores.argmax(axis=1) == targets).mean())
    return {"accuracy": accuracy, "auroc": float(roc_auc_score(targets == positive, shares[:, positive]))}


def store(pipe, examples) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """What all exits say about some images, over their temperatures, and what is true."""
    logits = numpy.concatenate([part.logits for part in pipe.exit_logits([eg.predicted for eg in examples])], axis=1)
    temperatures = numpy.array(pipe.cfg["temperatures"], dtype="float32")
    targets = [pipe.labels.index(max(eg.reference.cats, key=eg.reference.cats.get)) for eg in examples]
    return logits / temperatures[:, None, None], numpy.array(targets)


def choose(replay: Replay, targets: numpy.ndarray, positive: int) -> Optional[EntropyPatience]:
    """The fastest setting of EPEE that loses no AUROC; None, the full depth, if there is none."""
    full = judge(replay.run(None).logits, targets, positive)["auroc"]
    allowed: List[Tuple[float, EntropyPatience]] = []
    for tau, patience in itertools.product(TAUS, RUNS):
        rule = EntropyPatience(tau, patience)
        if not rule.can_fire(replay.layers.tolist()):
            continue
        found = replay.run(rule)
        if judge(found.logits, targets, positive)["auroc"] >= full:
            allowed.append((float(found.layers.mean()), rule))
    if not allowed:
        msg.warn("No setting of EPEE is as good as the full depth on dev")
        return None
    return min(allowed, key=lambda pair: pair[0])[1]


def main(
    data: Path = typer.Argument(..., help="What scripts/convert_pneumonia.py wrote"),
    backbone: str = typer.Option(..., help="Folder of the backbone"),
    out: Path = typer.Option(..., help="Where the model goes"),
    epochs: int = typer.Option(3, help="Passes over the training images"),
    image_size: int = typer.Option(112, help="The side of images; 0 for that of the backbone"),
    timed: int = typer.Option(200, help="How many test images are timed"),
    rounds: int = typer.Option(3, help="How often"),
    name: str = typer.Option("pneumonia", help="Name of the results"),
):
    model = out / "model-last"  # a fixed number of epochs: nothing else is chosen on dev
    if not model.exists():
        out.mkdir(parents=True, exist_ok=True)
        train(init_nlp(configure(data, backbone, image_size or None, epochs)), out)
    nlp = spacy.load(model)
    pipe = find_component(nlp)
    positive = pipe.labels.index(POSITIVE)
    splits = {split: list(ImageReader(data / f"{split}.jsonl")(nlp)) for split in ("dev", "test")}
    report: Dict[str, Any] = {"backbone": Path(backbone).name, "epochs": epochs, "image_size": image_size}
    report["threads"] = torch.get_num_threads()
    calibrate(pipe, splits["dev"])
    report["temperatures"] = pipe.cfg["temperatures"]
    for split, examples in splits.items():
        logits, targets = store(pipe, examples)
        replay = Replay(logits, exit_layers=get_exit_layers(pipe.model), reading=pipe.task.reading(pipe.cfg["threshold"]))
        if split == "dev":
            pipe.exit = choose(replay, targets, positive)
            report["rule"] = pipe.exit.to_config() if pipe.exit else None
        exits = replay.run(pipe.exit)
        report[split] = {
            "by_exit": [judge(part, targets, positive) for part in logits],
            "full": {**judge(logits[-1], targets, positive), "layers": int(replay.layers[-1])},
            "exits": {**judge(exits.logits, targets, positive), "layers": float(exits.layers.mean())},
        }
    seconds = compare(nlp, splits["test"][:timed], pipe, (1, 32), rounds, progress=True)
    test = report["test"]
    report["speedup_layers"] = test["full"]["layers"] / test["exits"]["layers"]
    report["speedup_seconds"] = seconds["speedup_seconds"]
    report["docs_per_second"] = {key: seconds[key]["docs_per_second"] for key in ("full", "exits")}
    rows = [
        (
            title,
            f"{100 * test[key]['accuracy']:.2f}",
            f"{100 * test[key]['auroc']:.2f}",
            f"{test[key]['layers']:.2f}",
            *(f"{report['docs_per_second'][key][size]:.1f}" for size in ("1", "32")),
        )
        for key, title in (("full", "Full depth"), ("exits", "EPEE, no loss on dev"))
    ]
    msg.table(rows, header=("", "Accuracy", "AUROC", "Layers", "Images/s, batch 1", "batch 32"), divider=True)
    faster = ", ".join(f"{ratio:.2f}x in seconds at batch {size}" for size, ratio in report["speedup_seconds"].items())
    msg.info(f"{report['rule']}: {report['speedup_layers']:.2f}x in layers, {faster}")
    write_results(name, report)


if __name__ == "__main__":
    spacy.util.fix_random_seed(0)
    typer.run(main)
