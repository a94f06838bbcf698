"""Documents that teachers answer, one after the other, and the files that they are from and go to."""

import gzip
import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import AbstractSet, Any, Callable, Dict, FrozenSet, Iterator, Optional, Sequence, Tuple

import numpy
import spacy
from spacy.tokens import DocBin

from ..data.readers import JSONL, check_cats, is_jsonl, iterate_rows, read_docs, to_cats
from ..doc_attributes import PLACE, set_soft_labels
from ..files import whole_file


@dataclass
class Document:
    """A document.

    where (str): What to call it in errors.
    text (str): Its text.
    labels (Dict[str, float]): What is annotated.
    named (Dict[str, FrozenSet[str]]): The labels that each field of JSONL names.
    complete (FrozenSet[str]): The fields that name all that are true: labels that they do not name are false, and not unknown.
    content (Any): The row, or the Doc, that it is.
    """

    where: str
    text: str
    labels: Dict[str, float]
    named: Dict[str, FrozenSet[str]]
    complete: FrozenSet[str]
    content: Any


def read_documents(path: Path, fields: Sequence[str]) -> Iterator[Document]:
    """Read documents. Of JSONL one at a time is in memory.

    path (Path): JSONL or .spacy files.
    fields (Sequence[str]): The fields with labels, in JSONL. They may be missing.
    YIELDS (Document): The documents.
    RAISES ValueError: A line is no document. Nothing of it is shown.
    """
    if not is_jsonl(path):
        nlp = spacy.blank("xx")
        nlp.max_length = 10**9  # each teacher says what it takes
        for where, eg in read_docs(nlp, path):
            yield Document(where, eg.reference.text, eg.reference.cats, {}, frozenset(), eg.reference)
        return
    for line in iterate_rows(path):
        text = line.row.get("text")
        if not isinstance(text, str):
            raise ValueError(f"{line.where}: the field 'text' is {'missing' if text is None else 'not a string'}.")
        labels: Dict[str, float] = {}
        named, complete = {}, set()
        for field in fields:
            check_cats(line.row, field, line.where)
            if field not in line.row:
                continue
            own, others_unknown = to_cats(line.row[field])
            if not own.keys().isdisjoint(labels):
                raise ValueError(f"{line.where}: two of the fields {', '.join(fields)} have the same label.")
            labels.update(own)
            named[field] = frozenset(own)
            if not others_unknown:
                complete.add(field)
        yield Document(line.where, text, labels, named, frozenset(complete), line.row)


def gold(
    documents: Sequence[Document], labels: Sequence[str], exclusive: bool, fields: AbstractSet[str]
) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """What the annotation says.

    documents (Sequence[Document]): The documents.
    labels (Sequence[str]): The labels.
    exclusive (bool): Whether one of them is true. Where none is, or several are, nothing is known.
    fields (AbstractSet[str]): The fields that name them, in JSONL.
    RETURNS (Tuple[ndarray, ndarray]): 1 for true labels (N, K), and 0 where nothing is known (N, K), both float32.
    """
    said = [[document.labels.get(label, -1.0) for label in labels] for document in documents]
    values = numpy.array(said, dtype="float32").reshape(-1, len(labels))
    targets = (values > 0).astype("float32")
    unnamed_false = numpy.array([not fields.isdisjoint(document.complete) for document in documents], dtype=bool)[:, None]
    label_mask = ((values >= 0) | unnamed_false).astype("float32")
    if exclusive:
        label_mask = numpy.repeat(targets.sum(axis=1, keepdims=True) == 1, len(labels), axis=1).astype("float32")
    return targets * label_mask, label_mask


Write = Callable[[Document, Optional[Dict[str, float]]], None]


@contextmanager
def writing(source: Path, target: Path, field: str) -> Iterator[Write]:
    """Write documents with what teachers say: all of them or none.

    source (Path): What they are from.
    target (Path): The file, of the same format.
    field (str): The field for what is said, in JSONL.
    YIELDS (Callable): Writes a document with soft labels; None for none, and then none of before stay.
    RAISES ValueError: Something else is in that field.
    """
    with whole_file(target) as part:
        if is_jsonl(source):
            zipped = target.name.lower().endswith(".gz")
            with gzip.open(part, "wt", encoding="utf-8") if zipped else part.open("w", encoding="utf-8", newline="\n") as file:

                def write_row(document: Document, soft: Optional[Dict[str, float]]) -> None:
                    if not isinstance(document.content.get(field), (dict, type(None))):
                        raise ValueError(f"{document.where}: the field '{field}' has no soft labels in it, but something else")
                    row = {name: value for name, value in document.content.items() if name != field}
                    if soft is not None:
                        row[field] = soft
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")

                yield write_row
            return
        docs = DocBin(store_user_data=True)

        def write_doc(document: Document, soft: Optional[Dict[str, float]]) -> None:
            set_soft_labels(document.content, soft)
            document.content.user_data.pop(PLACE, None)
            docs.add(document.content)

        yield write_doc
        docs.to_disk(part)


def check_target(source: Path, target: Path) -> None:
    """Refuse a file of another format than that of the source.

    RAISES ValueError: It is.
    """
    endings = JSONL if is_jsonl(source) else (".spacy",)
    if not target.name.lower().endswith(endings):
        raise ValueError(f"What to write is '{target}'; give a name ending in {' or '.join(endings)}, as the documents have")
