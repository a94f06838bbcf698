"""The documents of a folder, and the files that each has."""

from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from ...texts import find_files, read_text
from ..remarks import Remarks
from .lines import Lines
from .rows import make_row

UNPAIRED = "Texts without a file of annotations beside them, left out"


def read_documents(path: Path, suffixes: Sequence[str], given: Sequence[str] = ()) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read documents, and say once what of them is left out or read in another way than it is written.

    path (Path): A file of lines, or a folder.
    suffixes (Sequence[str]): The ends of names of files of lines.
    given (Sequence[str]): Those of them in which all T lines are entities.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document.
    RAISES ValueError: As `Lines.read`, `make_row` and `find_documents`.
    """
    remarks = Remarks()
    for name, source, files in find_documents(path, suffixes):
        lines = Lines(remarks)
        for suffix, file in files.items():
            lines.read(file, given=suffix in given)
        where = str(next(iter(files.values())))
        yield where, make_row(lines, name, read_text(source, mark=True), where)
    for source in find_files(path, [".txt"]) if path.is_dir() else ():
        alone = not any(_with_end(source.with_suffix(""), suffix) for suffix in suffixes)
        remarks.add(UNPAIRED, "texts", str(source), count=alone)
    remarks.warn()


def find_documents(path: Path, suffixes: Sequence[str]) -> Iterator[Tuple[str, Path, Dict[str, Path]]]:
    """Find the files of documents.

    path (Path): A file of lines, or a folder, see `find_files`.
    suffixes (Sequence[str]): The ends of names, of which a document has at least one.
    YIELDS (Tuple[str, Path, Dict[str, Path]]): The name and the text of each document, and its files of lines by their suffixes.
    RAISES ValueError: There is no text, or none of the others.
    """
    for stem in sorted({file.with_suffix("") for file in find_files(path, suffixes)}):
        source = _with_end(stem, ".txt")
        files = {suffix: file for suffix in suffixes for file in [_with_end(stem, suffix)] if file is not None}
        if source is None or not files:
            missing = f"{stem.name}{'.txt' if source is None else suffixes[0]}"
            raise ValueError(f"{next(iter(files.values()), path)}: there is no '{missing}' beside it.")
        yield stem.name if path.is_file() else stem.relative_to(path).as_posix(), source, files


def _with_end(stem: Path, suffix: str) -> Optional[Path]:
    """The file of a document with a suffix, which some tools write in capitals."""
    # with_suffix would take the end of a name like PMC1.2 for a suffix.
    files = [stem.with_name(stem.name + end) for end in (suffix, suffix.upper())]
    return next((file for file in files if file.is_file()), None)
