"""Files and folders that appear whole or not at all."""

import ctypes
import errno
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Union

PART = ".part"
"""What the names of unfinished files and folders end in. They begin with a dot and lie beside the place where they belong."""


@contextmanager
def whole_file(path: Union[str, Path]) -> Iterator[Path]:
    """Write a file that appears when all of it is written. What was there before stays until then, or if an error is raised.

    path (Union[str, Path]): Where the file belongs. Its folder is made.
    YIELDS (Path): Where to write.
    RAISES OSError: It cannot be written; where the disk is full it says so.
    """
    path = Path(path)
    part = _beside(path)
    try:
        yield part
        _flush(part)
        os.replace(part, path)
        _flush(path.parent)
    except OSError as error:
        raise _named(error, path) from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Union[str, Path]) -> Iterator[Path]:
    """Write a folder that appears when all of it is written, in the place of what was there.

    path (Union[str, Path]): Where the folder belongs. The one above it is made.
    YIELDS (Path): An empty folder to write to.
    RAISES OSError: It cannot be written; where the disk is full it says so.
    """
    path = Path(path)
    part = _beside(path)
    try:
        part.mkdir()
        yield part
        for place in (*part.rglob("*"), part):
            _flush(place)
        _put(part, path)
        _flush(path.parent)
    except OSError as error:
        raise _named(error, path) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def inside(path: Path, folder: Path) -> Path:
    """Check that a file lies where its path says.

    path (Path): The file.
    folder (Path): The folder that it belongs to.
    RETURNS (Path): The file.
    RAISES ValueError: A link leads out of the folder.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"'{path}' is a link that leads out of its folder; copy the folder with `cp -rL`")
    return path


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")


def _named(error: OSError, path: Path) -> OSError:
    """Say what a full disk did not do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OSError(error.errno, f"'{path}' was not written, for the disk is full; what was there before is as it was")
    return error


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name != "posix" and path.is_dir():
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _put(part: Path, path: Path) -> None:
    """Put a folder in the place of another."""
    if not path.exists():
        os.rename(part, path)
    elif not _exchange(part, path):
        # There is a moment without either here, on systems that cannot exchange two names.
        old = _beside(path)
        os.rename(path, old)
        os.rename(part, path)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step. RETURNS (bool): Whether this system can."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if hasattr(library, "renameat2"):  # Linux
            return library.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0
        if hasattr(library, "renamex_np"):  # macOS
            return library.renamex_np(os.fsencode(one), os.fsencode(other), 2) == 0
    except (OSError, TypeError):  # no C library to be had
        pass
    return False
