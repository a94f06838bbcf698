"""What is answered so far, in a file beside the output. SQLite keeps it whole whenever the process or the machine dies."""

import json
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List

from ..errors import raise_alone
from ..files import NotWritten
from .notes import Row

UNFINISHED = ".unfinished"
"""What is put behind the name of the output."""

WAIT = 5.0
"""Seconds to wait for a process that has just been killed to let go of it."""

PAGE = 1000
"""How many rows are read at once."""

TABLES = (
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE rows (number INTEGER PRIMARY KEY, id TEXT UNIQUE, failed INTEGER NOT NULL, row TEXT NOT NULL)",
)


def unfinished(target: Path) -> Path:
    """RETURNS (Path): The file beside an output that is not whole."""
    return target.with_name(target.name + UNFINISHED)


def written(target: Path) -> str:
    """RETURNS (str): Why an output is not begun anew."""
    return f"'{target}' is there already, and all of it is written. Remove it to begin anew, or give another name."


class Journal:
    """The rows of the notes that are answered so far, in order. One process at a time has it."""

    def __init__(self, target: Path, settings: Dict[str, str]):
        """Open what is there, or begin.

        target (Path): The output.
        settings (Dict[str, str]): What the rows depend on, by what to call it in errors.
        RAISES ValueError: It was begun with others, another process is writing to it or has written all of it, or it is damaged.
        RAISES OSError: It cannot be written.
        """
        self.path = unfinished(target)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._told():
            # A lock of SQLite ends with the process, and forked workers do not inherit it.
            self._base = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
        try:
            with self._told():
                self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._base.execute("PRAGMA synchronous = FULL")
                begun = self._begin(target, settings)
        except BaseException:
            self.close()
            raise
        if not begun:  # another process has written all of it since the places were checked
            self.remove()
            raise ValueError(written(target))

    def _begin(self, target: Path, settings: Dict[str, str]) -> bool:
        """Lock it, and check or note down the settings. RETURNS (bool): Whether that is done; not where all is written."""
        with self._transaction():
            if not self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                if target.exists():
                    return False
                for table in TABLES:
                    self._base.execute(table)
                self._base.executemany("INSERT INTO settings VALUES (?, ?)", settings.items())
            known = dict(self._base.execute("SELECT name, value FROM settings"))
        changed = [name for name in {**known, **settings} if known.get(name) != settings.get(name)]
        if changed:
            raise ValueError(
                f"'{self.path}' was begun with another value of: {', '.join(changed)}. Give the same to go on, or remove that "
                "file to begin anew."
            )
        return True

    def __len__(self) -> int:
        """RETURNS (int): How many notes are answered."""
        with self._told():
            return self._base.execute("SELECT count(*) FROM rows").fetchone()[0]

    @property
    def failed(self) -> int:
        """RETURNS (int): How many of them have an error."""
        with self._told():
            return self._base.execute("SELECT count(*) FROM rows WHERE failed").fetchone()[0]

    def add(self, rows: List[Row]) -> None:
        """Take down rows: all or none. One with an id that was there before loses it, and its answers.

        rows (List[Dict[str, Any]]): The rows of the next notes.
        RAISES OSError: They cannot be written.
        """
        number = len(self)
        with self._told(), self._transaction():
            for number, row in enumerate(rows, number + 1):
                if not self._insert(number, row):
                    first = self._base.execute("SELECT number FROM rows WHERE id = ?", (row["id"],)).fetchone()[0]
                    error = f"its id is that of note {first}, and this is note {number}"
                    nothing: Row = {name: row[name] if name in ("version", "text") else None for name in row}
                    self._insert(number, {**nothing, "uncertain": True, "error": error})

    def _insert(self, number: int, row: Row) -> bool:
        """Take down a row. RETURNS (bool): Whether its id is new."""
        values = (number, row["id"], row["error"] is not None, json.dumps(row, ensure_ascii=False))
        return self._base.execute("INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?)", values).rowcount == 1

    def rows(self) -> Iterator[Row]:
        """YIELDS (Dict[str, Any]): All rows, in order."""
        for begin in range(0, len(self), PAGE):
            # Nothing is left open, which would keep the file locked after it is closed.
            with self._told():
                page = self._base.execute(
                    "SELECT row FROM rows WHERE number > ? ORDER BY number LIMIT ?", (begin, PAGE)
                ).fetchall()
            for (row,) in page:
                yield json.loads(row)

    def close(self) -> None:
        """Let go of it."""
        self._base.close()

    def remove(self) -> None:
        """Remove it: the output is whole."""
        self.close()
        self.path.unlink(missing_ok=True)  # who waited for another process that has just done all of it has an unnamed file

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN EXCLUSIVE")
        try:
            yield
            self._base.execute("COMMIT")
        except BaseException:
            if self._base.in_transaction:  # a full disk ends it by itself
                self._base.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what SQLite's errors mean here."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            said = str(error)
            if "locked" in said:
                raise_alone(ValueError(f"Another process is writing to '{self.path}'. Wait for it, or stop it."))
            if isinstance(error, sqlite3.OperationalError):
                full = "the disk is full" if "full" in said else f"it cannot be written ({said})"
                raise_alone(
                    NotWritten(
                        f"'{self.path}' was not written on, for {full}. What is in it is kept: make room, and give the same "
                        "command again to go on"
                    )
                )
            raise_alone(ValueError(f"'{self.path}' is damaged, or no file of this command. Remove it to begin anew."))
