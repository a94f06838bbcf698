"""Some of many documents, with the labels in about the shares that they have in all of them."""

from collections import Counter
from typing import Dict, FrozenSet, List, Optional, Sequence, Tuple

import numpy
from spacy.training import Example

from ..tasks.base import Task

FEWEST = 5
"""In how many of the sampled documents a label must be to count in a mean over labels."""


def sample(examples: Sequence[Example], tasks: Sequence[Task], limit: int, seed: int = 0) -> List[Example]:
    """Draw some documents by chance. Each belongs to the rarest label that it has, and of each label about the same share is
    taken, one document at the least as long as there is room.

    examples (Sequence[Example]): The documents.
    tasks (Sequence[Task]): The tasks whose labels count.
    limit (int): The most documents; 0 for all.
    seed (int): The seed of the draw. With one seed, fewer documents are among those of a higher limit.
    RETURNS (List[Example]): The drawn ones, in the order they were in.
    """
    if not limit or limit >= len(examples):
        return list(examples)
    doc_labels = [frozenset((task.name, label) for task in tasks for label in task.true_labels(eg.reference)) for eg in examples]
    chosen = numpy.sort(_in_turns(_rarest(doc_labels), seed)[:limit])
    return [examples[place] for place in chosen]


def _rarest(doc_labels: Sequence[FrozenSet[Tuple[str, str]]]) -> List[Optional[Tuple[str, str]]]:
    """The rarest label of each document; None if it has none."""
    counts = Counter(label for labels in doc_labels for label in labels)
    return [min(labels, key=lambda label: (counts[label], label), default=None) for labels in doc_labels]


def _in_turns(groups: Sequence[object], seed: int) -> numpy.ndarray:
    """The places of documents in an order of which each beginning has the groups in about their shares: the first of each group,
    then by how much of its group went before."""
    order = numpy.random.default_rng(seed).permutation(len(groups))
    sizes, taken = Counter(groups), Counter()  # type: ignore[var-annotated]
    shares = numpy.zeros(len(groups))
    for place in order:
        shares[place] = taken[groups[place]] / sizes[groups[place]]
        taken[groups[place]] += 1
    return order[numpy.argsort(shares[order], kind="stable")]


def count_labels(examples: Sequence[Example], task: Task, labels: Sequence[str]) -> Dict[str, int]:
    """RETURNS (Dict[str, int]): In how many documents each label of a task is annotated."""
    counts = Counter(label for eg in examples for label in task.true_labels(eg.reference))
    return {label: counts[label] for label in labels}
