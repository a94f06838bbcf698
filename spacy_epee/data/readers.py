"""Reading annotated documents."""

from collections import Counter
from itertools import combinations, islice
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union, cast

from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from ..doc_attributes import annotate, annotation, are_soft_labels, install_teacher, set_place, set_soft_labels
from ..errors import raise_alone
from .checks import LONGEST_LABEL, Align, make_doc, may_be_label
from .docs import annotate_doc, check_relations, copy_entities, install_extensions, warn_expanded, warn_joined
from .event_docs import as_lists, check_events, count_doubles, warn_doubles
from .texts import find_files, parse_json, read_lines

JSONL = (".jsonl", ".jsonl.gz")
"""What the names of our own files end in."""


class Line(NamedTuple):
    """A row of a JSONL file.

    where (str): What to call it in errors: the file and the line.
    row (Dict[str, Any]): The row.
    file (Path): The file.
    """

    where: str
    row: Dict[str, Any]
    file: Path


def JsonlReader(
    path: Optional[Union[str, Path]], cats: str = "cats", limit: int = 0, teacher: Optional[str] = "teacher"
) -> Callable[[Language], Iterable[Example]]:
    """Read documents from a JSONL file, which may be compressed: one object a line with "text" and labels.

    path (Optional[Union[str, Path]]): The file, ending in .jsonl or .jsonl.gz, or a folder of such files, which are read in
        the order of their names. null in a config that is only checked or filled.
    cats (str): The field with the labels: an object {label: 0 or 1}; a list of the labels that are true; or one label.
    limit (int): The most documents to read; 0 for all.
    teacher (Optional[str]): The field with what teachers say, an object {label: probability}, as `python -m spacy epee teach`
        writes it; null reads none. A document that has it needs no labels.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus, read anew each time it is called.
    """

    def corpus(nlp: Language) -> Iterator[Example]:
        for doc in make_docs(nlp, read_rows(need_path(path), cats, limit, teacher=teacher), cats, teacher):
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
    teacher: Optional[str] = "teacher",
) -> Callable[[Language], Iterable[Example]]:
    """Read documents with entities, relations and events, from JSONL or from .spacy files.

    path (Optional[Union[str, Path]]): A file ending in .jsonl, .jsonl.gz or .spacy, or a folder of .spacy files or, if it has
        none, of the others. null in a config that is only checked or filled.
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
    teacher (Optional[str]): As of `JsonlReader`, where `cats` are read.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus, read anew each time it is called.
    """
    if align not in ("expand", "strict"):
        raise ValueError(f"The setting `align` of the reader is '{align}'; give 'expand' or 'strict'.")
    if triggers_key is not None and triggers_key == spans_key:
        raise ValueError(f"The reader's `spans_key` and `triggers_key` are both '{spans_key}'. Give triggers their own group.")

    fields = [cats] if isinstance(cats, str) else list(cats or ())
    taught = teacher if fields else None

    def corpus(nlp: Language) -> Iterator[Example]:
        for reference in _references(nlp, need_path(path), spans_key, cast(Align, align), limit, fields, taught):
            predicted = _copy(nlp, reference)
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
    nlp: Language,
    path: Path,
    spans_key: Optional[str],
    align: Align,
    limit: int,
    fields: List[str],
    teacher: Optional[str],
) -> Iterator[Doc]:
    doubles: Counter = Counter()
    if is_jsonl(path):
        expanded: Counter = Counter()
        joined: Counter = Counter()
        rows = read_rows(path, limit=limit, teacher=teacher)
        for line in rows:
            for field in fields:
                check_cats(line.row, field, line.where)
        every = [read_cats([line.row for line in rows], field) for field in fields]
        for one, other in combinations(range(len(fields)), 2):
            shared = {label for found in every[one] for label in found} & {label for found in every[other] for label in found}
            if shared:
                raise ValueError(
                    f"{path}: the fields '{fields[one]}' and '{fields[other]}' share {len(shared)} labels, and `doc.cats` holds "
                    "a label once. Rename them in the data, or read one of the fields."
                )
        for place, line in enumerate(rows):
            doc = annotate_doc(nlp, line.row, line.where, spans_key=spans_key, align=align, expanded=expanded, joined=joined)
            set_place(doc, line.where)
            for found in every:
                doc.cats.update(found[place])
            take_soft_labels(doc, line, teacher)
            count_doubles(doc, line.where, doubles)
            yield doc
        warn_expanded(expanded)
        warn_doubles(doubles)
        warn_joined(joined)
        return
    install_extensions()
    for where, eg in read_docs(nlp, path, limit):
        check_relations(eg.reference, where)
        check_events(eg.reference, where)
        for name in ("relations", "events"):
            annotated = annotation(eg.reference, name)
            if annotated is not None:
                annotate(eg.reference, name, as_lists(annotated))
        count_doubles(eg.reference, where, doubles)
        yield eg.reference
    warn_doubles(doubles)


def is_jsonl(path: Path) -> bool:
    """RETURNS (bool): Whether a path is of JSONL files, and not of .spacy files: by its name, or by what is in the folder."""
    if path.is_dir():
        return not find_files(path, [".spacy"]) and bool(find_files(path, JSONL))
    return path.name.lower().endswith(JSONL)


def read_docs(nlp: Language, path: Path, limit: int = 0) -> Iterator[Tuple[str, Example]]:
    """Read .spacy files.

    nlp (Language): The pipeline.
    path (Path): The file, or a folder of files.
    limit (int): The most documents; 0 for all.
    YIELDS (Tuple[str, Example]): What to call the document in errors, and the document.
    RAISES ValueError: There are none, or a file is no such file.
    """
    files = [file for file in find_files(path, [".spacy"]) if file.suffix.lower() == ".spacy"]
    if not files:
        raise ValueError(f"'{path}' is, and has, no file ending in .spacy or .jsonl.")
    yield from islice((found for file in files for found in _read_docbin(nlp, file)), limit or None)


def _read_docbin(nlp: Language, file: Path) -> Iterator[Tuple[str, Example]]:
    examples = _examples(nlp, file)
    number = 0
    while True:
        number += 1
        where = f"{file}, document {number}"
        try:
            eg = next(examples, None)
        except OSError:
            raise
        except Exception as error:  # what zlib, msgpack and spaCy make of it, of which some show what they read
            long = isinstance(error, ValueError) and "[E088]" in str(error)
            cause = "the text is longer than `nlp.max_length` of this pipeline" if long else "not what spaCy's `DocBin` writes"
            raise_alone(ValueError(f"{where}: {cause} ({type(error).__name__})."))
        if eg is None:
            return
        check_cats({"cats": eg.reference.cats}, "cats", where)
        set_place(eg.reference, where)
        yield where, eg


def _examples(nlp: Language, file: Path) -> Iterator[Example]:
    # spaCy's own reader leaves out documents without a token, in silence.
    for reference in DocBin().from_disk(file).get_docs(nlp.vocab):
        yield Example(_copy(nlp, reference) if reference.has_unknown_spaces else nlp.make_doc(reference.text), reference)


def _copy(nlp: Language, doc: Doc) -> Doc:
    """A Doc of the same tokens, and nothing else."""
    return Doc(nlp.vocab, words=[token.text for token in doc], spaces=[bool(token.whitespace_) for token in doc])


def read_jsonl(path: Union[str, Path], cats: Optional[str] = None, limit: int = 0) -> List[Dict[str, Any]]:
    """Read a JSONL file of documents.

    path (Union[str, Path]): The file, or a folder of files; compressed if it ends in .gz, which may be left out.
    cats (Optional[str]): The field with the labels, if every row must have them.
    limit (int): The most rows to read; 0 for all.
    RETURNS (List[Dict[str, Any]]): The rows.
    RAISES ValueError: A line that is no document. It names file and line, and shows nothing of what is in it.
    """
    return [line.row for line in read_rows(path, cats, limit)]


def read_rows(
    path: Union[str, Path],
    cats: Optional[str] = None,
    limit: int = 0,
    needs: Sequence[str] = ("text",),
    teacher: Optional[str] = None,
) -> List[Line]:
    """As `read_jsonl`.

    needs (Sequence[str]): The fields that every row must have beside the labels.
    teacher (Optional[str]): The field with what teachers say, if any is to be read. A row that has it needs no labels.
    RETURNS (List[Line]): The rows, each with its place.
    """
    rows: List[Line] = []
    for line in islice(iterate_rows(path), limit or None):
        check_soft_labels(line, teacher)
        taught = teacher is not None and line.row.get(teacher) is not None
        for field in needs if cats is None or taught else [*needs, cats]:
            if field not in line.row:
                raise ValueError(f"{line.where}: the field '{field}' is missing.")
        if not isinstance(line.row.get("text", ""), str):
            raise ValueError(f"{line.where}: the field 'text' is not a string.")
        if cats is not None:
            check_cats(line.row, cats, line.where)
        rows.append(line)
    return rows


def iterate_rows(path: Union[str, Path]) -> Iterator[Line]:
    """Read the objects of JSONL files.

    path (Union[str, Path]): As of `read_jsonl`.
    YIELDS (Line): The objects, each with its place.
    RAISES ValueError: There is no such file, or a line is no object.
    """
    path = Path(path)
    if not path.exists() and path.with_name(path.name + ".gz").exists():
        path = path.with_name(path.name + ".gz")
    files = find_files(path, JSONL)
    if not files:
        raise ValueError(f"There are no files ending in {' or '.join(JSONL)} in '{path}'.")
    for file in files:
        for number, line in read_lines(file):
            if not line.strip():
                continue
            where = f"{file}, line {number}"
            row = parse_json(line, where)
            if not isinstance(row, dict):
                raise ValueError(f"{where}: expected an object.")
            yield Line(where, row, file)


def make_docs(nlp: Language, rows: Sequence[Line], cats: str = "cats", teacher: Optional[str] = None) -> Iterator[Doc]:
    """Make annotated Docs.

    nlp (Language): The pipeline, for its tokenizer.
    rows (Sequence[Line]): Rows of a JSONL file.
    cats (str): The field with the labels.
    teacher (Optional[str]): The field with what teachers say, if any is to be read.
    YIELDS (Doc): Docs with `cats`, in which every label of the file has a value.
    """
    for line, found in zip(rows, read_cats([line.row for line in rows], cats)):
        doc = make_doc(nlp, line.row.get("text", ""), line.where)
        doc.cats = found
        set_place(doc, line.where)
        take_soft_labels(doc, line, teacher)
        yield doc


def read_cats(rows: List[Dict[str, Any]], field: str) -> List[Dict[str, float]]:
    """Read the labels of documents.

    rows (List[Dict[str, Any]]): Rows of a JSONL file.
    field (str): The field with the labels.
    RETURNS (List[Dict[str, float]]): {label: value} for each row, in which every label of the file has a value unless the row
        says which labels have one. Empty for a row without the field.
    """
    annotated = [to_cats(row[field]) if field in row else ({}, True) for row in rows]
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
            f"label: strings of 1 to {LONGEST_LABEL} characters on one line."
        )


def check_soft_labels(line: Line, field: Optional[str]) -> None:
    """Refuse a field that holds nothing of teachers.

    line (Line): A row of a JSONL file.
    field (Optional[str]): The field. It may be missing, or null.
    """
    value = None if field is None else line.row.get(field)
    if value is not None and not (are_soft_labels(value) and all(may_be_label(name) for name in value)):
        raise ValueError(
            f"{line.where}: the field '{field}' holds no soft labels. Give an object with a probability from 0 to 1 for each "
            "label, or another field, or null, as the reader's setting `teacher`."
        )


def take_soft_labels(doc: Doc, line: Line, field: Optional[str]) -> None:
    """Set `doc._.teacher`, if the row has anything for it.

    doc (Doc): The annotated Doc.
    line (Line): Its row.
    field (Optional[str]): The field.
    """
    if field is not None and line.row.get(field) is not None:
        install_teacher()
        set_soft_labels(doc, {label: float(number) for label, number in line.row[field].items()})


def _are_cats(value: Any) -> bool:
    """Whether a value can be labels. Labels are shown in errors, so a text that is taken for one by mistake must not pass."""
    if isinstance(value, dict) and not all(isinstance(v, (int, float)) and v in (0, 1) for v in value.values()):
        return False
    if not isinstance(value, (dict, list, str)):
        return False
    names = [value] if isinstance(value, str) else list(value)
    return all(may_be_label(name) for name in names)


def to_cats(value: Any) -> Tuple[Dict[str, float], bool]:
    """The labels as {label: value}, and whether labels that are not named are unknown rather than false."""
    if isinstance(value, dict):
        return {label: float(number) for label, number in value.items()}, True
    names = [value] if isinstance(value, str) else value
    return {label: 1.0 for label in names}, False
