"""The tables of the clinical outcome benchmark (van Aken et al. 2021): four tasks on admission notes of MIMIC-III.

Its scripts (bvanaken/clinical-outcome-prediction, `tasks/`) make them of MIMIC-III, which only those have who have signed its
agreement: three files a task, such as MP_IN_adm_train.csv, with the columns "id" (the admission), "text" and one with labels. The
splits are by patient, and the same in all tasks.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from .tables import read_table

STAYS = ("up to 3 days", "4 to 7 days", "8 to 14 days", "more than 14 days")
"""What the numbers 0 to 3 of lengths of stay are."""

SPLITS = {"train": "train", "dev": "val", "test": "test"}
"""What the splits are called there."""


def _mortality(cell: str) -> Dict[str, int]:
    return {"died": ("0", "1").index(cell)}


def _stay(cell: str) -> str:
    return STAYS[("0", "1", "2", "3").index(cell)]


def _codes(cell: str) -> List[str]:
    codes = list(dict.fromkeys(code.strip() for code in cell.split(",") if code.strip()))
    if not all(re.fullmatch(r"[VE]?\d{1,4}", code) for code in codes):
        raise ValueError
    return codes


@dataclass(frozen=True)
class BenchmarkTask:
    """A task of the benchmark.

    files (str): What the names of its files begin with. "_adm" follows for admission notes.
    column (str): The one with its labels.
    expected (str): What is in it.
    read (Callable[[str], Any]): From a cell to the labels.
    """

    files: str
    column: str
    expected: str
    read: Callable[[str], Any]


TASKS = {
    "mortality": BenchmarkTask("MP_IN", "hospital_expire_flag", "0 or 1", _mortality),
    "stay": BenchmarkTask("LOS_WEEKS", "los_label", "0, 1, 2 or 3", _stay),
    "diagnoses": BenchmarkTask("DIA_GROUPS_3_DIGITS", "short_codes", "ICD-9 codes with commas between them", _codes),
    "procedures": BenchmarkTask("PRO_GROUPS_3_DIGITS", "short_codes", "ICD-9 codes with commas between them", _codes),
}
"""The tasks by name. That of mortality comes first, whose texts have no "patient died"."""


def find_table(folder: Path, task: BenchmarkTask, split: str) -> Optional[Path]:
    """RETURNS (Optional[Path]): The file of a split; None if it is not there."""
    names = (f"{task.files}{kind}_{SPLITS[split]}.csv" for kind in ("_adm", ""))
    return next((folder / name for name in names if (folder / name).exists()), None)


def read_split(folder: Path, split: str) -> Dict[str, Dict[str, Any]]:
    """Read a split of all tasks that are there. A note that several tasks ask about is one row.

    folder (Path): The folder with the files.
    split (str): A key of `SPLITS`.
    RETURNS (Dict[str, Dict[str, Any]]): By id {"id", "text"} and the labels of each task that has any of the note.
    RAISES ValueError: A file lacks a column, an id is there twice in it, a text is empty, or labels are not what is expected.
    """
    rows: Dict[str, Dict[str, Any]] = {}
    for name, task in TASKS.items():
        path = find_table(folder, task, split)
        if path is None:
            continue
        with path.open(encoding="utf-8", newline="") as lines:
            for where, cells in read_table(lines, ("id", "text", task.column), str(path)):
                if not cells["text"].strip() or not cells["id"]:
                    raise ValueError(f"{where}: the column '{'id' if not cells['id'] else 'text'}' is empty.")
                row = rows.setdefault(cells["id"], {"id": cells["id"], "text": cells["text"]})
                if name in row:
                    raise ValueError(f"{where}: a row with this id is there already.")
                try:
                    row[name] = task.read(cells[task.column].strip())
                except ValueError:
                    raise ValueError(f"{where}: the column '{task.column}' has not {task.expected}.") from None
    return rows
