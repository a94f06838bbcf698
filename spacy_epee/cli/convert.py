"""`python -m spacy epee convert`"""

import json
from collections import Counter
from pathlib import Path
from typing import Optional

import spacy
from spacy.tokens import DocBin
from typer import Argument, Option
from wasabi import Printer

from ..annotation import annotation
from ..convert.rows import READERS, WRITERS, guess_format
from ..training.annotations import annotate_doc, warn_expanded
from ..training.events import count_doubles, warn_doubles
from . import epee


@epee.command("convert")
def convert_cli(
    source: Path = Argument(..., help="File or folder with annotated documents"),
    target: Path = Argument(..., help="File to write, ending in .jsonl or .spacy; with --to, a folder"),
    form: Optional[str] = Option(None, "--format", "-f", help=f"{', '.join(READERS)}; guessed from the names if left out"),
    to: Optional[str] = Option(None, "--to", "-t", help=f"Format of files in a folder: {', '.join(WRITERS)}"),
    spans_key: Optional[str] = Option(None, "--spans-key", "-k", help="Span group for entities; doc.ents if left out"),
    align: str = Option("expand", "--align", "-a", help="Spans that end inside a token: 'expand' or 'strict'"),
    lang: str = Option("en", "--lang", "-l", help="Language whose tokenizer is used"),
):
    """Turn documents with entities, relations and events into JSONL, a .spacy file or standoff. Every row is checked."""
    msg = Printer()
    if to is not None and to not in WRITERS:
        msg.fail(f"--to is '{to}'; give one of {', '.join(WRITERS)}, or leave it out for .jsonl and .spacy", exits=1)
    if (to is None) != (target.suffix in (".jsonl", ".spacy")):
        msg.fail(
            f"What to write is '{target}'; give a name ending in .jsonl or .spacy, or a folder and --to {' or '.join(WRITERS)}",
            exits=1,
        )
    if target.exists():
        msg.fail(f"The file or folder '{target}' exists already; name another one or remove it", exits=1)
    if not source.exists():
        msg.fail(f"There is no file or folder '{source}'", exits=1)
    if align not in ("expand", "strict"):
        msg.fail(f"--align is '{align}'; give 'expand' or 'strict'", exits=1)
    form = form or guess_format(source)
    if form not in READERS:
        msg.fail(f"The format is '{form}'; give one of {', '.join(READERS)} as --format", exits=1)
    nlp = spacy.blank(lang)
    docs, rows, expanded, doubles = DocBin(store_user_data=True), [], Counter(), Counter()
    entities = relations = events = 0
    try:
        for where, row in READERS[form](source):
            doc = annotate_doc(nlp, row, where, spans_key=spans_key, align=align, expanded=expanded)
            entities += len(doc.ents) if spans_key is None else len(doc.spans[spans_key])
            relations += len(annotation(doc, "relations") or ())
            events += len(annotation(doc, "events") or ())
            count_doubles(doc, where, doubles)
            if target.suffix == ".spacy":
                docs.add(doc)
            else:
                rows.append((where, row))
        if to is not None:
            WRITERS[to](rows, target)
    except (ValueError, OSError, ImportError) as error:
        msg.fail(str(error), exits=1)
    warn_expanded(expanded)
    warn_doubles(doubles)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".spacy":
        docs.to_disk(target)
    elif to is None:
        target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for _, row in rows), encoding="utf-8")
    count = len(docs) if target.suffix == ".spacy" else len(rows)
    msg.good(f"{count} documents with {entities} entities, {relations} relations and {events} events in {target}")
