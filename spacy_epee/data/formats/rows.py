"""The rows that every format is turned into: {"id", "text", "ents", "relations", "events", "cats"}, see annotate_doc."""

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

from ...errors import raise_alone
from ..readers import JSONL, iterate_rows
from ..texts import find_files
from . import bioc, pubtator
from .bioc import read_bioc
from .bionlp import read_bionlp
from .brat import read_brat
from .doccano import is_doccano, read_doccano
from .label_studio import is_label_studio, read_label_studio
from .objects import read_objects
from .prodigy import is_prodigy, read_prodigy
from .pubtator import read_pubtator
from .write_standoff import write_bionlp, write_brat

Row = Dict[str, Any]

Reader = Callable[[Path], Iterator[Tuple[str, Row]]]


def read_rows(path: Path) -> Iterator[Tuple[str, Row]]:
    """Read our own JSONL form, to check it or to turn it into a .spacy file.

    path (Path): The file, ending in .jsonl or .jsonl.gz, or a folder of them.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document.
    """
    for line in iterate_rows(path):
        yield line.where, line.row


SUFFIXES: Dict[str, List[str]] = {
    "jsonl": [*JSONL],
    "json": [".json"],
    "brat": [".ann"],
    "bionlp": [".a1", ".a2"],
    "bioc": bioc.SUFFIXES,
    "pubtator": pubtator.SUFFIXES,
}
"""What names end in, in small or capital letters. Those of annotation tools are told apart by what is in them."""


def _alone(reader: Reader) -> Reader:
    """A reader whose errors keep none of those of the library that it uses: these hold what was read."""

    def read(path: Path) -> Iterator[Tuple[str, Row]]:
        try:
            yield from reader(path)
        except (ValueError, ImportError) as error:
            raise_alone(error)

    return read


READERS: Dict[str, Reader] = {
    "jsonl": _alone(read_rows),
    "brat": _alone(read_brat),
    "bionlp": _alone(read_bionlp),
    "bioc": _alone(read_bioc),
    "pubtator": _alone(read_pubtator),
    "prodigy": _alone(read_prodigy),
    "doccano": _alone(read_doccano),
    "label-studio": _alone(read_label_studio),
}

WRITERS: Dict[str, Callable[[Iterable[Tuple[str, Row]], Path], int]] = {"brat": write_brat, "bionlp": write_bionlp}
"""The formats that are written to a folder."""


def guess_format(path: Path) -> str:
    """Find out the format of a file or folder by the names, and by the first object of JSON.

    path (Path): The file or folder.
    RETURNS (str): A key of `READERS`; "" if none fits.
    RAISES ValueError: A folder has files of several formats.
    """
    names = [file.name.lower() for file in find_files(path, [suffix for suffixes in SUFFIXES.values() for suffix in suffixes])]
    found = [form for form, suffixes in SUFFIXES.items() if any(name.endswith(tuple(suffixes)) for name in names)]
    if len(found) > 1:
        raise ValueError(f"'{path}' has files of the formats {' and '.join(found)}; name one with --format")
    if not found or found[0] not in ("jsonl", "json"):
        return "".join(found)
    return _guess_tool(path) or ("jsonl" if found == ["jsonl"] else "")


def _guess_tool(path: Path) -> str:
    """The annotation tool that JSON comes from; "" if it is not known."""
    first = next(read_objects(path), None)
    tools = {"label-studio": is_label_studio, "prodigy": is_prodigy, "doccano": is_doccano}
    return next((name for name, is_from in tools.items() if first is not None and is_from(first.row)), "")
