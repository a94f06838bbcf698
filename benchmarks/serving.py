"""Requests a second and milliseconds of `spacy epee serve` over loopback, with exits and without, for several numbers of clients.

    python benchmarks/serving.py DATA/test.jsonl fp32=MODELS/minilm-l6/health_advice/exits/model-best int8=MODELS/health-int8

Each client asks for one note after the other over a connection that is kept. Clients and service share the cores that the command
is given. Milliseconds of the processor are those of the service, told since other programs may run. With --budget-ms exits are
measured once more for each of these budgets, which is in each request then.
"""

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy
import spacy
import typer
from machine import command, machine
from tables import made_by, table
from written import write_results

import spacy_epee.factories  # noqa: F401


@contextmanager
def serving(model: Path, log: Path) -> Iterator[Tuple[int, int]]:
    """Serve a pipeline. YIELDS (Tuple[int, int]): The port, and the number of the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "spacy", "epee", "serve", str(model), "--port", str(port)], stdout=file, stderr=file
        )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit("The service did not start.") from None
                time.sleep(0.2)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)


def ask(port: int, texts: List[str], budget_ms: Optional[float], end: float, taken: List[Any]) -> None:
    """Ask until the time is over, and note milliseconds, status and layer of each request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    number = 0
    while time.perf_counter() < end:
        body = json.dumps({"text": texts[number % len(texts)], "budget_ms": budget_ms})
        start = time.perf_counter()
        connection.request("POST", "/annotate", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        row = json.loads(answer.read())
        taken.append((1000 * (time.perf_counter() - start), answer.status, row.get("layer")))
        number += 1
    connection.close()


def processor(pid: int) -> float:
    """RETURNS (float): The seconds that a process has had of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(port: int, pid: int, texts: List[str], clients: int, budget_ms: Optional[float], seconds: float) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): What so many clients get."""
    taken: List[Any] = []
    end = time.perf_counter() + seconds
    chance = random.Random(clients)
    threads = [
        threading.Thread(target=ask, args=(port, chance.sample(texts, len(texts)), budget_ms, end, taken)) for _ in range(clients)
    ]
    start, had = time.perf_counter(), processor(pid)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent, used = time.perf_counter() - start, processor(pid) - had
    good = [one for one in taken if one[1] == 200]
    ms = numpy.array([one[0] for one in good])
    return {
        "clients": clients,
        "requests": len(taken),
        "refused": len(taken) - len(good),
        "per_second": len(good) / spent,
        "processor_ms": 1000 * used / len(good),
        "ms_median": float(numpy.percentile(ms, 50)),
        "ms_99": float(numpy.percentile(ms, 99)),
        "kept": None if budget_ms is None else float((ms <= budget_ms).mean()),
        "layer": float(numpy.mean([one[2] for one in good])),
    }


def full_depth(model: Path, folder: Path) -> Path:
    """RETURNS (Path): A copy of a pipeline without its exit rules."""
    nlp = spacy.load(model)
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "exits"):
            pipe.exit = None  # type: ignore[attr-defined]
    nlp.to_disk(folder)
    return folder


def page(figures: Dict[str, Any]) -> str:
    """RETURNS (str): The figures in Markdown."""
    header = ["pipeline", "exits", "budget, ms", "clients", "requests/s", "ms of the processor a request", "times fewer"]
    header += ["median, ms", "99 %, ms", "budget kept", "layer", "refused"]
    full = {(row["pipeline"], row["clients"]): row["processor_ms"] for row in figures["rows"] if not row["exits"]}
    rows = []
    for row in figures["rows"]:
        times = full[row["pipeline"], row["clients"]] / row["processor_ms"]
        shown = [row["pipeline"], "on" if row["exits"] else "off", row["budget_ms"] or "", row["clients"]]
        shown += [
            f"{row['per_second']:.1f}",
            f"{row['processor_ms']:.2f}",
            f"{times:.2f}",
            f"{row['ms_median']:.1f}",
            f"{row['ms_99']:.1f}",
        ]
        kept = "" if row["kept"] is None else f"{row['kept']:.1%}"
        rows.append([*shown, kept, f"{row['layer']:.2f}", row["refused"]])
    return "\n".join(["# Serving", "", *made_by(figures["command"], figures["machine"]), *table(header, rows)])


def main(
    texts: Path = typer.Argument(..., help="JSONL with the field `text`"),
    models: List[str] = typer.Argument(..., help="NAME=FOLDER of each pipeline"),
    clients: str = "1,8,32",
    seconds: float = typer.Option(10, help="For each number of clients"),
    budget_ms: str = typer.Option("", help="One or more, with commas"),
    name: str = typer.Option("serving", help="What to call the results"),
):
    notes = [json.loads(line)["text"] for line in texts.open(encoding="utf-8")]
    rows: List[Dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for title, model in (named.split("=", 1) for named in models):
            full = full_depth(Path(model), Path(folder) / title)
            for exits, served in ((False, full), (True, Path(model))):
                with serving(served, Path(folder) / "log") as place:
                    measure(*place, notes, 4, None, min(seconds, 3))
                    for budget in [None, *map(float, filter(None, budget_ms.split(",")))] if exits else [None]:
                        for count in map(int, clients.split(",")):
                            row = measure(*place, notes, count, budget, seconds)
                            rows.append({"pipeline": title, "exits": exits, "budget_ms": budget, **row})
                            print(rows[-1], flush=True)
    figures = {"command": command(), "machine": machine(), "seconds": seconds, "rows": rows}
    write_results(name, figures, page(figures))


if __name__ == "__main__":
    typer.run(main)
