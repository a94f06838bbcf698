"""What the main figure of a task is made of where answers are replayed from stored outputs."""

from typing import Any, Dict, List, Optional, Protocol, Sequence, Tuple

import numpy
from spacy.scorer import PRFScore
from spacy.training import Example

from ..engine.replay import ReplayResult, Score
from ..exits.scaling import Threshold
from ..inputs.instances import Instances

MACRO_F, MACRO_AUC = "macro F", "macro AUC"
"""What figures of labels are called."""

Places = Tuple[numpy.ndarray, numpy.ndarray]
"""Some numbers for each place, (P, columns) int64, and the item that is there, (P,)."""


class StoredAnnotation(Protocol):
    """Annotated documents of which is stored what all exits say. Units that never run are not among theirs.

    examples (List[Example]): The documents, D of them.
    labels (Sequence[str]): The labels that the task knows.
    all_labels (List[str]): The same, and those that are annotated and not known.
    counted (List[str]): Those of all labels that count in a mean over labels.
    cfg (Dict[str, Any]): What is saved of the task.
    thresholds (Threshold): From which probability on labels are given.
    docs (ndarray): The document of each unit, (U,).
    items_docs (ndarray): The document of each item, (N,).
    targets (ndarray): 1 for the logits that are true, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    places (Optional[ndarray]): The document of each place of the task's `item_places`, and its numbers, (P, 1 + columns).
    place_items (ndarray): The item that is there, (P,).
    items (Instances): What was asked: all if the task has links, otherwise about the last batch.
    """

    examples: List[Example]
    docs: numpy.ndarray
    items_docs: numpy.ndarray
    targets: numpy.ndarray
    label_mask: numpy.ndarray
    places: Optional[numpy.ndarray]
    place_items: numpy.ndarray

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def all_labels(self) -> List[str]: ...

    @property
    def counted(self) -> List[str]: ...

    @property
    def cfg(self) -> Dict[str, Any]: ...

    @property
    def thresholds(self) -> Threshold: ...

    @property
    def items(self) -> Instances: ...


def micro_score(stored: StoredAnnotation) -> Score:
    """For rows of logits of any meaning: micro F of what is decided, where anything is known. With exclusive logits that is the
    accuracy."""
    targets, known = stored.targets > 0, stored.label_mask > 0

    def score(simulation: ReplayResult, docs: Optional[numpy.ndarray] = None) -> float:
        some = known if docs is None else known & docs[stored.items_docs][:, None]
        decided, true = simulation.decision & some, targets & some
        right = int((decided & true).sum())
        return PRFScore(tp=right, fp=int(decided.sum()) - right, fn=int(true.sum()) - right).fscore

    return score
