"""Tables that fit on a screen."""

from itertools import zip_longest
from textwrap import wrap
from typing import Any, Dict, List, Optional, Sequence

from wasabi import Printer

from ..evaluation.sample import FEWEST
from ..runtimes.cores import describe_slowdown

WIDTH = 100
"""The most columns of characters."""

SPACING = 3
"""Those between two columns of a table."""

SPREAD = "± is half the 95 % interval of a difference, over the draw of the documents: a difference within it may be luck"
"""What tables with differences say below."""

LONGEST_WORD = 20
"""How long a word may be without being broken where there is no room."""


def print_table(msg: Printer, rows: Sequence[Sequence[str]], header: Sequence[str], left: int = 1) -> None:
    """Print a table. Headings and what is in the first columns are wrapped where they are too long.

    msg (Printer): Where to.
    rows (Sequence[Sequence[str]]): The rows.
    header (Sequence[str]): The headings.
    left (int): How many columns are text, to the left. The others are figures, to the right.
    """
    widths = fit(rows, header, left)
    lines = [*_wrapped(header, widths, len(header)), ["-" * width for width in widths]]
    lines += [line for row in rows for line in _wrapped(row, widths, left)]
    msg.table(lines, widths=widths, spacing=SPACING, aligns=["l"] * left + ["r"] * (len(header) - left))


def fit(rows: Sequence[Sequence[str]], header: Sequence[str], left: int) -> List[int]:
    """RETURNS (List[int]): The width of each column. They fit as far as figures, which are never wrapped, leave them room."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    least = [max(map(_longest_word, column)) for column in zip(header, *rows)]
    for place in range(left, len(header)):
        least[place] = max(_longest_word(header[place]), *(len(row[place]) for row in rows), 1)
    while sum(widths) + SPACING * (len(widths) - 1) > WIDTH:
        place = max(range(len(widths)), key=lambda place: (widths[place] > least[place], widths[place]))
        if widths[place] <= least[place]:
            break
        widths[place] -= 1
    return widths


def percent(score: Optional[float]) -> str:
    """RETURNS (str): A share of 1 as one of 100, or "-" where nothing is annotated that it could be of."""
    return "-" if score is None else f"{100 * score:.2f}"


def share(part: float) -> str:
    """RETURNS (str): A share of 1 as one of 100, with its sign."""
    return f"{percent(part)} %"


def change(difference: Optional[float], spread: Optional[float]) -> str:
    """RETURNS (str): The difference of two scores, and half the interval that it may come from."""
    if difference is None:
        return "-"
    points = round(100 * difference, 2) + 0.0  # never "-0.00"
    return f"{points:+.2f}" + ("" if spread is None else f" ± {100 * spread:.2f}")


def tell(report: Dict[str, Any], msg: Printer) -> None:
    """Print what must be known about the scores of a task.

    report (Dict[str, Any]): What there is about it.
    msg (Printer): Where to.
    """
    left_out, absent, name = report["left_out"], report["absent"], report["score_desc"]
    if left_out:
        msg.info(f"Labels in fewer than {FEWEST} of these documents are left out of the score ({name}): {len(left_out)}")
    if absent:
        msg.warn(f"Labels that none of these documents has, or that all have, count as 0 in the score ({name}): {len(absent)}")


def tell_slowdown(gpu_id: int, msg: Printer) -> None:
    """Print that several threads are slower than one, where seconds are measured.

    gpu_id (int): The GPU; -1 for the CPU.
    msg (Printer): Where to.
    """
    found = describe_slowdown() if gpu_id < 0 else None
    if found is not None:
        msg.warn(found)


def times(ratio: Optional[float]) -> str:
    """RETURNS (str): How many times more; "-" for None."""
    return "-" if ratio is None else f"{ratio:.2f}x"


def _longest_word(text: str) -> int:
    return min(max(map(len, text.split()), default=0), LONGEST_WORD)


def _wrapped(row: Sequence[str], widths: Sequence[int], left: int) -> List[List[str]]:
    """The lines of a row, of which the first columns are text."""
    cells = [wrap(cell, max(width, 1)) or [""] for cell, width in zip(row[:left], widths)] + [[cell] for cell in row[left:]]
    return [list(line) for line in zip_longest(*cells, fillvalue="")]
