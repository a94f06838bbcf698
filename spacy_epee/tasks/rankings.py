"""Figures of how well labels are ordered by their probabilities."""

from typing import Callable, Dict, Sequence

from sklearn.metrics import average_precision_score, roc_auc_score

RANKINGS: Dict[str, Callable[[Sequence[int], Sequence[float]], float]] = {
    "cats_auroc": roc_auc_score,
    "cats_auprc": average_precision_score,
}
"""Means over labels by name, and how a label is scored. Each has the figures of labels beside it, `_per_type` behind its name."""

LEFT_OUT = "cats_ranked_left_out"
"""How many labels are not in these means."""
