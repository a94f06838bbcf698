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


@dataclass(frozen=True)
class Plan:
    """How a corpus is used.

    folder (str): Where its splits lie.
    exclusive (bool): One label of several, or any number; of relations: a pair has one label or none.
    epochs (int): Passes over the training data.
    window (int): Wordpieces in a window.
    batch (int): Documents in a training batch.
    sample (int): The most wordpieces of a document in a training batch; longer ones show random windows.
    task (str): "textcat" or "relations".
    candidates (Dict[str, Any]): Which pairs may be related.
    derive (Optional[Callable]): Makes each row from the corpus' own.
    """

    folder: str
    exclusive: bool
    epochs: int
    window: int = 256
    batch: int = 16
    sample: int = 4096
    task: str = "textcat"
    candidates: Dict[str, Any] = field(default_factory=dict)
    derive: Optional[Callable[[Dict[str, Any]], Dict[str, Any]]] = None

    @property
    def pipe(self) -> str:
        """The component."""
        if self.task == "relations":
            return "epee_relations"
        return "epee_textcat" if self.exclusive else "epee_textcat_multilabel"

    def reader(self, path: Path):
        """Read a split."""
        if self.task == "relations":
            return EntityReader(path, spans_key="entities")
        return JsonlReader(path)


CORPORA: Dict[str, Plan] = {
    "health_advice": Plan("health_advice/normalised", exclusive=True, epochs=3),
    "ade": Plan("ade_v2/normalised/sentences", exclusive=True, epochs=1),
    "hoc_doc10": Plan("hoc_doc10/normalised", exclusive=False, epochs=3, window=512, batch=8),
    "mtsamples": Plan("mtsamples/normalised", exclusive=False, epochs=2, batch=8, sample=512),
    "ddi2013": Plan(
        "ddi2013/normalised", exclusive=True, epochs=5, window=512, task="relations", candidates={"symmetric": True}
    ),
    "ade_relations": Plan(
        "ade_v2/normalised/relations",
        exclusive=True,
        epochs=5,
        task="relations",
        candidates={"labels": [["Drug", "Effect"]]},
    ),
    "bc5cdr": Plan(
        "bc5cdr/normalised",
        exclusive=True,
        epochs=5,
        window=512,
        batch=8,
        task="relations",
        candidates={"labels": [["Chemical", "Disease"]]},
        derive=of_concepts,
    ),
}


def split(corpora: Path, corpus: str, name: str) -> Path:
    """The file of a split. A derived one is written to the system's folder for temporary files."""
    plan = CORPORA[corpus]
    path = corpora / plan.folder / f"{name}.jsonl"
    if plan.derive is None:
        return path
    target = Path(tempfile.gettempdir()) / "spacy_epee_benchmarks" / corpus / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = [plan.derive(row) for row in read_jsonl(path)]
    target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return target
