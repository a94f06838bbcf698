"""`python -m spacy epee convert`"""

import json
from pathlib import Path
from typing import Optional

import spacy
from spacy.tokens import DocBin
from typer import Argument, Option
from wasabi import Printer

from ..convert.rows import READERS, guess_format
from ..training.annotations import annotate_doc
from . import epee


@epee.command("convert")
def convert_cli(
    source: Path = Argument(..., help="File or folder with annotated documents"),
    target: Path = Argument(..., help="File to write, ending in .jsonl or .spacy"),
    form: Optional[str] = Option(None, "--format", "-f", help=f"{', '.join(READERS)}; guessed from the names if left out"),
    spans_key: Optional[str] = Option(None, "--spans-key", "-k", help="Span group for entities; doc.ents if left out"),
    align: str = Option("expand", "--align", "-a", help="Entities that end inside a token: 'expand' or 'strict'"),
    lang: str = Option("en", "--lang", "-l", help="Language whose tokenizer is used"),
):
    """Turn documents with entities and relations into JSONL or a .spacy file. Every row is checked on the way."""
    msg = Printer()
    if target.suffix not in (".jsonl", ".spacy"):
        msg.fail(f"The file to write is '{target}'; give a name ending in .jsonl or .spacy", exits=1)
    if target.exists():
        msg.fail(f"The file '{target}' exists already; name another one or remove it", exits=1)
    if not source.exists():
        msg.fail(f"There is no file or folder '{source}'", exits=1)
    if align not in ("expand", "strict"):
        msg.fail(f"--align is '{align}'; give 'expand' or 'strict'", exits=1)
    form = form or guess_format(source)
    if form not in READERS:
        msg.fail(f"The format is '{form}'; give one of {', '.join(READERS)} as --format", exits=1)
    nlp = spacy.blank(lang)
    docs, lines, entities, relations = DocBin(store_user_data=True), [], 0, 0
    try:
        for where, row in READERS[form](source):
            doc = annotate_doc(nlp, row, where, spans_key=spans_key, align=align)
            entities += len(doc.ents) if spans_key is None else len(doc.spans[spans_key])
            relations += len(doc._.relations)
            if target.suffix == ".spacy":
                docs.add(doc)
            else:
                lines.append(json.dumps(row, ensure_ascii=False))
    except (ValueError, OSError, ImportError) as error:
        msg.fail(str(error), exits=1)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".spacy":
        docs.to_disk(target)
    else:
        target.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    count = len(docs) if target.suffix == ".spacy" else len(lines)
    msg.good(f"{count} documents with {entities} entities and {relations} relations in {target}")
