"""The corpora of the benchmarks. They stay where they are; nothing of them is copied."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict

from spacy_epee.training.readers import EntityReader, JsonlReader


@dataclass(frozen=True)
class Plan:
    """How a corpus is used.

    folder (str): Where its splits lie.
    exclusive (bool): One label of several, or any number; of relations: a pair has one label or none.
    epochs (int): Passes over the training data.
    window (int): Wordpieces in a window.
    batch (int): Documents in a training batch.
    task (str): "textcat" or "relations".
    candidates (Dict[str, Any]): Which pairs may be related.
    """

    folder: str
    exclusive: bool
    epochs: int
    window: int = 256
    batch: int = 16
    task: str = "textcat"
    candidates: Dict[str, Any] = field(default_factory=dict)

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
    "mtsamples": Plan("mtsamples/normalised", exclusive=False, epochs=4, batch=8),
    "ddi2013": Plan("ddi2013/normalised", exclusive=True, epochs=5, task="relations", candidates={"symmetric": True}),
    "ade_relations": Plan(
        "ade_v2/normalised/relations",
        exclusive=True,
        epochs=5,
        task="relations",
        candidates={"labels": [["Drug", "Effect"]]},
    ),
}


def split(corpora: Path, corpus: str, name: str) -> Path:
    """The file of a split."""
    return corpora / CORPORA[corpus].folder / f"{name}.jsonl"
