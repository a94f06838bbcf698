"""Rules that cost more seconds than they save."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..exits.rules.base import ExitRule
from .search import pareto_front


def find_faster(
    report: Dict[str, Any], rules: Sequence[Optional[ExitRule]], chosen: Optional[ExitRule], safe: Sequence[Optional[ExitRule]]
) -> Tuple[Optional[Dict[str, Any]], Optional[int]]:
    """Look whether a chosen rule is slower than the full depth, at any batch size, and which rule is the fastest that may take
    its place.

    report (Dict[str, Any]): That of `Tuner`, with milliseconds.
    rules (Sequence[Optional[ExitRule]]): Those of the rows in its "front".
    chosen (Optional[ExitRule]): The chosen one.
    safe (Sequence[Optional[ExitRule]]): Others that lose no more.
    RETURNS (Tuple[Optional[Dict[str, Any]], Optional[int]]): The chosen rule if it is slower, and how many times; None if it is
        not. And the row of the fastest one, the chosen one among them, over all batch sizes; None if all are slower than the
        full depth at one.
    """
    full = report["full"]["ms"]
    ratios: List[List[float]] = [[row["ms"][size] / full[size] for size in full] for row in report["front"]]
    mine = next(place for place, rule in enumerate(rules) if rule == chosen)
    fast = [place for place, rule in enumerate(rules) if (place == mine or rule in safe) and max(ratios[place]) <= 1]
    row = report["front"][mine]
    slower = {"name": row["name"], "rule": row["rule"], "times": max(ratios[mine])} if max(ratios[mine]) > 1 else None
    return slower, min(fast, key=lambda place: sum(ratios[place]), default=None)


def note_times(rows: Sequence[Dict[str, Any]], size: int, durations: Sequence[float]) -> None:
    """Note how long settings take, and for which no other has a better score in as little time (the Pareto front).

    rows (Sequence[Dict[str, Any]]): The settings.
    size (int): The batch size.
    durations (Sequence[float]): The milliseconds a document of each.
    """
    front = set(pareto_front(durations, [-row["score"] for row in rows]))
    for place, (row, value) in enumerate(zip(rows, durations)):
        row.setdefault("ms", {})[str(size)] = value
        row.setdefault("on_time_front", {})[str(size)] = place in front
