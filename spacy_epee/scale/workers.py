"""Chunks of notes, answered in this process or in others. A process that dies costs no note but the one that kills it."""

from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Deque, Iterable, Iterator, List, Optional, Tuple

from ..threads import end_with_parent
from .notes import Note, Row, annotate_alone
from .version import Loaded

AHEAD = 2
"""How many chunks for each process are read before their rows are asked for."""

DIED = "the process that read it died: it was killed, or there was too little memory"

_loaded: Optional[Loaded] = None
"""The pipeline of a worker."""


def annotate_chunks(loaded: Loaded, chunks: Iterable[List[Note]], n_process: int, batch_size: int) -> Iterator[List[Row]]:
    """Answer chunks of notes.

    loaded (Loaded): The pipeline.
    chunks (Iterable[List[Note]]): The notes. With several processes some chunks are read ahead.
    n_process (int): In how many processes; 1 takes this one.
    batch_size (int): How many notes are answered together.
    YIELDS (List[Dict[str, Any]]): The rows of each chunk, in order.
    """
    if n_process == 1:
        for chunk in chunks:
            yield annotate_alone(loaded.nlp, chunk, loaded.version, batch_size)
        return
    source = iter(chunks)
    pool = _Pool(loaded, n_process, batch_size)
    waiting: Deque[Tuple[List[Note], "Future[List[Row]]"]] = deque()
    try:
        while True:
            for chunk in islice(source, AHEAD * n_process - len(waiting)):
                waiting.append((chunk, pool.submit(chunk)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                pool.close()
                yield _carefully(loaded, chunk, batch_size)
                pool = _Pool(loaded, n_process, batch_size)
                waiting = deque((other, pool.submit(other)) for other, _ in waiting)
    finally:
        pool.close()


def _carefully(loaded: Loaded, notes: List[Note], batch_size: int) -> List[Row]:
    """Answer notes of which one may kill its process. It is found by halves."""
    pool = _Pool(loaded, 1, batch_size)
    try:
        return pool.submit(notes).result()
    except BrokenProcessPool:
        pass
    finally:
        pool.close()
    if len(notes) == 1:
        return annotate_alone(loaded.nlp, [Note(notes[0].id, None, DIED)], loaded.version, batch_size)
    half = len(notes) // 2
    return [row for part in (notes[:half], notes[half:]) for row in _carefully(loaded, part, batch_size)]


class _Pool:
    """Some processes with the pipeline."""

    def __init__(self, loaded: Loaded, n_process: int, batch_size: int):
        self._pool = ProcessPoolExecutor(n_process, initializer=_begin, initargs=(loaded,))
        self._batch_size = batch_size

    def submit(self, notes: List[Note]) -> "Future[List[Row]]":
        """RETURNS (Future[List[Dict[str, Any]]]): What will be the rows. If a process died, it raises BrokenProcessPool."""
        try:
            return self._pool.submit(_annotate, notes, self._batch_size)
        except BrokenProcessPool as error:
            broken: "Future[List[Row]]" = Future()
            broken.set_exception(error)
            return broken

    def close(self) -> None:
        """End the processes, without waiting for what they are at."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def _begin(loaded: Loaded) -> None:
    """Take over the pipeline, in a worker. It ends with the process that began it, also if that one is killed."""
    global _loaded
    _loaded = loaded
    end_with_parent()


def _annotate(notes: List[Note], batch_size: int) -> List[Row]:
    """Answer a chunk, in a worker."""
    assert _loaded is not None
    return annotate_alone(_loaded.nlp, notes, _loaded.version, batch_size)
