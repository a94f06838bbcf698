"""Draw the events of an invented note, for the documentation.

python scripts/draw_events.py docs/images/events.svg
"""

from pathlib import Path
from typing import Any, Dict, List, Optional

import spacy
import typer

from spacy_epee.displacy import render_events
from spacy_epee.files import whole_file
from spacy_epee.tasks.events.docs import install_extensions

TEXT = "A 9-year-old girl given amoxicillin did not develop a rash."


def main(target: Path):
    install_extensions()
    doc = spacy.blank("en").make_doc(TEXT)

    def span(text: str) -> List[int]:
        first = TEXT.index(text)
        found = doc.char_span(first, first + len(text))
        return [found.start, found.end]

    def argument(role: str, text: str, parent: Optional[int] = None, event: Optional[int] = None) -> Dict[str, Any]:
        return {"role": role, "span": span(text), "score": 1.0, "parent": parent, "event": event}

    reaction = {
        "trigger": span("develop"),
        "label": "Adverse_event",
        "score": 1.0,
        "arguments": [
            argument("Subject", "A 9-year-old girl"),
            argument("Age", "9-year-old", parent=0),
            argument("Gender", "girl", parent=0),
            argument("Effect", "a rash"),
            argument("Cause", "given", event=1),
        ],
        "attributes": {"Negated": {"value": True, "score": 1.0, "spans": [span("not")]}},
    }
    treatment = {
        "trigger": span("given"),
        "label": "Treatment",
        "score": 1.0,
        "arguments": [argument("Drug", "amoxicillin")],
        "attributes": {},
    }
    doc._.events = [reaction, treatment]
    with whole_file(target) as part:
        part.write_text(render_events(doc), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
