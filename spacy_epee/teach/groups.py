"""Labels that are answered together: those of one task, or of one component."""

from dataclasses import dataclass, field
from typing import Iterable, List, Sequence, Set

import numpy
from spacy.language import Language

from ..component.pipe import EarlyExitTransformer
from .documents import Document
from .weights import log_loss

ROUNDED = 1e-4
"""How far probabilities may be from 0, 1, and their sum from 1, by rounding."""


@dataclass
class Group:
    """Labels that teachers answer together, and how much each teacher counts for them.

    labels (List[str]): The labels.
    exclusive (bool): Whether one of them is true.
    weights (ndarray): How much each teacher counts; they sum to 1.
    fields (Set[str]): The fields of JSONL that name them.
    losses (List[float]): The log loss of each teacher on dev, and then of all together, with equal weights and with these. Empty
        without.
    """

    labels: List[str]
    exclusive: bool
    weights: numpy.ndarray
    fields: Set[str]
    losses: List[float] = field(default_factory=list)

    def take(self, weights: numpy.ndarray, found: numpy.ndarray) -> None:
        """Set weights, and say how good they are.

        weights (ndarray): The weights, (M,).
        found (ndarray): How probable teachers find what is true on dev, (M, C).
        """
        single, equal = numpy.eye(len(weights)), numpy.full(len(weights), 1 / len(weights))
        self.weights = weights
        self.losses = [log_loss(found, some) for some in (*single, equal, weights)]


def divide(nlp: Language, labels: Sequence[str]) -> List[List[str]]:
    """Divide labels by what answers with them.

    nlp (Language): A pipeline of which components may have several tasks.
    labels (Sequence[str]): The labels that it writes.
    RETURNS (List[List[str]]): Those of each task or component, in this order; all together if that does not tell.
    """
    parts: List[Sequence[str]] = []
    for _, pipe in nlp.pipeline:
        own = pipe.slots.values() if isinstance(pipe, EarlyExitTransformer) else [pipe]
        parts += [getattr(one, "labels", ()) for one in own]
    groups = [[label for label in labels if label in set(part)] for part in parts if set(part) & set(labels)]
    named = [label for group in groups for label in group]
    return groups if sorted(named) == sorted(labels) else [list(labels)]


def find_fields(groups: Sequence[Group], documents: Iterable[Document]) -> None:
    """Find out in which fields labels are named: where a field names all that are true, no other one of its group is.

    groups (Sequence[Group]): The groups, whose fields are set.
    documents (Iterable[Document]): The documents.
    """
    for document in documents:
        for name, named in document.named.items():
            for group in groups:
                if name not in group.fields and not named.isdisjoint(group.labels):
                    group.fields.add(name)


def are_exclusive(answers: Sequence[numpy.ndarray]) -> bool:
    """RETURNS (bool): Whether the probabilities of each teacher (N, K) say that one label is true: they sum to 1."""
    return all(part.shape[1] > 1 and (abs(part.sum(axis=1) - 1) < ROUNDED * part.shape[1]).all() for part in answers)
