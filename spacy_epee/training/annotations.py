"""From rows with character offsets to Docs with entities and relations."""

import warnings
from typing import Any, Dict, List, Literal, Optional, Sequence, Tuple

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..tasks.relations import install_extensions

LONGEST_LABEL = 100

Align = Literal["expand", "strict"]
"""How spans that end inside a token are treated: "expand" to whole tokens, or "strict" to refuse them."""


def annotate_doc(
    nlp: Language, row: Dict[str, Any], where: str, *, spans_key: Optional[str] = None, align: Align = "expand"
) -> Doc:
    """Make a Doc with entities and relations.

    nlp (Language): The pipeline, for its tokenizer.
    row (Dict[str, Any]): {"text", "ents": [{"id", "start", "end", "label"}], "relations": [{"head", "child", "label"}]},
        offsets in characters, head and child ids of entities.
    where (str): What to call the row in errors: nothing of its text is shown.
    spans_key (Optional[str]): The span group for the entities; None puts them into `doc.ents`, where they cannot overlap.
    align (str): "expand" or "strict".
    RETURNS (Doc): The Doc.
    RAISES ValueError: An entity outside the text, without a token or against `align`; overlapping entities for `doc.ents`;
        a relation of an unknown entity, or of an entity with itself. (One whose ends are parts of the same tokens is left out
        with a warning.)
    """
    install_extensions()
    doc = nlp.make_doc(row["text"])
    spans: Dict[Any, Span] = {}
    characters: Dict[Any, Tuple[int, int]] = {}
    for number, ent in enumerate(_list(row, "ents", where)):
        place = f"{where}, entity {number + 1}"
        _require(ent, ("id", "start", "end", "label"), place)
        if not isinstance(ent["id"], (str, int)):
            raise ValueError(f"{place}: the field 'id' is neither a string nor a number.")
        if ent["id"] in spans:
            raise ValueError(f"{place}: another entity of this document has the same id.")
        check_label(ent["label"], place)
        spans[ent["id"]] = make_span(doc, ent["start"], ent["end"], ent["label"], place, align)
        characters[ent["id"]] = (ent["start"], ent["end"])
    set_spans(doc, list(spans.values()), where, spans_key)
    relations = []
    for number, relation in enumerate(_list(row, "relations", where)):
        place = f"{where}, relation {number + 1}"
        _require(relation, ("head", "child", "label"), place)
        check_label(relation["label"], place)
        for field in ("head", "child"):
            if not isinstance(relation[field], (str, int)) or relation[field] not in spans:
                raise ValueError(f"{place}: its {field} is no entity of this document.")
        head, child = spans[relation["head"]], spans[relation["child"]]
        if characters[relation["head"]] == characters[relation["child"]]:
            raise ValueError(f"{place}: head and child are the same characters.")
        if (head.start, head.end) == (child.start, child.end):
            warnings.warn(f"{place}: left out, for head and child are parts of the same tokens. A tokenizer may split them.")
            continue
        relations.append(
            {"head": [head.start, head.end], "child": [child.start, child.end], "label": relation["label"], "score": 1.0}
        )
    doc._.relations = relations
    return doc


def may_be_label(value: Any) -> bool:
    """RETURNS (bool): Whether a value is a label and not a text that is taken for one: labels are shown in errors."""
    return isinstance(value, str) and len(value) <= LONGEST_LABEL and "\n" not in value


def check_label(label: Any, where: str) -> None:
    """Refuse what cannot be a label.

    label (Any): The label.
    where (str): What to call its place in errors.
    """
    if not label or not may_be_label(label):
        raise ValueError(f"{where}: the field 'label' is no string of 1 to {LONGEST_LABEL} characters on one line.")


def check_relations(doc: Doc, where: str) -> None:
    """Refuse relations that are not of this Doc's tokens.

    doc (Doc): The Doc, with `doc._.relations`.
    where (str): What to call it in errors.
    """
    for number, relation in enumerate(doc._.relations, 1):
        place = f"{where}, relation {number}"
        _require(relation, ("head", "child", "label"), place)
        check_label(relation["label"], place)
        for field in ("head", "child"):
            start, end = relation[field]
            if not 0 <= start < end <= len(doc):
                raise ValueError(f"{place}: its {field}, tokens {start} to {end}, is not in the document of {len(doc)} tokens.")
        if list(relation["head"]) == list(relation["child"]):
            raise ValueError(f"{place}: head and child are the same tokens.")


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
    if type(start) is not int or type(end) is not int:
        raise ValueError(f"{where}: its 'start' or 'end' is not a whole number.")
    if not 0 <= start < end <= len(doc.text):
        raise ValueError(f"{where}: its characters {start} to {end} are not in the text, which has {len(doc.text)}.")
    span = doc.char_span(start, end, label=label, alignment_mode=align)
    if span is None:
        cause = "they hold no token" if align == "expand" else "it does not begin and end with tokens"
        raise ValueError(
            f"{where}: the characters {start} to {end} are no span, for {cause}. Correct the annotation, use a tokenizer that "
            "splits there, or set `align = \"expand\"` to take the whole tokens."
        )
    return span


def set_spans(doc: Doc, spans: List[Span], where: str, spans_key: Optional[str]) -> None:
    """Put the entities where a component looks for them.

    doc (Doc): The Doc.
    spans (List[Span]): The entities.
    where (str): What to call the Doc in errors.
    spans_key (Optional[str]): The span group; None for `doc.ents`.
    """
    if spans_key is not None:
        doc.spans[spans_key] = spans
        return
    unique = list({(span.start, span.end, span.label): span for span in spans}.values())
    taken = sorted(unique, key=lambda span: (span.start, span.end))
    for before, after in zip(taken, taken[1:]):
        if after.start < before.end:
            raise ValueError(
                f"{where}: the entities at the characters {before.start_char} to {before.end_char} and {after.start_char} to "
                f"{after.end_char} share a token, and `doc.ents` cannot hold both. Set `spans_key`, for the reader and in "
                "`candidates`, to keep them in a span group."
            )
    doc.set_ents(unique)


def copy_entities(source: Doc, target: Doc) -> None:
    """Give a Doc the entities, span groups and sentence boundaries of another one with the same tokens.

    source (Doc): The Doc that has them.
    target (Doc): The Doc that is to have them.
    """
    target.set_ents([Span(target, span.start, span.end, label=span.label_) for span in source.ents])
    if source.has_annotation("SENT_START"):
        for before, after in zip(source, target):
            after.is_sent_start = bool(before.is_sent_start)
    for key, group in source.spans.items():
        target.spans[key] = [Span(target, span.start, span.end, label=span.label_) for span in group]


def _require(entry: Dict[str, Any], fields: Sequence[str], where: str) -> None:
    for field in fields:
        if field not in entry:
            raise ValueError(f"{where}: the field '{field}' is missing.")


def _list(row: Dict[str, Any], field: str, where: str) -> List[Dict[str, Any]]:
    value = row.get(field, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError(f"{where}: the field '{field}' is not a list of objects.")
    return value
