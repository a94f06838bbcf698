"""Prodigy: what `db-out` writes, one answer a line (https://prodi.gy/docs/api-interfaces)."""

from bisect import bisect_left
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .label_studio import is_label_studio
from .objects import OBJECTS, Mentions, Tally, fields, id_of, read_objects, relation
from .registry import Format

Row = Dict[str, Any]


def is_prodigy(row: Row) -> bool:
    """RETURNS (bool): Whether an object is an answer of Prodigy."""
    answered = row.get("answer") in ("accept", "reject", "ignore")
    marked = answered or any(field in row for field in ("_input_hash", "_task_hash", "spans"))
    return marked and "ents" not in row and not is_label_studio(row)


def read_prodigy(path: Path) -> Iterator[Tuple[str, Row]]:
    """Read entities (`spans`), `relations`, and labels of documents: choices (`options` and `accept`), or one `label` that was
    accepted or rejected, whose spans, if any, are what a pattern found.

    path (Path): The file, or a folder of files.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each text. Answers that were ignored are left out, and so are
        those that were rejected, unless they are about one label: that one is false. Answers to the same input are one document:
        their labels, and the spans of yes-or-no questions, are put together; of whole annotations the last one holds. All of this
        is counted in a warning.
    RAISES ValueError: An answer without a text, or a relation without its spans.
    """
    tally = Tally()
    found: Dict[Any, Tuple[str, Row]] = {}
    for where, answer, _ in read_objects(path):
        if answer.get("answer", "accept") == "ignore":
            tally("ignored answers were left out")
            continue
        if not isinstance(answer.get("text"), str):
            raise ValueError(
                f"{where}: the field 'text' is missing, or not a string. Answers about images or pairs are not read."
            )
        row = _row(answer, where, tally)
        if row is None:
            tally("rejected answers were left out")
            continue
        key = answer.get("_input_hash")
        key = answer["text"] if not isinstance(key, int) else (key, answer["text"])
        if key in found:
            _unite(found[key][1], row, answer.get("_is_binary") is True, tally)
        else:
            found[key] = where, row
    yield from found.values()
    tally.warn(path)


def _row(answer: Row, where: str, tally: Tally) -> Optional[Row]:
    """What an answer says; None if it is rejected."""
    rejected = answer.get("answer", "accept") != "accept"
    row: Row = {"id": id_of(answer, "id", "_input_hash"), "text": answer["text"]}
    about_label = _is_about_label(answer)
    if isinstance(answer.get("options"), list):
        chosen = fields(answer, "options", ("id",), where)
        accepted = answer.get("accept") or []
        if not isinstance(accepted, list):
            raise ValueError(f"{where}: the field 'accept' is not a list.")
        row["cats"] = {_label(option["id"], where): float(option["id"] in accepted) for option in chosen}
    elif about_label:
        row["cats"] = {_label(answer["label"], where): float(not rejected)}
        rejected = False
    if rejected:
        return None
    if not about_label and ("spans" in answer or "relations" in answer):
        _annotate(answer, row, where, tally)
    return row


def _is_about_label(answer: Row) -> bool:
    """Whether it was asked if a text has a label. `textcat.teach` shows what its patterns found as spans without labels; where
    entities are marked, a label beside them is no answer."""
    if not isinstance(answer.get("label"), str) or answer.get("_view_id", "classification") not in ("classification", "blocks"):
        return False
    spans = answer.get("spans")
    return "relations" not in answer and not any(isinstance(span, dict) and span.get("label") for span in spans or ())


def _label(value: Any, where: str) -> str:
    """Options may be called by numbers."""
    if not isinstance(value, (str, int)):
        raise ValueError(f"{where}: an option has no 'id'.")
    return str(value)


def _annotate(answer: Row, row: Row, where: str, tally: Tally) -> None:
    """Add entities and relations to a row."""
    mentions = Mentions(where, tally)
    for span in fields(answer, "spans", ("start", "end"), where):
        mentions.add(span["start"], span["end"], span.get("label"), span.get("text"), (span["start"], span["end"]))
    tokens = fields(answer, "tokens", ("start", "end"), where)
    if not all(type(token[end]) is int for token in tokens for end in ("start", "end")):
        raise ValueError(f"{where}: a token's 'start' or 'end' is not a whole number.")
    owners = _owners(mentions.rows, tokens)
    relations: List[Dict[str, str]] = []
    for number, entry in enumerate(fields(answer, "relations", ("head", "child"), where), 1):
        place = f"{where}, relation {number}"
        head, child = (_end(entry, end, mentions, tokens, owners, place) for end in ("head", "child"))
        relations.append(relation(head, child, entry.get("label"), place, tally))
    mentions.fit(row["text"])
    row["ents"] = mentions.rows
    if "relations" in answer:
        row["relations"] = relations


def _owners(ents: List[Row], tokens: List[Row]) -> Dict[int, str]:
    """The entity that each token is in, if it is in one."""
    starts = [token["start"] for token in tokens]
    found: Dict[int, str] = {}
    for ent in ents:
        for number in range(bisect_left(starts, ent["start"]), bisect_left(starts, ent["end"])):
            found.setdefault(number, ent["id"])
    return found


def _end(entry: Row, end: str, mentions: Mentions, tokens: List[Row], owners: Dict[int, str], where: str) -> str:
    """The entity that a relation begins or ends at. Relations can be between words that are no spans."""
    span = entry.get(f"{end}_span")
    if isinstance(span, dict):
        start, stop = span.get("start"), span.get("end")
        if type(start) is not int or type(stop) is not int:
            raise ValueError(f"{where}: its '{end}_span' has no 'start' or no 'end'.")
        return mentions.find((start, stop)) or mentions.add(start, stop, span.get("label"), None, (start, stop))
    number = entry[end]
    if type(number) is not int or not 0 <= number < len(tokens):
        raise ValueError(f"{where}: it has no '{end}_span', and its '{end}' is no token of this text.")
    place = tokens[number]["start"], tokens[number]["end"]
    return owners.get(number) or mentions.find(place) or mentions.add(*place, None, None, place)


def _unite(known: Row, more: Row, binary: bool, tally: Tally) -> None:
    """Add what another answer to the same input says."""
    if "cats" in more:
        cats = known.setdefault("cats", {})
        changed = sum(cats.get(label, value) != value for label, value in more["cats"].items())
        tally("labels were answered in two ways, and the later answer holds", changed)
        cats.update(more["cats"])
    if "ents" not in more:
        return
    if binary and "ents" in known and "relations" not in known:
        for ent in more["ents"]:
            if not any(all(ent[name] == other[name] for name in ("start", "end", "label")) for other in known["ents"]):
                known["ents"].append({**ent, "id": f"T{len(known['ents']) + 1}"})
        return
    if "ents" in known:
        tally("texts were annotated again, and the last annotation holds")
    known.pop("relations", None)
    known.update({name: more[name] for name in ("ents", "relations") if name in more})


FORMAT = Format(read_prodigy, suffixes=OBJECTS, is_from=is_prodigy)
