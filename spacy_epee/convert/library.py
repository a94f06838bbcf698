"""The library that reads the formats, and plain reading."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..errors import raise_alone


def need_bioc(name: str) -> ModuleType:
    """Import a module of the package bioc.

    name (str): The module.
    RETURNS (ModuleType): The module.
    RAISES ImportError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            "Reading this format needs the package 'bioc'. Install it with `pip install \"spacy_epee[convert]\"`."
        ) from error


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
