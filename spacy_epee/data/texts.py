"""Reading files of text and JSON. Errors name the file and the line, and hold nothing of what is there."""

import gzip
import json
import re
import warnings
import zlib
from pathlib import Path
from typing import Any, Iterator, List, Sequence, Tuple

from ..errors import raise_alone

PACKED = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip", ".7z")
"""What the names of compressed files end in."""

HALF = re.compile("[\ud800-\udfff]")
"""Half of a pair of UTF-16: a byte that is not UTF-8, as Python reads it here, or what a JSON file wrote as \\ud800."""


def find_files(path: Path, suffixes: Sequence[str]) -> List[Path]:
    """Find the files of a format.

    path (Path): A file, which is returned whatever its name is, or a folder, in which subfolders are looked through too.
    suffixes (Sequence[str]): What names end in, in small letters. Those that begin with a dot are left out. Of those that would
        end so if they were not compressed a warning says how many there are.
    RETURNS (List[Path]): The files, in the order of their names.
    RAISES ValueError: There is no such path, or a file is there packed and unpacked.
    """
    if not path.exists():
        raise ValueError(f"There is no file or folder '{path}' (looked from {Path.cwd()}).")
    if not path.is_dir():
        return [path]
    packed = tuple(suffix + end for suffix in suffixes for end in PACKED)
    found = (file for file in path.rglob("*") if file.name.lower().endswith((*suffixes, *packed)) and file.is_file())
    shown = sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts))
    files = [file for file in shown if file.name.lower().endswith(tuple(suffixes))]
    left = [file for file in shown if not file.name.lower().endswith(tuple(suffixes))]
    twice = {file.with_suffix("") for file in files if file.suffix.lower() == ".gz"}.intersection(files)
    if twice:
        raise ValueError(
            f"'{min(twice)}.gz' lies beside the file that it was made of, and both would be read. Remove one of them."
        )
    if left:
        warnings.warn(f"{len(left)} compressed files in '{path}' are left out, the first is '{left[0]}'. Unpack them first.")
    return files


def read_lines(path: Path, check: bool = True) -> Iterator[Tuple[int, str]]:
    """Read a file line by line.

    path (Path): The file, which is compressed if its name ends in .gz. A byte order mark is left out.
    check (bool): Whether to refuse it at a line that is not UTF-8. If not, `check_encoding` tells of each.
    YIELDS (Tuple[int, str]): The numbers of lines, from 1, and the lines.
    RAISES ValueError: It is not UTF-8, or damaged.
    """
    number = 0
    try:
        with (gzip.open if path.suffix.lower() == ".gz" else open)(
            path, "rt", encoding="utf-8-sig", errors="surrogateescape"
        ) as lines:
            for number, line in enumerate(lines, 1):
                if check:
                    check_encoding(line, f"{path}, line {number}")
                yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise_alone(
            ValueError(f"{path}, after line {number}: the compressed file is damaged or cut off ({type(error).__name__}).")
        )


def read_text(path: Path, mark: bool = False) -> str:
    """Read a file as it is: offsets count its characters, line ends included.

    path (Path): The file.
    mark (bool): Whether a byte order mark is kept.
    RETURNS (str): Its text.
    RAISES ValueError: It is not UTF-8.
    """
    text = path.read_bytes().decode("utf-8" if mark else "utf-8-sig", errors="surrogateescape")
    wrong = HALF.search(text)
    check_encoding(text, f"{path}, line {text.count(chr(10), 0, wrong.start() if wrong else 0) + 1}")
    return text


def check_encoding(text: str, where: str) -> None:
    """Refuse what is not UTF-8.

    text (str): What was read with "surrogateescape".
    where (str): What to call the place in errors.
    """
    zeros = text.count("\0") * 4 > len(text)  # of each letter of English in UTF-16 half is a zero
    if zeros or text.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        raise ValueError(f"{where}: not UTF-8, but UTF-16. Convert the file to UTF-8 first.")
    if HALF.search(text):
        raise ValueError(f"{where}: not UTF-8, and perhaps Latin-1 or Windows-1252. Convert the file to UTF-8 first.")


def parse_json(text: str, where: str) -> Any:
    """Parse JSON.

    text (str): The JSON.
    where (str): What to call it in errors.
    RETURNS (Any): What it says.
    RAISES ValueError: It is not JSON, or a string in it is no text.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        # The words of the error are the parser's own; it holds the whole text beside them.
        place = f"character {error.pos}" if error.lineno == 1 else f"line {error.lineno}, character {error.colno}"
        raise_alone(ValueError(f"{where}: not JSON ({place}: {error.msg.split(':')[0]})."))
    except RecursionError:
        raise_alone(ValueError(f"{where}: not read, for its objects or lists are nested too deeply."))
    except ValueError:
        raise_alone(ValueError(f"{where}: not read, for a number in it has thousands of digits."))
    # Only an escape can make half of a pair, for the file itself is UTF-8.
    if re.search(r"\\u[dD][89a-fA-F]", text) and HALF.search(json.dumps(found, ensure_ascii=False)):
        raise ValueError(f"{where}: a string holds half of a pair of UTF-16 (\\ud800 to \\udfff), which no text has.")
    return found
