"""The formats that there are, our own and those that other packages bring, and how a path is recognised.

A format reads documents as rows {"id", "text", "ents", "relations", "events", "cats"}, see `annotate_doc`, and may write them. It
is one file, here or anywhere: an installed package names its `Format` in the entry-point group `spacy_epee_formats`.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from ...errors import raise_alone
from ...registry import formats, names
from ..texts import find_files
from .objects import read_objects

Row = Dict[str, Any]

Rows = Iterable[Tuple[str, Row]]
"""What to call each document in errors, and its row."""


@dataclass(frozen=True)
class Format:
    """A form in which annotated documents lie in files.

    read (Callable[..., Iterator[Tuple[str, Dict[str, Any]]]]): Reads a file, or a folder of them: yields the place and the row of
        each document. Its errors are ValueErrors that name file and line, and show nothing of what is there.
    write (Optional[Callable[[Iterable[Tuple[str, Dict[str, Any]]], Path], int]]): Writes the rows to a folder, which is empty or
        not there, and returns how many. None if the format is only read.
    suffixes (Sequence[str]): What the names of its files end in, in small letters.
    is_from (Optional[Callable[[Dict[str, Any]], bool]]): Whether the first object of files of JSON is of this format, where the
        names of files do not say it.
    settings (Dict[str, str]): Keyword arguments of `read`, which are strings, and what each is.
    """

    read: Callable[..., Iterator[Tuple[str, Row]]]
    write: Optional[Callable[[Rows, Path], int]] = None
    suffixes: Sequence[str] = ()
    is_from: Optional[Callable[[Row], bool]] = None
    settings: Dict[str, str] = field(default_factory=dict)


def format_names(writable: bool = False) -> List[str]:
    """List the formats.

    writable (bool): Whether to leave out those that are only read.
    RETURNS (List[str]): Their names, in the order of the alphabet.
    """
    return [name for name in names(formats) if not writable or get_format(name).write is not None]


def get_format(name: str) -> Format:
    """Find a format.

    name (str): What it is called.
    RETURNS (Format): The format. Its errors keep none of those of the libraries that it uses: these hold what was read.
    RAISES ValueError: There is none of this name.
    """
    if name not in formats:
        raise ValueError(f"The format is '{name}'; give one of {', '.join(format_names())}")
    form = formats.get(name)  # no other is imported
    if not isinstance(form, Format):
        raise ValueError(f"What is registered as the format '{name}' is no `Format`; register one")
    return replace(form, read=_read_alone(form.read), write=form.write and _write_alone(form.write))


def _read_alone(read: Callable[..., Iterator[Tuple[str, Row]]]) -> Callable[..., Iterator[Tuple[str, Row]]]:
    def alone(path: Path, **settings: str) -> Iterator[Tuple[str, Row]]:
        try:
            yield from read(path, **settings)
        except (ValueError, ImportError) as error:
            raise_alone(error)

    return alone


def _write_alone(write: Callable[[Rows, Path], int]) -> Callable[[Rows, Path], int]:
    def alone(rows: Rows, folder: Path) -> int:
        try:
            return write(rows, folder)
        except (ValueError, ImportError) as error:
            raise_alone(error)

    return alone


def guess_format(path: Path) -> str:
    """Find out the format of a file or folder by the names, and by the first object of JSON.

    path (Path): The file or folder.
    RETURNS (str): Its name; "" if none fits.
    RAISES ValueError: A folder has files of several formats, or several fit.
    """
    known = {name: get_format(name) for name in format_names()}
    files = find_files(path, [suffix for form in known.values() for suffix in form.suffixes])
    claims = {_names_that_claim(file, known): None for file in files}
    claims.pop((), None)
    if len(claims) > 1:
        kinds = " and ".join("/".join(_not_looking(names, known) or names) for names in claims)
        raise ValueError(f"'{path}' has files of the formats {kinds}; name one with --format")
    fitting = _fitting(path, next(iter(claims), ()), known)
    if len(fitting) > 1:
        raise ValueError(f"'{path}' may be of the formats {' and '.join(fitting)}; name one with --format")
    return "".join(fitting)


def _names_that_claim(file: Path, known: Dict[str, Format]) -> Tuple[str, ...]:
    """The formats whose files have names like this."""
    return tuple(name for name, form in known.items() if file.name.lower().endswith(tuple(form.suffixes)))


def _fitting(path: Path, names: Sequence[str], known: Dict[str, Format]) -> List[str]:
    """Those of some formats that know the first object as their own, or else those that do not look at it."""
    tests = {name: known[name].is_from for name in names}
    first = next(read_objects(path), None) if any(tests.values()) else None
    fitting = [name for name, is_from in tests.items() if is_from is not None and first is not None and is_from(first.row)]
    return fitting or _not_looking(names, known)


def _not_looking(names: Sequence[str], known: Dict[str, Format]) -> List[str]:
    """Those of some formats that do not look at the first object."""
    return [name for name in names if known[name].is_from is None]
