"""brat standoff: a .txt and an .ann file for each document (https://brat.nlplab.org/standoff.html)."""

from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from ..texts import read_text
from .standoff import Standoff


def read_brat(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read entities, relations, events, attributes of both, and equivalences. Other notes and normalizations are left out.

    path (Path): An .ann file beside its .txt, or a folder of them, in which subfolders are looked through too.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document. An entity of several parts reaches from its
        first to its last, and has the "parts". A trigger is an entity if not only events refer to it. Numbers of roles, as in
        Theme2, are an argument's "number".
    RAISES ValueError: A line that is not brat's form, or no .txt. It names file and line and shows nothing of either.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.ann"))
    for file in files:
        source = file.with_suffix(".txt")
        if not source.exists():
            raise ValueError(f"{file}: there is no '{source.name}' beside it.")
        lines = Standoff()
        lines.read(file)
        name = file.stem if path.is_file() else file.relative_to(path).with_suffix("").as_posix()
        yield str(file), lines.row(name, read_text(source))
