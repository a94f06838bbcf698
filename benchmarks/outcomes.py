"""Predict outcomes: a linear model over words, our exit before the first layer, every fixed depth, and a rule chosen on dev.

    python benchmarks/outcomes.py MODEL DATA --work FOLDER --limit 10000 --out benchmarks/results/outcomes

MODEL is trained with configs/outcomes.cfg, and DATA is what scripts/derive_outcomes.py wrote. Of dev and test some reports are
drawn by the hash of their ids, the same for all contestants. What was worked out is kept in FOLDER, without any text.
"""

import json
import time
import zlib
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy
import spacy
import typer
from linear import Linear, aurocs
from machine import command, machine
from remembered import remember, state
from scipy.special import expit, softmax
from wasabi import msg

from spacy_epee.data.readers import read_jsonl
from spacy_epee.engine.replay import Replay
from spacy_epee.evaluation.compare import find_component
from spacy_epee.exits.rules import Entropy, FixedDepth
from spacy_epee.files import whole_file
from spacy_epee.inference.predict import all_exits, read_words

TASKS = ("outcomes", "stay", "symptoms")
EXCLUSIVE = "stay"
LINEAR, FIRST, RULE = "TF-IDF and logistic regression", "exit 0: words alone", "rule chosen on dev"
THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Entropies below which a text leaves, to choose from."""

DROP, RESAMPLED, TIMED = 0.001, 100, 200
"""How much macro AUROC a rule may lose on dev; how often test is resampled; and how many reports are timed."""

Truth = Tuple[numpy.ndarray, numpy.ndarray]
"""1 for labels that are true (N, K), and where they are known (N, K) bool."""

Answers = Dict[str, numpy.ndarray]
"""Probabilities of each task, (N, K)."""


def draw(path: Path, limit: int) -> List[Dict[str, Any]]:
    """RETURNS (List[Dict[str, Any]]): Rows of a file, some of them if there are more."""
    rows = read_jsonl(path)
    return sorted(rows, key=lambda row: zlib.crc32(f"draw {row['id']}".encode()))[: limit or None]


def truth(rows: List[Dict[str, Any]], task: str, labels: List[str]) -> Truth:
    """RETURNS (Tuple[ndarray, ndarray]): What is known."""
    given = [row.get(task) for row in rows]
    if task == EXCLUSIVE:
        known = numpy.array([[value is not None] * len(labels) for value in given])
        return numpy.array([[float(value == label) for label in labels] for value in given]), known
    known = numpy.array([[label in value for label in labels] for value in given])
    return numpy.array([[float(value.get(label, 0)) for label in labels] for value in given]), known


def macro(true: Truth, scores: numpy.ndarray) -> float:
    """RETURNS (float): Their mean."""
    return float(numpy.mean([value for value in aurocs(*true, scores) if value is not None]))


def learn_words(rows: List[Dict[str, Any]], labels: Dict[str, List[str]]) -> Callable[[List[str]], Answers]:
    """RETURNS (Callable[[List[str]], Dict[str, ndarray]]): What a linear model of words says, learned from some rows."""
    known = [(*truth(rows, task, labels[task]), task == EXCLUSIVE) for task in TASKS]
    linear = Linear([row["text"] for row in rows], known, min_df=5)
    return lambda texts: dict(zip(TASKS, linear(texts)))


def measure_words(data: Path, labels: Dict[str, List[str]], test: List[Dict[str, Any]]) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): What the linear model says of test reports, the seconds that it learned, and its times."""
    started = time.process_time()
    linear = learn_words(read_jsonl(data / "train.jsonl"), labels)
    spent = time.process_time() - started
    timed = [row["text"] for row in test[:TIMED]]
    times = [milliseconds(linear, timed, batch) for batch in (1, 32)]
    msg.good(f"Linear model: {spent:.0f} s")
    return {"seconds": spent, "times": times, **linear([row["text"] for row in test])}


def ask_exits(nlp: Any, texts: List[str]) -> Dict[str, numpy.ndarray]:
    """RETURNS (Dict[str, ndarray]): What all exits say of each task, (exits, N, K) logits. All reports have a text."""
    pipe = find_component(nlp, None)
    parts = [
        {task: own.logits for task, own in out.items()}
        for out in all_exits(pipe.model, pipe.slots, [nlp.make_doc(text) for text in texts], 64)
    ]
    return {task: numpy.concatenate([part[task] for part in parts], axis=1) for task in TASKS}


def ask_words(nlp: Any, texts: List[str]) -> Answers:
    """RETURNS (Dict[str, ndarray]): What the exit before the first layer says, as probabilities."""
    pipe = find_component(nlp, None)
    found = read_words(pipe.model, pipe.slots, [nlp.make_doc(text) for text in texts])
    return {task: as_probabilities(found[task].logits, task) for task in TASKS}


def as_probabilities(logits: numpy.ndarray, task: str) -> numpy.ndarray:
    """RETURNS (ndarray): The same as probabilities."""
    return softmax(logits, axis=-1) if task == EXCLUSIVE else expit(logits)


def choose_rule(replay: Replay, true: Truth) -> Tuple[Any, str]:
    """Choose the setting with the fewest layers that keeps to `DROP`: an entropy, or a fixed depth.

    RETURNS (Tuple[Any, str]): The rule or the depth, and what it is.
    """
    least = macro(true, replay.probabilities[-1]) - DROP
    tried: List[Tuple[float, float, Any, str]] = []
    for exit, layer in enumerate(replay.layers.tolist()):
        tried.append((float(layer), -macro(true, replay.probabilities[exit]), layer, f"layer {layer} for all"))
    for threshold in THRESHOLDS:
        found = replay.run(Entropy(threshold))
        tried.append(
            (float(found.layers.mean()), -macro(true, found.probabilities), Entropy(threshold), f"entropy {threshold:g}")
        )
    kept = [trial for trial in tried if -trial[1] >= least]
    *_, rule, name = min(kept, key=lambda trial: trial[:2])
    return rule, name


def take(replay: Replay, rule: Any) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """RETURNS (Tuple[ndarray, ndarray]): The probabilities that a rule or a depth gives, and the layers."""
    if isinstance(rule, int):
        exit = replay.layers.tolist().index(rule)
        return replay.probabilities[exit], numpy.full(replay.n_units, rule)
    found = replay.run(rule)
    return found.probabilities, found.layers


def spread(true: Dict[str, Truth], one: Answers, other: Answers) -> Dict[str, List[float]]:
    """RETURNS (Dict[str, List[float]]): 95 % intervals of the difference in macro AUROC, by resampling of reports."""
    rng = numpy.random.default_rng(0)
    found = {}
    for task in TASKS:
        rows = numpy.flatnonzero(true[task][1].any(axis=1))
        differences = []
        for _ in range(RESAMPLED):
            some = rng.choice(rows, len(rows))
            own = (true[task][0][some], true[task][1][some])
            differences.append(macro(own, one[task][some]) - macro(own, other[task][some]))
        found[task] = [float(value) for value in numpy.percentile(differences, [2.5, 97.5])]
    return found


def milliseconds(answer: Callable[[List[str]], Any], texts: List[str], batch: int) -> float:
    """RETURNS (float): Of the processor for a report."""
    answer(texts[:batch])
    started = time.process_time()
    for start in range(0, len(texts), batch):
        answer(texts[start : start + batch])
    return 1000 * (time.process_time() - started) / len(texts)


def main(
    model: Path,
    data: Path,
    work: Path = typer.Option(..., help="Folder for what was worked out"),
    limit: int = typer.Option(0, help="The most test reports; 0 for all"),
    dev_limit: int = typer.Option(3000, help="The most dev reports"),
    out: Optional[Path] = typer.Option(None, help="Where to write .json and .md"),
    linear_only: bool = typer.Option(False, help="Fit the linear model, and stop"),
):
    work.mkdir(parents=True, exist_ok=True)
    labels = json.loads((data / "labels.json").read_text(encoding="utf-8"))
    every = {"dev": draw(data / "dev.jsonl", 0), "test": draw(data / "test.jsonl", 0)}
    rows = {"dev": every["dev"][:dev_limit], "test": every["test"][: limit or None]}
    of = [state(data / "train.jsonl"), state(data / "test.jsonl"), labels]
    stored = remember(work, "linear", of, lambda: measure_words(data, labels, every["test"]))
    if linear_only:
        return
    whole = {task: truth(every["test"], task, labels[task]) for task in TASKS}
    true = {split: {task: truth(own, task, labels[task]) for task in TASKS} for split, own in rows.items()}
    contestants: Dict[str, Answers] = {LINEAR: {task: stored[task][: len(rows["test"])] for task in TASKS}}
    nlp = spacy.load(model)
    pipe = find_component(nlp, None)
    texts = {split: [row["text"] for row in own] for split, own in rows.items()}
    logits = {split: remember(work, split, [state(model), *own], partial(ask_exits, nlp, own)) for split, own in texts.items()}
    exits = {task: pipe.slot(task).exit_layers(pipe.model) for task in TASKS}
    replays = {
        split: {task: Replay(own[task], exit_layers=exits[task], reading=pipe.reading(task)) for task in TASKS}
        for split, own in logits.items()
    }
    for exit, layer in enumerate(exits["outcomes"]):
        name = FIRST if layer == 0 else f"layer {layer}" + ", the full depth" * (layer == max(exits["outcomes"]))
        contestants[name] = {task: replays["test"][task].probabilities[exit] for task in TASKS}
    full = name
    chosen = {task: choose_rule(replays["dev"][task], true["dev"][task]) for task in TASKS}
    taken = {task: take(replays["test"][task], chosen[task][0]) for task in TASKS}
    contestants[RULE] = {task: taken[task][0] for task in TASKS}
    layers = numpy.max([taken[task][1] for task in TASKS], axis=0)
    timed = [row["text"] for row in rows["test"][:TIMED]]

    def answer(texts: List[str]) -> None:
        list(nlp.pipe(texts, batch_size=len(texts)))

    times = {LINEAR: stored["times"].tolist()}
    for name, rules in {full: dict.fromkeys(TASKS), RULE: {task: rule for task, (rule, _) in chosen.items()}}.items():
        for task, rule in rules.items():
            pipe.set_exit(FixedDepth(rule) if isinstance(rule, int) else rule, task)
        times[name] = [milliseconds(answer, timed, batch) for batch in (1, 32)]
    first = ask_words(nlp, [row["text"] for row in every["test"]])
    result = {
        "command": command(),
        "machine": machine(),
        "test reports": len(rows["test"]),
        "of test reports": len(every["test"]),
        "dev reports": len(rows["dev"]),
        "seconds to fit the linear model": float(stored["seconds"]),
        "macro AUROC": {
            name: {task: macro(true["test"][task], own[task]) for task in TASKS} for name, own in contestants.items()
        },
        "all test reports": {
            name: {task: macro(whole[task], own[task]) for task in TASKS} for name, own in {LINEAR: stored, FIRST: first}.items()
        },
        "AUROC": {
            name: {task: dict(zip(labels[task], aurocs(*true["test"][task], own[task]))) for task in TASKS}
            for name, own in contestants.items()
            if name in (LINEAR, FIRST, full)
        },
        "positives": {task: dict(zip(labels[task], true["test"][task][0].sum(axis=0).tolist())) for task in TASKS},
        "left out": {task: aurocs(*true["test"][task], contestants[full][task]).count(None) for task in TASKS},
        "full depth minus linear, 95 %": spread(true["test"], contestants[full], contestants[LINEAR]),
        "full depth minus exit 0, 95 %": spread(true["test"], contestants[full], contestants[FIRST]),
        "rule": {task: chosen[task][1] for task in TASKS},
        "layers by task": {task: float(taken[task][1].mean()) for task in TASKS},
        "layers": float(layers.mean()),
        "milliseconds a report, batch 1 and 32": times,
    }
    table = to_table(result)
    print(table)
    if out is not None:
        for ending, content in ((".json", json.dumps(result, indent=1)), (".md", table)):
            with whole_file(out.with_suffix(ending)) as part:
                part.write_text(content + "\n", encoding="utf-8")


def to_table(result: Dict[str, Any]) -> str:
    """RETURNS (str): The figures as Markdown."""
    lines = [
        "# Outcomes of VAERS reports",
        "",
        f"`{result['command']}`",
        "",
        f"{result['machine']}. Macro AUROC on {result['test reports']:,} test reports; the rule was chosen on "
        f"{result['dev reports']:,} of dev.",
        "",
        "| | outcomes | length of stay | symptoms |",
        "|---|---|---|---|",
    ]
    more = {f"{name}, on all {result['of test reports']:,}": own for name, own in result["all test reports"].items()}
    for name, own in {**result["macro AUROC"], **more}.items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * own[task]:.2f}" for task in TASKS) + " |")
    for name in ("full depth minus linear, 95 %", "full depth minus exit 0, 95 %"):
        spans = [f"{100 * low:+.2f} to {100 * high:+.2f}" for low, high in (result[name][task] for task in TASKS)]
        lines.append(f"| {name} | " + " | ".join(spans) + " |")
    lines += ["", "| ms of the processor a report | batch 1 | batch 32 |", "|---|---|---|"]
    for name, (alone, together) in result["milliseconds a report, batch 1 and 32"].items():
        lines.append(f"| {name} | {alone:.2f} | {together:.2f} |")
    rules = ", ".join(f"{task}: {result['rule'][task]} ({result['layers by task'][task]:.2f} layers)" for task in TASKS)
    lines += ["", f"The rule: {rules}; {result['layers']:.2f} layers run in the mean."]
    lines += ["", "| label | positives | linear | exit 0 | full depth |", "|---|---|---|---|---|"]
    linear, first, full = (result["AUROC"][name] for name in result["AUROC"])
    for task in TASKS:
        for label, count in result["positives"][task].items():
            values = [own[task][label] for own in (linear, first, full)]
            shown = " | ".join("left out" if value is None else f"{100 * value:.2f}" for value in values)
            lines.append(f"| {label} | {count:.0f} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
