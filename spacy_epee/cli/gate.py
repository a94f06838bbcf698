"""What is said of the gate before the first layer."""

from typing import Any, Dict, List

from .tables import share


def describe_gate(report: Dict[str, Any]) -> List[str]:
    """RETURNS (List[str]): What a tuning has found about the gate, if that was asked for, in sentences."""
    gate = report["gate"]
    if not gate:
        return []
    promise = (
        f"at most {100 * (1 - gate['recall']):.3g} % of {gate['of']} are lost, with {100 * gate['confidence']:g} % confidence"
    )
    if gate["threshold"] is None:
        return [
            f"No gate before the first layer: {gate['apart']} {gate['holders']} in these documents are too few to promise that "
            f"{promise}. It takes {gate['needed']} at the least; give more documents, or ask for less."
        ]
    return [
        f"Answered before the first layer, where by their words there is nothing to find: {share(gate['units'])} of the "
        f"{report['unit']}s"
        + (f" and {share(gate['items'])} of the pairs" if not gate["together"] else "")
        + f". Promised: {promise} over the draw of these documents, which lose {gate['lost']} of {gate['something']}. It holds "
        "for documents like these that were not trained on. At a fixed depth nothing is answered there."
    ]
