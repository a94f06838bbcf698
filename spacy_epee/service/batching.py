"""Notes of many requests, answered together by one thread.

A batch begins with the note that has waited longest, and is filled up with notes of the same budget, in order. It is waited for
more only where the batch before had more: who asks alone waits for nobody. What it may take is what the first of them has left,
and half of the budget where there are several.
So a note without a budget is never answered from a lower layer for another one's sake, and one with a budget may be for the
sake of a note of the same budget alone, that came before it.
"""

import logging
import math
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Callable, ContextManager, Deque, List, Optional, Sequence

from ..exits.rules.budget import time_budget
from ..scale.notes import Note, Row, annotate_alone
from ..scale.version import Loaded
from .limits import Limits

logger = logging.getLogger("spacy_epee.service")


class Full(Exception):
    """No more notes can wait.

    seconds (int): After how many seconds there may be room.
    """

    def __init__(self, seconds: int):
        super().__init__(f"too many notes are waiting; try again in {seconds} s")
        self.seconds = seconds


class Unanswered(Exception):
    """A batch could not be answered. It says what kind of error it was, and nothing of the notes."""


@dataclass(frozen=True)
class Job:
    """A note that waits.

    note (Note): The note.
    budget_ms (Optional[float]): Its time, from its arrival; None for as long as it takes.
    arrived (float): When it came, by `time.perf_counter`.
    answer (Future[Dict[str, Any]]): What will be its row. Cancelled, it is left out unless it is being answered.
    """

    note: Note
    budget_ms: Optional[float]
    arrived: float
    answer: "Future[Row]"

    def rest(self, milliseconds: float) -> float:
        """RETURNS (float): What is left of so many milliseconds since it came."""
        return max(0.0, milliseconds - (time.perf_counter() - self.arrived) * 1000)


class Batcher:
    """The notes that wait, and the thread that answers them. No other one uses the pipeline, so that it can forget the words of
    notes."""

    def __init__(self, current: Callable[[], Loaded], limits: Limits, watch: Callable[[List[Row]], None] = lambda rows: None):
        """
        current (Callable[[], Loaded]): What pipeline to answer the next batch with.
        limits (Limits): The limits.
        watch (Callable[[List[Dict[str, Any]]], None]): Is shown the rows of each batch.
        """
        self._current, self._limits, self._watch = current, limits, watch
        self._waiting: Deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds = 0.0  # for a note, lately
        self._together = 1  # how many the last batch had, at most `batch_size`
        self._thread = threading.Thread(target=self._work, name="spacy_epee batches", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer what waits, take no more, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def alive(self) -> bool:
        """RETURNS (bool): Whether notes are answered."""
        return self._thread.is_alive() and not self._closed

    @property
    def waiting(self) -> int:
        """RETURNS (int): How many notes wait."""
        return len(self._waiting)

    def submit(self, notes: Sequence[Note], budget_ms: Optional[float]) -> "List[Future[Row]]":
        """Have some notes answered: all of them or none.

        notes (Sequence[Note]): The notes.
        budget_ms (Optional[float]): Their time; None for that of the limits.
        RETURNS (List[Future[Dict[str, Any]]]): What will be the row of each.
        RAISES Full: There is no room for them.
        """
        budget_ms = self._limits.budget_ms if budget_ms is None else budget_ms
        now = time.perf_counter()
        jobs = [Job(note, budget_ms, now, Future()) for note in notes]
        with self._changed:
            if self._closed or len(self._waiting) + len(jobs) > self._limits.queue:
                raise Full(max(1, math.ceil(len(self._waiting) * self._seconds)))
            self._waiting.extend(jobs)
            self._changed.notify_all()
        return [job.answer for job in jobs]

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            if batch:
                self._answer(batch)

    def _next(self) -> Optional[List[Job]]:
        """RETURNS (Optional[List[Job]]): The next batch, without those that nobody waits for any more; None at the end."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            first = self._waiting[0]
            while not self._closed and len(self._alike(first)) < self._together:
                rest = first.rest(min(self._limits.wait_ms, math.inf if first.budget_ms is None else first.budget_ms))
                if not rest:
                    break
                self._changed.wait(rest / 1000)
            batch = self._alike(first)[: self._limits.batch_size]
            taken = set(map(id, batch))
            self._together = len(batch)
            self._waiting = deque(job for job in self._waiting if id(job) not in taken)
        return [job for job in batch if job.answer.set_running_or_notify_cancel()]

    def _alike(self, first: Job) -> List[Job]:
        return [job for job in self._waiting if job.budget_ms == first.budget_ms]

    def _answer(self, batch: List[Job]) -> None:
        start = time.perf_counter()
        try:
            rows = self._rows(batch)
        except BaseException as error:  # or nobody would be answered any more
            for job in batch:
                job.answer.set_exception(Unanswered(type(error).__name__))
            return
        try:
            self._watch(rows)  # before who asked can look at the figures
        except Exception as error:
            logger.error("a batch was not counted: %s", type(error).__name__)
        for job, row in zip(batch, rows):
            job.answer.set_result(row)
        self._seconds += 0.2 * ((time.perf_counter() - start) / len(batch) - self._seconds)

    def _rows(self, batch: List[Job]) -> List[Row]:
        loaded = self._current()
        with self._budget(batch):
            return annotate_alone(loaded.nlp, [job.note for job in batch], loaded.version, len(batch))

    @staticmethod
    def _budget(batch: List[Job]) -> ContextManager[None]:
        """The time that the first note has left. Where several are answered together others come meanwhile, and those wait for
        this batch before they have their own: it takes half of the budget at most."""
        first = batch[0]
        if first.budget_ms is None:
            return nullcontext()
        rest = first.rest(first.budget_ms)
        return time_budget(rest if len(batch) == 1 else min(rest, first.budget_ms / 2))
