"""What takes minutes to work out is kept in a folder, without any text, and worked out again where it would be another one."""

import re
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Sequence

import numpy

from spacy_epee.files import whole_file


def remember(
    folder: Path, name: str, of: Sequence[Any], work_out: Callable[[], Dict[str, numpy.ndarray]]
) -> Dict[str, numpy.ndarray]:
    """Take what is kept, or work it out.

    folder (Path): Where it is kept.
    name (str): What it is called.
    of (Sequence[Any]): All that it depends on, as strings, or what has one that tells it from others.
    work_out (Callable[[], Dict[str, ndarray]]): Works it out.
    RETURNS (Dict[str, ndarray]): What was found.
    """
    key = zlib.crc32("\n".join(map(str, [name, *of])).encode())
    path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}-{key:08x}.npz"
    if not path.exists():
        found = work_out()
        with whole_file(path) as part, part.open("wb") as file:
            numpy.savez(file, **found)
    with numpy.load(path) as stored:
        return dict(stored)


def state(path: Path) -> str:
    """RETURNS (str): What tells a file or folder, as it is now, from another one, and from what it was before."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return " ".join([str(path.resolve()), *(f"{file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)])
