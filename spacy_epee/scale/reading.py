"""Notes from files, one after the other. A note that cannot be read is one with an error; a file that cannot be read on is
refused.

No error holds anything of what is in a file.
"""

import os
import warnings
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, NamedTuple, Tuple

from ..data import csv_rows
from ..data.csv_rows import check_columns
from ..data.texts import HALF, check_encoding, parse_json, read_lines, read_text
from ..errors import raise_alone
from .notes import Note, make_note
from .tables import ending_of, parquet

WORDS = {"id": "--id-column", "text": "--text-column"}
"""What names the columns on the command line."""


class Columns(NamedTuple):
    """Where notes are in a file.

    id (str): The column or field of their ids.
    text (str): That of their texts.
    delimiter (str): What is between the values of a CSV file.
    numbered (bool): Whether ids are the numbers of the notes, from 1.
    """

    id: str = "id"
    text: str = "text"
    delimiter: str = ","
    numbered: bool = False

    def needed(self) -> Dict[str, str]:
        """RETURNS (Dict[str, str]): The columns that a file must have, by what they are for."""
        return {"text": self.text} if self.numbered else {"id": self.id, "text": self.text}


def read_notes(path: Path, columns: Columns) -> Iterator[Note]:
    """Read the notes of a file, or of all files of one format in a folder, in the order of their names.

    path (Path): A file ending in .jsonl, .jsonl.gz, .csv, .tsv, .parquet or .txt, or a folder with such files. A text file is a
        note, and its path in the folder the id.
    columns (Columns): Where the notes are.
    YIELDS (Note): The notes.
    RAISES ValueError: There is no such file, it lacks a column, or cannot be read on.
    """
    files = find_files(path)
    first = next(files, None)
    if first is None:
        raise ValueError(f"The folder '{path}' has no file that ends in {', '.join(READERS)}.")
    kind = kind_of(first)
    number = 0
    for file in chain([first], files):
        if kind_of(file) != kind:
            raise ValueError(
                f"The folder '{path}' has files that end in '{kind}' and in '{kind_of(file)}'; give one kind at a time."
            )
        for note in READERS[kind](file, path, columns):
            number += 1
            yield note._replace(id=str(number)) if columns.numbered else note


def kind_of(path: Path) -> str:
    """RETURNS (str): The ending of a file that can be read.
    RAISES ValueError: It has another one."""
    ending = ending_of(path.name, READERS)
    if ending is None:
        raise ValueError(f"The file '{path}' does not end in any of {', '.join(READERS)}.")
    return ending


def find_files(path: Path) -> Iterator[Path]:
    """Find what can be read. Names of one folder at a time are kept, since there may be millions of them.

    path (Path): A file, or a folder. Files and folders that begin with a dot or an underscore are left out; files that end in
        something else are too, and a warning counts them.
    YIELDS (Path): The files, in the order of their names, those of a folder before those in its subfolders.
    RAISES ValueError: There is no such path.
    """
    if not path.exists():
        raise ValueError(f"There is no file or folder '{path}' (looked from {Path.cwd()}).")
    if not path.is_dir():
        yield path
        return
    left, first = 0, ""
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "_")))
        for name in sorted(name for name in names if not name.startswith((".", "_"))):
            if ending_of(name, READERS) is not None:
                yield Path(folder, name)
            else:
                left, first = left + 1, first or str(Path(folder, name))
    if left:
        warnings.warn(f"{left} files in '{path}' are left out, one is {ascii(first)}: they end in none of {', '.join(READERS)}.")


def read_texts(file: Path, root: Path, columns: Columns) -> Iterator[Note]:
    """YIELDS (Note): The note that a text file is."""
    name = file.name if file == root else file.relative_to(root).as_posix()
    if HALF.search(name):
        yield Note(None, None, "the name of the file is not UTF-8")
        return
    try:
        yield Note(name, read_text(file))
    except OSError as error:
        yield Note(name, None, f"{file}: it cannot be read ({error.strerror})")
    except ValueError as error:
        yield Note(name, None, str(error))


def read_jsonl(file: Path, root: Path, columns: Columns) -> Iterator[Note]:
    """YIELDS (Note): The notes of a JSONL file, an object a line. Empty lines are none."""
    checked = False
    for number, line in read_lines(file, check=False):
        where = f"{file}, line {number}"
        if not line.strip():
            continue
        row, error = _parse(line, where)
        if error:
            yield Note(None, None, error)
            continue
        if not checked:
            require(columns, row, where)
            checked = True
        yield _noted(row, columns, where)


def _parse(line: str, where: str) -> Tuple[Dict[str, Any], str]:
    """The object on a line, or why there is none."""
    try:
        check_encoding(line, where)
        row = parse_json(line, where)
    except ValueError as error:
        return {}, str(error)
    return (row, "") if isinstance(row, dict) else ({}, f"{where}: not an object ({type(row).__name__})")


def read_csv(file: Path, root: Path, columns: Columns) -> Iterator[Note]:
    """YIELDS (Note): The notes of a CSV file, whose first row has the names of the columns."""
    delimiter = "\t" if kind_of(file) == ".tsv" else columns.delimiter
    for where, row, error in csv_rows.read_csv(file, lambda header, where: require(columns, header, where), delimiter):
        yield Note(None, None, error) if error else _noted(row, columns, where)


def read_parquet(file: Path, root: Path, columns: Columns) -> Iterator[Note]:
    """YIELDS (Note): The notes of a Parquet file."""
    pq = parquet()
    try:
        table = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        names = table.schema_arrow.names
    except Exception as error:
        raise_alone(ValueError(f"{file}: not Parquet, or damaged ({type(error).__name__})."))
    require(columns, names, str(file))
    number = 0
    with table:
        batches = table.iter_batches(batch_size=256, columns=list(columns.needed().values()))
        while True:
            try:
                batch = next(batches, None)
            except Exception as error:
                raise_alone(ValueError(f"{file}, after row {number}: the file is damaged ({type(error).__name__})."))
            if batch is None:
                return
            for row in batch.to_pylist():
                number += 1
                yield _noted(row, columns, f"{file}, row {number}")


def require(columns: Columns, names: Iterable[str], where: str) -> None:
    """Refuse a file that lacks a column.

    columns (Columns): Where the notes are to be.
    names (Iterable[str]): The columns that there are.
    where (str): What to call the place in errors.
    RAISES ValueError: One is missing, or there twice.
    """
    names = list(names)
    check_columns(names, columns.needed().values(), where)
    for use, name in columns.needed().items():
        if name not in names:
            check_encoding("".join(names), where)  # that may be why
            number = ", or number the notes by --number" if use == "id" else ""
            raise ValueError(f"{where}: there is no column '{name}'; name the one with the {use} by {WORDS[use]}{number}.")


def _noted(row: Dict[str, Any], columns: Columns, where: str) -> Note:
    """The note of a row."""
    return make_note("1" if columns.numbered else row.get(columns.id), row.get(columns.text), where)


Reader = Callable[[Path, Path, Columns], Iterator[Note]]

READERS: Dict[str, Reader] = {
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".txt": read_texts,
}
"""What reads a file, by the ending of its name."""


class Digest:
    """What notes are told by: whether they are those of another time."""

    def __init__(self) -> None:
        self.count = self.readable = 0
        self.first_error = ""
        self._hash = blake2b(digest_size=16)

    def watch(self, notes: Iterable[Note]) -> Iterator[Note]:
        """YIELDS (Note): The notes, which are taken down."""
        for note in notes:
            self.count += 1
            self.readable += note.text is not None
            self.first_error = self.first_error or note.error
            for value in (note.id, note.text):
                data = b"" if value is None else value.encode("utf-8", "surrogatepass")
                self._hash.update(f"{-1 if value is None else len(data)} ".encode() + data)
            yield note

    def __str__(self) -> str:
        """RETURNS (str): The digest of all notes so far."""
        return f"{self.count} {self._hash.hexdigest()}"


def scan(notes: Iterable[Note]) -> Digest:
    """RETURNS (Digest): How many notes there are, and their digest. Whatever cannot be read on is refused by then."""
    digest = Digest()
    for _ in digest.watch(notes):
        pass
    return digest
