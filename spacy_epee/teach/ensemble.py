"""Several teachers that answer together."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set

import numpy
import tqdm
from spacy.language import Language
from spacy.strings import get_string_id
from spacy.util import minibatch

from .documents import Document, gold, read_documents, writing
from .groups import Group, are_exclusive, by_group, divide, find_fields
from .teachers import TOGETHER, LinearTeacher, PipelineTeacher, Teacher

PROBED = 8
"""How many documents show which labels teachers have."""


@dataclass
class Ensemble:
    """Teachers with their weights.

    teachers (List[Teacher]): The teachers.
    groups (List[Group]): The labels that each of them has, with weights for each group.
    """

    teachers: List[Teacher]
    groups: List[Group]

    @property
    def labels(self) -> List[str]:
        """RETURNS (List[str]): All labels."""
        return [label for group in self.groups for label in group.labels]

    def answer(self, documents: Sequence[Document]) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities of labels by all together, (N, K)."""
        asked = numpy.any([group.weights for group in self.groups], axis=0)  # (M,)
        return self.join([teacher.answer(documents, self.labels) if own else None for teacher, own in zip(self.teachers, asked)])

    def join(self, answers: Sequence[Optional[numpy.ndarray]]) -> numpy.ndarray:
        """Join what teachers say.

        answers (Sequence[Optional[ndarray]]): Of each the probabilities of labels, (N, K). None if it counts nothing for any.
        RETURNS (ndarray): The probabilities of labels by all together, (N, K).
        """
        parts = [[None] * len(self.groups) if own is None else by_group(self.groups, own) for own in answers]
        return numpy.concatenate([group.join(own) for group, own in zip(self.groups, zip(*parts))], axis=1)

    def fit(self, path: Path, fields: Sequence[str]) -> None:
        """Fit the weights, and calibrate teachers.

        path (Path): Labelled documents.
        fields (Sequence[str]): The fields with labels, in JSONL.
        RAISES ValueError: Of a group none of them has a label that the teachers know.
        """
        find_fields(self.groups, fields, read_documents(path, fields))  # what is answered may have no labels
        answers, texts = [numpy.zeros((len(self.teachers), 0, len(self.labels)))], []
        known = [[gold([], group.labels, group.exclusive, group.fields)] for group in self.groups]
        for batch in minibatch(_with_text(read_documents(path, fields)), TOGETHER):
            answers.append(numpy.stack([teacher.answer(batch, self.labels) for teacher in self.teachers]))  # (M, N, K)
            texts += [get_string_id(document.text) for document in batch]
            for group, own in zip(self.groups, known):
                own.append(gold(batch, group.labels, group.exclusive, group.fields))
        for group, every, own in zip(self.groups, by_group(self.groups, numpy.concatenate(answers, axis=1)), known):
            targets, label_mask = (numpy.concatenate(parts) for parts in zip(*own))
            if not label_mask.any():
                which = f": {', '.join(group.labels)}" if len(self.groups) > 1 else ""
                raise ValueError(f"None of the documents in {path} has a label that the teachers know{which}")
            group.fit(every, targets, label_mask, texts)


def gather(
    names: Sequence[str], pipelines: Sequence[Language], path: Path, fields: Sequence[str], linear: Optional[Path] = None
) -> Ensemble:
    """Make an ensemble, with equal weights.

    names (Sequence[str]): What to call the pipelines.
    pipelines (Sequence[Language]): The pipelines.
    path (Path): The documents that are to be answered.
    fields (Sequence[str]): The fields with labels, in JSONL.
    linear (Optional[Path]): The documents that a linear model of words learns from, which is then in the ensemble.
    RETURNS (Ensemble): The ensemble.
    RAISES ValueError: There are no documents, or teachers have different labels.
    """
    some = list(islice(_with_text(read_documents(path, fields)), PROBED))
    if not some:
        raise ValueError(f"There are no documents with text in {path}")
    teachers: List[Teacher] = []
    labels: Optional[List[str]] = None
    answers = []
    for name, nlp in zip(names, pipelines):
        teacher = PipelineTeacher(name, nlp)
        own = teacher.labels(some)
        labels = own if labels is None else labels
        if set(own) != set(labels):
            missing, more = (_shown(part, pipelines) for part in (set(labels) - set(own), set(own) - set(labels)))
            raise ValueError(
                f"The pipeline '{name}' has other labels than '{names[0]}': it lacks {missing}, and has {more} beside. Teachers "
                "that answer together need the same"
            )
        answers.append(teacher.answer(some, labels))
        teachers.append(teacher)
    groups = _make_groups(pipelines, labels or [], answers, len(teachers) + (linear is not None))
    find_fields(groups, fields, read_documents(linear or path, fields))
    if linear is not None:
        teachers.append(LinearTeacher(pipelines[0], lambda: read_documents(linear, fields), groups))
    return Ensemble(teachers, groups)


def _make_groups(
    pipelines: Sequence[Language], labels: List[str], answers: Sequence[numpy.ndarray], teachers: int
) -> List[Group]:
    """Groups of labels, by the answers (N, K) of pipelines to some documents, in which so many teachers count the same."""
    groups = []
    for own in divide(pipelines[0], labels):
        places = [labels.index(label) for label in own]
        exclusive = all(are_exclusive(nlp, own, part[:, places]) for nlp, part in zip(pipelines, answers))
        groups.append(Group(own, exclusive, numpy.full(teachers, 1 / teachers), set()))
    return groups


def teach(
    ensemble: Ensemble, source: Path, target: Path, fields: Sequence[str], field: str, progress: bool = False
) -> Dict[str, Any]:
    """Write documents with what teachers say of them. They are read and written some at a time.

    ensemble (Ensemble): The teachers.
    source (Path): The documents.
    target (Path): The file to write, of the same format.
    fields (Sequence[str]): The fields with labels, in JSONL.
    field (str): The field for what the teachers say, in JSONL.
    progress (bool): Whether to show a progress bar.
    RETURNS (Dict[str, Any]): How many "documents" there are, and how many of them have true "labels", have no text ("empty"), or
        have true labels that the teachers do not know ("unknown").
    """
    counts = {"documents": 0, "labels": 0, "empty": 0, "unknown": 0}
    labels = ensemble.labels
    known = set(labels)
    bar = tqdm.tqdm(desc="Answering", unit=" documents", disable=not progress, leave=False)
    with writing(source, target, field) as write, bar:
        for batch in minibatch(read_documents(source, fields), TOGETHER):
            asked = list(_with_text(batch))
            said = iter(ensemble.answer(asked).tolist() if asked else [])
            for document in batch:
                row = next(said) if _has_text(document) else None
                write(document, None if row is None else {label: _short(p) for label, p in zip(labels, row)})
                true = {label for label, value in document.labels.items() if value}
                counts["labels"] += bool(true)
                counts["empty"] += row is None
                counts["unknown"] += not true <= known
            counts["documents"] += len(batch)
            bar.update(len(batch))
    return counts


def _shown(labels: Set[str], pipelines: Sequence[Language]) -> str:
    """Labels as a message shows them. Those that no component says it has may be text, and are counted."""
    known = {label for nlp in pipelines for _, pipe in nlp.pipeline for label in getattr(pipe, "labels", ())}
    others = len(labels - known)
    return f"{sorted(labels & known)}" + (f" and {others} more" if others else "")


def _short(probability: float) -> float:
    """As many digits as anybody needs."""
    return float(f"{probability:.6g}")


def _has_text(document: Document) -> bool:
    return bool(document.text.strip())


def _with_text(documents) -> Iterator[Document]:
    return filter(_has_text, documents)
