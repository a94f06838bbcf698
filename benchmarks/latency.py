"""One note at once: the median and the 99th percentile of seconds of the whole pipeline, with and without a time budget.

    OMP_NUM_THREADS=1 python benchmarks/latency.py ../shared/corpora/health_advice/normalised/test.jsonl \
        health=MODELS/health-int8 --budget-ms 10

Each pipeline is timed at full depth, with its rule, and with its rule and the budget, beside the same network whole in ONNX
Runtime int8, note by note, in turns of a hundred notes. With several rounds a note counts by its median, so that what others do
on the machine meanwhile does not count. What of the layers saved is saved in seconds, "realised", is of the mean.
Writes benchmarks/results/latency.json and .md, or NAME.json and .md.
"""

import time
from contextlib import nullcontext
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, ContextManager, Dict, List, Sequence

import numpy
import spacy
import typer
from machine import command, machine
from tables import made_by, table
from wasabi import msg
from written import write_results

from spacy_epee.benchmark.pipelines import Exits
from spacy_epee.benchmark.targets import OnnxInt8
from spacy_epee.benchmark.workspace import Target, Workspace
from spacy_epee.data.readers import read_jsonl
from spacy_epee.evaluation.compare import find_component
from spacy_epee.exits.rules.budget import time_budget

TURN = 100
"""How many notes one answers before the next does."""


class Contestant:
    """What answers notes, and how long each has taken."""

    def __init__(self, target: Target, within: Callable[[], ContextManager[Any]]):
        target.prepare()
        target.load()
        self.target, self.within = target, within
        self.seconds: List[float] = []
        self.layers: List[float] = []

    def answer(self, texts: Sequence[str], timed: bool) -> None:
        """Answer notes one by one."""
        for text in texts:
            began = time.perf_counter()
            with self.within():
                found = self.target.run([text], 1)
            spent = time.perf_counter() - began
            if timed:
                self.seconds.append(spent)
                if isinstance(self.target, Exits):
                    entry = next(iter(found[0]._.exits[self.target.place.component.name].values()))
                    self.layers.append(entry["layer"])


def contestants(path: Path, folder: Path, texts: Sequence[str], budget: float) -> Dict[str, Contestant]:
    """All of one pipeline. The graphs that it was exported to are those that are run."""
    nlp = spacy.load(path)
    place = Workspace(str(path), find_component(nlp), folder, calibration=texts)
    timed = partial(time_budget, budget)
    return {
        "ONNX Runtime int8, whole": Contestant(OnnxInt8(place), nullcontext),
        "full depth": Contestant(Exits(place, "full", full=True), nullcontext),
        "exits": Contestant(Exits(place, "exits"), nullcontext),
        f"exits, {budget:g} ms": Contestant(Exits(place, "exits"), timed),
        f"full depth, {budget:g} ms": Contestant(Exits(place, "full", full=True), timed),
    }


def realised(row: Dict[str, Any], full: Dict[str, Any]) -> str:
    """RETURNS (str): The share of the seconds that exits save, of the share of layers that they save."""
    saved = None if row["layers"] is None else 1 - row["layers"] / full["layers"]
    return f"{(1 - row['mean'] / full['mean']) / saved:.2f}" if saved and saved > 0.05 else ""


def main(data: Path, models: List[str], budget_ms: float = 10.0, notes: int = 2000, rounds: int = 1, name: str = "latency"):
    texts = [row["text"] for row in read_jsonl(data)]
    rows: List[Dict[str, Any]] = []
    for named in models:
        model, _, path = named.partition("=")
        with TemporaryDirectory() as folder:
            found = contestants(Path(path), Path(folder), texts[:100], budget_ms)
            for contestant in found.values():
                contestant.answer(texts[:TURN], False)
            asked = list(islice(cycle(texts), notes))
            for start in rounds * list(range(0, notes, TURN)):
                for contestant in found.values():
                    contestant.answer(asked[start : start + TURN], True)
        for kind, contestant in found.items():
            milliseconds = 1000 * numpy.median(numpy.reshape(contestant.seconds, (rounds, notes)), axis=0)
            row = {"model": model, "kind": kind, "notes": notes, "mean": float(milliseconds.mean())}
            row.update({f"p{q}": float(numpy.percentile(milliseconds, q)) for q in (50, 90, 99)})
            row.update(
                within=float((milliseconds <= budget_ms).mean()),
                layers=float(numpy.mean(contestant.layers)) if contestant.layers else None,
            )
            rows.append(row)
            msg.info(f"{model} {kind}: {row['p50']:.2f} and {row['p99']:.2f} ms")
    report = {"command": command(), "machine": machine(), "budget_ms": budget_ms, "rows": rows}
    lines = ["# One note at once", "", *made_by(command(), machine())]
    counted = "" if rounds == 1 else f" Each counts by the median of {rounds} rounds."
    lines += [f"Milliseconds of the whole pipeline for each of {notes:,} notes, one by one, in turns of {TURN}.{counted}", ""]
    header = ["pipeline", "", "median", "90 of 100", "99 of 100", "mean", "layers", "realised", f"within {budget_ms:g} ms"]
    full = {row["model"]: row for row in rows if row["kind"] == "full depth"}
    cells = [
        [row["model"], row["kind"], *(f"{row[key]:.2f}" for key in ("p50", "p90", "p99", "mean"))]
        + ["-" if row["layers"] is None else f"{row['layers']:.2f}", realised(row, full[row["model"]])]
        + [f"{100 * row['within']:.1f} %"]
        for row in rows
    ]
    write_results(name, report, "\n".join([*lines, *table(header, cells)]))


if __name__ == "__main__":
    typer.run(main)
