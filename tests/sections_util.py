"""A component that finds sections, for tests of reading some of them."""

import re

from spacy.language import Language
from spacy.tokens import Doc, Span

NOTE = (
    "History: Father died of a stroke.\nAssessment: No evidence of pneumonia on the film.\nPlan: Started amoxicillin twice daily."
)
"""Invented for these tests."""

ASSESSMENT = "Assessment: No evidence of pneumonia on the film."
HISTORY = "History: Father died of a stroke."
WITHOUT = "Blood pressure 140/90, pulse 88."


def block(*names: str, **settings):
    """RETURNS (Dict[str, Any]): Settings of a model that reads some sections."""
    return {"trunk": {"sections": {"@misc": "spacy-epee.Sections.v1", "names": [*names], "spans_key": "sections", **settings}}}


@Language.component("tests_sectionizer")
def find_sections(doc: Doc) -> Doc:
    """Have lines that begin with a title be sections, as the pipes of EDS-NLP do."""
    lines = [(found.start(), found.end(), found[1].lower()) for found in re.finditer(r"^(\w+):.*$", doc.text, re.MULTILINE)]
    doc.spans["sections"] = [doc.char_span(start, end, label=title, alignment_mode="expand") for start, end, title in lines]
    return doc


def set_sections(doc: Doc, *sections) -> Doc:
    """Give a Doc sections: label, first token, token behind the last."""
    doc.spans["sections"] = [Span(doc, start, end, label=label) for label, start, end in sections]
    return doc
