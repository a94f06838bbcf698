"""From which entropy on answers of the last layer are flagged."""

from typing import Dict

import numpy

from ..engine.replay import ReplayResult
from ..evaluation.stored_outputs import StoredOutputs
from ..exits.coverage import flag, flag_threshold


def find_uncertain_threshold(stored: StoredOutputs, simulation: ReplayResult, coverage: float) -> Dict[str, float]:
    """Find the entropy above which answers of the last layer are uncertain.

    stored (StoredOutputs): What all exits say.
    simulation (ReplayResult): What the rule does.
    coverage (float): The share of documents that is to be kept without a flag.
    RETURNS (Dict[str, float]): The "coverage" asked for, the "threshold", and the share that is "flagged".
    """
    entropy, reached = numpy.zeros((2, stored.n_docs))
    at_last = simulation.layers == stored.layers[-1]
    numpy.maximum.at(entropy, stored.docs[at_last], simulation.entropy[at_last])
    reached[stored.docs[at_last]] = 1
    # Upwards: what is read back from a file must not be below the entropy that it came from.
    threshold = min(float(numpy.ceil(flag_threshold(entropy, reached > 0, coverage) * 1e6) / 1e6), 1.0)
    return {"coverage": coverage, "threshold": threshold, "flagged": float(flag(entropy, reached > 0, threshold).mean())}
