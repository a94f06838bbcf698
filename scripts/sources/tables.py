"""Tables in CSV files. Errors name the file and the row, and hold nothing of what is there."""

import csv
from typing import Dict, Iterable, Iterator, Sequence, Tuple

from spacy_epee.errors import raise_alone

Cells = Dict[str, str]
"""A row of a table."""


def read_table(lines: Iterable[str], columns: Sequence[str], name: str) -> Iterator[Tuple[str, Cells]]:
    """Read a table.

    lines (Iterable[str]): The lines of a CSV file, with their ends.
    columns (Sequence[str]): Those that are needed. Others may be there.
    name (str): What to call the file in errors.
    YIELDS (Tuple[str, Dict[str, str]]): What to call a row in errors, and the row.
    RAISES ValueError: A column is not there, or the file is no such table.
    """
    csv.field_size_limit(2**31 - 1)  # 131072 characters otherwise
    rows = csv.reader(lines, strict=True)
    number = 0
    try:
        header = next(rows, [])
        for column in columns:
            if header.count(column) != 1:
                there = "is missing" if column not in header else "is there more than once"
                raise ValueError(f"{name}: the column '{column}' {there}.")
        for number, row in enumerate(rows, 1):
            where = f"{name}, row {number}"
            if len(row) != len(header):
                raise ValueError(f"{where}: {len(row)} cells, and the header has {len(header)}.")
            yield where, dict(zip(header, row))
    except UnicodeDecodeError:
        raise_alone(ValueError(f"{name}, after row {number}: not in the encoding of such files."))
    except csv.Error as error:
        raise_alone(ValueError(f"{name}, after row {number}: {error}."))


def read_number(cell: str, where: str, column: str) -> float:
    """RETURNS (float): The number in a cell.
    RAISES ValueError: There is none, or one below 0."""
    try:
        number = float(cell)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise_alone(ValueError(f"{where}: the column '{column}' has no number from 0 on."))
    return number
