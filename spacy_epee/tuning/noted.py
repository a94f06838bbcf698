"""What of a tuning is kept with the pipeline, for its card."""

import json
from typing import Any, Dict

import numpy

from ..exits.risk_control import Certificate

KEPT = ("documents", "score_desc", "wish", "promise")
FIGURES = ("score", "drop", "spread", "disagreement", "wordpiece_layers", "speedup")


def noted(report: Dict[str, Any], settings: Dict[str, Any]) -> Dict[str, Any]:
    """Take out of a report what a card says.

    report (Dict[str, Any]): The report of a tuner that has chosen.
    settings (Dict[str, Any]): What answers depend on, by which it is known later whether this is still about them.
    RETURNS (Dict[str, Any]): Plain values; None for what is no number.
    """
    found = {name: report[name] for name in KEPT if name in report}
    for name, value in [*((name, report["chosen"][name]) for name in FIGURES), ("full", report["full"]["score"])]:
        found[name] = None if value is None or not numpy.isfinite(value) else float(value)
    return {**found, "rule": json.dumps(settings["rule"]), "settings": json.dumps(settings)}


def plain(figures: Dict[str, Any]) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): Figures that JSON can hold: None for what is no number."""
    return {
        name: [None if one is None or one != one else one for one in value] if isinstance(value, list) else value
        for name, value in figures.items()
    }


def promised(certificate: Certificate, max_disagreement: float, confidence: float) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): What is promised, and what it rests on, as plain values."""
    place = certificate.chosen
    return {
        "max_disagreement": max_disagreement,
        "confidence": confidence,
        "documents": certificate.units,
        "settings_tested": len(certificate.p_values),
        "settings_passed": 0 if place is None else place + 1,
        "kept": place is not None,
    }
