"""Many notes: how many a second, on how many processes, and in how much memory. Each writes a page of benchmarks/results.

    python benchmarks/bulk.py compare MODEL DATA/test.jsonl DATA/dev.jsonl
    python benchmarks/bulk.py scaling MODEL DATA/test.jsonl DATA/dev.jsonl --copies 10
    python benchmarks/bulk.py memory MODEL --count 200000

`compare` takes `annotate`, the script that everybody writes, and `spacy apply`, in turns, with the pipeline loaded; seconds of
the processor are told beside those of the clock, since other programs may run. `scaling` takes one process and two, and Spark
with one worker and two, in turns, from file to file, with half of the notes and with all: what further notes cost, and what it
takes to start. `memory` invents notes of words that no other one has.
"""

import json
import random
import string
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy
import typer
from machine import command, machine
from tables import made_by, table
from wasabi import msg
from written import write_results

from spacy_epee.benchmark.memory import read_status
from spacy_epee.files import whole_file
from spacy_epee.scale.journal import Journal
from spacy_epee.scale.reading import Columns
from spacy_epee.scale.run import annotate_file
from spacy_epee.scale.spark import run_spark
from spacy_epee.scale.version import Loaded, load_pipeline

app = typer.Typer()


def script(loaded: Loaded, source: Path, target: Path) -> None:
    """What everybody writes."""
    rows = [json.loads(line) for line in source.open(encoding="utf-8")]
    with target.open("w", encoding="utf-8") as file:
        for row, doc in zip(rows, loaded.nlp.pipe([row["text"] for row in rows])):
            file.write(json.dumps({"id": row["id"], "cats": doc.cats, "exits": doc._.exits}) + "\n")


def spacy_apply(loaded: Loaded, source: Path, target: Path, batch_size: int = 1) -> None:
    """The command of spaCy, with the pipeline that is there."""
    apply: Any = import_module("spacy.cli.apply")  # spaCy gives its function the name of the module
    load, apply.load_model = apply.load_model, lambda name: loaded.nlp
    try:
        apply.apply(source, target.with_suffix(".spacy"), "", "text", batch_size, 1)
    finally:
        apply.load_model = load


def ours(loaded: Loaded, source: Path, target: Path, n_process: int = 1) -> None:
    """The command of spacy_epee."""
    annotate_file(loaded, source, target, Columns(), n_process=n_process)


CONTESTANTS: Dict[str, Callable[[Loaded, Path, Path], None]] = {
    "for doc in nlp.pipe(texts)": script,
    "spacy apply": spacy_apply,
    "spacy apply --batch-size 32": lambda *places: spacy_apply(*places, 32),
    "spacy epee annotate": ours,
}


WAYS: Dict[str, Callable[[Loaded, str, Path, Path], Any]] = {
    "one process": lambda loaded, model, source, target: ours(loaded, source, target),
    "two processes": lambda loaded, model, source, target: ours(loaded, source, target, 2),
    "Spark, one worker": lambda *places: on_spark(1, *places),
    "Spark, two workers": lambda *places: on_spark(2, *places),
}

OF_ONE = {"two processes": "one process", "Spark, two workers": "Spark, one worker"}
"""What is compared with what."""


def on_spark(workers: int, loaded: Loaded, model: str, source: Path, target: Path) -> None:
    """The command of spacy_epee with `--spark local[WORKERS]`."""
    run_spark(f"local[{workers}]", model, loaded.version, str(source), str(target), Columns(), 32)


def write_notes(files: List[Path], source: Path, limit: int = 0, copies: int = 1) -> int:
    """Write the texts of some files as notes, shuffled, and so many times.

    RETURNS (int): How many notes there are.
    """
    texts = [json.loads(line)["text"] for file in files for line in file.open(encoding="utf-8")]
    random.Random(0).shuffle(texts)
    texts = texts[: limit or None] * copies
    lines = [json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts)]
    with whole_file(source) as part:
        part.write_text("".join(lines), encoding="utf-8")
    return len(texts)


@app.command()
def compare(
    model: str,
    files: List[Path],
    rounds: int = 5,
    limit: int = typer.Option(0, help="The most notes, drawn by chance; 0 for all"),
):
    """Time `annotate` against others, in turns."""
    loaded = load_pipeline(model)
    spent: Dict[str, List[Any]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "notes.jsonl"
        count = write_notes(files, source, limit)
        for number in range(rounds + 1):  # the first round pays for things that are made only once
            for name, work in CONTESTANTS.items():
                target = Path(folder) / f"{number}{len(spent[name])}.jsonl"
                clock, processor = time.perf_counter(), time.process_time()
                work(loaded, source, target)
                spent[name].append((time.perf_counter() - clock, time.process_time() - processor))
                target.unlink(missing_ok=True)
    rows = []
    for name, seconds in spent.items():
        clock, processor = count / numpy.median(seconds[1:], axis=0)
        rows.append([name, f"{clock:.1f}", f"{processor:.1f}", f"{1000 / processor:.2f}"])
    header = ["", "notes a second", "notes a second of the processor", "its ms a note"]
    publish("bulk", "Many notes", f"{count:,} notes, medians of {rounds} rounds in turns.", header, rows)


@app.command()
def scaling(
    model: str,
    files: List[Path],
    rounds: int = 3,
    copies: int = typer.Option(10, min=2, help="How often each note is there"),
):
    """Time one process and two, and Spark, in turns, on half of the notes and on all."""
    loaded = load_pipeline(model)
    spent: Dict[str, List[List[float]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        sources = [Path(folder) / "half.jsonl", Path(folder) / "all.jsonl"]
        counts = [write_notes(files, source, copies=times) for source, times in zip(sources, (copies // 2, copies))]
        for number in range(rounds):
            for place, (name, work) in enumerate(WAYS.items()):
                spent[name].append([])
                for source, count in zip(sources, counts):
                    start = time.perf_counter()
                    work(loaded, model, source, Path(folder) / f"{number}-{place}-{source.name}")
                    spent[name][-1].append(time.perf_counter() - start)
                    print(f"{name}: {count:,} notes in {spent[name][-1][-1]:.1f} seconds", flush=True)
    costs = {name: costs_of([float(one) for one in numpy.median(seconds, axis=0)], counts) for name, seconds in spent.items()}
    rows = []
    for name, (whole, further, start) in costs.items():
        one = costs[OF_ONE[name]] if name in OF_ONE else None
        shares = [f"{one[place] / seconds:.2f}x" if one else "" for place, seconds in enumerate((whole, further))]
        hours = (start + 1e6 * further) / 3600
        rows.append([name, f"{1 / further:.1f}", shares[1], f"{start:.1f}", f"{1 / whole:.1f}", shares[0], f"{hours:.2f}"])
    header = ["", "further notes a second", "of one", "seconds to start", "in all a second", "of one", "hours for a million"]
    said = (
        f"From file to file, medians of {rounds} rounds in turns, with {counts[0]:,} notes and with {counts[1]:,}. The "
        "difference is what further notes cost; what is left of the time is the start, of Java and with loading in each process. "
        f"In all: {counts[1]:,} notes and the start. A million: one start, and a million further notes."
    )
    publish("bulk-scaling", "Many notes on two cores", said, header, rows)


def costs_of(seconds: List[float], counts: List[int]) -> Tuple[float, float, float]:
    """What notes cost, by the time of few and of many.

    RETURNS (Tuple[float, float, float]): The seconds of each of the many with the start; of each further note; of the start.
    """
    further = (seconds[1] - seconds[0]) / (counts[1] - counts[0])
    return seconds[1] / counts[1], further, seconds[0] - counts[0] * further


@app.command()
def memory(model: str, count: int = 200_000, n_process: int = 1):
    """Annotate invented notes, each with words that no other one has, and tell the memory that is held every 10,000."""
    loaded = load_pipeline(model)
    chance = random.Random(0)
    held: List[float] = []
    add, start = Journal.add, time.perf_counter()

    def added(self: Journal, rows: List[Any]) -> None:
        add(self, rows)
        if len(self) // 10_000 > len(held):
            held.append(read_status("VmRSS") / 2**20)
            print(f"{len(self)} notes, {held[-1]:.1f} MB, {len(self) / (time.perf_counter() - start):.0f} a second", flush=True)

    Journal.add = added  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "notes.jsonl"
        with source.open("w", encoding="utf-8") as file:
            for number in range(count):
                length = chance.randint(3, 30)
                words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9))) for _ in range(length)]
                file.write(json.dumps({"id": f"note-{number}", "text": " ".join(words)}) + "\n")
        annotate_file(loaded, source, Path(folder) / "out.jsonl", Columns(), n_process=n_process)
    rows = [[f"{10_000 * (place + 1):,}", f"{one:.1f}", f"{one / held[0] - 1:+.1%}"] for place, one in enumerate(held)]
    said = f"{count:,} invented notes, each with words that no other one has. MB that the process holds."
    publish("bulk-memory", "The memory of many notes", said, ["after", "MB", "against 10,000"], rows)


def publish(name: str, title: str, said: str, header: List[str], rows: List[List[str]]) -> None:
    """Print a table, and write it as a page."""
    msg.table(rows, header=header, divider=True)
    page = "\n".join([f"# {title}", "", *made_by(command(), machine()), said, "", *table(header, rows)])
    write_results(name, {"command": command(), "machine": machine(), "header": header, "rows": rows}, page)


if __name__ == "__main__":
    app()
