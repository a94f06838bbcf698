"""Reading text as it is."""

from pathlib import Path

from ..errors import raise_alone


def read_text(path: Path) -> str:
    """Read a file as it is: offsets count its characters, line ends included.

    path (Path): The file.
    RETURNS (str): Its text.
    RAISES ValueError: It is not UTF-8.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise_alone(ValueError(f"{path}, line {line}: not UTF-8 from byte {error.start} on. Convert the file first."))
