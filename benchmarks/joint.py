"""One joint pipeline against a pipeline for each of its tasks, on the same backbone: scores and seconds.

    python benchmarks/joint.py MODELS/minilm-l6/phee_joint --corpora ../shared/corpora

The models are those of benchmarks/train.py: minilm-l6/phee_joint/joint, and one for each task. Seconds are of `nlp.pipe` on test
texts with their annotated entities, at full depth and with the rules of the pipelines (the default, EPEE), all in turns in one
run; those of the tasks' pipelines are added up. Writes benchmarks/results/joint.json and joint.md.
"""

from pathlib import Path
from typing import Any, Dict, List

import numpy
import spacy
import typer
from corpora import CORPORA, split
from machine import command, machine
from spacy.training import Example
from tables import made_by, table
from timing import evenly, seconds
from wasabi import msg
from written import RESULTS, write_results

from spacy_epee.component.pipe import EarlyExitTransformer


def run(nlp, examples: List[Example], full: bool, size: int) -> float:
    """Seconds of a pipeline on texts, at full depth or with its rules."""
    pipe: EarlyExitTransformer = nlp.get_pipe("epee")
    rules = pipe.exits
    if full:
        pipe.exit = None
    spent = seconds(nlp, examples, size)
    for task, rule in rules.items():
        pipe.set_exit(rule, task)
    return spent


def score(nlp, examples: List[Example], full: bool) -> Dict[str, Any]:
    """Scores and layers of the tasks of a pipeline."""
    pipe: EarlyExitTransformer = nlp.get_pipe("epee")
    rules = dict.fromkeys(pipe.slots) if full else pipe.exits
    answers = pipe.run([eg.predicted for eg in examples], rules)
    found: Dict[str, Any] = {}
    for task, own in answers.items():
        scores = pipe.score_answers(examples, own, task)
        found[task] = {
            "score": 100 * scores[pipe.slots[task].task.main],
            "layers": float(own.layers[own.layers > 0].mean()),
            "scores": {name: value for name, value in scores.items() if isinstance(value, float)},
        }
    windows = next(iter(answers.values())).items.windows
    deepest = numpy.zeros(len(windows))
    for own in answers.values():
        asked = own.items.window_units >= 0
        deepest[asked] = numpy.maximum(deepest[asked], own.layers[own.items.window_units[asked]])
    return {"tasks": found, "layers": float(deepest[deepest > 0].mean())}


def main(
    models: Path = typer.Argument(..., help="Folder with the joint pipeline and those of its tasks"),
    corpora: Path = typer.Option(..., help="Folder of the corpora"),
    timed: int = typer.Option(200, help="Test documents to time"),
    rounds: int = typer.Option(5, help="How often each is timed"),
):
    joint = spacy.load(models / "joint" / "model-best")
    tasks = list(joint.get_pipe("epee").slots)
    single = {task: spacy.load(models / task / "model-best") for task in tasks}
    path = split(corpora, models.name, "test")
    examples = {name: list(CORPORA[models.name].reader(path)(nlp)) for name, nlp in {"joint": joint, **single}.items()}
    report: Dict[str, Any] = {"documents": len(examples["joint"]), "timed": timed}
    report.update(command=command(), machine=machine())
    for name, nlp in {"joint": joint, **single}.items():
        report[name] = {way: score(nlp, examples[name], way == "full") for way in ("full", "exits")}
    some = {name: evenly(part, timed) for name, part in examples.items()}
    report["share"] = {}
    for way in ("full", "exits"):
        for size in (1, 32):
            shares = []
            for number in range(rounds + 1):  # the first pays for what is made only once
                alone = sum(run(nlp, some[task], way == "full", size) for task, nlp in single.items())
                together = run(joint, some["joint"], way == "full", size)
                if number:
                    shares.append(together / alone)
            report["share"][f"{way}, batch {size}"] = float(numpy.median(shares))
    rows = []
    for task in tasks:
        cells = [report[name][way]["tasks"][task]["score"] for way in ("full", "exits") for name in (task, "joint")]
        layers = [report[name]["exits"]["tasks"][task]["layers"] for name in (task, "joint")]
        rows.append([task, *(f"{value:.2f}" for value in [*cells, *layers])])
    lines = ["# One joint pipeline and one for each task", "", *made_by(report["command"], report["machine"])]
    lines += table(["task", "alone, full depth", "joint", "alone, with exits", "joint", "layers alone", "joint"], rows)
    lines += ["", f"Layers that windows of the joint pipeline run: {report['joint']['exits']['layers']:.2f}.", ""]
    lines += ["Seconds of the joint pipeline as a share of all the others together: "]
    lines[-1] += "; ".join(f"{name}: {share:.2f}" for name, share in report["share"].items()) + "."
    write_results("joint", report, "\n".join(lines))
    print("\n".join(lines))
    msg.good(f"Saved to {RESULTS / 'joint.md'}")


if __name__ == "__main__":
    typer.run(main)
