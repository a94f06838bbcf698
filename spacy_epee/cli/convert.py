"""`python -m spacy epee convert`"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple, cast

from spacy.cli._util import import_code
from spacy.tokens import Doc, DocBin
from typer import Argument, Option
from wasabi import Printer

from ..data.checks import Align
from ..data.docs import annotate_doc, warn_expanded, warn_joined
from ..data.event_docs import count_doubles, warn_doubles
from ..data.formats.lost import DOCBIN, note_lost
from ..data.formats.registry import Format, format_names, get_format, guess_format
from ..data.formats.remarks import Remarks
from ..data.formats.settings import ENTITIES, Settings
from ..data.formats.tokenizer import Tokenizer
from ..data.readers import Line, check_cats, check_soft_labels, read_cats, take_soft_labels
from ..doc_attributes import annotation
from ..files import whole_file, whole_folder
from . import epee
from .options import CodeOpt

Row = Dict[str, Any]


@epee.command("convert")
def convert_cli(
    source: Path = Argument(..., help="File or folder with annotated documents"),
    target: Path = Argument(..., help="File to write, ending in .jsonl or .spacy; with --to, a folder"),
    form: Optional[str] = Option(
        None, "--format", "-f", help=f"{', '.join(format_names())}; guessed from the names and the content if left out"
    ),
    to: Optional[str] = Option(None, "--to", "-t", help=f"Format of files in a folder: {', '.join(format_names(writable=True))}"),
    settings: Optional[List[str]] = Option(None, "--set", help="A setting of the format that is read, NAME=VALUE"),
    spans_key: Optional[str] = Option(None, "--spans-key", "-k", help="Span group for entities; doc.ents if left out"),
    align: str = Option("expand", "--align", "-a", help="Spans that end inside a token: 'expand' or 'strict'"),
    lang: str = Option("en", "--lang", "-l", help="Language whose tokenizer is used"),
    code: CodeOpt = None,
):
    """Turn documents with entities, relations, events and labels into JSONL, a .spacy file or standoff. Every row is checked."""
    msg = Printer()
    try:
        import_code(code)
        form = check_options(source, target, form, to, align)
        reader = get_format(form)
        given = read_settings(settings or [], form, reader)
        tokenizer = Tokenizer(lang)
        # Only in a .spacy file are entities in a place that may be unable to hold them.
        rows = Checked(reader.read(source, **given), tokenizer, spans_key, cast(Align, align), target.suffix == ".spacy")
        if to is not None:
            with whole_folder(target) as part:
                write_format(rows, to, part)
                rows.require_some(source, form)
        else:
            with whole_file(target) as part:
                (write_docs if target.suffix == ".spacy" else write_rows)(rows, part)
                rows.require_some(source, form)
    except (ValueError, OSError, ImportError) as error:
        msg.fail(str(error), exits=1)
    warn_expanded(rows.expanded)
    warn_doubles(rows.doubles)
    warn_joined(rows.joined)
    *first, last = [f"{count} {what}" for what, count in rows.counts.items() if count or what != "labels"]
    msg.good(f"{rows.documents} documents in {target}, read with {', '.join(first)} and {last}")
    for sentence in rows.settings.sentences():
        msg.info(sentence)


def check_options(source: Path, target: Path, form: Optional[str], to: Optional[str], align: str) -> str:
    """Refuse options before anything is read.

    RETURNS (str): The format of the source.
    RAISES ValueError: One means nothing, or the target exists.
    """
    written = format_names(writable=True)
    if to is not None and to not in written:
        raise ValueError(f"--to is '{to}'; give one of {', '.join(written)}, or leave it out for .jsonl and .spacy")
    if (to is None) != (target.suffix in (".jsonl", ".spacy")):
        raise ValueError(
            f"What to write is '{target}'; give a name ending in .jsonl or .spacy, or a folder and --to {' or '.join(written)}"
        )
    if target.exists():
        raise ValueError(f"The file or folder '{target}' exists already; name another one or remove it")
    if not source.exists():
        raise ValueError(f"There is no file or folder '{source}'")
    if align not in ("expand", "strict"):
        raise ValueError(f"--align is '{align}'; give 'expand' or 'strict'")
    form = form or guess_format(source)
    known = format_names()
    if form not in known:
        problem = f"The format is '{form}'" if form else f"No file in '{source}' has the name or the content of a known format"
        raise ValueError(f"{problem}; give one of {', '.join(known)} as --format")
    return form


def read_settings(settings: List[str], name: str, form: Format) -> Dict[str, str]:
    """Read the settings of a format.

    settings (List[str]): Those of `--set`.
    name (str): What the format is called.
    form (Format): The format.
    RETURNS (Dict[str, str]): The values by name.
    RAISES ValueError: One is not of the form NAME=VALUE, or the format has none of its name.
    """
    given: Dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or key not in form.settings:
            known = "; ".join(f"{key}=VALUE, {text}" for key, text in form.settings.items()) or "none"
            raise ValueError(f"--set takes NAME=VALUE, and the settings of the format '{name}' are: {known}")
        given[key] = value
    return given


class Checked:
    """Rows, each of which is checked and made a Doc when it is asked for. They are counted.

    documents (int): The rows so far.
    counts (Counter): What they have.
    expanded (Counter): See `warn_expanded`.
    doubles (Counter): See `warn_doubles`.
    joined (Counter): See `warn_joined`.
    settings (Settings): What they want of what reads them.
    """

    def __init__(
        self, rows: Iterable[Tuple[str, Row]], tokenizer: Tokenizer, spans_key: Optional[str], align: Align, apart: bool
    ):
        """
        rows (Iterable[Tuple[str, Dict[str, Any]]]): Places and rows.
        tokenizer (Tokenizer): The tokenizer.
        spans_key (Optional[str]): The span group for entities; None for `doc.ents`.
        align (str): "expand" or "strict".
        apart (bool): Whether entities must not share tokens if no span group is named.
        """
        self._rows, self._tokenizer, self._align = rows, tokenizer, align
        self._spans_key = spans_key if apart else spans_key or ENTITIES
        self.documents = 0
        self.counts = Counter(dict.fromkeys(("entities", "relations", "events", "labels"), 0))
        self.expanded: Counter = Counter()
        self.doubles: Counter = Counter()
        self.joined: Counter = Counter()
        self.settings = Settings(spans_key)
        self._stated = False

    def __iter__(self) -> Iterator[Tuple[str, Row, Doc]]:
        for where, row in self._rows:
            check_cats(row, "cats", where)
            key, told = self._spans_key, {"expanded": self.expanded, "joined": self.joined}
            doc = annotate_doc(self._tokenizer, row, where, spans_key=key, align=self._align, **told)
            self.settings.add(row, doc, key)
            count_doubles(doc, where, self.doubles)
            self.documents += 1
            self.counts["entities"] += len(doc.ents) if key is None else len(doc.spans[key])
            for name in ("relations", "events"):
                self.counts[name] += len(annotation(doc, name) or ())
            self.counts["labels"] += len(row["cats"]) if isinstance(row.get("cats"), (list, dict)) else "cats" in row
            self._stated |= any(name in row for name in ("ents", "relations", "events", "cats"))
            yield where, row, doc

    def require_some(self, source: Path, form: str) -> None:
        """Refuse what would be written if it has nothing of what was asked for.

        source (Path): What was read.
        form (str): As what.
        RAISES ValueError: There are no documents, or nothing is annotated. Our own rows may say that there is nothing.
        """
        if not self.documents:
            raise ValueError(f"There are no documents in '{source}', read as {form}: nothing is written")
        if not any(self.counts.values()) and not (form == "jsonl" and self._stated):
            raise ValueError(
                f"None of the {self.documents} documents in '{source}', read as {form}, has an entity, a relation, an event or a "
                f"label: nothing is written. Is it another format? Give one of {', '.join(format_names())} as --format"
            )


def write_format(rows: Checked, name: str, folder: Path) -> None:
    """Write the files of a format.

    rows (Checked): The rows.
    name (str): The format, which is one that is written.
    folder (Path): Where to.
    """
    write = get_format(name).write
    assert write is not None
    write(((where, row) for where, row, _ in rows), folder)


def write_rows(rows: Checked, path: Path) -> None:
    """Write JSONL, row by row.

    rows (Checked): The rows.
    path (Path): Where to.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for _, row, _ in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_docs(rows: Checked, path: Path) -> None:
    """Write a .spacy file.

    rows (Checked): The rows.
    path (Path): Where to.
    """
    docs = DocBin(store_user_data=True)
    labels: List[Row] = []
    remarks = Remarks()
    for where, row, doc in rows:
        line = Line(where, row, path)
        check_soft_labels(line, "teacher")
        take_soft_labels(doc, line, "teacher")
        note_lost(row, DOCBIN, remarks, where)
        docs.add(doc)
        labels.append({"cats": row["cats"]} if "cats" in row else {})
    docs.cats = read_cats(labels, "cats")  # where labels are lists, all of them have to be known
    docs.to_disk(path)
    remarks.warn()
