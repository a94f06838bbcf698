"""Label Studio: exports as JSON and JSON-MIN, and the files that it writes to storage (https://labelstud.io/guide/export)."""

import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .objects import OBJECTS, Mentions, Tally, fields, id_of, read_objects, relation
from .registry import Format

Row = Dict[str, Any]

SEVERAL = "annotations were left out for another one of the same task, which is marked as true or later"

SHARED = (
    "choices are called as those of another question, which are one label in `cats`; of one question alone read them with "
    "`--cats QUESTION`"
)
"""What becomes of a Yes of one question and a Yes of another."""

SPANS = ("labels", "hypertextlabels", "paragraphlabels")
"""The kinds of results that mark text."""

RESERVED = ("id", "text", "ents", "relations", "events", "cats")
"""Fields of a row, which no question gets."""

ABOUT = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
"""What JSON-MIN says of an annotation."""


ADDRESS = re.compile(r"(?:[A-Za-z][\w+.-]*://|/data/)\S+")
"""What a task has in place of a text that lies elsewhere (`valueType="url"`)."""


def is_label_studio(row: Row) -> bool:
    """RETURNS (bool): Whether an object is a task of Label Studio, or an annotation from its storage."""
    if isinstance(row.get("data"), dict) and any(name in row for name in ("annotations", "completions", "predictions")):
        return True
    if isinstance(row.get("result"), list) and isinstance(row.get("task"), dict):
        return True
    return "annotation_id" in row and "lead_time" in row  # JSON-MIN


def read_label_studio(path: Path) -> Iterator[Tuple[str, Row]]:
    """Read entities (`labels`), relations, and labels of documents (`choices`).

    path (Path): The file, or a folder of files.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each task that is annotated. Of several annotations that are
        neither skipped nor rejected, the one that is marked as true holds, or else the last one. What is skipped, not annotated,
        or of another kind is counted in a warning. A relation to the left has its ends exchanged, one to both sides is two.
        Choices are in `cats`, and those of each question under its name too; those that two questions share are counted. In
        JSON-MIN there are no relations, and a single choice is left as it is under the name of its question, which readers take
        as `cats`.
    RAISES ValueError: A task that is not of this form, or whose spans have other texts than the file says. It names file and task
        and shows nothing of either.
    """
    tally = Tally()
    questions: Dict[str, str] = {}
    found: Dict[Tuple[str, str], Tuple[str, str, Row]] = {}
    for where, task, _ in read_objects(path):
        if isinstance(task.get("data"), dict):
            annotation, made = _choose(task, where, tally), _task
        elif isinstance(task.get("task"), dict):
            annotation, made, task = _choose({"annotations": [task]}, where, tally), _task, task["task"]
        else:
            annotation, made = task, _minimal
        if annotation is None:
            continue
        row, named = made(task, annotation, where, tally)
        for question, chosen in named.items():
            tally(SHARED, sum(questions.setdefault(choice, question) != question for choice in chosen))
        key, time = (row["id"], row["text"]), _time(annotation)
        if key in found:
            tally(SEVERAL)
        if key not in found or time >= found[key][0]:
            found[key] = time, where, row
    for _, where, row in found.values():
        yield where, row
    tally.warn(path)


def _time(annotation: Row) -> str:
    """When an annotation was made, in a form that has the order of time."""
    return str(annotation.get("updated_at", ""))


def _task(task: Row, annotation: Row, where: str, tally: Tally) -> Tuple[Row, Dict[str, List[str]]]:
    """RETURNS (Tuple[Dict[str, Any], Dict[str, List[str]]]): The row of a task, and the choices of each question."""
    if not isinstance(task.get("data"), dict):
        raise ValueError(f"{where}: its task has no 'data'.")
    results = fields(annotation, "result", ("type",), where)
    mentions = Mentions(where, tally)
    cats: List[str] = []
    named: Dict[str, List[str]] = {}
    regions = {result.get("id") for result in results if result["type"] in SPANS and isinstance(result.get("id"), str)}
    for number, result in enumerate(results, 1):
        value, place = result.get("value"), f"{where}, result {number}"
        if result["type"] in SPANS:
            _add(value, result["type"], mentions, place, result.get("id"))
        elif result["type"] == "choices" and str(result.get("id")) not in regions and isinstance(value, dict):
            chosen = _choices(value, place)
            cats += chosen
            if isinstance(result.get("from_name"), str):
                named.setdefault(result["from_name"], []).extend(chosen)
        elif result["type"] != "relation":
            tally("results were left out that are neither spans of text, nor relations, nor choices for the whole text")
    relations: List[Dict[str, str]] = []
    for number, result in enumerate(results, 1):
        relations += _relations(result, mentions, f"{where}, result {number}", tally)
    text = _text(task["data"], mentions, where)
    row: Row = {"id": id_of(task, "id"), "text": text, "ents": mentions.rows, "relations": relations}
    return _with_choices(row, cats, named), named


def _choose(task: Row, where: str, tally: Tally) -> Optional[Row]:
    """The annotation of a task that holds."""
    name = "annotations" if "annotations" in task else "completions"
    every = fields(task, name, (), where)
    kept = [one for one in every if not one.get("was_cancelled") and not one.get("skipped")]
    tally("annotations were skipped by their annotators and left out", len(every) - len(kept))
    good = [one for one in kept if not _rejected(one)]
    tally("annotations were rejected and left out", len(kept) - len(good))
    if not good:
        tally("tasks have no annotation and were left out")
        return None
    tally(SEVERAL, len(good) - 1)
    return max(enumerate(good), key=lambda one: (bool(one[1].get("ground_truth")), _time(one[1]), one[0]))[1]


def _rejected(annotation: Row) -> bool:
    reviews = annotation.get("reviews")
    last = reviews[-1] if isinstance(reviews, list) and reviews else None
    return isinstance(last, dict) and last.get("accepted") is False


def _add(value: Any, kind: str, mentions: Mentions, where: str, name: Any = None) -> None:
    """Add an entity for each label of a region."""
    if not isinstance(value, dict) or type(value.get("start")) is not int or type(value.get("end")) is not int:
        raise ValueError(
            f"{where}: it has no 'start' and 'end' that count characters; regions of HTML or dialogues are not read."
        )
    labels = value.get(kind) or [None]
    for label in labels if isinstance(labels, list) else [labels]:
        mentions.add(value["start"], value["end"], label, value.get("text"), name)


def _relations(result: Row, mentions: Mentions, where: str, tally: Tally) -> Iterator[Dict[str, str]]:
    if result["type"] != "relation":
        return
    head, child = mentions.find(result.get("from_id")), mentions.find(result.get("to_id"))
    direction = result.get("direction", "right")
    labels = result.get("labels") or [None]
    if not isinstance(labels, list):
        raise ValueError(f"{where}: its labels are no list.")
    for label in labels:
        if direction != "left":
            yield relation(head, child, label, where, tally)
        if direction in ("left", "bi"):
            yield relation(child, head, label, where, tally)


def _choices(value: Row, where: str) -> List[str]:
    chosen = value.get("choices")
    if not isinstance(chosen, list) or not all(isinstance(choice, str) for choice in chosen):
        raise ValueError(f"{where}: its choices are no list of strings.")
    return chosen


def _text(data: Row, mentions: Mentions, where: str) -> str:
    """The text of a task: its field `text`, the only one that is a string, or the only one that its spans fit."""
    texts = [value for value in data.values() if isinstance(value, str)]
    if isinstance(data.get("text"), str):
        texts = [data["text"]]
    if len(texts) > 1:
        texts = [text for text in texts if mentions.fits(text)]
    if len(texts) != 1:
        raise ValueError(f"{where}: it is not clear which field of its data is the text. Call it 'text'.")
    if ADDRESS.fullmatch(texts[0].strip()):
        raise ValueError(f"{where}: its text is the address of a file, which is not read. Put the text itself in its place.")
    mentions.fit(texts[0])
    return texts[0]


def _minimal(task: Row, annotation: Row, where: str, tally: Tally) -> Tuple[Row, Dict[str, List[str]]]:
    """As `_task`, of JSON-MIN, in which what the annotators did stands under the names of the questions, beside the data."""
    mentions = Mentions(where, tally)
    cats: List[str] = []
    named: Dict[str, List[str]] = {}
    rest: Row = {}
    for name, value in task.items():
        parts = value if isinstance(value, list) else [value]
        if any(isinstance(part, dict) and "start" in part and "end" in part for part in parts):
            for number, part in enumerate(parts, 1):
                kind = next((kind for kind in SPANS if isinstance(part, dict) and kind in part), SPANS[0])
                _add(part, kind, mentions, f"{where}, region {number}")
        elif isinstance(value, dict) and isinstance(value.get("choices"), list):
            named[name] = _choices(value, where)
            cats += named[name]
        else:
            rest[name] = value
    row = {"id": id_of(task, "id"), "text": _text(rest, mentions, where), "ents": mentions.rows}
    more = {name: value for name, value in rest.items() if name not in (*RESERVED, *ABOUT) and value != row["text"]}
    return _with_choices({**row, **more}, cats, named), named


def _with_choices(row: Row, cats: List[str], named: Dict[str, List[str]]) -> Row:
    if named or cats:
        row["cats"] = cats
    row.update({name: chosen for name, chosen in named.items() if name not in RESERVED})
    return row


FORMAT = Format(read_label_studio, suffixes=OBJECTS, is_from=is_label_studio)
