"""Rows into files that appear whole."""

import csv
import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence

from ..files import whole_file
from .notes import COLUMNS, Row
from .tables import ending_of, parquet, require

ROW_GROUP = 4096
"""How many rows are written to Parquet at once."""


def check_target(path: Path) -> None:
    """Refuse what rows cannot be written to.

    path (Path): The file.
    RAISES ValueError: Its name ends in something else, or a library is missing.
    """
    if suffix_of(path) == ".parquet":
        parquet()


def suffix_of(path: Path) -> str:
    """RETURNS (str): The ending of a file that rows can be written to.
    RAISES ValueError: It has another one."""
    ending = ending_of(path.name, WRITERS)
    if ending is None:
        raise ValueError(f"The file '{path}' is to be written, and does not end in any of {', '.join(WRITERS)}.")
    return ending


def write_rows(path: Path, rows: Iterable[Row], more: Sequence[str] = ()) -> None:
    """Write a file, which appears when all of it is written.

    path (Path): The file; the ending of its name says the format.
    rows (Iterable[Dict[str, Any]]): The rows.
    more (Sequence[str]): Columns of text beside those of `COLUMNS`.
    RAISES OSError: It cannot be written.
    """
    with whole_file(path) as part:
        WRITERS[suffix_of(path)](part, rows, [*COLUMNS, *more])


def flat(row: Row) -> Row:
    """RETURNS (Dict[str, Any]): A row for a table, with its objects as JSON."""
    return {name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value for name, value in row.items()}


def _write_jsonl(path: Path, rows: Iterable[Row], columns: List[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_lines(rows, columns))


def _write_gzip(path: Path, rows: Iterable[Row], columns: List[str]) -> None:
    with gzip.open(path, "wt", encoding="utf-8", newline="\n") as file:
        file.writelines(_lines(rows, columns))


def _lines(rows: Iterable[Row], columns: List[str]) -> Iterator[str]:
    for row in rows:
        yield json.dumps({name: row[name] for name in columns}, ensure_ascii=False) + "\n"


def _write_csv(path: Path, rows: Iterable[Row], columns: List[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in map(flat, rows):
            writer.writerow([str(row[name]).lower() if isinstance(row[name], bool) else row[name] for name in columns])


def _write_parquet(path: Path, rows: Iterable[Row], columns: List[str]) -> None:
    pa, pq = require("pyarrow", "Parquet", "parquet"), parquet()
    kinds = {"string": pa.string(), "double": pa.float64(), "boolean": pa.bool_()}
    schema = pa.schema([(name, kinds[COLUMNS.get(name, "string")]) for name in columns])
    waiting = map(flat, rows)
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(waiting, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


WRITERS: Dict[str, Callable[[Path, Iterable[Row], List[str]], Any]] = {
    ".jsonl": _write_jsonl,
    ".jsonl.gz": _write_gzip,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
"""What writes a file, by the ending of its name."""
