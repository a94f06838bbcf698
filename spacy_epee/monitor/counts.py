"""Rows of `annotate`, counted: from which layer documents left, how sure of them the answers were, and what they were given.

A document counts once for a task, with the deepest layer and the highest entropy of its units: those of one document are not
independent of each other, and tests of counts take them to be.
"""

import json
from collections import Counter
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from spacy.language import Language

from ..component.pipe import EarlyExitTransformer
from ..scale.notes import Note, Row, annotate_alone, check_pipeline, chunks
from ..tasks.saved import BINS, NOTHING
from ..tasks.slot import TaskSlot, answers_by

REFERENCE = "reference"
"""Where the `cfg` of a task has its counts."""


def by_depth(layer: str) -> int:
    """RETURNS (int): By what layers are sorted, as they are counted."""
    return -1 if layer == NOTHING else int(layer)


Place = Tuple[str, str]
"""A component and a task of it."""


class TaskCounts:
    """What is counted of a task.

    labels (Tuple[str, ...]): The labels that are counted. Others may be text.
    documents (int): How many documents are answered.
    failed (int): How many are not.
    uncertain (int): How many are flagged.
    layers (Counter): How many left from each layer, by its number as text.
    entropy (List[int]): How many had an entropy in each bin.
    given (Counter): How many were given each label.
    """

    def __init__(self, labels: Sequence[str]):
        self.labels = tuple(labels)
        self.documents = self.failed = self.uncertain = 0
        self.layers: Dict[str, int] = Counter()
        self.entropy = [0] * BINS
        self.given: Dict[str, int] = Counter(dict.fromkeys(self.labels, 0))

    def add(self, entry: Optional[Dict[str, Any]], given: Iterable[str]) -> None:
        """Count a document.

        entry (Optional[Dict[str, Any]]): What `doc._.exits` has of the task; None if it is not answered.
        given (Iterable[str]): The labels that it was given.
        """
        if entry is None:
            self.failed += 1
            return
        units = entry["units"]
        self.documents += 1
        self.uncertain += bool(entry["uncertain"])
        self.layers[str(max((int(unit["layer"]) for unit in units), default=NOTHING))] += 1
        if units:
            highest = max(float(unit["entropy"]) for unit in units)
            self.entropy[min(int(max(highest, 0.0) * BINS), BINS - 1)] += 1
        for label in set(given).intersection(self.labels):
            self.given[label] += 1

    def to_saved(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The counts, as plain values."""
        counts = {name: getattr(self, name) for name in ("documents", "failed", "uncertain", "entropy")}
        return {**counts, "layers": dict(sorted(self.layers.items())), "labels": dict(self.given)}

    @classmethod
    def from_saved(cls, saved: Dict[str, Any]) -> "TaskCounts":
        """RETURNS (TaskCounts): What `to_saved` returned."""
        counts = cls(list(saved["labels"]))
        for name in ("documents", "failed", "uncertain", "entropy"):
            setattr(counts, name, saved[name])
        counts.layers, counts.given = Counter(saved["layers"]), Counter(saved["labels"])
        return counts


def count_row(row: Row, counts: Dict[Place, TaskCounts]) -> None:
    """Count a row for each task.

    row (Dict[str, Any]): The row.
    counts (Dict[Tuple[str, str], TaskCounts]): What is added to.
    RAISES ValueError: It was written by a pipeline without one of the tasks.
    """
    given = _given(row["answers"] or {})
    for (component, task), own in counts.items():
        if row["error"]:
            own.add(None, ())
            continue
        if task not in row["exits"].get(component, {}):
            raise ValueError(f"it says nothing of the task '{task}' of the component '{component}': another pipeline wrote it")
        own.add(row["exits"][component][task], given)


def _given(answers: Dict[str, Any]) -> List[str]:
    """RETURNS (List[str]): The labels of a document, and those of what is in it."""
    entries = [entry for value in answers.values() if isinstance(value, list) for entry in value]
    labels = [entry.get("label") if isinstance(entry, dict) else entry for entry in entries]
    return [label for label in labels if isinstance(label, str)]


def store_reference(nlp: Language, component: EarlyExitTransformer, texts: Iterable[str]) -> None:
    """Count what a component says about some texts, and keep that with its tasks. Nothing of the texts is kept.

    nlp (Language): The pipeline, as it is going to be used.
    component (EarlyExitTransformer): The component. If it reads something else than text, nothing is counted.
    texts (Iterable[str]): The texts.
    """
    if any(slot.task.reads != "text" for slot in component.slots.values()):
        return
    check_pipeline(nlp)
    counts = {(component.name, name): TaskCounts(slot.labels) for name, slot in component.slots.items()}
    for chunk in chunks(Note(str(number), text) for number, text in enumerate(texts)):
        for row in annotate_alone(nlp, chunk):
            count_row(row, counts)
    for name, slot in component.slots.items():
        slot.cfg[REFERENCE] = {**counts[component.name, name].to_saved(), "settings": _settings(slot)}


class References(NamedTuple):
    """The counts that are kept with a pipeline.

    counts (Dict[Tuple[str, str], TaskCounts]): Those of each task.
    outdated (List[str]): Tasks whose rule or thresholds are not those that were counted with.
    """

    counts: Dict[Place, TaskCounts]
    outdated: List[str]


def find_references(pipes: Iterable[EarlyExitTransformer]) -> References:
    """RETURNS (References): What is kept with some components."""
    found = References({}, [])
    for pipe in pipes:
        for name, slot in pipe.slots.items():
            saved = slot.cfg.get(REFERENCE)
            if saved is not None and saved["settings"] == _settings(slot):
                found.counts[pipe.name, name] = TaskCounts.from_saved(saved)
            elif saved is not None:
                found.outdated.append(slot.title)
    return found


def _settings(slot: TaskSlot) -> str:
    """What counts depend on beside the weights."""
    return json.dumps({**answers_by(slot), "uncertain": slot.cfg.get("uncertain")}, sort_keys=True)
