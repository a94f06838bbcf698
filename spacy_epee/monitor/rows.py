"""The rows that `annotate` has written, read again one after the other. No error holds anything of what is in a file."""

from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

from ..data.csv_rows import check_columns, read_csv
from ..data.texts import find_files, parse_json, read_lines
from ..errors import raise_alone
from ..scale.notes import Row
from ..scale.tables import ending_of, parquet

NEEDED = ("answers", "exits", "error", "version")
"""The columns that are read."""

Reader = Callable[[Path], Iterator[Tuple[str, Dict[str, Any]]]]


def read_rows(path: Path) -> Iterator[Tuple[str, Row]]:
    """Read rows.

    path (Path): A file ending in .jsonl, .jsonl.gz, .csv or .parquet, or a folder of such files, as Spark writes.
    YIELDS (Tuple[str, Dict[str, Any]]): What to call the place in errors, and the row.
    RAISES ValueError: There are none, or they are others.
    """
    files = [(file, ending_of(file.name, READERS)) for file in find_files(path, tuple(READERS))]
    for file, ending in files:
        if ending is None:
            raise ValueError(f"'{file}' does not end in any of {', '.join(READERS)}.")
        for where, row in READERS[ending](file):
            missing = [name for name in NEEDED if not isinstance(row, dict) or name not in row]
            if missing:
                raise ValueError(f"{where}: there is no column '{missing[0]}'. Give what `spacy epee annotate` has written.")
            yield where, {name: _object(row[name], where) if name in ("answers", "exits") else row[name] for name in NEEDED}
    if not files:
        raise ValueError(f"The folder '{path}' has no file that ends in {', '.join(READERS)}.")


def _object(value: Any, where: str) -> Any:
    """The object that a column of a table has as JSON."""
    return parse_json(value, where) if isinstance(value, str) and value else value or None


def _read_jsonl(file: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    for number, line in read_lines(file):
        if line.strip():
            yield f"{file}, line {number}", parse_json(line, f"{file}, line {number}")


def _read_csv(file: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    for where, row, error in read_csv(file, lambda header, where: check_columns(header, NEEDED, where)):
        if error:
            raise ValueError(error)
        yield where, row


def _read_parquet(file: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    pq, number = parquet(), 0
    try:
        with pq.ParquetFile(file) as table:
            columns = [name for name in NEEDED if name in table.schema_arrow.names]
            for batch in table.iter_batches(batch_size=1024, columns=columns):
                for number, row in enumerate(batch.to_pylist(), number + 1):
                    yield f"{file}, row {number}", row
    except (OSError, ValueError) as error:
        raise_alone(ValueError(f"{file}, after row {number}: not Parquet, or damaged ({type(error).__name__})."))


READERS: Dict[str, Reader] = {
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
    ".json": _read_jsonl,  # a part of Spark's
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
"""What reads a file, by the ending of its name."""
