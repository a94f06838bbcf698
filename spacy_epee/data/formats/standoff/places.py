"""What reading and writing standoff have in common: places of spans, and names that are free."""

import re
from typing import Any, Dict, List, Set, Tuple

NOTE = "spacy_epee"
"""The type of our notes, see `lines`."""

ONE_LINE = re.compile("[^\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]+")
"""What has no line end, for any reader of files."""

LONGEST_NUMBER = 9
"""The most digits of the number of a role."""

Part = Tuple[int, int]
"""The first character of a fragment, and the one behind its last."""


def as_word(value: Any) -> Any:
    """RETURNS (Any): A value as an attribute's line has it: a string without whitespace, or True."""
    return re.sub(r"\s", "_", value) if isinstance(value, str) else value


def as_place(parts: List[Part]) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): From the first part to the last, and the parts if there are several."""
    place: Dict[str, Any] = {"start": min(start for start, _ in parts), "end": max(end for _, end in parts)}
    if len(parts) > 1:
        place["parts"] = [{"start": start, "end": end} for start, end in sorted(parts)]
    return place


def fragments(text: str, parts: List[Part]) -> List[Part]:
    """What brat makes of parts: in order, without overlap, and each on one line.

    text (str): The text.
    parts (List[Tuple[int, int]]): The parts.
    RETURNS (List[Tuple[int, int]]): The fragments; an empty one if there are line ends alone.
    """
    found: List[Part] = []
    for start, end in sorted(parts):
        start = max(start, found[-1][1] if found else 0)
        found += [match.span() for match in ONE_LINE.finditer(text, start, max(start, end))]
    return found or [(min(parts)[0], min(parts)[0])]


def free_name(name: str, taken: Set[str], counts: Dict[str, int]) -> str:
    """RETURNS (str): A name, with the first number that makes it a new one if it is taken. `counts` keeps what was tried."""
    found = name
    while found in taken:
        counts[name] = counts.get(name, 1) + 1
        found = f"{name}{counts[name]}"
    return found


def noted_parts(place: Dict[str, Any], length: int) -> List[Part]:
    """Read the place in a note.

    place (Dict[str, Any]): The place, as the note has it.
    length (int): How many characters the text has.
    RETURNS (List[Tuple[int, int]]): Its parts; none if it is not one of this text.
    """
    parts = place.get("parts", [place])
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return []
    found = [(part.get("start"), part.get("end")) for part in parts]
    if not all(type(start) is int and type(end) is int and 0 <= start < end <= length for start, end in found):
        return []
    return found
