"""What the corpora have in common: splits of their own, and archives."""

import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

Rows = Iterator[Tuple[str, Dict[str, Any]]]
"""Rows, each with the split that it is in."""


def by_abstract(pmid: str) -> str:
    """The split of an abstract, or of another document, by its id.

    pmid (str): The id.
    RETURNS (str): "train", "dev" or "test", about 8 : 1 : 1.
    """
    return {8: "dev", 9: "test"}.get(zlib.crc32(pmid.encode()) % 10, "train")


@contextmanager
def unpacked(archive: Path, folder: str) -> Iterator[Path]:
    """Unpack one folder of a .zip, as long as it is needed.

    archive (Path): The .zip of a repository, which has all its files in a folder of its own.
    folder (str): The folder inside that one.
    YIELDS (Path): The folder on disk.
    RAISES ValueError: The archive has no such folder.
    """
    with zipfile.ZipFile(archive) as source, tempfile.TemporaryDirectory() as target:
        names = [name for name in source.namelist() if name.partition("/")[2].startswith(f"{folder}/")]
        if not names:
            raise ValueError(f"{archive}: there is no folder '{folder}' in it.")
        source.extractall(target, names)
        yield Path(target) / names[0].partition("/")[0] / folder
