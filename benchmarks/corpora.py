"""The corpora of the benchmarks. They stay where they are; nothing of them is copied."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """How a corpus is used.

    folder (str): Where its splits lie.
    exclusive (bool): One label of several, or any number.
    epochs (int): Passes over the training data.
    window (int): Wordpieces in a window.
    batch (int): Documents in a training batch.
    """

    folder: str
    exclusive: bool
    epochs: int
    window: int = 256
    batch: int = 16


CORPORA = {
    "health_advice": Plan("health_advice/normalised", exclusive=True, epochs=3),
    "ade": Plan("ade_v2/normalised/sentences", exclusive=True, epochs=1),
    "hoc_doc10": Plan("hoc_doc10/normalised", exclusive=False, epochs=3, window=512, batch=8),
    "mtsamples": Plan("mtsamples/normalised", exclusive=False, epochs=4, batch=8),
}


def split(corpora: Path, corpus: str, name: str) -> Path:
    """The file of a split."""
    return corpora / CORPORA[corpus].folder / f"{name}.jsonl"
