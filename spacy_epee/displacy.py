"""Pictures of what is on a Doc, by displaCy."""

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from spacy import displacy
from spacy.tokens import Doc, Span
from spacy.util import escape_html, filter_spans

from .doc_attributes import spans_of
from .tasks.events.docs import Event
from .tasks.relations.docs import Relation

Piece = Tuple[int, int]
"""The first token of a span, and the token behind its last one."""

LETTER, GAP = 9, 12
"""About the width of a letter in displaCy's pictures, and what is left free, in pixels."""


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
    entities = spans_of(doc, spans_key)
    ends = [span for relation in relations for span in (relation.head, relation.child)]
    merged = filter_spans([span for span in [*entities, *ends] if _inside(span, shown)])
    words, places = _words(shown, [_piece(span) for span in merged])
    for span in merged:
        words[places[span.start]]["tag"] = span.label_
    links = [(places[relation.head.start], places[relation.child.start], relation.label) for relation in relations]
    return {"words": words, "arcs": _arcs(links)}


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
    return _render(parsed, options, settings)


def parse_events(
    doc: Doc, *, labels: Optional[Sequence[str]] = None, start: int = 0, end: Optional[int] = None
) -> Dict[str, List[Dict[str, Any]]]:
    """Turn the events of a Doc into what displaCy draws as words and arcs.

    doc (Doc): The Doc, with `doc._.events`.
    labels (Optional[Sequence[str]]): The events to draw; None draws all.
    start (int): The first token to draw.
    end (Optional[int]): The token behind the last one; None draws to the end. Events with their trigger outside are left out,
        and so are arguments that are outside or are a part of one that is.
    RETURNS (Dict[str, List[Dict[str, Any]]]): "words" and "arcs". Triggers and arguments are one word each, with the label and
        the attributes of the event below the trigger. Of spans that overlap, the shorter ones are words of their own and the
        longer one is what remains of it, the first word of that if there are several; a span of which nothing remains is its
        first word. Arcs have the role, and go from the trigger to an argument, or from an argument to its part. If both ends
        are in the same word, the role is below that word.
    """
    shown = doc[start : len(doc) if end is None else end]
    triggers: List[Tuple[Piece, str]] = []
    links: List[Tuple[Piece, Piece, str]] = []
    for event in Event.of(doc):
        if not _inside(event.trigger, shown) or (labels is not None and event.label not in labels):
            continue
        triggers.append((_piece(event.trigger), _title(event)))
        for argument in event.arguments:
            source = event.trigger if argument.parent is None else event.arguments[argument.parent].span
            if _inside(source, shown) and _inside(argument.span, shown):
                links.append((_piece(source), _piece(argument.span), argument.role))
    spans = {trigger for trigger, _ in triggers} | {one for source, target, _ in links for one in (source, target)}
    pieces, tokens = _cut(spans)
    words, places = _words(shown, pieces)
    joined = [(places[tokens[source]], places[tokens[target]], role) for source, target, role in links]
    below = [(places[tokens[trigger]], title) for trigger, title in triggers]
    below += [(source, role) for source, target, role in joined if source == target]
    for place, title in dict.fromkeys(below):
        words[place]["tag"] = ", ".join(filter(None, [words[place]["tag"], title]))
    return {"words": words, "arcs": _arcs(joined)}


def render_events(
    doc: Doc,
    *,
    labels: Optional[Sequence[str]] = None,
    start: int = 0,
    end: Optional[int] = None,
    options: Optional[Dict[str, Any]] = None,
    **settings: Any,
) -> str:
    """Draw the events of a Doc.

    doc (Doc): The Doc, with `doc._.events`.
    labels (Optional[Sequence[str]]): The events to draw; None draws all.
    start (int): The first token to draw.
    end (Optional[int]): The token behind the last one.
    options (Optional[Dict[str, Any]]): Options of displaCy's dependency visualizer, such as `compact` or `distance`.
    settings (Any): More of `spacy.displacy.render`, such as `jupyter` or `page`.
    RETURNS (str): SVG, or HTML with `page=True`.
    """
    return _render(parse_events(doc, labels=labels, start=start, end=end), options, settings)


def _inside(span: Span, shown: Span) -> bool:
    return shown.start <= span.start and span.end <= shown.end


def _piece(span: Span) -> Piece:
    return (span.start, span.end)


def _title(event: Event) -> str:
    """RETURNS (str): The label of an event, with its attributes."""
    values = {name: attribute["value"] for name, attribute in event.attributes.items()}
    named = [f"{name}: {value}" if isinstance(value, str) else name for name, value in values.items()]
    return f"{event.label} ({', '.join(named)})" if named else event.label


def _cut(spans: Iterable[Piece]) -> Tuple[List[Piece], Dict[Piece, int]]:
    """Cut spans that overlap, so that each token is in the shortest span it can be in.

    spans (Iterable[Piece]): The spans.
    RETURNS (Tuple[List[Piece], Dict[Piece, int]]): What to draw as one word each, and the token by which each span is found.
    """
    owners: Dict[int, Piece] = {}
    for span in sorted(spans, key=lambda one: (one[0] - one[1], -one[0])):  # the longest first: the shorter take from them
        owners.update(dict.fromkeys(range(*span), span))
    pieces: List[Piece] = []
    for token in sorted(owners):
        if pieces and pieces[-1][1] == token and owners[token] == owners[token - 1]:
            pieces[-1] = (pieces[-1][0], token + 1)
        else:
            pieces.append((token, token + 1))
    return pieces, {span: next((token for token in range(*span) if owners[token] == span), span[0]) for span in spans}


def _words(shown: Span, pieces: Iterable[Piece]) -> Tuple[List[Dict[str, Any]], Dict[int, int]]:
    """Make the words to draw, with nothing below them.

    shown (Span): What is drawn.
    pieces (Iterable[Piece]): What is one word of several tokens.
    RETURNS (Tuple[List[Dict[str, Any]], Dict[int, int]]): The words, and the word that each token is in.
    """
    stops = dict(pieces)
    words: List[Dict[str, Any]] = []
    places: Dict[int, int] = {}
    token = shown.start
    while token < shown.end:
        stop = stops.get(token, token + 1)
        places.update(dict.fromkeys(range(token, stop), len(words)))
        words.append({"text": shown.doc[token:stop].text, "tag": ""})
        token = stop
    return words, places


def _arcs(links: Iterable[Tuple[int, int, str]]) -> List[Dict[str, Any]]:
    """RETURNS (List[Dict[str, Any]]): The arcs from one word to another, each once."""
    return [
        {"start": min(head, child), "end": max(head, child), "label": label, "dir": "right" if head < child else "left"}
        for head, child, label in dict.fromkeys(links)
        if head != child
    ]


def _render(parsed: Dict[str, List[Dict[str, Any]]], options: Optional[Dict[str, Any]], settings: Dict[str, Any]) -> str:
    options = {"compact": True, **_room(parsed), **(options or {})}
    # displaCy escapes the words only
    words = [{**word, "tag": escape_html(word["tag"])} for word in parsed["words"]]
    arcs = [{**arc, "label": escape_html(arc["label"])} for arc in parsed["arcs"]]
    return displacy.render({"words": words, "arcs": arcs}, style="dep", manual=True, options=options, **settings)


def _room(parsed: Dict[str, List[Dict[str, Any]]]) -> Dict[str, int]:
    """RETURNS (Dict[str, int]): The options of displaCy that keep words, and roles on arcs, from running into each other."""
    widths = [LETTER * max(len(word["text"]), len(word["tag"])) for word in parsed["words"]] or [0]
    between = [(one + other) // 2 + GAP for one, other in zip(widths, widths[1:])]
    on_arcs = [(LETTER * len(arc["label"]) + 2 * GAP) // (arc["end"] - arc["start"]) + 1 for arc in parsed["arcs"]]
    return {"distance": max(110, *between, *on_arcs, widths[-1] // 2 + GAP), "offset_x": max(50, widths[0] // 2 + GAP)}
