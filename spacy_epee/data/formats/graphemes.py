"""What readers see as one character: a letter with its accents, a flag, a family of emoji (Unicode Standard Annex 29, as far as
the tables of Python tell)."""

import unicodedata
from typing import List, Tuple

import numpy

MARKS = ("Mn", "Me", "Mc")

JOINER = "\u200d"

OTHERS = frozenset("\u200c\u200d\u0e33\u0eb3") | frozenset(map(chr, (*range(0x1F3FB, 0x1F400), *range(0xE0020, 0xE0080))))
"""What goes on with the character before it and is no mark: joiners, vowels of Thai and Lao, colours of skin, tags of flags."""

VOWELS, FINALS = ("\u1160", "\u11a7"), ("\u11a8", "\u11ff")
"""The first and last of the later parts of Korean syllables."""


def starts_of(text: str) -> numpy.ndarray:
    """RETURNS (ndarray): Where something begins that is one character to readers, and the end of the text, (n + 1,) bool."""
    starts = numpy.ones(len(text) + 1, dtype=bool)
    flags, before, base = 0, "\n", "\n"
    for place, sign in enumerate(text):
        if sign > "\x7f" or sign == "\n":
            starts[place] = not _goes_on(base, before, sign, flags)
        flags = flags + 1 if _is_flag(sign) else 0
        base = base if _is_added(sign) else sign
        before = sign
    starts[:1] = True
    return starts


def widths_of(text: str) -> numpy.ndarray:
    """RETURNS (ndarray): What each character of a text counts if what readers see as one counts as one, (n,). The last of several
    counts."""
    found: numpy.ndarray = starts_of(text)[1:].astype("int64")
    return found


def _goes_on(base: str, before: str, sign: str, flags: int) -> bool:
    """Whether a character goes on with the one before it, and with what that was added to, behind so many letters of flags."""
    if before in "\r\n":
        return before + sign == "\r\n"
    if _is_added(sign):
        return True
    if before == JOINER and _is_picture(sign):
        return _is_picture(base)
    if _is_flag(sign):
        return flags % 2 == 1
    return any(first <= sign <= last for first, last in _follows(before))


def _is_added(sign: str) -> bool:
    return sign > "\x7f" and (sign in OTHERS or unicodedata.category(sign) in MARKS)


def _is_picture(sign: str) -> bool:
    return sign > "\x7f" and unicodedata.category(sign) == "So" and not _is_flag(sign)


def _is_flag(sign: str) -> bool:
    return "\U0001f1e6" <= sign <= "\U0001f1ff"


def _follows(before: str) -> List[Tuple[str, str]]:
    """What may go on a Korean syllable."""
    if "\u1100" <= before <= "\u115f":
        return [("\u1100", "\u115f"), VOWELS, ("\uac00", "\ud7a3")]
    if VOWELS[0] <= before <= VOWELS[1]:
        return [VOWELS, FINALS]
    if "\uac00" <= before <= "\ud7a3":
        return [FINALS] if (ord(before) - 0xAC00) % 28 else [VOWELS, FINALS]
    return [FINALS] if FINALS[0] <= before <= FINALS[1] else []
