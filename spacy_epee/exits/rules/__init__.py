"""When to stop."""

from .base import ExitRule, Rule
from .budget import time_budget
from .composite import AllOf, AnyOf
from .config import check_kept, resolve_rule
from .depth import Deadline, FixedDepth, FromLayer
from .patience import ConfidentPatience, EntropyPatience, FlexiblePatience, Patience, Voting
from .structure import NothingFound, SettledStructure
from .thresholds import Confidence, Energy, Entropy, Learned, Margin

__all__ = [
    "AllOf",
    "AnyOf",
    "Confidence",
    "ConfidentPatience",
    "Deadline",
    "Energy",
    "Entropy",
    "EntropyPatience",
    "ExitRule",
    "FixedDepth",
    "FlexiblePatience",
    "FromLayer",
    "Learned",
    "Margin",
    "NothingFound",
    "Patience",
    "Rule",
    "SettledStructure",
    "Voting",
    "check_kept",
    "resolve_rule",
    "time_budget",
]
