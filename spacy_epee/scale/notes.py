"""Notes in, rows out: one function that the command, Spark and any service call.

A row has plain values only, and of a note's text nothing. Whatever is wrong with a note is said in its row, and costs no other
note its answer.
"""

from numbers import Integral, Real
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from spacy.language import Language
from spacy.tokens import Doc

from ..component.pipe import EarlyExitTransformer
from ..doc_attributes import exits_of, in_characters
from ..forgetting import forget_words

Row = Dict[str, Any]
"""The values of a note, by the names in `COLUMNS`."""

COLUMNS = {
    "id": "string",
    "answers": "string",
    "layer": "double",
    "reason": "string",
    "uncertain": "boolean",
    "exits": "string",
    "error": "string",
    "version": "string",
}
"""The columns of the output and what they are in tables. `answers` and `exits` are objects there, written as JSON."""

DIGITS = 6
"""How many digits of a probability are written."""

CHUNK_NOTES, CHUNK_CHARACTERS = 512, 1_000_000
"""How many notes are read ahead, sorted by length and answered, and the most characters in them, but for a longer note alone."""

REASON = "spacy_epee_reason"
"""Where `Doc.user_data` has why a component could not answer it."""


class Note(NamedTuple):
    """A note.

    id (Optional[str]): What it is called; None where that cannot be read.
    text (Optional[str]): Its text; None where there is none to answer.
    error (str): Why there is none.
    """

    id: Optional[str]
    text: Optional[str]
    error: str = ""


def make_note(key: Any, text: Any, where: str) -> Note:
    """Make a note of two values.

    key (Any): Its id, a string or a whole number.
    text (Any): Its text.
    where (str): What to call the place in errors.
    RETURNS (Note): The note, with an error if a value is none of these.
    """
    known = isinstance(key, (str, Integral)) and not isinstance(key, bool) and str(key).strip() != ""
    name = str(key) if known else None
    if not known:
        return Note(name, None, f"{where}: the id is empty, or neither text nor a whole number ({type(key).__name__})")
    if not isinstance(text, str):
        return Note(name, None, f"{where}: there is no text ({type(text).__name__})")
    return Note(name, str(text))


def chunks(notes: Iterable[Note]) -> Iterator[List[Note]]:
    """Divide notes into those that are answered together. Where one ends depends on what is in it alone, so that whoever goes on
    behind any of them gets the same ones.

    notes (Iterable[Note]): The notes.
    YIELDS (List[Note]): Some of them, in order.
    """
    chunk: List[Note] = []
    characters = 0
    for note in notes:
        chunk.append(note)
        characters += len(note.text or "")
        if len(chunk) >= CHUNK_NOTES or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def check_pipeline(nlp: Language) -> Language:
    """Refuse a pipeline that has nothing to say about texts, and have it go on where it cannot answer a document.

    nlp (Language): The pipeline.
    RETURNS (Language): The same.
    RAISES ValueError: It has no early-exiting component, or one that reads images.
    """
    pipes = components(nlp)
    if not pipes:
        raise ValueError(f"The pipeline has no early-exiting component, only {nlp.pipe_names}.")
    for pipe in pipes:
        if any(slot.task.reads != "text" for slot in pipe.slots.values()):
            raise ValueError(f"The component '{pipe.name}' reads something else than text, and only notes can be annotated here.")
    nlp.set_error_handler(keep_reason)  # type: ignore[arg-type]
    return nlp


def components(nlp: Language) -> List[EarlyExitTransformer]:
    """RETURNS (List[EarlyExitTransformer]): The early-exiting components of a pipeline that are not disabled."""
    return [pipe for _, pipe in nlp.pipeline if isinstance(pipe, EarlyExitTransformer)]


def keep_reason(name: str, proc: Any, docs: Sequence[Any], error: Exception) -> None:
    """An error handler that goes on. What our components say holds nothing of a text; of others only the kind is kept.

    name (str): The component's name.
    proc (Any): The component.
    docs (Sequence[Doc]): What it could not answer.
    error (Exception): Why.
    """
    told = isinstance(proc, EarlyExitTransformer) and (
        type(error) is ValueError or type(error).__module__.startswith("spacy_epee")
    )
    reason = f"{name}: {error if told else type(error).__name__}"
    for doc in docs:
        if isinstance(doc, Doc):
            doc.user_data[REASON] = reason


def annotate_alone(nlp: Language, notes: Sequence[Note], version: str = "", batch_size: int = 32) -> List[Row]:
    """As `annotate_notes`, without keeping the words of the notes: while no other thread uses the pipeline."""
    with forget_words(nlp):
        return annotate_notes(nlp, notes, version, batch_size)


def annotate_notes(nlp: Language, notes: Sequence[Note], version: str = "", batch_size: int = 32) -> List[Row]:
    """Answer some notes. They are answered in the order of their lengths, so that batches are even.

    nlp (Language): A pipeline, by `check_pipeline`.
    notes (Sequence[Note]): The notes.
    version (str): What to call the pipeline in each row.
    batch_size (int): How many are answered together.
    RETURNS (List[Dict[str, Any]]): A row for each note, in the order of the notes.
    """
    rows: List[Row] = [_failed(note, note.error, version) for note in notes]
    waiting: List[Tuple[int, str]] = []
    for number, note in enumerate(notes):
        if note.text is None:
            continue
        if len(note.text) > nlp.max_length:
            rows[number]["error"] = f"it has {len(note.text)} characters, more than `nlp.max_length` allows ({nlp.max_length})"
        else:
            waiting.append((number, note.text))
    waiting.sort(key=lambda one: len(one[1]))
    pipes = components(nlp)
    answered = set()
    for number, row, reason in _answers(nlp, pipes, waiting, batch_size):
        rows[number].update(row or {"error": reason})
        answered.add(number)
    # What failed in a batch of a component that cannot tell which of it, or took others with it, is tried alone.
    for number, text in waiting:
        if number not in answered:
            rows[number].update(_answer_alone(nlp, pipes, number, text))
    return rows


def _answers(
    nlp: Language, pipes: Sequence[EarlyExitTransformer], texts: Sequence[Tuple[int, str]], batch_size: int
) -> Iterator[Tuple[int, Optional[Row], str]]:
    """YIELDS (Tuple[int, Optional[Row], str]): The number of a text, its values, or why there are none."""
    try:
        for doc, number in nlp.pipe(((text, number) for number, text in texts), as_tuples=True, batch_size=batch_size):
            try:
                row = _answered(doc, pipes)
            except Exception as error:
                yield number, None, f"the answers cannot be written ({type(error).__name__})"
            else:
                yield number, row, ""
    except Exception:
        return  # a component, or the tokenizer, that raises whatever its error handler is


def _answer_alone(nlp: Language, pipes: Sequence[EarlyExitTransformer], number: int, text: str) -> Row:
    """The values of a text, or why there are none."""
    try:
        doc = nlp.make_doc(text)
    except Exception as error:
        return {"error": f"the tokenizer: {type(error).__name__}"}
    try:
        for done in nlp.pipe([doc], batch_size=1):
            return _answered(done, pipes)
    except Exception as error:
        return {"error": f"a component: {type(error).__name__}"}
    return {"error": doc.user_data.get(REASON, "a component left it out")}


def _failed(note: Note, error: str, version: str) -> Row:
    """The row of a note that nothing is known of."""
    row = dict.fromkeys(COLUMNS)
    return {**row, "id": note.id, "uncertain": True, "error": error or None, "version": version}


def _answered(doc: Doc, pipes: Sequence[EarlyExitTransformer]) -> Row:
    """The values of a note that is answered."""
    answers: Dict[str, Any] = {}
    exits: Dict[str, Any] = {}
    for pipe in pipes:
        exits[pipe.name] = exits_of(doc)[pipe.name]
        for name, slot in pipe.slots.items():
            _add_answers(answers, doc, pipe, name, slot.task.assigns)
    parts = [task for entry in exits.values() for task in entry.values()]
    reasons = {unit["reason"] for part in parts for unit in part["units"]}
    return {
        "answers": _plain(answers),
        "layer": _plain(max(part["layer"] for part in parts)),
        "reason": ", ".join(sorted(reasons)),
        "uncertain": any(part["uncertain"] for part in parts),
        "exits": _plain(exits),
        "error": None,
    }


def _add_answers(answers: Dict[str, Any], doc: Doc, pipe: EarlyExitTransformer, task: str, place: str) -> None:
    """Add what a task has written to a Doc, under the name of the attribute."""
    name = place.split(".")[-1]
    if place == "doc.cats":
        labels = pipe.slot(task).labels
        answers.setdefault(name, {}).update({label: doc.cats[label] for label in labels if label in doc.cats})
        answers.setdefault("labels", []).extend(pipe.labels_of(doc, task))
    elif name not in answers:
        answers[name] = _without_words(in_characters(doc, name))


def _without_words(value: Any) -> Any:
    """RETURNS (Any): An answer whose entries tell of attributes that are words of the text where these are, and not the words."""
    if isinstance(value, (list, tuple)):
        return [_without_words(entry) for entry in value]
    attributes = value.get("attributes") if isinstance(value, dict) else None
    if not isinstance(attributes, dict):
        return value
    words = {name: own for name, own in attributes.items() if isinstance(own, dict) and own.get("spans") and "value" in own}
    return {**value, "attributes": {**attributes, **{name: {**own, "value": None} for name, own in words.items()}}}


def _plain(value: Any) -> Any:
    """RETURNS (Any): The same of lists, dicts, strings, numbers and None alone.
    RAISES TypeError: It holds something else."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return round(float(value), DIGITS)
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    raise TypeError(type(value).__name__)
