"""Our own form: a row a line, as it is."""

from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from ..readers import JSONL, iterate_rows
from .registry import Format


def read_jsonl_rows(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read our own JSONL form, to check it or to turn it into a .spacy file.

    path (Path): The file, ending in .jsonl or .jsonl.gz, or a folder of them.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document.
    """
    for line in iterate_rows(path):
        yield line.where, line.row


FORMAT = Format(read_jsonl_rows, suffixes=JSONL)
