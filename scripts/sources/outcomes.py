"""Corpora for the prediction of outcomes."""

import io
import re
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .files import Rows
from .masks import mask
from .tables import Cells, read_number, read_table

FLAGS = ("DIED", "L_THREAT", "HOSPITAL", "ER_VISIT", "X_STAY", "DISABLE")
"""Outcomes of VAERS that are true if they were ticked."""

STAYS = ((1, "0-1"), (3, "2-3"), (7, "4-7"), (14, "8-14"), (998, "15+"))
"""Buckets of days in hospital: the most days in each, and its name. 999 days are not known."""

TRAIN, DEV, TEST = range(1990, 2004), (2004,), (2005, 2006)
"""The years of each split. What comes later is not read."""

TRAIN_ROWS = 60_000
"""The most reports to train on: all with one of `SERIOUS`, and others by the hash of their ids."""

SERIOUS = ("DIED", "L_THREAT", "DISABLE", "HOSPITAL")

FEWEST_WORDS = 8
"""A report with fewer words is left out."""

SYMPTOMS = tuple(f"SYMPTOM{number}" for number in range(1, 6))

DATA = ("VAERS_ID", "AGE_YRS", "SEX", "SYMPTOM_TEXT", "HOSPDAYS", "RECOVD", *FLAGS)
"""The columns that are needed of the table of reports."""


def vaers(folder: Path) -> Rows:
    """Reports of what happened after vaccinations (VAERS, of CDC and FDA).

    folder (Path): Has the tables of each year, such as 2004VAERSDATA.csv and 2004VAERSSYMPTOMS.csv, or an archive with
        them, 2004VAERSData.zip.
    YIELDS (Tuple[str, Dict[str, Any]]): The rows.
    RAISES FileNotFoundError: A year is not there.
    RAISES ValueError: A table lacks a column, a report is there twice, or a length of stay is no number.
    """
    for split, years in (("train", TRAIN), ("dev", DEV), ("test", TEST)):
        rows = [row for year in years for row in _reports(folder, year)]
        for row in _some(rows) if split == "train" else rows:
            yield split, row


def _reports(folder: Path, year: int) -> List[Dict[str, Any]]:
    """The reports of a year, by their ids."""
    symptoms: Dict[str, List[str]] = defaultdict(list)
    for _, cells in _table(folder, year, "SYMPTOMS", ("VAERS_ID", *SYMPTOMS)):
        symptoms[cells["VAERS_ID"]] += [cells[column] for column in SYMPTOMS if cells[column]]
    found: Dict[str, Dict[str, Any]] = {}
    seen = set()
    for where, cells in _table(folder, year, "DATA", DATA):
        key = cells["VAERS_ID"]
        if not key.isdigit() or key in seen:
            raise ValueError(f"{where}: the column 'VAERS_ID' has {'an id that is there twice' if key in seen else 'no number'}.")
        seen.add(key)
        if len(cells["SYMPTOM_TEXT"].split()) >= FEWEST_WORDS:
            found[key] = _report(cells, where, year, symptoms[key])
    return [found[key] for key in sorted(found)]


def _report(cells: Cells, where: str, year: int, symptoms: List[str]) -> Dict[str, Any]:
    """A row of a report. Where recovery is not known, its label is missing."""
    cats = {flag: int(cells[flag] == "Y") for flag in FLAGS}
    if cells["RECOVD"] in ("Y", "N"):
        cats["RECOVD"] = int(cells["RECOVD"] == "Y")
    text = cells["SYMPTOM_TEXT"].strip()
    days = _days(cells["HOSPDAYS"], where)
    return {
        "id": cells["VAERS_ID"],
        "year": year,
        "text": text,
        "text_masked": mask(text),
        "cats": cats,
        "los_days": days,
        "los_bucket": None if days is None else next(name for most, name in STAYS if days <= most),
        "age": read_number(cells["AGE_YRS"], where, "AGE_YRS") if cells["AGE_YRS"] else None,
        "sex": cells["SEX"],
        "symptoms": symptoms,
    }


def _days(cell: str, where: str) -> Optional[int]:
    """Days in hospital; None if they are not known."""
    if cell in ("", "999"):
        return None
    days = read_number(cell, where, "HOSPDAYS")
    if days != int(days) or days > STAYS[-1][0]:
        raise ValueError(f"{where}: the column 'HOSPDAYS' has no whole number of days up to {STAYS[-1][0]}.")
    return int(days)


def _some(rows: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """All reports that are serious, and others up to `TRAIN_ROWS`."""

    def rank(row: Dict[str, Any]) -> Tuple[bool, int]:
        return not any(row["cats"][flag] for flag in SERIOUS), zlib.crc32(row["id"].encode())

    chosen = {row["id"] for row in sorted(rows, key=rank)[:TRAIN_ROWS]}
    return [row for row in rows if row["id"] in chosen]


def _table(folder: Path, year: int, table: str, columns: Tuple[str, ...]) -> Iterator[Tuple[str, Cells]]:
    """The rows of a table, from a CSV file or an archive that has it."""
    name = f"{year}VAERS{table}.csv"
    there = {path.name.lower(): path for path in folder.glob(f"{year}*")}
    if name.lower() in there:
        path = there[name.lower()]
        with path.open(encoding="cp1252", newline="") as lines:
            yield from read_table(lines, columns, str(path))
        return
    archive = there.get(f"{year}vaersdata.zip")
    if archive is None:
        raise FileNotFoundError(2, "There is no such file", str(folder / name))
    try:
        with zipfile.ZipFile(archive) as files:
            inside = next((entry for entry in files.namelist() if re.fullmatch(rf"(?i)(.*/)?{re.escape(name)}", entry)), None)
            if inside is None:
                raise ValueError(f"{archive}: there is no file '{name}' in it.")
            with files.open(inside) as raw, io.TextIOWrapper(raw, encoding="cp1252", newline="") as lines:
                yield from read_table(lines, columns, f"{archive}, {name}")
    except zipfile.BadZipFile:
        raise ValueError(f"{archive}: no archive, or a damaged one.") from None
