"""Reading annotated documents."""

import gzip
import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Corpus, Example

from ..annotation import annotate, annotation
from .annotations import annotate_doc, check_relations, copy_entities, install_extensions, warn_expanded
from .checks import LONGEST_LABEL, may_be_label
from .events import as_lists, check_events


def JsonlReader(path: Optional[Union[str, Path]], cats: str = "cats", limit: int = 0) -> Callable[[Language], Iterable[Example]]:
    """Read documents from a JSONL file, which may be compressed: one object a line with "text" and labels.

    path (Optional[Union[str, Path]]): The file, ending in .jsonl or .jsonl.gz. null in a config that is only checked or filled.
    cats (str): The field with the labels: an object {label: 0 or 1}; a list of the labels that are true; or one label.
    limit (int): The most documents to read; 0 for all.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus, read anew each time it is called.
    """

    def corpus(nlp: Language) -> Iterator[Example]:
        rows = read_jsonl(need_path(path), cats, limit)
        for doc in make_docs(nlp, rows, cats):
            yield Example(nlp.make_doc(doc.text), doc)

    return corpus


def EntityReader(
    path: Optional[Union[str, Path]],
    spans_key: Optional[str] = None,
    align: str = "expand",
    gold_entities: bool = True,
    limit: int = 0,
    triggers_key: Optional[str] = None,
    cats: Optional[Union[str, List[str]]] = None,
) -> Callable[[Language], Iterable[Example]]:
    """Read documents with entities, relations and events, from JSONL or from .spacy files.

    path (Optional[Union[str, Path]]): A file ending in .jsonl, .jsonl.gz or .spacy, or a folder of .spacy files. null in a config
        that is only checked or filled.
    spans_key (Optional[str]): The span group for the entities of a JSONL file; null puts them into `doc.ents`.
    align (str): What to do with spans of a JSONL file that end inside a token: "expand" to whole tokens, with a warning that
        counts them, or "strict", an error.
    gold_entities (bool): Whether a component finds the annotated entities on the documents, as spaCy's own corpus reader
        does not allow. If not, the pipeline has to predict them.
    limit (int): The most documents to read; 0 for all.
    triggers_key (Optional[str]): The span group in which a component finds the annotated triggers on the documents, with the
        labels of their events; null for none.
    cats (Optional[Union[str, List[str]]]): Fields of a JSONL file with labels of documents, as of `JsonlReader`; null reads
        none. A document without a field has no annotation there.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus, read anew each time it is called.
    """
    if align not in ("expand", "strict"):
        raise ValueError(f"The setting `align` of the reader is '{align}'; give 'expand' or 'strict'.")
    if triggers_key is not None and triggers_key == spans_key:
        raise ValueError(f"The reader's `spans_key` and `triggers_key` are both '{spans_key}'. Give triggers their own group.")

    fields = [cats] if isinstance(cats, str) else list(cats or ())

    def corpus(nlp: Language) -> Iterator[Example]:
        for reference in _references(nlp, need_path(path), spans_key, align, limit, fields):
            words = [token.text for token in reference]
            predicted = Doc(nlp.vocab, words=words, spaces=[bool(token.whitespace_) for token in reference])
            if gold_entities:
                copy_entities(reference, predicted)
            if triggers_key is not None:
                # Several events can have the same trigger.
                triggers = {(*event["trigger"], event["label"]): None for event in annotation(reference, "events") or ()}
                predicted.spans[triggers_key] = [Span(predicted, start, end, label=label) for start, end, label in triggers]
            yield Example(predicted, reference)

    return corpus


def need_path(path: Optional[Union[str, Path]]) -> Path:
    """RETURNS (Path): The file of a reader.
    RAISES ValueError: There is none."""
    if path is None:
        raise ValueError(
            "The setting `path` of a reader is null: give a file, such as with `--paths.train FILE` and `--paths.dev FILE` for "
            "the configs of spacy_epee."
        )
    return Path(path)


def _references(
    nlp: Language, path: Path, spans_key: Optional[str], align: str, limit: int, fields: List[str]
) -> Iterator[Doc]:
    if ".jsonl" in path.suffixes:
        expanded: Counter = Counter()
        rows = numbered_rows(path, limit=limit)
        for number, row in rows:
            for field in fields:
                check_cats(row, field, f"{path}, line {number}")
        every = [read_cats([row for _, row in rows], field) for field in fields]
        for one, other in combinations(range(len(fields)), 2):
            shared = {label for found in every[one] for label in found} & {label for found in every[other] for label in found}
            if shared:
                raise ValueError(
                    f"{path}: the fields '{fields[one]}' and '{fields[other]}' share {len(shared)} labels, and `doc.cats` holds "
                    "a label once. Rename them in the data, or read one of the fields."
                )
        for place, (number, row) in enumerate(rows):
            doc = annotate_doc(nlp, row, f"{path}, line {number}", spans_key=spans_key, align=align, expanded=expanded)
            for found in every:
                doc.cats.update(found[place])
            yield doc
        warn_expanded(expanded)
        return
    if not path.exists():
        raise ValueError(f"There is no file '{path}' (looked from {Path.cwd()}).")
    install_extensions()
    for number, eg in enumerate(Corpus(path, limit=limit)(nlp), 1):
        check_relations(eg.reference, f"{path}, document {number}")
        check_events(eg.reference, f"{path}, document {number}")
        for name in ("relations", "events"):
            found = annotation(eg.reference, name)
            if found is not None:
                annotate(eg.reference, name, as_lists(found))
        yield eg.reference


def read_jsonl(path: Union[str, Path], cats: Optional[str] = None, limit: int = 0) -> List[Dict[str, Any]]:
    """Read a JSONL file of documents.

    path (Union[str, Path]): The file; compressed if it ends in .gz, which may be left out.
    cats (Optional[str]): The field with the labels, if every row must have them.
    limit (int): The most rows to read; 0 for all.
    RETURNS (List[Dict[str, Any]]): The rows.
    RAISES ValueError: A line that is no document. It names file and line, and shows nothing of what is in it.
    """
    return [row for _, row in numbered_rows(path, cats, limit)]


def numbered_rows(
    path: Union[str, Path], cats: Optional[str] = None, limit: int = 0, needs: Sequence[str] = ("text",)
) -> List[Tuple[int, Dict[str, Any]]]:
    """As `read_jsonl`.

    needs (Sequence[str]): The fields that every row must have beside the labels.
    RETURNS (List[Tuple[int, Dict[str, Any]]]): The rows, each with the number of its line.
    """
    path = Path(path)
    required = [*needs] if cats is None else [*needs, cats]
    if not path.exists() and path.with_name(path.name + ".gz").exists():
        path = path.with_name(path.name + ".gz")
    if not path.exists():
        raise ValueError(f"There is no file '{path}' (looked from {Path.cwd()}).")
    rows: List[Tuple[int, Dict[str, Any]]] = []
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:  # type: ignore[operator]
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: not JSON ({error.msg} at character {error.pos}).") from None
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number}: expected an object with {required}.")
            for field in required:
                if field not in row:
                    raise ValueError(f"{path}, line {number}: the field '{field}' is missing; there are {sorted(row)}.")
            if not isinstance(row.get("text", ""), str):
                raise ValueError(f"{path}, line {number}: the field 'text' is not a string.")
            if cats is not None:
                check_cats(row, cats, f"{path}, line {number}")
            rows.append((number, row))
            if limit and len(rows) == limit:
                break
    return rows


def make_docs(nlp: Language, rows: List[Dict[str, Any]], cats: str = "cats") -> Iterator[Doc]:
    """Make annotated Docs.

    nlp (Language): The pipeline, for its tokenizer.
    rows (List[Dict[str, Any]]): Rows of a JSONL file.
    cats (str): The field with the labels.
    YIELDS (Doc): Docs with `cats`, in which every label of the file has a value.
    """
    for row, found in zip(rows, read_cats(rows, cats)):
        doc = nlp.make_doc(row["text"])
        doc.cats = found
        yield doc


def read_cats(rows: List[Dict[str, Any]], field: str) -> List[Dict[str, float]]:
    """Read the labels of documents.

    rows (List[Dict[str, Any]]): Rows of a JSONL file.
    field (str): The field with the labels.
    RETURNS (List[Dict[str, float]]): {label: value} for each row, in which every label of the file has a value unless the row
        says which labels have one. Empty for a row without the field.
    """
    annotated = [_to_cats(row[field]) if field in row else ({}, True) for row in rows]
    labels = sorted({label for found, _ in annotated for label in found})
    return [found if complete else {label: found.get(label, 0.0) for label in labels} for found, complete in annotated]


def check_cats(row: Dict[str, Any], field: str, where: str) -> None:
    """Refuse a field that holds no labels.

    row (Dict[str, Any]): A row of a JSONL file.
    field (str): The field. It may be missing.
    where (str): What to call the row in errors.
    """
    if field in row and not _are_cats(row[field]):
        raise ValueError(
            f"{where}: the field '{field}' holds no labels. Give an object with 0 or 1 for each label, a list of labels, or one "
            f"label, of at most {LONGEST_LABEL} characters on one line."
        )


def _are_cats(value: Any) -> bool:
    """Whether a value can be labels. Labels are shown in errors, so a text that is taken for one by mistake must not pass."""
    if isinstance(value, dict) and not all(isinstance(v, (int, float)) and 0 <= v <= 1 for v in value.values()):
        return False
    if not isinstance(value, (dict, list, str)):
        return False
    names = [value] if isinstance(value, str) else list(value)
    return all(may_be_label(name) for name in names)


def _to_cats(value: Any) -> Tuple[Dict[str, float], bool]:
    """The labels as {label: value}, and whether labels that are not named are unknown rather than false."""
    if isinstance(value, dict):
        return {label: float(number) for label, number in value.items()}, True
    names = [value] if isinstance(value, str) else value
    return {label: 1.0 for label in names}, False
