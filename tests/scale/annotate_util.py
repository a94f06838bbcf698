"""Notes in files, and the rows that are made of them."""

import csv
import json
from pathlib import Path
from typing import Any, Dict, List

from typer.testing import CliRunner

import spacy_epee.cli
from spacy_epee.scale import notes


def write_notes(path: Path, texts: List[str]) -> Path:
    """Write texts with ids as JSONL. RETURNS (Path): The file."""
    rows = [{"id": f"n{number}", "text": text} for number, text in enumerate(texts, 1)]
    return write_rows(path, rows)


def write_rows(path: Path, rows: List[Any]) -> Path:
    """Write objects, or lines as they are, as JSONL. RETURNS (Path): The file."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def annotate(*arguments: Any) -> Any:
    """RETURNS (Result): What the command did."""
    return CliRunner().invoke(spacy_epee.cli.epee, ["annotate", *map(str, arguments)])


def done(*arguments: Any) -> Any:
    """RETURNS (Result): What the command did, which must have worked."""
    found = annotate(*arguments)
    assert found.exit_code == 0, found.output
    return found


def refused(*arguments: Any) -> str:
    """RETURNS (str): What the command said, on one line, which must have refused."""
    found = annotate(*arguments)
    assert found.exit_code == 1 and isinstance(found.exception, SystemExit), found.output
    assert "Traceback" not in found.output
    return " ".join(found.output.split())


def read_rows(path: Path) -> List[Dict[str, Any]]:
    """RETURNS (List[Dict[str, Any]]): The rows of an output, as in JSONL."""
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    elif path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
        kinds = {"double": float, "boolean": "true".__eq__, "string": str}
        rows = [
            {name: value if value is None else kinds[notes.COLUMNS[name]](value) for name, value in row.items()} for row in rows
        ]
    else:
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(path).to_pylist()
    for row in rows:
        for name in ("answers", "exits"):
            row[name] = json.loads(row[name]) if isinstance(row[name], str) else row[name]
        row["reason"] = row["reason"] or None  # CSV does not tell
    return rows
