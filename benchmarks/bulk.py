"""Notes a second of `annotate` against the script that everybody writes and against `spacy apply`; or its memory over many notes.

    python benchmarks/bulk.py MODELS/minilm-l6/health_advice/exits/model-best DATA/test.jsonl DATA/dev.jsonl
    python benchmarks/bulk.py MODELS/minilm-l6/health_advice/exits/model-best --memory 200000

Files are read and written as each of them does, in turns. The pipeline is loaded before. Seconds of the processor are told beside
those of the clock, since other programs may run.
"""

import json
import random
import string
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy
import typer
from machine import machine
from wasabi import msg

from spacy_epee.files import whole_file
from spacy_epee.scale.journal import Journal
from spacy_epee.scale.reading import Columns
from spacy_epee.scale.run import annotate_file
from spacy_epee.scale.version import Loaded, load_pipeline


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


def compare(loaded: Loaded, files: List[Path], folder: Path, rounds: int, limit: int) -> None:
    """Time all in turns, and print it."""
    texts = [json.loads(line)["text"] for file in files for line in file.open(encoding="utf-8")]
    random.Random(0).shuffle(texts)
    texts = texts[: limit or None]
    source = folder / "notes.jsonl"
    lines = [json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts)]
    with whole_file(source) as part:
        part.write_text("".join(lines), encoding="utf-8")
    spent: Dict[str, List[Any]] = {name: [] for name in CONTESTANTS}
    for number in range(rounds + 1):  # the first round pays for things that are made only once
        for name, work in CONTESTANTS.items():
            target = folder / f"{number}{len(spent[name])}.jsonl"
            clock, processor = time.perf_counter(), time.process_time()
            work(loaded, source, target)
            spent[name].append((time.perf_counter() - clock, time.process_time() - processor))
            target.unlink(missing_ok=True)
    rows = []
    for name, seconds in spent.items():
        clock, processor = len(texts) / numpy.median(seconds[1:], axis=0)
        rows.append([name, f"{clock:.1f}", f"{processor:.1f}", f"{1000 / processor:.2f}"])
    msg.info(f"{len(texts)} notes, {machine()}")
    msg.table(rows, header=["", "notes/s", "notes a second of the processor", "its ms a note"], divider=True)


def watch(loaded: Loaded, count: int, folder: Path, n_process: int) -> None:
    """Annotate invented notes, each with words that no other one has, and print the memory that is held every 10,000."""
    chance = random.Random(0)
    source = folder / "notes.jsonl"
    with source.open("w", encoding="utf-8") as file:
        for number in range(count):
            length = chance.randint(3, 30)
            words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9))) for _ in range(length)]
            file.write(json.dumps({"id": f"note-{number}", "text": " ".join(words)}) + "\n")
    held: List[float] = []
    add, start = Journal.add, time.perf_counter()

    def added(self: Journal, rows: List[Any]) -> None:
        add(self, rows)
        if len(self) // 10_000 > len(held):
            held.append(memory())
            print(f"{len(self)} notes, {held[-1]:.1f} MB, {len(self) / (time.perf_counter() - start):.0f} a second", flush=True)

    Journal.add = added  # type: ignore[method-assign]
    annotate_file(loaded, source, folder / "out.jsonl", Columns(), n_process=n_process)
    msg.info(
        f"After 10,000 notes {held[0]:.1f} MB, at most {max(held):.1f}, at last {held[-1]:.1f} ({held[-1] / held[0] - 1:+.1%})"
    )


def memory() -> float:
    """RETURNS (float): The memory that this process holds, in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main(
    model: str,
    files: List[Path] = typer.Argument(None),
    rounds: int = 5,
    limit: int = typer.Option(0, help="The most notes, drawn by chance; 0 for all"),
    memory: int = typer.Option(0, help="How many invented notes to annotate, in place of a comparison"),
    n_process: int = 1,
):
    loaded = load_pipeline(model)
    with tempfile.TemporaryDirectory() as folder:
        if memory:
            watch(loaded, memory, Path(folder), n_process)
        else:
            compare(loaded, files, Path(folder), rounds, limit)


if __name__ == "__main__":
    typer.run(main)
