"""From which entropy on answers are flagged."""

from typing import Dict, Optional

import numpy

from ..engine.replay import ReplayResult
from ..evaluation.stored_outputs import StoredOutputs
from ..exits.coverage import flag, flag_threshold
from ..exits.reasons import UNSETTLED
from ..exits.rules.base import ExitRule


def find_uncertain_threshold(
    stored: StoredOutputs, simulation: ReplayResult, rule: Optional[ExitRule], coverage: float
) -> Dict[str, float]:
    """Find the entropy above which answers are uncertain that no rule has found settled.

    stored (StoredOutputs): What all exits say.
    simulation (ReplayResult): What the rule does.
    rule (Optional[ExitRule]): The rule; None runs the full depth.
    coverage (float): The share of documents that is to be kept without a flag.
    RETURNS (Dict[str, float]): The "coverage" asked for, the "threshold", and the share that is "flagged".
    """
    entropy, unsettled = numpy.zeros(stored.n_docs), numpy.zeros(stored.n_docs, dtype=bool)
    reasons = () if rule is None else rule.reasons
    doubtful = [number for number, reason in enumerate(reasons, 1) if reason in UNSETTLED]
    units = numpy.isin(simulation.codes, doubtful) | (simulation.layers == stored.layers[-1])
    numpy.maximum.at(entropy, stored.docs[units], simulation.entropy[units])
    unsettled[stored.docs[units]] = True
    # Upwards: what is read back from a file must not be below the entropy that it came from.
    threshold = min(float(numpy.ceil(flag_threshold(entropy, unsettled, coverage) * 1e6) / 1e6), 1.0)
    return {"coverage": coverage, "threshold": threshold, "flagged": float(flag(entropy, unsettled, threshold).mean())}
