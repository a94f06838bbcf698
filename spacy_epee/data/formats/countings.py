"""What the offsets of a file count, found out by the texts that it gives for its spans."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy

from ..checks import shown
from .graphemes import starts_of, widths_of

MARK = "\ufeff"
"""What a byte order mark is as a character."""


@dataclass(frozen=True)
class Quote:
    """A span of a file, with the text that the file gives for it.

    start (int): Its first character, in whatever the file counts.
    end (int): The one behind its last.
    text (Optional[str]): Its text in the file; None if the file gives none.
    where (str): What to call it in errors: file, line and id.
    parts (Tuple[Tuple[int, int], ...]): Its parts, in the order of the text in the file, if there are several.
    """

    start: int
    end: int
    text: Optional[str]
    where: str
    parts: Tuple[Tuple[int, int], ...] = ()


Widths = numpy.ndarray
"""What each character of a text counts, (n,)."""


def _signs(text: str) -> numpy.ndarray:
    return numpy.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _characters(text: str) -> Widths:
    return numpy.ones(len(text), dtype="int64")


def _utf16(text: str) -> Widths:
    return _characters(text) + (_signs(text) > 0xFFFF)


def _utf8(text: str) -> Widths:
    signs = _signs(text)
    return _characters(text) + (signs > 0x7F) + (signs > 0x7FF) + (signs > 0xFFFF)


def _ends_as_two(text: str) -> Widths:
    signs = _signs(text)
    alone = signs == ord("\n")
    alone[1:] &= signs[:-1] != ord("\r")
    return _characters(text) + alone


def _ends_as_one(text: str) -> Widths:
    signs = _signs(text)
    pairs = numpy.append((signs[:-1] == ord("\r")) & (signs[1:] == ord("\n")), False)[: len(text)]
    return _characters(text) - pairs


COUNTINGS: Dict[str, Callable[[str], Widths]] = {
    "characters": _characters,
    "line ends as two characters": _ends_as_two,
    "line ends as one character": _ends_as_one,
    "UTF-16 units": _utf16,
    "UTF-16 units, line ends as two": lambda text: _utf16(text) + _ends_as_two(text) - 1,
    "UTF-16 units, line ends as one": lambda text: _utf16(text) + _ends_as_one(text) - 1,
    "bytes of UTF-8": _utf8,
    "bytes of UTF-8, line ends as two": lambda text: _utf8(text) + _ends_as_two(text) - 1,
    "bytes of UTF-8, line ends as one": lambda text: _utf8(text) + _ends_as_one(text) - 1,
}


GRAPHEMES = "grapheme clusters"
"""What doccano counts if a project says so. A span with a text is never counted so: the tools that give one count otherwise."""

BROWSERS = ("UTF-16 units", "line ends as one character", "UTF-16 units, line ends as one", GRAPHEMES)
"""What tools that run in a browser may count."""


def find_counting(text: str, quotes: Sequence[Quote], marked: bool = False) -> Tuple[str, Callable[[int], Optional[int]]]:
    """Find out what the offsets of a document count.

    text (str): The text of the document, without a byte order mark.
    quotes (Sequence[Quote]): Its spans.
    marked (bool): Whether the text has a byte order mark in its file, so that offsets may count that too.
    RETURNS (Tuple[str, Callable[[int], Optional[int]]]): The first of `COUNTINGS` in which all spans that have a text fit, and
        what turns its offsets into characters: None for one that is inside a character or outside the text. If none has a text,
        the words tell: it is characters, unless these cut most of them, and one of `BROWSERS` none.
    RAISES ValueError: There is none. It names the first span that does not fit when characters are counted, and no text.
    """
    given = [quote for quote in quotes if quote.text is not None]
    if not given:
        return _by_words(text, [quote for quote in quotes if quote.start < quote.end], marked)
    for name, place in _countings(text, marked):
        if all(_fits(text, quote, place) for quote in given):
            return name, place
    _, place = next(_countings(text, marked))
    wrong = next(quote for quote in given if not _fits(text, quote, place))
    raise ValueError(
        f"{wrong.where}: the text of the document at {shown(wrong.start)} to {shown(wrong.end)} is not the one that this span is "
        "given, nor do all spans of the document fit if the offsets count bytes of UTF-8 or UTF-16 units, or line ends as one or "
        "two characters. The annotation belongs to another version of the text: correct the offsets, or get the text that they "
        "were made for."
    )


def _countings(
    text: str, marked: bool, countings: Dict[str, Callable[[str], Widths]] = COUNTINGS
) -> Iterator[Tuple[str, "_Places"]]:
    for mark in (0, len(MARK))[: 1 + marked]:
        for name, count in countings.items():
            widths = count(MARK[:mark] + text)
            before = numpy.concatenate(([0], numpy.cumsum(widths)))
            yield name + ", and the byte order mark" * mark, _Places(before[mark:])


def _by_words(text: str, quotes: Sequence[Quote], marked: bool) -> Tuple[str, Callable[[int], Optional[int]]]:
    """The counting of spans without a text, see `find_counting`."""
    countings = _countings(text, marked, {**COUNTINGS, GRAPHEMES: widths_of})
    characters, place = next(countings)
    starts = starts_of(text)
    cut = [_cuts(text, quote, place, starts) for quote in quotes]
    for name, other in countings if any(cut) else ():
        if not name.startswith(BROWSERS):
            continue
        moved = [own for own, quote in zip(cut, quotes) if _spots(quote, place) != _spots(quote, other)]
        if 2 * sum(moved) > len(moved) and not any(_cuts(text, quote, other, starts) for quote in quotes):
            return name, other
    return characters, place


def _spots(quote: Quote, place: Callable[[int], Optional[int]]) -> List[Tuple[Optional[int], Optional[int]]]:
    """The characters of the parts of a span."""
    return [(place(start), place(end)) for start, end in quote.parts or ((quote.start, quote.end),)]


def _cuts(text: str, quote: Quote, place: Callable[[int], Optional[int]], starts: numpy.ndarray) -> bool:
    """Whether a span begins or ends within a word, or where nothing does that is one to readers, or with white space; or is not
    in the text."""
    for start, end in _spots(quote, place):
        if start is None or end is None or not _inside(text, start, end) or text[start].isspace() or text[end - 1].isspace():
            return True
        if not (starts[start] and starts[end]):
            return True
        if any(text[max(edge - 1, 0) : edge].isalnum() and text[edge : edge + 1].isalnum() for edge in (start, end)):
            return True
    return False


class _Places:
    """Turns offsets into characters."""

    def __init__(self, before: numpy.ndarray):
        self.before = before

    def __call__(self, offset: int) -> Optional[int]:
        if not self.before[0] <= offset <= self.before[-1]:
            return None
        # A line end that counts as one is two characters, and nothing begins between them.
        place = int(numpy.searchsorted(self.before, offset))
        return place if self.before[place] == offset else None


def _fits(text: str, quote: Quote, place: Callable[[int], Optional[int]]) -> bool:
    parts = _spots(quote, place)
    if not all(_inside(text, *part) for part in parts):
        return False
    return _same([text[start:end] for start, end in parts], quote.text or "")


def fits(text: str, start: Optional[int], end: Optional[int], quoted: Optional[str]) -> bool:
    """Whether a span has the text that a file gives for it. White space, case and forms of Unicode (NFKC) make no difference:
    standoff writes line ends as spaces, and tools clean what they quote.

    text (str): The text of the document.
    start (Optional[int]): The first character; None if there is none.
    end (Optional[int]): The one behind the last.
    quoted (Optional[str]): The text in the file.
    RETURNS (bool): Whether they are the same.
    """
    return _inside(text, start, end) and (quoted is None or _same([text[start:end]], quoted))


def _inside(text: str, start: Optional[int], end: Optional[int]) -> bool:
    return start is not None and end is not None and 0 <= start < end <= len(text)


def _same(parts: Sequence[str], quoted: str) -> bool:
    # No sign stands for more than 18 others. Without a bound, short quotes for long runs of spaces would take very long.
    if sum(map(len, parts)) > 20 * len(quoted) + 100:
        return False
    return _plain(" ".join(parts)) == _plain(quoted)


def _plain(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).casefold()
