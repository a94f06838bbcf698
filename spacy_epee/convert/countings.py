"""What the offsets of a file count, found out by the texts that it gives for its spans."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Sequence, Tuple

import numpy

from ..training.checks import shown


@dataclass(frozen=True)
class Quote:
    """A span of a file, with the text that the file gives for it.

    start (int): Its first character, in whatever the file counts.
    end (int): The one behind its last.
    text (Optional[str]): Its text in the file; None if the file gives none.
    where (str): What to call it in errors: file, line and id.
    """

    start: int
    end: int
    text: Optional[str]
    where: str


def _units(text: str, width: Callable[[str], int]) -> numpy.ndarray:
    return numpy.cumsum([0, *map(width, text)])


def _utf16(text: str) -> numpy.ndarray:
    return _units(text, lambda sign: 1 + (ord(sign) > 0xFFFF))


def _utf8(text: str) -> numpy.ndarray:
    return _units(text, lambda sign: len(sign.encode("utf-8", "surrogatepass")))


def _ends_as_two(text: str) -> numpy.ndarray:
    ends = [i for i, sign in enumerate(text) if sign == "\n" and text[i - 1 : i] != "\r"]
    found = numpy.ones(len(text), dtype="int64")
    found[ends] = 2
    return numpy.concatenate(([0], numpy.cumsum(found)))


def _ends_as_one(text: str) -> numpy.ndarray:
    found = numpy.ones(len(text), dtype="int64")
    found[[match.start() for match in re.finditer("\r\n", text)]] = 0
    return numpy.concatenate(([0], numpy.cumsum(found)))


COUNTINGS: Dict[str, Callable[[str], numpy.ndarray]] = {
    "characters": lambda text: numpy.arange(len(text) + 1),
    "line ends as two characters": _ends_as_two,
    "line ends as one character": _ends_as_one,
    "UTF-16 units": _utf16,
    "bytes of UTF-8": _utf8,
}
"""For each counting what stands before each character of a text, and before its end, (n + 1,)."""


def find_counting(text: str, quotes: Sequence[Quote]) -> Tuple[str, Callable[[int], Optional[int]]]:
    """Find out what the offsets of a document count.

    text (str): The text of the document.
    quotes (Sequence[Quote]): Its spans.
    RETURNS (Tuple[str, Callable[[int], Optional[int]]]): The first of `COUNTINGS` in which all spans that have a text fit, and
        what turns its offsets into characters: None for one that is inside a character or outside the text.
    RAISES ValueError: There is none. It names the first span that does not fit when characters are counted, and no text.
    """
    given = [quote for quote in quotes if quote.text is not None]
    for name, count in COUNTINGS.items():
        places = _Places(count(text))
        if all(fits(text, places(quote.start), places(quote.end), quote.text) for quote in given):
            return name, places
    wrong = next(quote for quote in given if not fits(text, quote.start, quote.end, quote.text))
    place = f"{shown(wrong.start)} to {shown(wrong.end)}"
    raise ValueError(
        f"{wrong.where}: the text of the document at {place} is not the one that this span is given, "
        f"nor do all spans of the document fit if the offsets count {', '.join(list(COUNTINGS)[1:])}. The annotation belongs to "
        "another version of the text: correct the offsets, or get the text that they were made for."
    )


class _Places:
    """Turns offsets into characters."""

    def __init__(self, before: numpy.ndarray):
        self.before = before

    def __call__(self, offset: int) -> Optional[int]:
        place = int(numpy.searchsorted(self.before, offset)) if 0 <= offset <= self.before[-1] else -1
        return place if place >= 0 and self.before[place] == offset else None


def fits(text: str, start: Optional[int], end: Optional[int], quoted: Optional[str]) -> bool:
    """Whether a span has the text that a file gives for it. White space, case and forms of Unicode (NFKC) make no difference:
    standoff writes line ends as spaces, and tools clean what they quote.

    text (str): The text of the document.
    start (Optional[int]): The first character; None if there is none.
    end (Optional[int]): The one behind the last.
    quoted (Optional[str]): The text in the file.
    RETURNS (bool): Whether they are the same.
    """
    if start is None or end is None or not 0 <= start < end <= len(text):
        return False
    return quoted is None or _plain(text[start:end]) == _plain(quoted)


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip().casefold()
