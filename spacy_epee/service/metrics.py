"""What Prometheus is told: figures of requests and answers, and nothing of notes."""

from typing import Callable, List

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from ..scale.notes import Row

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The figures of a service."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self._requests = Counter("spacy_epee_requests", "Requests, by path and status", ["path", "status"], registry=own)
        self._seconds = Histogram("spacy_epee_request_seconds", "Seconds of a request", ["path"], buckets=SECONDS, registry=own)
        self._notes = Counter("spacy_epee_notes", "Notes: answered, of these uncertain, or failed", ["outcome"], registry=own)
        self._exits = Counter(
            "spacy_epee_exits", "Where and why units left", ["component", "task", "layer", "reason"], registry=own
        )
        self._batches = Histogram("spacy_epee_batch_notes", "Notes that are answered together", buckets=SIZES, registry=own)
        self._waiting = Gauge("spacy_epee_waiting_notes", "Notes that wait", registry=own)
        self._reloads = Counter("spacy_epee_reloads", "Reloads: replaced, unchanged or failed", ["outcome"], registry=own)
        self._pipeline = Info("spacy_epee_pipeline", "The pipeline that answers", registry=own)
        for outcome in ("answered", "uncertain", "failed"):
            self._notes.labels(outcome)

    def watch(self, waiting: Callable[[], int]) -> None:
        """Have the notes that wait counted when they are asked for.

        waiting (Callable[[], int]): Counts them.
        """
        self._waiting.set_function(waiting)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request.

        path (str): Its path, if it is one of those that there are.
        status (int): The status of its answer.
        seconds (float): What it took.
        """
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, rows: List[Row]) -> None:
        """Count a batch.

        rows (List[Dict[str, Any]]): Its rows.
        """
        self._batches.observe(len(rows))
        for row in rows:
            self._notes.labels("failed" if row["error"] else "answered").inc()
            if row["uncertain"] and not row["error"]:
                self._notes.labels("uncertain").inc()
            for component, tasks in (row["exits"] or {}).items():
                for task, entry in tasks.items():
                    for unit in entry["units"]:
                        self._exits.labels(component, task, unit["layer"], unit["reason"]).inc()

    def reload(self, outcome: str) -> None:
        """Count a reload.

        outcome (str): "replaced", "unchanged" or "failed".
        """
        self._reloads.labels(outcome).inc()

    def show(self, version: str) -> bytes:
        """RETURNS (bytes): All figures, and the version of the pipeline, as Prometheus reads them."""
        self._pipeline.info({"version": version})
        return generate_latest(self.registry)
