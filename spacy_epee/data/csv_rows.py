"""Rows of CSV files. Errors name the file and the line, and hold nothing of what is there."""

import csv
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, NamedTuple, Sequence

from ..errors import raise_alone
from .texts import check_encoding


class CsvRow(NamedTuple):
    """A row.

    where (str): What to call it in errors: the file and the line that it begins in.
    values (Dict[str, str]): Its values by column; none if it has an error.
    error (str): Why it cannot be read.
    """

    where: str
    values: Dict[str, str]
    error: str = ""


def read_csv(path: Path, check: Callable[[Sequence[str], str], None], delimiter: str = ",") -> Iterator[CsvRow]:
    """Read a CSV file, whose first row has the names of the columns. Empty lines are no rows.

    path (Path): The file. A byte order mark is left out.
    check (Callable[[Sequence[str], str], None]): Is given the columns and their place, and refuses those of another file.
    delimiter (str): What is between values.
    YIELDS (CsvRow): The rows.
    RAISES ValueError: It is not CSV from some line on.
    """
    csv.field_size_limit(2**31 - 1)  # 131072 characters otherwise
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = next(rows, [])
            check(header, f"{path}, line 1")
            begin = rows.line_num + 1
            for row in rows:
                if row:
                    yield _read_row(row, header, f"{path}, line {begin}")
                begin = rows.line_num + 1
        except csv.Error as error:
            raise_alone(
                ValueError(
                    f"{path}, line {rows.line_num}: not CSV ({error}): a quote is missing in the row that ends here, or one "
                    "within a value is not doubled. Correct the file, or write it anew with a library."
                )
            )


def _read_row(row: Sequence[str], header: Sequence[str], where: str) -> CsvRow:
    if len(row) != len(header):
        return CsvRow(where, {}, f"{where}: the row has {len(row)} values, and there are {len(header)} columns")
    try:
        for value in row:
            check_encoding(value, where)
    except ValueError as error:
        return CsvRow(where, {}, str(error))
    return CsvRow(where, dict(zip(header, row)))


def check_columns(names: Iterable[str], needed: Iterable[str], where: str) -> None:
    """Refuse a table in which a column is there twice: one of the two would be read, without saying which.

    names (Iterable[str]): The columns that there are.
    needed (Iterable[str]): Those that are read.
    where (str): What to call the place in errors.
    """
    there = list(names)
    for name in needed:
        if there.count(name) > 1:
            raise ValueError(f"{where}: the column '{name}' is there {there.count(name)} times. Rename all but the one to read.")
