"""Draw the annotated relations of one embedded note, for the documentation.

python scripts/draw_relations.py assets/notes/dev.jsonl docs/images/relations.svg --note 46 --end 12
"""

from pathlib import Path

import spacy
import typer

from spacy_epee.data.readers import EntityReader
from spacy_epee.displacy import render_relations
from spacy_epee.files import whole_file


def main(notes: Path, target: Path, note: int = typer.Option(0, help="Which note"), end: int = typer.Option(20, help="Tokens")):
    nlp = spacy.blank("en")
    doc = list(EntityReader(notes, spans_key="entities")(nlp))[note].reference
    with whole_file(target) as part:
        part.write_text(render_relations(doc, spans_key="entities", end=min(end, len(doc))), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
