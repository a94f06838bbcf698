"""Annotation in extension attributes: told from no annotation, and still of the same words when the tokens of a Doc change.

Entries count tokens. Beside them is kept which characters these tokens were when the attribute was set, so that a component that
merges or splits tokens afterwards (`merge_entities`, any retokenizer) does not make them point at other words.
"""

import zlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy
from spacy.attrs import IDX, LENGTH
from spacy.tokens import Doc, Span

from .doc_entries import KINDS, complete, find_outside

Key = Any  # a tuple; spaCy declares the keys of `user_data` as strings

Place = Tuple[int, int]
"""The first character of a span, and the one behind its last."""


PLACE = "spacy_epee_place"
"""Where `Doc.user_data` has the file and the line that annotation is from."""


def _key(name: str) -> Key:
    """Where spaCy keeps an extension attribute of a Doc."""
    return ("._.", name, None, None)


def annotation(doc: Doc, name: str, check: bool = True) -> Optional[List[Dict[str, Any]]]:
    """Read `doc._.relations` or `doc._.events`, without making an empty list of what nobody has set, as `doc._` does.

    doc (Doc): The Doc.
    name (str): The attribute.
    check (bool): Whether to refuse entries that cannot be read. Readers do so field by field.
    RETURNS (Optional[List[Dict[str, Any]]]): Its value, by the tokens that the Doc has now; None if it is not set, or set to
        None: then nothing is known. A span that ends inside a token is that whole token, and what may be left out is there.
    RAISES ValueError: Something else is there, or it was set on another text.
    """
    value = entries_of(doc, name, check)
    return complete(name, _by_tokens(doc, name, value)) if check and value else value


def _by_tokens(doc: Doc, name: str, value: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Entries by the tokens that the Doc has now. The same list if these are those of before."""
    before = _tokens_of(doc, name)
    if before is None or numpy.array_equal(before, token_characters(doc)):
        return value
    _check_entries(doc, name, value)
    where = characters(doc, name)
    starts, ends = token_characters(doc).T

    def move(span: Sequence[int]) -> List[int]:
        start, end = where(span)
        return [int(numpy.searchsorted(ends, start, side="right")), int(numpy.searchsorted(starts, end, side="left"))]

    return [KINDS[name].move(entry, move) for entry in value]


def entries_of(doc: Doc, name: str, check: bool = True) -> Optional[List[Dict[str, Any]]]:
    """As `annotation`, by the tokens that the Doc had when it was set: for those who go on to `characters`."""
    value = doc.user_data.get(_key(name))
    if value is not None and not (isinstance(value, (list, tuple)) and all(isinstance(entry, dict) for entry in value)):
        raise ValueError(
            f"`doc._.{name}` is no list of objects ({type(value).__name__}). Another component or package may use this attribute "
            "for something else: rename it there."
        )
    if check:
        _check_entries(doc, name, value or ())
    return value  # type: ignore[return-value]


def _check_entries(doc: Doc, name: str, entries: Sequence[Dict[str, Any]]) -> None:
    """Refuse entries that cannot be read. What stumbled over them later on would show what they hold.

    RAISES ValueError: There is one.
    """
    wrong = next((number for number, entry in enumerate(entries, 1) if not KINDS[name].is_entry(entry)), None)
    if wrong is not None:
        raise ValueError(
            f"`doc._.{name}`{in_place(doc)}: entry {wrong} lacks a field that it needs, or has something else in it than a "
            "label, a pair of token numbers and so on (see the README). Correct it, or rename the attribute if another package "
            "sets it."
        )
    outside = find_outside(name, entries, _count_tokens(doc, name))
    if outside is not None:
        raise ValueError(f"`doc._.{name}`{in_place(doc)}: entry {outside[0]} has {outside[1]}. Correct it.")


def characters(doc: Doc, name: str) -> Callable[[Sequence[int]], Place]:
    """Find the characters of what an attribute has in tokens.

    doc (Doc): The Doc.
    name (str): The attribute.
    RETURNS (Callable[[Sequence[int]], Tuple[int, int]]): From tokens, as `entries_of` has them, to characters.
    """
    before = _tokens_of(doc, name)
    starts, ends = (token_characters(doc) if before is None else before).T.tolist()

    def where(span: Sequence[int]) -> Place:
        start, end = span
        if not 0 <= start < end <= len(starts):
            raise ValueError(f"`doc._.{name}` has tokens that are not in its document, which has {len(starts)}.")
        return starts[start], ends[end - 1]

    return where


def in_characters(doc: Doc, name: str) -> Any:
    """Read an attribute for those who do not have the tokens.

    doc (Doc): The Doc.
    name (str): The attribute.
    RETURNS (Any): The value of `doc._.relations` or `doc._.events` with offsets in characters; that of another as it is.
    """
    if name not in KINDS:
        return doc._.get(name)
    where = characters(doc, name)
    entries = entries_of(doc, name)
    return None if entries is None else [KINDS[name].move(entry, lambda span: [*where(span)]) for entry in entries]


def annotate(doc: Doc, name: str, value: Any) -> None:
    """Set `doc._.relations` or `doc._.events`, and note which characters the tokens are that it counts.

    doc (Doc): The Doc.
    name (str): The attribute.
    value (Any): Its value.
    """
    doc.user_data[_key(name)] = value
    doc.user_data[_key(f"{name}_tokens")] = _digest(doc.text) + token_characters(doc).astype("<u4").tobytes()


EXITS = _key("exits")


def exits_of(doc: Doc) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): `doc._.exits`, whatever another package has set as its default. Empty if no component has run."""
    found = doc.user_data.get(EXITS)
    if found is not None and not isinstance(found, dict):
        raise ValueError(
            f"`doc._.exits` is no object ({type(found).__name__}). Another component or package may use this attribute for "
            "something else: rename it there."
        )
    return found or {}


def spans_of(doc: Doc, key: Optional[str]) -> List[Span]:
    """The spans of a Doc. Those of a group keep their characters when tokens are merged, and not their tokens (spaCy 3.8).

    doc (Doc): The Doc.
    key (Optional[str]): The span group, which may be missing; None for `doc.ents`.
    RETURNS (List[Span]): The spans, by the tokens that the Doc has now.
    """
    if key is None:
        return list(doc.ents)
    return [_anchor(doc, span) for span in doc.spans.get(key, ())]


def without(spans: Sequence[Span], attributes: Sequence[str], setting: str) -> List[Span]:
    """Leave out spans of which an attribute is true, such as those that a component found to be negated.

    spans (Sequence[Span]): The spans.
    attributes (Sequence[str]): The names of extension attributes.
    setting (str): The setting that names them.
    RETURNS (List[Span]): The others.
    RAISES ValueError: Spans have no attribute of that name.
    """
    for name in attributes:
        if not Span.has_extension(name):
            raise ValueError(
                f"The setting `{setting}` names '{name}', and spans have no such attribute (`span._.{name}`). Add the component "
                "that sets it before this one, import the package that registers it, or take the name out."
            )
    return [span for span in spans if not any(span._.get(name) for name in attributes)]


def _anchor(doc: Doc, span: Span) -> Span:
    last = span.end - 1
    if span.end <= len(doc) and doc[span.start].idx == span.start_char and doc[last].idx + len(doc[last]) == span.end_char:
        return span
    if span.start_char >= span.end_char:
        return span
    found = doc.char_span(
        span.start_char, span.end_char, label=span.label, kb_id=span.kb_id, span_id=span.id, alignment_mode="expand"
    )
    return span if found is None else found


def copy_doc(doc: Doc) -> Doc:
    """Copy a Doc. `Doc.copy` cannot do so if a component has left spans in an extension attribute (E112).

    doc (Doc): The Doc.
    RETURNS (Doc): A copy, with the same values in its extension attributes.
    """
    user_data = doc.user_data
    doc.user_data = {}
    try:
        copied = doc.copy()
    finally:
        doc.user_data = user_data
    copied.user_data = dict(user_data)
    return copied


def install(name: str, default: Any = None, getter: Optional[Callable] = None, setter: Optional[Callable] = None) -> None:
    """Register an extension attribute of Docs.

    name (str): The attribute.
    default (Any): What it is where nobody has set it, and
    getter, setter (Optional[Callable]): how it is read and set, if it is not a plain value.
    RAISES ValueError: Another package computes something else under this name, so that what is written would not be seen.
    """
    ours = (default, None, getter, setter)
    if Doc.has_extension(name):
        theirs = Doc.get_extension(name)
        if theirs == ours:
            return
        kinds = [kind for kind, value in zip(("method", "getter"), theirs[1:3]) if value is not None]
        if kinds:
            raise ValueError(
                f"Another package has registered `doc._.{name}` with a {kinds[0]}, which hides what is written there. Rename it "
                f'in that package, or call `Doc.remove_extension("{name}")` before this component is used, if nobody needs it.'
            )
        if theirs[0] != ([] if getter is not None else default):  # a plain value too, with another default
            return
    settings = {"default": default} if getter is None else {"getter": getter, "setter": setter}
    Doc.set_extension(name, **settings, force=True)


def install_annotation(name: str) -> None:
    """Register `doc._.relations` or `doc._.events`. Workers call this too.

    name (str): The attribute.
    """
    install(name, getter=_Get(name), setter=_Set(name))


TEACHER = _key("teacher")


def install_teacher() -> None:
    """Register `doc._.teacher`: what teachers say of a document, {label: probability}."""
    install("teacher")


def set_soft_labels(doc: Doc, soft: Optional[Dict[str, float]]) -> None:
    """Set `doc._.teacher`.

    doc (Doc): The annotated Doc.
    soft (Optional[Dict[str, float]]): The probability of each label; None if no teacher has said anything.
    """
    if soft is None:
        doc.user_data.pop(TEACHER, None)
    else:
        doc.user_data[TEACHER] = soft


def soft_labels(doc: Doc) -> Dict[str, float]:
    """RETURNS (Dict[str, float]): `doc._.teacher`; empty if no teacher has said anything.
    RAISES ValueError: Something else is there."""
    found = doc.user_data.get(TEACHER)
    if found is None:
        return {}
    if not are_soft_labels(found):
        raise ValueError(
            f"`doc._.teacher`{in_place(doc)} is not {{label: probability}} with numbers from 0 to 1. Correct it, or rename the "
            "attribute if another package sets it."
        )
    return found


def are_soft_labels(value: Any) -> bool:
    """RETURNS (bool): Whether a value gives labels probabilities."""
    if not isinstance(value, dict) or not all(isinstance(label, str) for label in value):
        return False
    return all(isinstance(number, (int, float)) and 0 <= number <= 1 for number in value.values())


def set_place(doc: Doc, where: str) -> None:
    """Remember where annotation comes from, for errors that are found later.

    doc (Doc): The annotated Doc.
    where (str): The file and the line or number of the document, and nothing of it.
    """
    doc.user_data[PLACE] = where


def place_of(doc: Doc) -> str:
    """RETURNS (str): Where the annotation of a Doc comes from; "" if nobody said so."""
    return doc.user_data.get(PLACE, "")


def in_place(doc: Doc) -> str:
    """RETURNS (str): " in FILE, line LINE" for errors, if it is known. What is not known to be a label may be text and is not
    shown, so that the place has to say which it is."""
    where = place_of(doc)
    return f" in {where}" if where else ""


@dataclass(frozen=True)
class _Get:
    """Reads an attribute: an empty list, to be appended to, where nobody has set it."""

    name: str

    def __call__(self, doc: Doc) -> Any:
        key = _key(self.name)
        if key not in doc.user_data:
            annotate(doc, self.name, [])
        value = doc.user_data[key]
        if value:
            now = _by_tokens(doc, self.name, entries_of(doc, self.name) or [])
            if now is not value:  # so that it can be appended to
                annotate(doc, self.name, now)
        return doc.user_data[key]


@dataclass(frozen=True)
class _Set:
    """Sets an attribute."""

    name: str

    def __call__(self, doc: Doc, value: Any) -> None:
        annotate(doc, self.name, value)


def token_characters(doc: Doc) -> numpy.ndarray:
    """RETURNS (ndarray): The characters of each token, (n, 2). spaCy makes an object of each token that it is asked for."""
    found = doc.to_array([IDX, LENGTH]).astype("int64").reshape(-1, 2)
    found[:, 1] += found[:, 0]
    return found


def _tokens_of(doc: Doc, name: str) -> Optional[numpy.ndarray]:
    """Those of the tokens that an attribute counts, (n, 2); None if it is not known, as in files of an older version."""
    kept = doc.user_data.get(_key(f"{name}_tokens"))
    if kept is None:
        return None
    if _digest(doc.text) != kept[:4]:
        raise ValueError(f"`doc._.{name}` was set on another text. Set it anew on this document, or remove it.")
    return numpy.frombuffer(kept[4:], dtype="<u4").astype("int64").reshape(-1, 2)


def _count_tokens(doc: Doc, name: str) -> int:
    """How many tokens the Doc had when an attribute was set."""
    kept = doc.user_data.get(_key(f"{name}_tokens"))
    return len(doc) if kept is None else (len(kept) - 4) // 8


def _digest(text: str) -> bytes:
    """Four bytes by which another text is noticed."""
    return zlib.crc32(text.encode("utf8", "surrogatepass")).to_bytes(4, "big")
