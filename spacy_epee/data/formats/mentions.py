"""Mentions of a file, put where their texts are in the document."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ...errors import raise_alone
from .countings import COUNTINGS, Quote, Widths, find_counting, fits
from .remarks import OFFSETS, Remarks

ROOM = 100_000
"""How much white space there may be between the passages of a document."""

NEAR = 3
"""By how many characters a mention may miss its text."""

MOVED = f"Mentions that miss their text by up to {NEAR} characters, moved to it"

Places = List[Tuple[int, int]]

Row = Dict[str, Any]


@dataclass
class Mention:
    """A mention of an entity.

    name (str): Its id, which no other mention of the document has.
    label (str): Its label.
    concept (str): The id of its concept.
    parts (List[Tuple[int, int]]): Where it is, in whatever the file counts.
    text (Optional[str]): Its text in the file; None if the file gives none.
    where (str): What to call it in errors.
    """

    name: str
    label: str
    concept: str
    parts: Places
    text: Optional[str]
    where: str

    def quote(self) -> Quote:
        """RETURNS (Quote): Its place and text."""
        start, end = min(start for start, _ in self.parts), max(end for _, end in self.parts)
        return Quote(start, end, self.text, self.where, tuple(self.parts) if len(self.parts) > 1 else ())

    def row(self, places: Places) -> Row:
        """RETURNS (Dict[str, Any]): The entity of a row, from its places in characters."""
        start, end = min(start for start, _ in places), max(end for _, end in places)
        row = {"id": self.name, "start": start, "end": end, "label": self.label, "kb_id": self.concept}
        return {**row, "parts": [{"start": first, "end": last} for first, last in sorted(places)]} if places[1:] else row


@dataclass
class Passage:
    """A part of a document.

    offset (int): Where it begins, in whatever the file counts.
    text (str): Its text.
    mentions (List[Mention]): The mentions that are given with it.
    where (str): What to call it in errors.
    """

    offset: int
    text: str
    mentions: List[Mention]
    where: str


@dataclass
class Layout:
    """Passages put together.

    text (str): The text.
    starts (List[int]): The first character of each passage.
    """

    text: str
    starts: List[int]


def place_mentions(text: str, mentions: Sequence[Mention], where: str, remarks: Remarks) -> List[Row]:
    """Put mentions where their texts are: as the file says, in whichever counting all of them fit, or else near to there.

    text (str): The text of the document.
    mentions (Sequence[Mention]): Its mentions.
    where (str): What to call the document in warnings.
    remarks (Remarks): Takes down what the offsets count, and mentions that are moved.
    RETURNS (List[Dict[str, Any]]): The entities of a row.
    RAISES ValueError: A text is not there. It names the mention and shows nothing of either text.
    """
    return _place([Layout(text, [0])], mentions, [], where, remarks)[1]


def place_passages(passages: Sequence[Passage], others: Sequence[Mention], where: str, remarks: Remarks) -> Tuple[str, List[Row]]:
    """Put the passages of a document together by their offsets, which may count what those of the mentions count, and mentions
    as `place_mentions` does. Where that cannot be, offsets of mentions are looked for within each passage.

    passages (Sequence[Passage]): The passages, with their mentions.
    others (Sequence[Mention]): The mentions that are given with none of them.
    where (str): What to call the document in warnings and errors.
    remarks (Remarks): As of `place_mentions`.
    RETURNS (Tuple[str, List[Dict[str, Any]]]): The text, which has spaces where offsets leave room, and the entities of a row:
        the mentions of each passage in turn, and the others.
    RAISES ValueError: As of `place_mentions`; or passages cover each other, or are far apart.
    """
    mentions = [mention for passage in passages for mention in passage.mentions]
    layouts = _layouts(passages, where)
    return _place(layouts, [*mentions, *others], [] if others else passages, where, remarks)


def _place(
    layouts: Sequence[Layout], mentions: Sequence[Mention], passages: Sequence[Passage], where: str, remarks: Remarks
) -> Tuple[str, List[Row]]:
    failure: Optional[ValueError] = None
    for layout in layouts:
        try:
            counting, rows = _counted(layout.text, mentions)
        except ValueError as error:
            failure = failure or error
            continue
        if counting != "characters":
            remarks.add(OFFSETS, f"documents in {counting}", where)
        return layout.text, rows
    layout = layouts[0] if layouts else _in_turn(passages)
    found = _in_passages(layout, passages) if passages else None
    if found is not None:
        remarks.add(OFFSETS, f"documents in {found[0]} that begin anew in each passage", where)
        return layout.text, found[1]
    if failure is None:
        raise ValueError(
            f"{where}: its passages cover each other, by their offsets, and the texts of mentions are not where theirs say, be "
            "they of the document or of each passage."
        )
    spots = [_near(layout.text, mention) for mention in mentions]
    if not all(spots):
        raise_alone(failure)
    for mention, spot in zip(mentions, spots):
        remarks.add(MOVED, "mentions", mention.where, count=spot != mention.parts)
    return layout.text, [mention.row(spot) for mention, spot in zip(mentions, spots) if spot]


def _counted(text: str, mentions: Sequence[Mention]) -> Tuple[str, List[Row]]:
    """RETURNS (Tuple[str, List[Dict[str, Any]]]): The counting in which all mentions fit, and their entities."""
    counting, place = find_counting(text, [mention.quote() for mention in mentions])
    rows = []
    for mention in mentions:
        spots = [(place(start), place(end)) for start, end in mention.parts]
        places = [(start, end) for start, end in spots if start is not None and end is not None and start < end]
        if len(places) < len(spots):
            raise ValueError(f"{mention.where}: its offsets are not in the text, which has {len(text)} characters.")
        rows.append(mention.row(places))
    return counting, rows


def _in_passages(layout: Layout, passages: Sequence[Passage]) -> Optional[Tuple[str, List[Row]]]:
    """Place mentions by offsets that begin anew in each passage. RETURNS (Optional[Tuple[str, List[Dict[str, Any]]]]): As of
    `_counted`; None if they do not fit."""
    countings, rows = ["characters"], []
    for start, passage in zip(layout.starts, passages):
        try:
            counting, found = _counted(passage.text, passage.mentions)
        except ValueError:
            return None
        countings.append(counting)
        for row in found:
            for entry in (row, *row.get("parts", ())):
                entry.update(start=entry["start"] + start, end=entry["end"] + start)
        rows += found
    return next((name for name in countings if name != "characters"), "characters"), rows


def _near(text: str, mention: Mention) -> Optional[Places]:
    """Where the text of a mention is, not far from where it should be, if only characters are counted."""
    quoted, parts = mention.text, mention.parts
    joined = " ".join(text[start:end] for start, end in parts)
    if all(0 <= start < end <= len(text) for start, end in parts) and fits(joined, 0, len(joined), quoted):
        return parts
    # Of a few characters anything could be said to be near.
    if quoted is None or len(quoted) <= NEAR or len(quoted) != sum(end - start + 1 for start, end in parts) - 1:
        return None
    found: Places = []
    begin = 0
    for start, end in parts:
        piece = quoted[begin : begin + end - start]
        begin += end - start + 1
        starts = [start + shift for shift in sorted(range(-NEAR, NEAR + 1), key=abs) if start + shift >= 0]
        found += [(at, at + end - start) for at in starts if text[at : at + end - start] == piece][:1]
    return found if len(found) == len(parts) else None


def _layouts(passages: Sequence[Passage], where: str) -> List[Layout]:
    """RETURNS (List[Layout]): The texts that passages can make, from the counting of characters on."""
    found: Dict[str, Layout] = {}
    for count in COUNTINGS.values():
        layout = _lay_out(passages, count)
        if layout is not None:
            found.setdefault(layout.text, layout)
    return list(found.values())


def _lay_out(passages: Sequence[Passage], count: Callable[[str], Widths]) -> Optional[Layout]:
    """Put passages where their offsets are in one counting. RETURNS (Optional[Layout]): None if one begins in another."""
    text: List[str] = []
    known: Dict[Tuple[int, str], int] = {}
    length = counted = room = 0
    for passage in sorted(passages, key=lambda passage: passage.offset):
        if (passage.offset, passage.text) in known:
            continue
        before = passage.offset - counted
        if before < 0:
            return None
        room += before
        if room > ROOM:
            raise ValueError(f"{passage.where}: by its offset there are more than {ROOM} characters without a text before it.")
        known[(passage.offset, passage.text)] = length + before
        text += [" " * before, passage.text]
        length += before + len(passage.text)
        counted = passage.offset + int(count(passage.text).sum())
    return Layout("".join(text), [known[(passage.offset, passage.text)] for passage in passages])


def _in_turn(passages: Sequence[Passage]) -> Layout:
    """Put passages one after the other, with a space between them."""
    starts, length = [], 0
    for passage in passages:
        starts.append(length)
        length += len(passage.text) + 1
    return Layout(" ".join(passage.text for passage in passages), starts)
