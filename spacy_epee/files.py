"""Files and folders that appear whole or not at all.

What is written lies beside the place where it belongs until all of it is on the disk, and then takes that place in one step: a
kill at any moment leaves the old one or the new one. What a killed process left unfinished is removed when that place is written
to again.
"""

import ctypes
import errno
import os
import re
import secrets
import shutil
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple, Union

from typer import BadParameter

from .errors import raise_alone

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PART = ".part"
"""What the names of unfinished files and folders end in. They begin with a dot and lie beside the place where they belong."""

OLD = ".old" + PART
"""What the names of folders end in that are about to be replaced, on systems that cannot exchange two names."""

LONG_AGO = 24 * 3600
"""Seconds after which something unfinished counts as left behind, where the system cannot tell whether its writer lives."""

FULL = (errno.ENOSPC, errno.EDQUOT)
TOO_LARGE = errno.EFBIG
FULL_WORDS = (*map(os.strerror, FULL), "free space", "requested and")
"""What errors without a number say of a full disk: those of `shutil.copytree`, which gathers them, and of numpy."""

UNABLE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What network and virtual file systems answer that cannot wait until something is on the disk. Folders are what some cannot."""

REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)

# Typer shows errors of this kind as one line, without a traceback. Newer versions bring a click of their own.
ClickException: Any = next(kind for kind in BadParameter.__mro__ if kind.__name__ == "ClickException")


class NotWritten(ClickException, OSError):
    """Something could not be written. Commands of spaCy, such as `spacy train`, end with what it says."""


class NotPermitted(NotWritten, PermissionError):
    """Something may not be written."""


@contextmanager
def whole_file(path: Union[str, Path]) -> Iterator[Path]:
    """Write a file that appears when all of it is written. What was there before stays until then, or if an error is raised. Its
    permissions, and links to it, go on.

    path (Union[str, Path]): Where the file belongs. Its folder is made.
    YIELDS (Path): Where to write: an empty file.
    RAISES OSError: It cannot be written; where the disk is full it says so.
    """
    if Path(path).exists() and not Path(path).is_dir() and not Path(path).is_file():
        yield Path(path)  # a device or a pipe, such as /dev/null: not to be replaced
        return
    path = _real(path)
    if _is_within_part(path):
        yield path
        return
    if path.is_dir():
        raise IsADirectoryError(f"'{path}' is a folder, and a file is to be written there; give another name")
    with _part(path, path.parent, folder=False) as part:
        yield part
        _flush(part)
        if path.exists():
            _make_like(part, path)
        os.replace(part, path)
        _flush_names(path.parent)


@contextmanager
def whole_folder(path: Union[str, Path], *, keep: bool = False, key: Optional[str] = None) -> Iterator[Path]:
    """Write a folder that appears when all of it is written, in the place of what was there. Its permissions, and links to it, go
    on.

    path (Union[str, Path]): Where the folder belongs. The one above it is made.
    keep (bool): Whether to take over from the old folder what the new one has no file or folder of that name for.
    key (Optional[str]): The file without which the folder cannot be read. Some folders cannot be replaced, such as the current
        one, one that a file system is mounted at, or one of the image of a container. There this file is taken away first and
        put last, so that a kill leaves the old one, the new one, or one that is refused. Without a key that is an error.
    YIELDS (Path): An empty folder to write to.
    RAISES OSError: It cannot be written; where the disk is full it says so.
    """
    path = _real(path)
    if _is_within_part(path):
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"'{path}' is a file, and a folder is to be written there; give another name")
    within = path.is_dir() and not _is_replaceable(path)
    if within and key is None:
        raise OSError(
            f"'{path}' cannot be replaced: a file system is mounted there, it is the current folder, or the one above it cannot "
            "be written to; name a folder in it"
        )
    with _part(path, path if within else path.parent, folder=True) as part:
        yield part
        if path.exists():
            _take_over(path, part, keep)
        for place in (*part.rglob("*"), part):
            if not place.is_symlink():
                _flush(place)
        if within:
            _put_inside(part, path, str(key))
        else:
            _put(part, path, key)
            _flush_names(path.parent)


def _real(path: Union[str, Path]) -> Path:
    """RETURNS (Path): The place that links lead to."""
    return Path(os.path.realpath(path))


def _is_replaceable(path: Path) -> bool:
    """Whether another folder can be given this one's name, and all who use it see that one."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed
        here = path.parent
    return not os.path.ismount(path) and path not in (here, *here.parents) and os.access(path.parent, os.W_OK)


@contextmanager
def _part(path: Path, place: Path, folder: bool) -> Iterator[Path]:
    """Something to write to, which is removed afterwards if it is still there.

    path (Path): Where it belongs.
    place (Path): The folder to put it in for the time being.
    folder (bool): Whether it is a folder.
    YIELDS (Path): An empty file or folder.
    RAISES OSError: It cannot be written.
    """
    try:
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "It cannot be written to", str(path))
        place.mkdir(parents=True, exist_ok=True)
        _sweep(place, path)
        part, lock = _make(place, path, folder)
        try:
            yield part
        finally:
            _remove(part)
            if lock is not None:
                os.close(lock)
    except OSError as error:
        told = _tell(error, path, place)
        if told is None:
            raise
        raise_alone(told)


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


def _tell(error: OSError, path: Path, place: Path) -> Optional[OSError]:
    """RETURNS (Optional[OSError]): What did not happen, where the disk is full or the folder cannot be written to."""
    if isinstance(error, NotWritten) and error.errno is None:  # it tells of something else
        return None
    named = error.filename if isinstance(error.filename, str) else ""
    if error.errno in FULL or (error.errno is None and any(words in str(error) for words in FULL_WORDS)):
        reason = "the disk is full"
    elif error.errno == TOO_LARGE:
        reason = "a file would be larger than the file system or the limit of this process (`ulimit -f`) allows"
    elif error.errno in REFUSED and (named == str(path) or _is_part(Path(named).name)):
        reason = "it cannot be written to" if named == str(path) else f"the folder '{place}' cannot be written to"
    else:
        return None
    kind = NotPermitted if error.errno in REFUSED else NotWritten
    told = kind(f"'{path}' was not written, for {reason}; what was there before is as it was")
    told.errno = error.errno
    return told


def _prefix(name: str) -> str:
    return f".{name[:50]}."  # names have a longest length


def _is_part(name: str) -> bool:
    return re.fullmatch(rf"\..+\.[0-9a-f]{{8}}({re.escape(OLD)}|{re.escape(PART)})", name) is not None


def _is_within_part(path: Path) -> bool:
    """Whether something is in what is being written whole, so that it need not be whole itself."""
    return any(map(_is_part, path.parts))


def _make(place: Path, path: Path, folder: bool) -> Tuple[Path, Optional[int]]:
    """Make an empty file or folder that other processes leave alone while this one lives. Who may not read what was there before
    cannot read it either.

    RETURNS (Tuple[Path, Optional[int]]): It, and what to close in the end.
    """
    while True:
        part = place / f"{_prefix(path.name)}{secrets.token_hex(4)}{PART}"
        mode = stat.S_IMODE(path.stat().st_mode) | 0o700 if path.exists() else 0o777
        if folder:
            part.mkdir(mode)
        else:
            part.touch(mode & 0o666, exist_ok=False)
        lock = _lock(part)
        if part.exists():
            return part, lock
        if lock is not None:  # it was taken for one left behind, before it was locked
            os.close(lock)


def _lock(part: Path, wait: bool = True) -> Optional[int]:
    """Say that something unfinished has a writer. A kill ends that.

    RETURNS (Optional[int]): What to close in the end; None where the file system has no locks.
    RAISES BlockingIOError: It has another, and this one does not wait.
    """
    if fcntl is None:
        return None
    number = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return number
    except BlockingIOError:
        os.close(number)
        raise
    except OSError:
        os.close(number)
        return None


def _sweep(place: Path, path: Path) -> None:
    """Remove what killed processes left behind of a file or folder, and put back what they took away."""
    for part in list(place.iterdir()):
        if not part.name.startswith(_prefix(path.name)) or not _is_part(part.name):
            continue
        with suppress(OSError):  # it has a writer, or belongs to somebody else
            lock = _lock(part, wait=False)
            if part.name.endswith(OLD) and not path.exists():
                os.rename(part, path)
            elif lock is not None or time.time() - part.stat().st_mtime > LONG_AGO:
                _remove(part)
            if lock is not None:
                os.close(lock)


def _remove(place: Path) -> None:
    """Remove something, as far as that can be."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with suppress(OSError):
            place.unlink()


def _make_like(new: Path, old: Path) -> None:
    """Give something the owner and the permissions of what it replaces."""
    was, now = old.stat(), new.stat()
    if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
        for user, group in ((-1, was.st_gid), (was.st_uid, -1)):
            with suppress(PermissionError):
                os.chown(new, user, group)
    if stat.S_IMODE(was.st_mode) != stat.S_IMODE(now.st_mode):  # some file systems have one for all, and let nobody set it
        os.chmod(new, stat.S_IMODE(was.st_mode))


def _take_over(old: Path, new: Path, keep: bool) -> None:
    """Give a folder the owner and permissions of the old one, and its other files.

    old (Path): The old folder. It stays as it is.
    new (Path): The new one.
    keep (bool): Whether to take over the files that the new one does not have.
    RAISES OSError: A part of the old folder is on another file system, and would be lost with it.
    """
    _make_like(new, old)
    for place in old.iterdir():
        own = new / place.name
        if place.lstat().st_dev != old.stat().st_dev:
            raise OSError(f"'{old}' cannot be replaced, for another file system is mounted at '{place}'; name another folder")
        if own.is_dir() and place.is_dir() and not place.is_symlink():
            _take_over(place, own, keep)
        elif own.is_file() and place.is_file():
            _make_like(own, place)
        elif keep and not own.exists() and not _is_part(place.name):
            _carry(place, own)


def _carry(place: Path, own: Path) -> None:
    """Have something of an old folder in the new one as well. Its files are the same ones until the old folder is removed."""
    if place.is_symlink():
        own.symlink_to(os.readlink(place))
    elif place.is_dir():
        own.mkdir()
        _take_over(place, own, keep=True)
    else:
        try:
            os.link(place, own)
        except OSError:  # not on this file system, or a file of somebody else
            shutil.copy2(place, own)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk, where the file system can tell."""
    if os.name != "posix" and path.is_dir():
        return
    number = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in UNABLE:
            raise
    finally:
        os.close(number)


def _flush_names(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, as far as that can be: what they stand for is in its place already."""
    with suppress(OSError):
        _flush(folder)


def _put(part: Path, path: Path, key: Optional[str]) -> None:
    """Put a folder in the place of another. What was there is in the place of the first, or gone."""
    try:
        os.rename(part, path)
        return
    except OSError:
        if not path.is_dir():  # nothing is in the way
            raise
    if _exchange(part, path):
        return
    old = path.with_name(f"{_prefix(path.name)}{secrets.token_hex(4)}{OLD}")
    try:
        os.rename(path, old)
    except OSError as error:
        if key is None or error.errno not in (errno.EXDEV, errno.EBUSY):
            raise
        return _put_inside(part, path, key)
    # There is a moment without either here, on systems that cannot exchange two names.
    try:
        os.rename(part, path)
    except OSError:
        os.rename(old, path)
        raise
    _remove(old)


def _put_inside(part: Path, path: Path, key: str) -> None:
    """Put the parts of a folder in the place of those of another. Without its key that one cannot be read.

    part (Path): The new folder. What was there before is left in it.
    path (Path): The other one.
    key (str): The name of the key.
    """
    (path / key).unlink(missing_ok=True)
    _flush_names(path)
    for place in [place for place in path.iterdir() if place != part and not os.path.lexists(part / place.name)]:
        _remove(place)
    for place in sorted(part.iterdir(), key=lambda place: place.name == key):
        _flush_names(path)
        if not _exchange(place, path / place.name):
            _remove(path / place.name)
            os.rename(place, path / place.name)
    _flush_names(path)


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
