"""How much a document is about concepts. Those that it is about are mentioned more often, and are those that it relates."""

from collections import Counter
from typing import Dict, Sequence

from .concepts import Concept, Concepts


def salience_of(mentions: Sequence[Concepts], labels: Sequence[str]) -> Dict[Concepts, float]:
    """Find how often concepts are mentioned.

    mentions (Sequence[Concepts]): The concepts of each entity of a Doc.
    labels (Sequence[str]): The label of each.
    RETURNS (Dict[Concepts, float]): Over how often the concept of its label is that is mentioned most often; of mentions of
        several concepts the mean.
    """
    counts = Counter(concept for own in mentions for concept in own)
    label_of: Dict[Concept, str] = {}
    for own, label in zip(mentions, labels):
        for concept in own:
            label_of.setdefault(concept, label)
    most: Dict[str, int] = {}
    for concept, count in counts.items():
        most[label_of[concept]] = max(count, most.get(label_of[concept], 0))
    shares = {concept: count / most[label_of[concept]] for concept, count in counts.items()}
    return {own: sum(shares[concept] for concept in own) / len(own) for own in dict.fromkeys(mentions)}
