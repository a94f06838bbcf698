"""What every part of an annotated row is checked for. Errors show labels and never a text."""

from typing import Any, Collection, Dict, List, Literal, Sequence, Set, Tuple

from spacy.tokens import Doc, Span

LONGEST_LABEL = 100

Align = Literal["expand", "strict"]
"""How spans that end inside a token are treated: "expand" to whole tokens, or "strict" to refuse them."""


class Aligner:
    """Makes the spans of one Doc, and remembers which of them were expanded to whole tokens."""

    def __init__(self, doc: Doc, align: Align):
        """
        doc (Doc): The Doc.
        align (str): "expand" or "strict".
        """
        self.doc = doc
        self.align = align
        self.expanded: Set[Tuple[int, int]] = set()

    def __call__(self, start: int, end: int, label: str, where: str) -> Span:
        """As `make_span`.

        RETURNS (Span): The span.
        """
        span = make_span(self.doc, start, end, label, where, self.align)
        if (span.start_char, span.end_char) != (start, end):
            self.expanded.add((start, end))
        return span


def make_span(doc: Doc, start: int, end: int, label: str, where: str, align: Align) -> Span:
    """Make a span of whole tokens.

    doc (Doc): The Doc.
    start (int): Its first character.
    end (int): The one behind its last.
    label (str): Its label.
    where (str): What to call it in errors.
    align (str): "expand" or "strict".
    RETURNS (Span): The span.
    """
    check_place(start, end, len(doc.text), where)
    span = doc.char_span(start, end, label=label, alignment_mode=align)
    # Of a space alone spaCy makes an empty span.
    if span is None or span.end <= span.start:
        cause = "they hold no token" if align == "expand" else "it does not begin and end with tokens"
        raise ValueError(
            f"{where}: the characters {start} to {end} are no span, for {cause}. Correct the annotation, use a tokenizer that "
            "splits there, or set `align = \"expand\"` to take the whole tokens."
        )
    return span


def check_place(start: Any, end: Any, length: int, where: str) -> None:
    """Refuse characters that are not in the text.

    start (int): The first character.
    end (int): The one behind the last.
    length (int): The characters that the text has.
    where (str): What to call the place in errors.
    """
    if type(start) is not int or type(end) is not int:
        raise ValueError(f"{where}: its 'start' or 'end' is not a whole number.")
    if not 0 <= start < end <= length:
        raise ValueError(f"{where}: its characters {start} to {end} are not in the text, which has {length}.")


def may_be_label(value: Any) -> bool:
    """RETURNS (bool): Whether a value is a label and not a text that is taken for one: labels are shown in errors."""
    return isinstance(value, str) and len(value) <= LONGEST_LABEL and "\n" not in value


def name_labels(labels: Collection[Any], most: int = 10) -> str:
    """RETURNS (str): Labels of annotated data as messages show them, up to so many; those that may be text are counted alone."""
    shown = sorted(label for label in labels if may_be_label(label))[:most]
    hidden = len(labels) - len(shown)
    return f"{shown}" if not hidden else f"{shown} and {hidden} more" if shown else f"{hidden} that are no labels"


def check_label(label: Any, where: str, field: str = "label") -> None:
    """Refuse what cannot be a label.

    label (Any): The label.
    where (str): What to call its place in errors.
    field (str): The field that it is in.
    """
    if not label or not may_be_label(label):
        raise ValueError(f"{where}: the field '{field}' is no string of 1 to {LONGEST_LABEL} characters on one line.")


def require(entry: Dict[str, Any], fields: Sequence[str], where: str) -> None:
    """Refuse an object without one of the fields.

    entry (Dict[str, Any]): The object.
    fields (Sequence[str]): The fields.
    where (str): What to call the object in errors.
    """
    for field in fields:
        if field not in entry:
            raise ValueError(f"{where}: the field '{field}' is missing.")


def objects(entry: Dict[str, Any], field: str, where: str) -> List[Dict[str, Any]]:
    """Get a field that is a list of objects, and may be missing.

    entry (Dict[str, Any]): What has the field.
    field (str): The field.
    where (str): What to call the former in errors.
    RETURNS (List[Dict[str, Any]]): The objects.
    """
    value = entry.get(field, [])
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise ValueError(f"{where}: the field '{field}' is not a list of objects.")
    return value
