"""Turn the tables of the clinical outcome benchmark (van Aken et al. 2021) into JSONL, one file a split.

    python scripts/convert_mimic.py MIMIC_TASKS corpora/mimic

MIMIC_TASKS has what the benchmark's scripts wrote: see docs/outcomes.md. A note is one row with all that is known of it, so that
one pipeline can learn all four tasks. What is written holds notes of MIMIC: keep it where you may keep those, and train there.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List

import typer
from sources.mimic import SPLITS, STAYS, TASKS, find_table, read_split
from wasabi import msg

from spacy_epee.files import whole_folder

CODES = ("diagnoses", "procedures")


def keep_codes(splits: Dict[str, List[Dict[str, Any]]], most: int) -> Dict[str, List[str]]:
    """Leave out rare codes.

    splits (Dict[str, List[Dict[str, Any]]]): The rows, whose codes are changed.
    most (int): How many codes of each task stay: those of most training notes. 0 for all that any of these has.
    RETURNS (Dict[str, List[str]]): The codes that stay, the commonest first, for each task that is there.
    """
    kept = {}
    for task in CODES:
        counts = Counter(code for row in splits["train"] for code in row.get(task, ()))
        if counts:
            kept[task] = [code for code, _ in counts.most_common(most or None)]
        known = set(kept.get(task, ()))
        for row in (row for rows in splits.values() for row in rows if task in row):
            row[task] = [code for code in row[task] if code in known]
    return kept


def convert(folder: Path, target: Path, codes: int) -> Dict[str, int]:
    """Write what is in the tables.

    folder (Path): The folder with the tables.
    target (Path): The folder to write to.
    codes (int): As of `keep_codes`.
    RETURNS (Dict[str, int]): The number of rows of each split.
    RAISES ValueError: A split of a task is not there, one note is in two splits, or some notes are of admission and others are
        whole; or as of `read_split`.
    """
    tables = {name: {split: find_table(folder, task, split) for split in SPLITS} for name, task in TASKS.items()}
    there = {name: [split for split, table in own.items() if table] for name, own in tables.items()}
    if len({"_adm_" in table.name for own in tables.values() for table in own.values() if table}) > 1:
        raise ValueError(
            f"'{folder}' has tables of admission notes, named _adm, and of whole discharge summaries, which tell what is to be "
            "predicted. Keep one kind there."
        )
    if not any(there.values()):
        raise ValueError(f"There is no table such as {TASKS['mortality'].files}_adm_train.csv in '{folder}'.")
    for name, found in there.items():
        if 0 < len(found) < len(SPLITS):
            lacking = next(split for split in SPLITS if split not in found)
            raise ValueError(
                f"There is no file {TASKS[name].files}_adm_{SPLITS[lacking]}.csv in '{folder}', and others of it are."
            )
    splits: Dict[str, List[Dict[str, Any]]] = {}
    for split in SPLITS:
        rows = read_split(folder, split)
        for other, seen in splits.items():
            twice = sum(row["id"] in rows for row in seen)
            if twice:
                raise ValueError(
                    f"{twice} ids are both in '{other}' and in '{split}' of '{folder}'. Take all tasks from one run."
                )
        splits[split] = list(rows.values())
    labels: Dict[str, List[str]] = {"mortality": ["died"], "stay": list(STAYS)}
    labels = {name: own for name, own in {**labels, **keep_codes(splits, codes)}.items() if there[name]}
    with whole_folder(target, keep=True) as part:
        (part / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
        for split, notes in splits.items():
            with (part / f"{split}.jsonl").open("w", encoding="utf-8") as out:
                out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in notes)
    return {split: len(rows) for split, rows in splits.items()}


def main(
    folder: Path = typer.Argument(..., help="Folder with the tables"),
    target: Path = typer.Argument(..., help="Folder to write to"),
    codes: int = typer.Option(0, min=0, help="How many diagnoses and procedures, the commonest of the training notes; 0 for all"),
):
    try:
        counts = convert(folder, target, codes)
    except (OSError, ValueError) as error:
        msg.fail(str(error), exits=1)
    msg.good(f"{target}: " + ", ".join(f"{split} {count}" for split, count in counts.items()))


if __name__ == "__main__":
    typer.run(main)
