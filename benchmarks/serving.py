"""Requests a second and milliseconds of `spacy epee serve` over loopback, with exits and without, for several numbers of clients.

    python benchmarks/serving.py DATA/test.jsonl fp32=MODELS/minilm-l6/health_advice/exits/model-best int8=MODELS/health-int8

Each client asks for one note after the other over a connection that is kept. Clients and service share the cores that the command
is given, so clients do as little as they can: requests are written beforehand, and answers read afterwards. With and without
exits are two services that are asked in turns, since a shared machine does not stay as fast as it is. Milliseconds of the
processor are those of the service. With --budget-ms exits are measured once more for each of these budgets, which is in each
request then.
"""

import itertools
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy
import spacy
import typer
from machine import command, machine
from tables import made_by, table
from written import write_results

import spacy_epee.factories  # noqa: F401
from spacy_epee.settings import split_list


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


def request(text: str, budget_ms: Optional[float]) -> bytes:
    """RETURNS (bytes): What a client sends."""
    body = json.dumps({"text": text, "budget_ms": budget_ms}).encode()
    head = f"POST /annotate HTTP/1.1\r\nHost: loopback\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def ask(port: int, requests: List[bytes], end: float, taken: List[Any]) -> None:
    """Ask until the time is over, and note milliseconds and the answer of each request."""
    sent = itertools.cycle(requests)
    while time.perf_counter() < end:
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (start := time.perf_counter()) < end:
                connection.sendall(next(sent))
                answer = read_whole(connection)
                taken.append((1000 * (time.perf_counter() - start), answer))
                if b"connection: close" in answer.partition(b"\r\n\r\n")[0]:
                    break


def read_whole(connection: socket.socket) -> bytes:
    """RETURNS (bytes): An answer, or what of it there is when the connection is closed."""
    answer = b""
    while part := connection.recv(65536):
        answer += part
        head, end, body = answer.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            break
    return answer


def read_answer(answer: bytes) -> Tuple[int, Optional[float]]:
    """RETURNS (Tuple[int, Optional[float]]): Status and layer; 0 where the connection was closed."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]), json.loads(body).get("layer")) if body else (0, None)


def processor(pid: int) -> float:
    """RETURNS (float): The seconds that a process has had of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Load:
    """What so many clients got, in all turns.

    seconds (float): How long they asked.
    processor (float): The seconds that the service had of the processor.
    taken (List[Tuple[float, bytes]]): Milliseconds and answer of each request.
    """

    seconds: float = 0
    processor: float = 0
    taken: List[Tuple[float, bytes]] = field(default_factory=list)

    def add(self, port: int, pid: int, texts: List[str], clients: int, budget_ms: Optional[float], seconds: float) -> None:
        """Have a service asked for a turn."""
        chance = random.Random(len(self.taken))
        sent = [request(text, budget_ms) for text in texts]
        orders = [chance.sample(sent, len(sent)) for _ in range(clients)]
        end = time.perf_counter() + seconds
        threads = [threading.Thread(target=ask, args=(port, order, end, self.taken)) for order in orders]
        start, had = time.perf_counter(), processor(pid)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds += time.perf_counter() - start
        self.processor += processor(pid) - had

    def figures(self, budget_ms: Optional[float]) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What is told of it."""
        read = [(ms, *read_answer(answer)) for ms, answer in self.taken]
        good = [(ms, layer) for ms, status, layer in read if status == 200]
        ms, layers = numpy.array(good).T
        return {
            "requests": len(read),
            "refused": len(read) - len(good),
            "per_second": len(good) / self.seconds,
            "processor_ms": 1000 * self.processor / len(good),
            "ms_median": float(numpy.percentile(ms, 50)),
            "ms_99": float(numpy.percentile(ms, 99)),
            "kept": None if budget_ms is None else float((ms <= budget_ms).mean()),
            "layer": float(layers.mean()),
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
    header = ["pipeline", "exits", "budget, ms", "clients", "requests/s", "times more", "ms of the processor", "times fewer"]
    header += ["median, ms", "99 %, ms", "budget kept", "layer", "refused"]
    full = {(row["pipeline"], row["clients"]): row for row in figures["rows"] if not row["exits"]}
    rows = []
    for row in figures["rows"]:
        other = full[row["pipeline"], row["clients"]]
        shown = [row["pipeline"], "on" if row["exits"] else "off", row["budget_ms"] or "", row["clients"]]
        shown += [f"{row['per_second']:.1f}", f"{row['per_second'] / other['per_second']:.2f}"]
        shown += [f"{row['processor_ms']:.2f}", f"{other['processor_ms'] / row['processor_ms']:.2f}"]
        shown += [f"{row['ms_median']:.1f}", f"{row['ms_99']:.1f}"]
        kept = "" if row["kept"] is None else f"{row['kept']:.1%}"
        rows.append([*shown, kept, f"{row['layer']:.2f}", row["refused"]])
    said = f"Each row is {figures['turns']} turns of {figures['seconds']:g} s, in turn with the other rows of so many clients."
    return "\n".join(["# Serving", "", *made_by(figures["command"], figures["machine"]), said, "", *table(header, rows)])


def main(
    texts: Path = typer.Argument(..., help="JSONL with the field `text`"),
    models: List[str] = typer.Argument(..., help="NAME=FOLDER of each pipeline"),
    clients: str = "1,8,32",
    seconds: float = typer.Option(3, help="Of a turn"),
    turns: int = typer.Option(5, help="For each number of clients, with exits and without, and with each budget"),
    budget_ms: str = typer.Option("", help="One or more, with commas"),
    name: str = typer.Option("serving", help="What to call the results"),
):
    notes = [json.loads(line)["text"] for line in texts.open(encoding="utf-8")]
    budgets = [None, *map(float, split_list("--budget-ms", budget_ms, "milliseconds") if budget_ms else ())]
    rows: List[Dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for title, model in (named.split("=", 1) for named in models):
            full = full_depth(Path(model), Path(folder) / title)
            with serving(full, Path(folder) / "full.log") as without, serving(Path(model), Path(folder) / "exits.log") as place:
                ways = [(without, None), *((place, budget) for budget in budgets)]
                for way, _ in ways[:2]:
                    Load().add(*way, notes, 4, None, min(seconds, 3))
                for count in map(int, split_list("--clients", clients, "whole numbers")):
                    loads = [Load() for _ in ways]
                    for _ in range(turns):
                        for (way, budget), load in zip(ways, loads):
                            load.add(*way, notes, count, budget, seconds)
                    for (way, budget), load in zip(ways, loads):
                        told = {"exits": way is place, "budget_ms": budget, "clients": count, **load.figures(budget)}
                        rows.append({"pipeline": title, **told})
                        print(rows[-1], flush=True)
    figures = {"command": command(), "machine": machine(), "seconds": seconds, "turns": turns, "rows": rows}
    write_results(name, figures, page(figures))


if __name__ == "__main__":
    typer.run(main)
