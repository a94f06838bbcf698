"""The corpora of the benchmarks. They stay where they are; nothing of them is copied into the project."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict

from spacy.util import import_file

from spacy_epee.data.readers import EntityReader, JsonlReader

# What is derived of a corpus is the same as in the spaCy project.
derivations = import_file("derive_corpora", Path(__file__).parent.parent / "scripts" / "derive_corpora.py")


@dataclass(frozen=True)
class Plan:
    """How a corpus is used.

    folder (str): Where its splits lie.
    exclusive (bool): One label of several, or any number; of relations: a pair has one label or none.
    epochs (int): Passes over the training data.
    window (int): Wordpieces in a window.
    batch (int): Documents in a training batch.
    sample (int): The most wordpieces of a document in a training batch; longer ones show random windows.
    task (str): "textcat", "relations", "events" or "joint".
    settings (Dict[str, Any]): More settings of the component.
    """

    folder: str
    exclusive: bool
    epochs: int
    window: int = 256
    batch: int = 16
    sample: int = 4096
    task: str = "textcat"
    settings: Dict[str, Any] = field(default_factory=dict)

    @property
    def pipe(self) -> str:
        """The component."""
        if self.task == "relations":
            return "epee_relations"
        if self.task == "events":
            return "epee_events"
        if self.task == "joint":
            return "epee"
        return "epee_textcat" if self.exclusive else "epee_textcat_multilabel"

    def reader(self, path: Path):
        """Read a split."""
        if self.task != "textcat":
            return EntityReader(path, spans_key="entities", cats="cats" if self.task == "joint" else None)
        return JsonlReader(path)


CORPORA: Dict[str, Plan] = {
    "health_advice": Plan("health_advice/normalised", exclusive=True, epochs=3),
    "ade": Plan("ade_v2/normalised/sentences", exclusive=True, epochs=1),
    "hoc_doc10": Plan("hoc_doc10/normalised", exclusive=False, epochs=3, window=512, batch=8),
    "mtsamples": Plan("mtsamples/normalised", exclusive=False, epochs=2, batch=8, sample=512),
    "mtsamples_kinds": Plan("mtsamples/normalised", exclusive=True, epochs=2, batch=8, sample=256),
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
        exclusive=False,
        epochs=5,
        window=512,
        batch=8,
        task="relations",
        settings={
            "candidates.labels": [["Chemical", "Disease"]],
            "candidates.level": "concept",
            "exclusive": False,
            "hide_entities": 0.3,
        },
    ),
    "phee": Plan("phee_v2/normalised", exclusive=False, epochs=5, task="events"),
    "genia": Plan(
        "genia_ge13/normalised",
        exclusive=False,
        epochs=8,
        batch=4,
        task="events",
        settings={"arguments": "entities"},
    ),
    "phee_joint": Plan(
        "phee_v2/normalised",
        exclusive=True,
        epochs=5,
        task="joint",
        settings={"tasks.relations.candidates.labels": [["Drug", "Effect"]]},
    ),
    "maccrobat": Plan("maccrobat/normalised", exclusive=False, epochs=8, batch=4, task="events"),
}


def split(corpora: Path, corpus: str, name: str) -> Path:
    """The file of a split. A derived one is written to the system's folder for temporary files."""
    folder = corpora / CORPORA[corpus].folder
    if corpus not in derivations.DERIVATIONS:
        return folder / f"{name}.jsonl"
    target = Path(tempfile.gettempdir()) / "spacy_epee_benchmarks" / corpus / f"{name}.jsonl"
    derivations.derive(corpus, name, folder, target)
    return target
