"""What the gate reads of windows."""

from typing import Sequence

import numpy
from spacy.tokens import Doc

from ...inputs.ngrams import Bags, hash_ngrams
from ...inputs.ranges import firsts
from .instances import TokenInstances


def window_bags(docs: Sequence[Doc], items: TokenInstances) -> Bags:
    """RETURNS (Bags): The n-grams of the tokens of each window."""
    counts = numpy.bincount(items.units, minlength=items.n_units)
    units = numpy.flatnonzero(counts)
    begins = firsts(counts)[units]
    ends = items.tokens[begins + counts[units] - 1] + 1
    bounds = zip(items.unit_docs[units].tolist(), items.tokens[begins].tolist(), ends.tolist())
    keys, owners = hash_ngrams([docs[doc][start:stop] for doc, start, stop in bounds])
    return Bags(keys, units[owners], items.units, items.n_units)
