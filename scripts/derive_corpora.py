"""Make of a converted corpus what is trained on, where that is not the same.

    python scripts/derive_corpora.py bc5cdr corpora/bc5cdr/normalised corpora_derived/bc5cdr

benchmarks/corpora.py uses the same. What is written holds text of a corpus and belongs in no repository.
"""

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import typer
from wasabi import msg

from spacy_epee.data.formats.concepts import relate_mentions
from spacy_epee.data.readers import read_jsonl
from spacy_epee.files import whole_file

Row = Dict[str, Any]


def of_concepts(row: Row) -> Row:
    """Relations of concepts as relations of all their mentions in the document."""
    found = [(relation["head"], relation["child"], relation["label"]) for relation in row["concept_relations"]]
    places: Dict[Tuple[int, int, str], Row] = {}
    for ent in row["ents"]:  # some are there twice, as parts of others, with other concepts
        known = places.setdefault((ent["start"], ent["end"], ent["label"]), {**ent, "kb_id": ""})
        known["kb_id"] = "|".join(dict.fromkeys(filter(None, [*known["kb_id"].split("|"), *ent["kb_id"].split("|")])))
    ents = list(places.values())
    return {**row, "ents": ents, "relations": relate_mentions(ents, found)}


def without_triggers(row: Row) -> Row:
    """The entities that the shared task gives: triggers may be listed among them, and are to be found."""
    triggers = {event.get("ent") or event["trigger"].get("ent") for event in row["events"]}
    return _without(row, {ent["id"] for ent in row["ents"]} & triggers)


def events_alone(row: Row) -> Row:
    """Events without the entities and relations of the same documents."""
    return _without(row, {ent["id"] for ent in row["ents"]})


def _without(row: Row, names: Set[str]) -> Row:
    """Leave out entities, relations, and what in events refers to these entities: offsets are there beside it."""

    def place(entry: Row) -> Row:
        return {key: value for key, value in entry.items() if key != "ent" or value not in names}

    events = [
        {**event, "trigger": place(event["trigger"]), "arguments": [place(argument) for argument in event["arguments"]]}
        for event in row["events"]
    ]
    return {**row, "ents": [ent for ent in row["ents"] if ent["id"] not in names], "relations": [], "events": events}


def of_effects(row: Row) -> Row:
    """Events of PHEE with what can be told without them: the kind of the sentence, unless it has events of both, and which drug
    has which effect."""
    labels = {event["label"] for event in row["events"]}
    kinds = {"adverse": "Adverse_event", "therapeutic": "Potential_therapeutic_event"}
    ents: Dict[Tuple[int, int, str], Row] = {}
    relations: Dict[Tuple[str, str], Row] = {}
    for event in row["events"]:
        found: Dict[str, List[str]] = {"Drug": [], "Effect": []}
        for argument in event["arguments"]:
            wanted = {"Drug": "Treatment", "Effect": None}
            if argument["role"] in wanted and argument.get("parent") == wanted[argument["role"]]:
                place = (argument["start"], argument["end"], argument["role"])
                ent = {"id": f"E{len(ents)}", "start": place[0], "end": place[1], "label": place[2]}
                found[argument["role"]].append(ents.setdefault(place, ent)["id"])
        label = next(kind for kind, name in kinds.items() if name == event["label"])
        for head, child in product(found["Drug"], found["Effect"]):
            relations.setdefault((head, child), {"head": head, "child": child, "label": label})
    cats = {"cats": {kind: float(name in labels) for kind, name in kinds.items()}} if len(labels) == 1 else {}
    return {**row, **cats, "ents": list(ents.values()), "relations": list(relations.values())}


KINDS = {
    "surgery": "Surgery",
    "consult": "Consult - History and Phy.",
    "radiology": "Radiology",
    "progress": "SOAP / Chart / Progress Notes",
    "discharge": "Discharge Summary",
}
"""The kinds of report among the specialties of MTSamples."""


def kind_of_report(row: Row) -> Optional[Row]:
    """A report with its kind in place of its specialties; None if it has no kind, or several."""
    cats = {kind: row["cats"][name] for kind, name in KINDS.items()}
    return {**row, "cats": cats} if sum(cats.values()) == 1 else None


@dataclass(frozen=True)
class Derivation:
    """What becomes of a corpus.

    row (Callable): Makes each row from the corpus' own; None leaves it out.
    held_out (int): If above 0, the dev split has the annotated test documents, and each so many-th group of documents of the
        training data is the dev set.
    """

    row: Callable[[Row], Optional[Row]]
    held_out: int = 0


DERIVATIONS = {
    "bc5cdr": Derivation(of_concepts),
    "genia": Derivation(without_triggers, held_out=10),
    "maccrobat": Derivation(events_alone),
    "mtsamples_kinds": Derivation(kind_of_report),
    "phee_joint": Derivation(of_effects),
}


def derive(corpus: str, split: str, folder: Path, target: Path) -> int:
    """Write a derived split.

    corpus (str): A key of `DERIVATIONS`.
    split (str): "train", "dev" or "test".
    folder (Path): Where the splits of the corpus lie.
    target (Path): The file to write.
    RETURNS (int): The number of its rows.
    """
    plan = DERIVATIONS[corpus]
    source = {"train": "train", "dev": "train", "test": "dev"}[split] if plan.held_out else split
    made = (plan.row(row) for row in read_jsonl(folder / f"{source}.jsonl"))
    rows = [row for row in made if row is not None]
    if source == "train" and plan.held_out:
        groups = sorted({row["group"] for row in rows})
        aside = set(groups[:: plan.held_out])
        rows = [row for row in rows if (row["group"] in aside) == (split == "dev")]
    with whole_file(target) as part:
        part.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return len(rows)


def main(
    corpus: str = typer.Argument(..., help=f"One of {', '.join(DERIVATIONS)}"),
    folder: Path = typer.Argument(..., help="Folder with its splits"),
    target: Path = typer.Argument(..., help="Folder to write to"),
):
    if corpus not in DERIVATIONS:
        msg.fail(f"Nothing is derived of '{corpus}'; give one of {', '.join(DERIVATIONS)}", exits=1)
    try:
        counts = {split: derive(corpus, split, folder, target / f"{split}.jsonl") for split in ("train", "dev", "test")}
    except OSError as error:
        msg.fail(str(error), exits=1)
    msg.good(f"{target}: " + ", ".join(f"{split} {count}" for split, count in counts.items()))


if __name__ == "__main__":
    typer.run(main)
