"""The ids of concepts that a mention has."""

import re
from typing import Dict, List, Sequence, Tuple

from spacy.tokens import Span

NO_CONCEPT = ("", "-", "-1", "NIL")
"""What stands for no concept; the last is that of spaCy's entity linker."""

VARIANT = re.compile(r"(?:tmVar:)?[cgmnpr]\|")
"""What variants begin with, whose ids have bars in them: c|SUB|A|1049|G."""


def plain_id(name: str) -> str:
    """RETURNS (str): An id without the stars and spaces that some files have around it."""
    return name.strip("* ")


def concept_ids(name: str) -> List[str]:
    """RETURNS (List[str]): The ids that one is made of, with commas, semicolons or bars between them; none for no concept."""
    parts = re.split("[,;]", name)
    names = [plain_id(one) for part in parts for one in ([part] if VARIANT.match(plain_id(part)) else part.split("|"))]
    return [one for one in dict.fromkeys(names) if one not in NO_CONCEPT]


def unite(spans: Sequence[Span]) -> List[Span]:
    """Make one of spans with the same bounds and label: a mention that is annotated once for each of its concepts.

    spans (Sequence[Span]): The spans.
    RETURNS (List[Span]): Those that differ, in order. One of several has the concepts of all.
    """
    last = {(span.start, span.end, span.label): span for span in spans}
    if len(last) == len(spans):
        return list(spans)
    concepts: Dict[Tuple[int, int, int], Dict[str, None]] = {place: {} for place in last}
    for span in spans:
        concepts[span.start, span.end, span.label].update(dict.fromkeys(concept_ids(_concept(span))))
    # Bars are a part of the ids of variants, semicolons of none.
    return [_with_concept(span, ";".join(concepts[place])) for place, span in last.items()]


def _concept(span: Span) -> str:
    return span.kb_id_ or span.id_


def _with_concept(span: Span, concept: str) -> Span:
    if concept_ids(_concept(span)) == concept_ids(concept):
        return span
    return Span(span.doc, span.start, span.end, label=span.label, kb_id=concept)
