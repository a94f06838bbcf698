"""The corpora of the benchmarks. They stay where they are; nothing of them is copied into the project."""

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from spacy_epee.convert.concepts import relate_mentions
from spacy_epee.training.readers import EntityReader, JsonlReader, read_jsonl


def of_concepts(row: Dict[str, Any]) -> Dict[str, Any]:
    """Relations of concepts as relations of all their mentions in the document."""
    found = [(relation["head"], relation["child"], relation["label"]) for relation in row["concept_relations"]]
    places = {(ent["start"], ent["end"], ent["label"]): ent for ent in row["ents"]}  # some are there twice, as parts of others
    ents = list(places.values())
    return {**row, "ents": ents, "relations": relate_mentions(ents, found)}


def without_triggers(row: Dict[str, Any]) -> Dict[str, Any]:
    """The entities that the shared task gives: triggers are listed among them, and are to be found."""
    triggers = {event.get("ent") for event in row["events"]}
    return {**row, "ents": [ent for ent in row["ents"] if ent["id"] not in triggers], "relations": []}


def events_alone(row: Dict[str, Any]) -> Dict[str, Any]:
    """Events without the entities and relations of the same documents."""
    return {**row, "ents": [], "relations": []}


@dataclass(frozen=True)
class Plan:
    """How a corpus is used.

    folder (str): Where its splits lie.
    exclusive (bool): One label of several, or any number; of relations: a pair has one label or none.
    epochs (int): Passes over the training data.
    window (int): Wordpieces in a window.
    batch (int): Documents in a training batch.
    sample (int): The most wordpieces of a document in a training batch; longer ones show random windows.
    task (str): "textcat", "relations" or "events".
    settings (Dict[str, Any]): More settings of the component.
    derive (Optional[Callable]): Makes each row from the corpus' own.
    held_out (int): If above 0, the dev split has the annotated test documents, and each so many-th group of documents of the
        training data is the dev set.
    """

    folder: str
    exclusive: bool
    epochs: int
    window: int = 256
    batch: int = 16
    sample: int = 4096
    task: str = "textcat"
    settings: Dict[str, Any] = field(default_factory=dict)
    derive: Optional[Callable[[Dict[str, Any]], Dict[str, Any]]] = None
    held_out: int = 0

    @property
    def pipe(self) -> str:
        """The component."""
        if self.task == "relations":
            return "epee_relations"
        if self.task == "events":
            return "epee_events"
        return "epee_textcat" if self.exclusive else "epee_textcat_multilabel"

    def reader(self, path: Path):
        """Read a split."""
        if self.task != "textcat":
            return EntityReader(path, spans_key="entities")
        return JsonlReader(path)


CORPORA: Dict[str, Plan] = {
    "health_advice": Plan("health_advice/normalised", exclusive=True, epochs=3),
    "ade": Plan("ade_v2/normalised/sentences", exclusive=True, epochs=1),
    "hoc_doc10": Plan("hoc_doc10/normalised", exclusive=False, epochs=3, window=512, batch=8),
    "mtsamples": Plan("mtsamples/normalised", exclusive=False, epochs=2, batch=8, sample=512),
    "ddi2013": Plan(
        "ddi2013/normalised", exclusive=True, epochs=5, window=512, task="relations", settings={"candidates.symmetric": True}
    ),
    "ade_relations": Plan(
        "ade_v2/normalised/relations",
        exclusive=True,
        epochs=5,
        task="relations",
        settings={"candidates.labels": [["Drug", "Effect"]]},
    ),
    "bc5cdr": Plan(
        "bc5cdr/normalised",
        exclusive=True,
        epochs=5,
        window=512,
        batch=8,
        task="relations",
        settings={"candidates.labels": [["Chemical", "Disease"]]},
        derive=of_concepts,
    ),
    "phee": Plan("phee_v2/normalised", exclusive=False, epochs=5, task="events"),
    "genia": Plan(
        "genia_ge13/normalised",
        exclusive=False,
        epochs=8,
        batch=4,
        task="events",
        settings={"arguments": "entities"},
        derive=without_triggers,
        held_out=10,
    ),
    "maccrobat": Plan("maccrobat/normalised", exclusive=False, epochs=8, batch=4, task="events", derive=events_alone),
}


def split(corpora: Path, corpus: str, name: str) -> Path:
    """The file of a split. A derived one is written to the system's folder for temporary files."""
    plan = CORPORA[corpus]
    if plan.derive is None:
        return corpora / plan.folder / f"{name}.jsonl"
    source = {"train": "train", "dev": "train", "test": "dev"}[name] if plan.held_out else name
    target = Path(tempfile.gettempdir()) / "spacy_epee_benchmarks" / corpus / f"{name}.jsonl"
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = [plan.derive(row) for row in read_jsonl(corpora / plan.folder / f"{source}.jsonl")]
    if source == "train" and plan.held_out:
        groups = sorted({row["group"] for row in rows})
        aside = set(groups[:: plan.held_out])
        rows = [row for row in rows if (row["group"] in aside) == (name == "dev")]
    target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return target
