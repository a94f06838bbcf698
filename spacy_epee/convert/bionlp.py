"""BioNLP shared task standoff: for each document a .txt, an .a1 with its entities, and an .a2 with what is to be found."""

from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from ..texts import read_text
from .standoff import Standoff


def read_bionlp(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read entities, events, modifications, relations and equivalences.

    path (Path): An .a1 or .a2 file beside the others, or a folder of them, in which subfolders are looked through too.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document, as of `read_brat`. All that is in the .a1 is an
        entity. There may be no .a2, as in test data.
    RAISES ValueError: A line that is not of this form, or no .txt. It names file and line and shows nothing of either.
    """
    files = [path] if path.is_file() else sorted({file.with_suffix(".a1") for file in path.rglob("*.a[12]")})
    for file in files:
        source = file.with_suffix(".txt")
        if not source.exists():
            raise ValueError(f"{file}: there is no '{source.name}' beside it.")
        lines = Standoff()
        for suffix in (".a1", ".a2"):
            part = file.with_suffix(suffix)
            if part.exists():
                lines.read(part, given=suffix == ".a1")
        name = file.stem if path.is_file() else file.relative_to(path).with_suffix("").as_posix()
        yield str(file.with_suffix("")), lines.row(name, read_text(source))
