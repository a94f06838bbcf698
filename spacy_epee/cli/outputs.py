"""The files and folders that commands write."""

import os
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import srsly
from wasabi import Printer

from ..files import whole_file


def check_file(option: str, path: Optional[Path], replace: bool = True, inputs: Sequence[Optional[Path]] = ()) -> None:
    """Refuse a place where no file can be written, before anything is run.

    option (str): The option that names it.
    path (Optional[Path]): The file; None if none is to be written.
    replace (bool): Whether a file that is there already may be replaced.
    inputs (Sequence[Optional[Path]]): Files and folders that are read, or written by another option, and must stay.
    RAISES ValueError: It is a folder, it is there already, it is or lies in what must stay, or its folder cannot be made or
        written to.
    """
    if path is None:
        return
    if replace and path.is_dir():
        raise ValueError(f"{option} is '{path}', which is a folder; give the name of a file, such as '{path / 'figures.json'}'")
    kept = next((other for other in inputs if other is not None and path.resolve().is_relative_to(other.resolve())), None)
    if kept is not None:
        where = "is a file" if path.resolve() == kept.resolve() else f"lies in '{kept}'"
        raise ValueError(f"{option} is '{path}', which {where} that this command reads or writes already; give another name")
    check_place(option, path, replace)


def check_place(option: str, path: Optional[Path], replace: bool = False) -> None:
    """Refuse a place where no folder, or file, can be written, before anything is run.

    option (str): The option that names it.
    path (Optional[Path]): The folder; None if none is to be written.
    replace (bool): Whether what is there already may be replaced.
    RAISES ValueError: It is there already, or it cannot be made.
    """
    if path is None:
        return
    if not replace and path.exists():
        raise ValueError(f"The path '{path}' exists already; give another one as {option}, or remove it")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise ValueError(f"{option} is '{path}', and '{above}' is a file, not a folder; give another place")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(f"{option} is '{path}', and nothing can be written in '{above}'; give another place")


def write_figures(path: Optional[Path], figures: Dict[str, Any], msg: Printer) -> None:
    """Write the figures of a command.

    path (Optional[Path]): The JSON file; None to write none.
    figures (Dict[str, Any]): What it is to hold.
    msg (Printer): Where to say so.
    """
    if path is None:
        return
    with whole_file(path) as part:
        srsly.write_json(part, figures)
    msg.good(f"Saved the figures to {path}")
