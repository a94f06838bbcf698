"""From rows with character offsets to Docs with entities, relations and events."""

import warnings
from collections import Counter
from typing import Any, Dict, List, Optional, Set, Tuple

from spacy.tokens import Doc, Span

from ..doc_attributes import annotate, spans_of
from ..inputs.concepts import NO_CONCEPT, unite
from ..tasks.events import docs as event_docs
from ..tasks.relations import docs as relation_docs
from .checks import Align, Aligner, MakesDocs, annotated, check_label, check_tokens, make_doc, objects, require
from .event_docs import annotate_events

SAME_TOKENS, OTHER_LABEL = "same tokens", "other label"

CAUSES = {
    SAME_TOKENS: "head and child are parts of the same tokens",
    OTHER_LABEL: "other entities on the same tokens are related too, and the first label is kept",
}
"""Why relations are left out."""

LONGEST_CONCEPT = 10_000
"""The most characters of the ids of a mention's concepts: families of genes have dozens, and insertions have what is inserted."""


def annotate_doc(
    nlp: MakesDocs,
    row: Dict[str, Any],
    where: str,
    *,
    spans_key: Optional[str] = None,
    align: Align = "expand",
    expanded: Optional[Counter] = None,
    joined: Optional[Counter] = None,
) -> Doc:
    """Make a Doc with entities, relations and events.

    nlp (MakesDocs): The pipeline, for its tokenizer.
    row (Dict[str, Any]): {"text", "ents": [{"id", "start", "end", "label"}], "relations": [{"head", "child", "label"}]},
        offsets in characters, head and child ids of entities; "symmetric", true if its relations have no direction; and
        "events", see `read_events`. An entity may have "kb_id", the id of its concept.
    where (str): What to call the row in errors: nothing of its text is shown.
    spans_key (Optional[str]): The span group for the entities; None puts them into `doc.ents`, where they cannot overlap.
    align (str): "expand" or "strict".
    expanded (Optional[Counter]): Takes down how many spans were expanded to whole tokens, see `warn_expanded`.
    joined (Optional[Counter]): Takes down how many relations were left out for entities on the same tokens, see `warn_joined`;
        without it they are warned of here.
    RETURNS (Doc): The Doc. Relations of different entities on the same tokens are one, which has the first label.
    RAISES ValueError: An entity outside the text, without a token or against `align`; overlapping entities for `doc.ents`;
        a relation of an unknown entity, or of an entity with itself (one whose ends are parts of the same tokens is left out);
        an event that `read_events` refuses.
    """
    install_extensions()
    require(row, ("text",), where)
    if not isinstance(row.get("symmetric", False), (bool, type(None))):
        raise ValueError(f"{where}: the field 'symmetric' is neither true nor false.")
    doc = make_doc(nlp, row["text"], where)
    aligner = Aligner(doc, align)
    spans: Dict[Any, Span] = {}
    characters: Dict[Any, Tuple[int, int]] = {}
    for number, ent in enumerate(objects(row, "ents", where)):
        place = f"{where}, entity {number + 1}"
        require(ent, ("id", "start", "end", "label"), place)
        if not isinstance(ent["id"], (str, int)):
            raise ValueError(f"{place}: the field 'id' is neither a string nor a number.")
        if ent["id"] in spans:
            raise ValueError(f"{place}: another entity of this document has the same id.")
        check_label(ent["label"], place)
        spans[ent["id"]] = aligner(ent["start"], ent["end"], ent["label"], place, _concept(ent, place))
        characters[ent["id"]] = (ent["start"], ent["end"])
    set_spans(doc, list(spans.values()), where, spans_key)
    found: Dict[Tuple[Any, ...], Dict[str, Any]] = {}
    pairs: Dict[Tuple[Any, ...], Tuple[Set[Any], Set[str]]] = {}
    left = Counter() if joined is None else joined
    for number, relation in enumerate(objects(row, "relations", where)):
        place = f"{where}, relation {number + 1}"
        require(relation, ("head", "child", "label"), place)
        check_label(relation["label"], place)
        for field in ("head", "child"):
            if not isinstance(relation[field], (str, int)) or relation[field] not in spans:
                raise ValueError(f"{place}: its {field} is no entity of this document.")
        head, child = spans[relation["head"]], spans[relation["child"]]
        if characters[relation["head"]] == characters[relation["child"]]:
            raise ValueError(f"{place}: head and child are the same characters. Correct one of them, or remove the relation.")
        if (head.start, head.end) == (child.start, child.end):
            left[SAME_TOKENS, where] += 1
            continue
        ends, label = ((head.start, head.end), (child.start, child.end)), relation["label"]
        pair = tuple(sorted(ends)) if row.get("symmetric") is True else ends
        ids, labels = pairs.setdefault(pair, ({relation["head"], relation["child"]}, set()))
        if ids == {relation["head"], relation["child"]}:
            labels.add(label)
            found[(ends, label)] = {"head": [*ends[0]], "child": [*ends[1]], "label": label, "score": 1.0}
        else:
            left[OTHER_LABEL, where] += label not in labels
    if joined is None:
        warn_joined(left)
    if "relations" in row:
        annotate(doc, "relations", list(found.values()))
    if "events" in row:
        annotate(doc, "events", annotate_events(row, where, characters, aligner))
    if expanded is not None and aligner.expanded:
        expanded[where] += len(aligner.expanded)
    return doc


def warn_expanded(expanded: Counter) -> None:
    """Say once how many spans were expanded to whole tokens.

    expanded (Counter): The number of each document that has such spans.
    """
    if expanded:
        warnings.warn(
            f"{sum(expanded.values())} spans of {len(expanded)} documents end inside a token and were expanded to whole tokens, "
            f'the first in {next(iter(expanded))}. A tokenizer may split there; `align = "strict"` refuses them.'
        )


def warn_joined(joined: Counter) -> None:
    """Say once how many relations were left out since a tokenizer puts entities on the same tokens.

    joined (Counter): The number of each cause and document, as `annotate_doc` takes it down.
    """
    for cause, what in CAUSES.items():
        counts = {where: count for (found, where), count in joined.items() if found == cause and count}
        if counts:
            warnings.warn(
                f"{sum(counts.values())} relations of {len(counts)} documents were left out, the first in {next(iter(counts))}: "
                f"{what}. A tokenizer may split the tokens."
            )


def install_extensions() -> None:
    """Register `doc._.relations` and `doc._.events`."""
    relation_docs.install_extensions()
    event_docs.install_extensions()


def check_relations(doc: Doc, where: str) -> None:
    """Refuse relations that are not of this Doc's tokens.

    doc (Doc): The Doc, with `doc._.relations`.
    where (str): What to call it in errors.
    """
    for number, relation in enumerate(annotated(doc, "relations", where), 1):
        place = f"{where}, relation {number}"
        require(relation, ("head", "child", "label"), place)
        check_label(relation["label"], place)
        for field in ("head", "child"):
            check_tokens(relation[field], len(doc), f"{place}: its {field}")
        if list(relation["head"]) == list(relation["child"]):
            raise ValueError(f"{place}: head and child are the same tokens.")


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
    unique = unite(spans)
    taken = sorted(unique, key=lambda span: (span.start, span.end))
    for before, after in zip(taken, taken[1:]):
        if after.start < before.end:
            raise ValueError(
                f"{where}: the entities at the characters {before.start_char} to {before.end_char} and {after.start_char} to "
                f"{after.end_char} share a token, and `doc.ents` cannot hold both. Set `spans_key`, for the reader and for "
                "the component, to keep them in a span group; `convert` has --spans-key."
            )
    doc.set_ents(unique)


def copy_entities(source: Doc, target: Doc) -> None:
    """Give a Doc the entities, span groups and sentence boundaries of another one with the same tokens.

    source (Doc): The Doc that has them.
    target (Doc): The Doc that is to have them.
    """
    target.set_ents([_copy(target, span) for span in source.ents])
    if source.has_annotation("SENT_START"):
        for before, after in zip(source, target):
            after.is_sent_start = bool(before.is_sent_start)
    for key in source.spans:
        target.spans[key] = [_copy(target, span) for span in spans_of(source, key)]


def _copy(doc: Doc, span: Span) -> Span:
    return Span(doc, span.start, span.end, label=span.label_, kb_id=span.kb_id_, span_id=span.id_)


def _concept(ent: Dict[str, Any], where: str) -> str:
    """The id of the concept of an entity, "" for none."""
    concept = ent.get("kb_id")
    if concept is None or concept in NO_CONCEPT:
        return ""
    if type(concept) is int:
        concept = str(concept)
    if not isinstance(concept, str) or len(concept) > LONGEST_CONCEPT or concept.splitlines() != [concept]:
        raise ValueError(
            f"{where}: the field 'kb_id' is no id of a concept: a number, or a string of up to {LONGEST_CONCEPT} characters on "
            "one line. Correct it, or leave it out."
        )
    return concept
