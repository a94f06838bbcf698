"""What every part of an annotated row is checked for. Errors show nothing of what is in a row."""

from typing import Any, Dict, List, Literal, Protocol, Sequence, Set, Tuple

import numpy
from spacy.tokens import Doc, Span

from ..doc_attributes import annotation

LONGEST_LABEL = 100

NO_LABEL = f"no string of 1 to {LONGEST_LABEL} characters on one line"
"""What is said of what is no label."""

Align = Literal["expand", "strict"]
"""How spans that end inside a token are treated: "expand" to whole tokens, or "strict" to refuse them."""


class MakesDocs(Protocol):
    """A pipeline, or a tokenizer alone.

    max_length (int): The most characters that it takes.
    """

    max_length: int

    def make_doc(self, text: str) -> Doc: ...


def make_doc(nlp: MakesDocs, text: Any, where: str) -> Doc:
    """Make the Doc of a row.

    nlp (MakesDocs): The pipeline, for its tokenizer.
    text (str): The text.
    where (str): What to call the row in errors.
    RETURNS (Doc): The Doc.
    RAISES ValueError: It is no string, or too long.
    """
    if not isinstance(text, str):
        raise ValueError(f"{where}: the field 'text' is not a string.")
    if len(text) > nlp.max_length:
        raise ValueError(
            f"{where}: the text has {len(text)} characters, and this pipeline takes {nlp.max_length}. Split the text, or set "
            "`nlp.max_length` (for training in a callback `nlp.after_creation`)."
        )
    return nlp.make_doc(text)


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
        # `Doc.char_span` walks through all tokens for each span, and `Doc.text` is put together anew.
        self._starts = numpy.array([token.idx for token in doc], dtype="int64")
        self._ends = self._starts + numpy.array([len(token) for token in doc], dtype="int64")
        self._length = len(doc.text)

    def __call__(self, start: int, end: int, label: str, where: str, concept: str = "") -> Span:
        """Make a span of whole tokens.

        start (int): Its first character.
        end (int): The one behind its last.
        label (str): Its label.
        where (str): What to call it in errors.
        concept (str): The id of its concept; "" for none.
        RETURNS (Span): The span.
        RAISES ValueError: It is not in the text, or has no token, or is not what `align` asks for.
        """
        check_place(start, end, self._length, where)
        # The first token that ends behind the start, and the last one that begins before the end.
        first = int(numpy.searchsorted(self._ends, start, side="right"))
        last = int(numpy.searchsorted(self._starts, end, side="left"))
        if last <= first:
            raise ValueError(f"{where}: the characters {start} to {end} are no span, for they hold no token but white space.")
        span = Span(self.doc, first, last, label=label, kb_id=concept)
        if (span.start_char, span.end_char) != (start, end):
            if self.align == "strict":
                raise ValueError(
                    f"{where}: the characters {start} to {end} do not begin and end with tokens. Correct the annotation, use a "
                    'tokenizer that splits there, or set `align = "expand"` to take the whole tokens.'
                )
            self.expanded.add((start, end))
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
        raise ValueError(f"{where}: its characters {shown(start)} to {shown(end)} are not in the text, which has {length}.")


def shown(number: int) -> str:
    """RETURNS (str): An offset or index for an error. What is much longer than a text is none, but may be somebody's number."""
    return str(number) if abs(number) < 10**7 else "(a number of more than 7 digits)"


def may_be_label(value: Any) -> bool:
    """RETURNS (bool): Whether a value is a label and not a text that is taken for one: components show labels in errors."""
    return is_short_line(value) and bool(value.strip())


def is_short_line(value: Any) -> bool:
    """RETURNS (bool): Whether a value is a string as long as a label may be, which may be white space."""
    return isinstance(value, str) and len(value) <= LONGEST_LABEL and value.splitlines() == [value]


def check_label(label: Any, where: str, field: str = "label") -> None:
    """Refuse what cannot be a label.

    label (Any): The label.
    where (str): What to call its place in errors.
    field (str): The field that it is in.
    """
    if not may_be_label(label):
        raise ValueError(f"{where}: the field '{field}' is {NO_LABEL}.")


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
    if not isinstance(value, (list, tuple)) or not all(isinstance(part, dict) for part in value):
        raise ValueError(f"{where}: the field '{field}' is not a list of objects.")
    return list(value)


def annotated(doc: Doc, name: str, where: str) -> List[Dict[str, Any]]:
    """Get what a Doc is annotated with.

    doc (Doc): The Doc.
    name (str): "relations" or "events".
    where (str): What to call it in errors.
    RETURNS (List[Dict[str, Any]]): The relations or events; none if the Doc is not annotated with them.
    """
    return objects({f"doc._.{name}": annotation(doc, name, check=False) or []}, f"doc._.{name}", where)


def check_tokens(span: Any, length: int, what: str) -> None:
    """Refuse what is no span of a Doc's tokens.

    span (Sequence[int]): The first token and the one behind the last.
    length (int): The tokens of the Doc.
    what (str): What to call it in errors.
    """
    if not isinstance(span, (list, tuple)) or len(span) != 2 or not all(type(token) is int for token in span):
        raise ValueError(f"{what} is not a pair of token numbers.")
    start, end = span
    if not 0 <= start < end <= length:
        raise ValueError(f"{what}, tokens {shown(start)} to {shown(end)}, is not in the document of {length} tokens.")
