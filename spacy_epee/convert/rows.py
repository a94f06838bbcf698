"""The rows that every format is turned into: {"id", "text", "ents", "relations", "events"}, see annotate_doc."""

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

from ..training.readers import iterate_rows
from .bioc import read_bioc
from .bionlp import read_bionlp
from .brat import read_brat
from .pubtator import read_pubtator
from .write_standoff import write_bionlp, write_brat

Row = Dict[str, Any]


def read_rows(path: Path) -> Iterator[Tuple[str, Row]]:
    """Read our own JSONL form, to check it or to turn it into a .spacy file.

    path (Path): The file, ending in .jsonl or .jsonl.gz.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document.
    """
    for line in iterate_rows(path):
        yield line.where, line.row


READERS: Dict[str, Callable[[Path], Iterator[Tuple[str, Row]]]] = {
    "jsonl": read_rows,
    "brat": read_brat,
    "bionlp": read_bionlp,
    "bioc": read_bioc,
    "pubtator": read_pubtator,
}

WRITERS: Dict[str, Callable[[Iterable[Tuple[str, Row]], Path], int]] = {"brat": write_brat, "bionlp": write_bionlp}
"""The formats that are written to a folder."""

SUFFIXES: Dict[str, List[str]] = {
    "jsonl": [".jsonl", ".jsonl.gz"],
    "brat": [".ann"],
    "bionlp": [".a1", ".a2"],
    "bioc": [".xml"],
    "pubtator": [".pubtator", ".PubTator"],
}


def guess_format(path: Path) -> str:
    """Find out the format of a file or folder by the names.

    path (Path): The file or folder.
    RETURNS (str): A key of `READERS`; "" if none fits.
    """
    names = [path.name] if path.is_file() else [entry.name for entry in path.iterdir()]
    for name, suffixes in SUFFIXES.items():
        if any(entry.endswith(suffix) for entry in names for suffix in suffixes):
            return name
    return ""
