"""From which probability on windows, or pairs, climb, so that few are lost that have something."""

from typing import Any, Dict, Optional

import numpy
from thinc.api import Model

from ..engine.gate import columns_of_something
from ..evaluation.stored_outputs import StoredOutputs
from ..exits.risk_control import documents_needed, tolerance_threshold
from ..tasks.gate import require_gate
from ..tasks.slot import TaskSlot

MARGIN = 1e-6
"""How far below the value that it came from a threshold lies, as a share of it: numbers that are saved, or worked out on another
machine, are others in their last digits."""


def check_gate(slot: TaskSlot, model: Model, recall: Optional[float]) -> None:
    """Refuse a wish for a gate that cannot be had.

    slot (TaskSlot): The task.
    model (Model): The model.
    recall (Optional[float]): The share that may not be lost; None if it is not asked for.
    RAISES ValueError: The share means nothing, or the task has no gate.
    """
    if recall is None:
        return
    if not 0 < recall < 1:
        raise ValueError(f"--gate-recall is {recall}; give a share above 0 and below 1, such as 0.99")
    require_gate(slot, model)


def with_something(stored: StoredOutputs) -> numpy.ndarray:
    """RETURNS (ndarray): The items that there is something to find in: the first token of each trigger, or related pairs,
    (G,)."""
    columns = columns_of_something(stored.targets.shape[1], len(stored.labels), stored.task.group)
    return numpy.flatnonzero((stored.targets[:, columns] * stored.label_mask[:, columns] > 0).any(axis=1))


def fit_gate(
    stored: StoredOutputs, recall: Optional[float], confidence: float, docs: Optional[numpy.ndarray] = None
) -> Optional[Dict[str, Any]]:
    """Set the highest threshold at which it is sure enough that so few are lost. Triggers of one window are lost together: it
    must hold for triggers and for windows that have any.

    stored (StoredOutputs): The documents.
    recall (Optional[float]): The share of triggers, or relations, that may not be lost; None leaves the gate as it is.
    confidence (float): How surely.
    docs (Optional[ndarray]): Which documents to fit it to, (D,) bool; None for all.
    RETURNS (Optional[Dict[str, Any]]): What was found, as plain values; None if nothing was asked for.
    """
    check_gate(stored.slot, stored.component.model, recall)
    if recall is None or stored.chances is None:
        return None
    wanted = numpy.ones(stored.n_docs, dtype=bool) if docs is None else docs
    gold = with_something(stored)
    gold = gold[wanted[stored.items_docs[gold]]]
    values = stored.chances[gold]
    # Tokens of a window leave together, and pairs of one each by itself.
    together = stored.task.has_links
    once = values[numpy.unique(stored.owners[gold], return_index=True)[1]] if together else values
    limits = [tolerance_threshold(part, 1 - recall, confidence) for part in (values, once)]
    report: Dict[str, Any] = {"recall": recall, "confidence": confidence, "something": len(values), "apart": len(once)}
    report["needed"] = documents_needed(1 - recall, confidence)
    report["together"] = together
    report["of"] = "triggers" if together else "relations"
    report["holders"] = f"{stored.scoring.unit}s with triggers" if together else "relations"
    stored.cfg.pop("gate", None)
    found = [limit for limit in limits if limit is not None]
    if len(found) < len(limits):
        return {**report, "threshold": None}
    threshold = float(f"{min(found) * (1 - MARGIN):.9g}")
    settled = (stored.chances < threshold) & wanted[stored.items_docs]
    report.update(threshold=threshold, lost=int((values < threshold).sum()))
    climbs = numpy.bincount(stored.owners, ~settled, minlength=len(stored.docs)) > 0
    report["units"] = float((~climbs[wanted[stored.docs]]).mean())
    report["items"] = float(settled[wanted[stored.items_docs]].mean())
    stored.cfg["gate"] = {name: report[name] for name in ("threshold", "recall", "confidence", "something", "lost")}
    return report
