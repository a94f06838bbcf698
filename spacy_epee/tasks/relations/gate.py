"""What the gate reads of pairs."""

from typing import List, Sequence

import numpy
from spacy.tokens import Doc

from ...heads.pair_layer import DISTANCES
from ...inputs.ngrams import Bags, hash_facts, hash_parts
from .instances import PairInstances

AROUND, BETWEEN = 10, 60
"""How many tokens are read before the first of the two and behind the second, and from the first one on of those between."""


def pair_bags(docs: Sequence[Doc], items: PairInstances) -> Bags:
    """RETURNS (Bags): The n-grams of the text of each pair, by where they are, and what is known of the two: labels, order and
    distance. Of two concepts those of all pairs of their mentions in a window."""
    heads, children = items.head_tokens, items.child_tokens
    ordered = heads[:, 0] <= children[:, 0]
    left, right = (numpy.where(ordered[:, None], *pair) for pair in ((heads, children), (children, heads)))
    gaps = numpy.maximum(right[:, 0] - left[:, 1], 0)
    parts = [
        heads,
        children,
        numpy.stack((numpy.maximum(left[:, 0] - AROUND, 0), left[:, 0]), axis=1),
        numpy.stack((left[:, 1], left[:, 1] + numpy.minimum(gaps, BETWEEN)), axis=1),
        numpy.stack((numpy.maximum(left[:, 1], right[:, 1]), numpy.maximum(left[:, 1], right[:, 1]) + AROUND), axis=1),
    ]
    bounds = numpy.searchsorted(items.docs, numpy.arange(len(docs) + 1)).tolist()
    keys: List[numpy.ndarray] = []
    owners: List[numpy.ndarray] = []
    for doc, begin, end in zip(docs, bounds, bounds[1:]):
        if begin < end:
            doc_keys, doc_owners = hash_parts(doc, [part[begin:end] for part in parts])
            keys.append(doc_keys)
            owners.append(doc_owners + begin)
    labels, far = items.types[items.heads] << 16 | items.types[items.children], numpy.searchsorted(DISTANCES, gaps, side="right")
    facts = hash_facts([labels, ordered, far, labels << 8 | ordered, labels << 8 | far])
    every, pairs = (numpy.concatenate(parts) for parts in zip(*[*zip(keys, owners), facts]))
    things = numpy.arange(len(items)) if items.groups is None else items.groups
    return Bags(every, things[pairs], things, int(things.max(initial=-1)) + 1)
