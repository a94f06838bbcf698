"""Make of converted outcome rows what is trained on: texts without the words that give outcomes away, and three tasks.

    python scripts/derive_outcomes.py corpora/vaers/normalised corpora_derived/vaers

A row of what is written has "text"; "outcomes", {label: 0 or 1} without those that are not known; "stay", the bucket of the
length of the hospital stay, where it is known; and "symptoms", {label: 0 or 1}. What is written holds text of a corpus and
belongs in no repository. The file labels.json beside it has the labels of each task.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Set

import typer
from sources.masks import mask_harder
from sources.outcomes import STAYS
from wasabi import msg

from spacy_epee.data.readers import read_rows
from spacy_epee.files import whole_folder

SPLITS = ("train", "dev", "test")
NEEDED = ("id", "text", "text_masked", "cats", "los_bucket", "symptoms")
BUCKETS = [name for _, name in STAYS]
TEXTS = {
    "masked": lambda row: row["text_masked"],
    "harder": lambda row: mask_harder(row["text_masked"]),
    "open": lambda row: row["text"],
}
"""What of a row is read."""


def commonest(rows: List[Dict[str, Any]], most: int) -> List[str]:
    """RETURNS (List[str]): The symptoms that are in most rows, the commonest first."""
    counts = Counter(term for row in rows for term in sorted(set(row["symptoms"])))
    return [term for term, _ in counts.most_common(most)]


def labels_of(rows: List[Dict[str, Any]], symptoms: List[str]) -> Dict[str, List[str]]:
    """RETURNS (Dict[str, List[str]]): The labels of each task, for `initialize.components.epee.labels`."""
    return {"outcomes": sorted({label for row in rows for label in row["cats"]}), "stay": BUCKETS, "symptoms": symptoms}


def read_split(path: Path, ids: Set[str]) -> List[Dict[str, Any]]:
    """Read a converted split.

    path (Path): Its file.
    ids (Set[str]): The ids of other splits. Those of this one are added.
    RETURNS (List[Dict[str, Any]]): Its rows.
    RAISES ValueError: A row lacks a field, has no text or a bucket that there is not, or an id is there twice.
    """
    rows = []
    for line in read_rows(path, "cats", needs=NEEDED):
        row = line.row
        if not str(row["text_masked"]).strip():
            raise ValueError(f"{line.where}: the field 'text_masked' is empty.")
        if row["los_bucket"] is not None and row["los_bucket"] not in BUCKETS:
            raise ValueError(f"{line.where}: the field 'los_bucket' is none of {', '.join(BUCKETS)}, and not null.")
        if row["id"] in ids:
            raise ValueError(f"{line.where}: a row with this id is there already, in this split or another.")
        ids.add(row["id"])
        rows.append(row)
    return rows


def derive(row: Dict[str, Any], text: str, symptoms: List[str]) -> Dict[str, Any]:
    """Make a row to train on.

    row (Dict[str, Any]): A converted row.
    text (str): A key of `TEXTS`.
    symptoms (List[str]): Those that are asked about.
    RETURNS (Dict[str, Any]): The row.
    """
    stay = {} if row["los_bucket"] is None else {"stay": row["los_bucket"]}
    told = set(row["symptoms"])
    return {
        "id": row["id"],
        "text": TEXTS[text](row),
        "outcomes": row["cats"],
        **stay,
        "symptoms": {term: int(term in told) for term in symptoms},
    }


def main(
    folder: Path = typer.Argument(..., help="Folder with the converted splits"),
    target: Path = typer.Argument(..., help="Folder to write to"),
    text: str = typer.Option("masked", help=f"What is read: {', '.join(TEXTS)}"),
    symptoms: int = typer.Option(20, min=0, help="How many symptoms are asked about, the commonest of the training reports"),
):
    if text not in TEXTS:
        msg.fail(f"There is no text '{text}'; give one of {', '.join(TEXTS)}", exits=1)
    try:
        ids: Set[str] = set()
        rows = {split: read_split(folder / f"{split}.jsonl", ids) for split in SPLITS}
        asked = commonest(rows["train"], symptoms)
        with whole_folder(target, keep=True) as part:
            (part / "labels.json").write_text(json.dumps(labels_of(rows["train"], asked)), encoding="utf-8")
            for split in SPLITS:
                with (part / f"{split}.jsonl").open("w", encoding="utf-8") as out:
                    out.writelines(json.dumps(derive(row, text, asked), ensure_ascii=False) + "\n" for row in rows[split])
    except (OSError, ValueError) as error:
        msg.fail(str(error), exits=1)
    msg.good(f"{target}: " + ", ".join(f"{split} {len(rows[split])}" for split in SPLITS))


if __name__ == "__main__":
    typer.run(main)
