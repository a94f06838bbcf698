"""All notes of a file or folder, into a file. Stopped at any moment, it goes on where it was."""

import sys
import time
from itertools import islice
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple

import tqdm

from .journal import Journal, unfinished, written
from .notes import Note, Row, chunks
from .reading import Columns, Digest, read_notes, scan
from .version import Loaded
from .workers import annotate_chunks
from .writing import check_target, suffix_of, write_rows

SELDOM = 30.0
"""Seconds between two lines of progress where they do not go to a terminal."""


class Done(NamedTuple):
    """What came of it.

    notes (int): How many notes there are.
    failed (int): How many have an error in place of an answer.
    now (int): How many were answered now, and not before.
    seconds (float): In how many seconds.
    replaced (bool): Whether the files of the pipeline are others by now.
    """

    notes: int
    failed: int
    now: int
    seconds: float
    replaced: bool


def check_places(source: Path, target: Path) -> None:
    """Refuse places before anything is loaded.

    source (Path): Where the notes are.
    target (Path): Where the rows belong.
    RAISES ValueError: There is nothing to read or no way to write.
    """
    check_target(target)
    if not source.exists():
        raise ValueError(f"There is no file or folder '{source}' (looked from {Path.cwd()}).")
    if target.is_dir() or (target.exists() and not unfinished(target).exists()):
        raise ValueError(written(target))
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"'{target}' lies in the folder that is read, '{source}'. Give another place.")


def annotate_file(
    loaded: Loaded,
    source: Path,
    target: Path,
    columns: Columns,
    *,
    text: bool = False,
    n_process: int = 1,
    batch_size: int = 32,
    progress: bool = False,
) -> Done:
    """Answer all notes of a file or folder.

    loaded (Loaded): The pipeline.
    source (Path): The file or folder.
    target (Path): Where the rows belong: a file, which appears when all are there.
    columns (Columns): Where the notes are in the files.
    text (bool): Whether to write the texts, too.
    n_process (int): In how many processes.
    batch_size (int): How many notes are answered together.
    progress (bool): Whether to show how far it is.
    RETURNS (Done): What came of it.
    RAISES ValueError: The notes cannot be read, or they, the pipeline or the settings are not those that it was begun with.
    RAISES OSError: Something cannot be written. What is done so far is kept.
    """
    before = scan(read_notes(source, columns))
    if before.count and not before.readable:
        raise ValueError(f"None of the {before.count} notes in '{source}' can be read. The first error is: {before.first_error}")
    settings = {
        "the pipeline": loaded.version,
        "the notes": str(before),
        "the settings": f"{columns.needed()}, text={text}",
        "the format of the output": suffix_of(target),
    }
    journal = Journal(target, settings)
    start = time.perf_counter()
    try:
        done = len(journal)
        bar = _bar(before.count, done, progress)
        after = Digest()
        for rows in _rows(loaded, after.watch(read_notes(source, columns)), done, text, n_process, batch_size):
            journal.add(rows)
            bar.update(len(rows))
        bar.close()
        if str(after) != str(before):
            raise ValueError(f"'{source}' was changed while it was read. Remove '{journal.path}' and give the command again.")
        seconds = time.perf_counter() - start
        write_rows(target, journal.rows(), ["text"] if text else [])
        result = Done(before.count, journal.failed, before.count - done, seconds, loaded.is_replaced())
        journal.remove()
    finally:
        journal.close()
    return result


def _rows(loaded: Loaded, notes: Iterator[Note], done: int, text: bool, n_process: int, batch_size: int) -> Iterator[List[Row]]:
    """YIELDS (List[Dict[str, Any]]): The rows of each chunk behind those that are done."""
    for _ in islice(notes, done):
        pass
    if not text:
        yield from annotate_chunks(loaded, chunks(notes), n_process, batch_size)
        return
    texts: List[List[Dict[str, object]]] = []

    def kept() -> Iterator[List[Note]]:
        for chunk in chunks(notes):
            texts.append([{"text": note.text} for note in chunk])
            yield chunk

    for rows in annotate_chunks(loaded, kept(), n_process, batch_size):
        yield [{**row, **own} for row, own in zip(rows, texts.pop(0))]


def _bar(total: int, done: int, progress: bool) -> tqdm.tqdm:
    """RETURNS (tqdm): What shows how many notes are done, how many in a second, and how long it will take."""
    seldom = 0.5 if sys.stderr.isatty() else SELDOM
    return tqdm.tqdm(total=total, initial=done, unit=" notes", disable=not progress, mininterval=seldom, smoothing=0.1)
