"""How far the difference of two scores may be luck."""

from typing import Callable, List, Optional

import numpy
from scipy.stats import t

GROUPS = 20
"""Into how many groups documents are put, each of which is left out once."""

CONFIDENCE = 0.95
"""That of the intervals."""


def left_out(n_docs: int, seed: int = 0) -> List[numpy.ndarray]:
    """Leave each of some groups of documents out.

    n_docs (int): How many documents there are.
    seed (int): The seed of the draw of the groups.
    RETURNS (List[ndarray]): The documents that stay, (D,) bool each.
    """
    groups = numpy.random.default_rng(seed).permutation(n_docs) % max(min(GROUPS, n_docs), 1)
    return [groups != group for group in range(groups.max(initial=-1) + 1)]


def spread(difference: Callable[[numpy.ndarray], Optional[float]], n_docs: int) -> Optional[float]:
    """Half the width of the interval of the difference of two scores on the same documents, over the draw of the documents: the
    jackknife over groups (Tukey 1958), which works for any score and needs few scorings.

    difference (Callable[[ndarray], Optional[float]]): The difference on some of the documents, (D,) bool. None if there is none.
    n_docs (int): How many documents there are.
    RETURNS (Optional[float]): The half width, in the unit of the scores. None if that cannot be told.
    """
    differences: List[float] = []
    for docs in left_out(n_docs):
        without = difference(docs)
        if without is None:
            return None
        differences.append(without)
    if len(differences) < 2:
        return None
    deviations = numpy.array(differences, dtype="float64") - numpy.mean(differences)
    error = numpy.sqrt((len(differences) - 1) / len(differences) * (deviations**2).sum())
    return float(t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1) * error)
