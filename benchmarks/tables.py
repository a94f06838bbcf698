"""Tables in Markdown."""

from typing import Any, Iterable, List, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> List[str]:
    """RETURNS (List[str]): The lines of a table."""
    return [line(header), "|" + "---|" * len(header), *map(line, rows)]


def line(cells: Sequence[Any]) -> str:
    """RETURNS (str): A row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def made_by(command: str, machine: str = "") -> List[str]:
    """RETURNS (List[str]): How a page was made, as a paragraph."""
    return [f"Made by `{command}`", f"on {machine}.", ""] if machine else [f"Made by `{command}`.", ""]
