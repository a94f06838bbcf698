"""Pictures of what is on a Doc, by displaCy."""

from typing import Any, Dict, List, Optional, Sequence

from spacy import displacy
from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from .tasks.relations import Relation


def parse_relations(
    doc: Doc,
    *,
    spans_key: Optional[str] = None,
    labels: Optional[Sequence[str]] = None,
    start: int = 0,
    end: Optional[int] = None,
) -> Dict[str, List[Dict[str, Any]]]:
    """Turn the entities and relations of a Doc into what displaCy draws as words and arcs.

    doc (Doc): The Doc, with `doc._.relations`.
    spans_key (Optional[str]): The span group of the entities; None takes `doc.ents`.
    labels (Optional[Sequence[str]]): The relations to draw; None draws all.
    start (int): The first token to draw.
    end (Optional[int]): The token behind the last one; None draws to the end.
    RETURNS (Dict[str, List[Dict[str, Any]]]): "words" and "arcs". Entities are one word each, with their label below; of
        entities that overlap the longest one is. Arcs go from head to child.
    """
    shown = doc[start : len(doc) if end is None else end]
    relations = [
        relation
        for relation in Relation.of(doc)
        if (labels is None or relation.label in labels) and all(_inside(one, shown) for one in (relation.head, relation.child))
    ]
    entities = doc.ents if spans_key is None else doc.spans.get(spans_key, ())
    ends = [span for relation in relations for span in (relation.head, relation.child)]
    merged = filter_spans([span for span in [*entities, *ends] if _inside(span, shown)])
    begins = {span.start: span for span in merged}
    words: List[Dict[str, Any]] = []
    places: Dict[int, int] = {}
    token = shown.start
    while token < shown.end:
        span = begins.get(token)
        stop = span.end if span is not None else token + 1
        places.update(dict.fromkeys(range(token, stop), len(words)))
        words.append({"text": doc[token:stop].text, "tag": "" if span is None else span.label_})
        token = stop
    arcs = []
    for relation in relations:
        head, child = places[relation.head.start], places[relation.child.start]
        if head != child:
            direction = "right" if head < child else "left"
            arcs.append({"start": min(head, child), "end": max(head, child), "label": relation.label, "dir": direction})
    return {"words": words, "arcs": arcs}


def render_relations(
    doc: Doc,
    *,
    spans_key: Optional[str] = None,
    labels: Optional[Sequence[str]] = None,
    start: int = 0,
    end: Optional[int] = None,
    options: Optional[Dict[str, Any]] = None,
    **settings: Any,
) -> str:
    """Draw the entities and relations of a Doc.

    doc (Doc): The Doc.
    spans_key (Optional[str]): The span group of the entities; None takes `doc.ents`.
    labels (Optional[Sequence[str]]): The relations to draw; None draws all.
    start (int): The first token to draw.
    end (Optional[int]): The token behind the last one.
    options (Optional[Dict[str, Any]]): Options of displaCy's dependency visualizer, such as `compact` or `distance`.
    settings (Any): More of `spacy.displacy.render`, such as `jupyter` or `page`.
    RETURNS (str): SVG, or HTML with `page=True`.
    """
    parsed = parse_relations(doc, spans_key=spans_key, labels=labels, start=start, end=end)
    options = {"compact": True, "distance": 110, **(options or {})}
    return displacy.render(parsed, style="dep", manual=True, options=options, **settings)


def _inside(span: Span, shown: Span) -> bool:
    return shown.start <= span.start and span.end <= shown.end
