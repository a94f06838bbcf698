"""Seconds and memory of one note, from short to very long, at full depth and with exits.

    python benchmarks/long_notes.py MODELS/minilm-l6/mtsamples/exits/model-best ../shared/corpora/mtsamples/normalised/test.jsonl

The notes are the documents of the file one behind the other, up to so many tokens. Memory is the peak above what the process
holds already.
Writes benchmarks/results/long-notes.json, .md and .png.
"""

import statistics
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import matplotlib
import spacy
import typer
from machine import command, machine
from tables import made_by, table
from wasabi import msg
from written import RESULTS, write_results

from spacy_epee.benchmark.memory import watch_memory
from spacy_epee.benchmark.run import describe_machine
from spacy_epee.data.readers import read_jsonl
from spacy_epee.evaluation.compare import find_component
from spacy_epee.exits.rules.patience import EntropyPatience
from spacy_epee.files import whole_file

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

LENGTHS = (300, 1000, 3000, 10_000, 30_000, 100_000)


def make_note(nlp, texts: List[str], tokens: int) -> str:
    """A note of so many tokens."""
    parts, left, place = [], tokens, 0
    while left > 0:
        doc = nlp.make_doc(texts[place % len(texts)])[:left]
        parts.append(doc.text)
        left, place = left - len(doc), place + 1
    return "\n".join(parts)


def measure(nlp, pipe, rule, text: str, rounds: int) -> Dict[str, Any]:
    """Seconds, the peak of memory, and the layer at which the note left."""
    pipe.exit = rule
    with watch_memory() as peak:
        doc = nlp(text)
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        nlp(text)
        seconds.append(time.perf_counter() - began)
    memory: Optional[float] = None if peak.bytes is None else peak.bytes / 1e6
    layer = next(iter(doc._.exits[pipe.name].values()))["layer"]
    return {"seconds": statistics.median(seconds), "memory_mb": memory, "layer": layer}


def draw(rows: List[Dict[str, Any]], path: Path) -> None:
    """The curve."""
    tokens = [row["tokens"] for row in rows]
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5))
    for name, label in (("full", "full depth"), ("exits", "with exits")):
        axes[0].loglog(tokens, [row[name]["seconds"] for row in rows], marker="o", label=label)
        axes[1].loglog(tokens, [row[name]["memory_mb"] or 0.1 for row in rows], marker="o", label=label)
    slope = [rows[-1]["full"]["seconds"] * n / tokens[-1] for n in tokens]
    axes[0].loglog(tokens, slope, linestyle=":", color="grey", label="linear")
    for ax, title in zip(axes, ("seconds", "MB at the peak, above the loaded model")):
        ax.set(xlabel="tokens in the note", ylabel=title)
        ax.grid(alpha=0.3)
        ax.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110, format="png")


def main(model: Path, data: Path, rounds: int = 3, entropy: float = 0.2, patience: int = 3):
    nlp = spacy.load(model)
    nlp.max_length = 10_000_000
    pipe = find_component(nlp)
    texts = [row["text"] for row in read_jsonl(data)]
    rule = EntropyPatience(entropy, patience)
    nlp(make_note(nlp, texts, 300))
    rows = []
    for tokens in LENGTHS:
        text = make_note(nlp, texts, tokens)
        row: Dict[str, Any] = {"tokens": tokens, "windows": len(pipe.make_instances([nlp.make_doc(text)]).windows)}
        row.update(full=measure(nlp, pipe, None, text, rounds), exits=measure(nlp, pipe, rule, text, rounds))
        rows.append(row)
        msg.info(f"{tokens} tokens: {row['full']['seconds']:.2f} s")
    report = {"command": command(), "machine": describe_machine(), "rule": rule.to_config(), "rows": rows}
    lines = ["# One note, from short to very long", "", *made_by(command(), machine())]
    lines += [f"With the rule {rule.to_config()}. Memory above what the process"]
    lines += ["holds already: exits are run behind the full depth, and find what that has left.", ""]
    header = ["tokens", "windows", "full depth, s", "ms a thousand tokens", "MB", "with exits, s", "layer", "MB"]
    table_rows = []
    for row in rows:
        full, exits = row["full"], row["exits"]
        cells = [str(row["tokens"]), str(row["windows"])]
        cells += [f"{full['seconds']:.2f}", f"{1e6 * full['seconds'] / row['tokens']:.0f}"]
        cells += [_mb(full), f"{exits['seconds']:.2f}", f"{exits['layer']:.0f}", _mb(exits)]
        table_rows.append(cells)
    lines += [*table(header, table_rows), "", "![Seconds and memory by length](long-notes.png)", ""]
    write_results("long-notes", report, "\n".join(lines))
    with whole_file(RESULTS / "long-notes.png") as part:
        draw(rows, part)


def _mb(measured: Dict[str, Any]) -> str:
    return "-" if measured["memory_mb"] is None else f"{measured['memory_mb']:.0f}"


if __name__ == "__main__":
    typer.run(main)
