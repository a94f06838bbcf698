"""What a front says: who is beaten, and by how much."""

from typing import Any, Dict, List, Optional, Sequence

import numpy

from ...tuning.search import pareto_front

OURS = "ours"
"""The kind of the rows that are to beat the others."""

NEAR = 0.3
"""How many points less are as good."""

Row = Dict[str, Any]


def front_of(rows: Sequence[Row], size: str) -> List[Row]:
    """RETURNS (List[Row]): The rows that no other beats in both score and time at a batch size, from fast to slow."""
    timed = [row for row in rows if size in row["ms"]]
    places = pareto_front([row["ms"][size] for row in timed], [-row["score"] for row in timed])
    return [timed[place] for place in places]


def judge(rows: Sequence[Row], size: str) -> Dict[str, Any]:
    """Compare the rows of ours with all others at a batch size. The exit before the first layer for all documents is neither: it
    is ours, and nobody has chosen it.

    rows (Sequence[Row]): All rows, with "name", "kind", "score" and "ms", and "layers" where there are any.
    size (str): The batch size.
    RETURNS (Dict[str, Any]): The "best" of the others and its score; the "fastest" of those within 0.3 points of it; the fastest
        of "ours" within 0.3 points of the best and the "speedup" over that, None if there is none; and of each "contestant"
        the "gain" of our best that needs no more time, in points, whether that is within 0.3 points, and how many times its
        seconds are those of our row above ("times").
    """
    timed = [row for row in rows if size in row["ms"] and not (row["kind"] == "fixed" and row.get("layers") == 0)]
    ours, others = ([row for row in timed if (row["kind"] == OURS) == own] for own in (True, False))
    found: Dict[str, Any] = {"best": None, "fastest": None, "ours": None, "speedup": None, "contestants": {}}
    if not ours or not others:
        return found
    best = max(others, key=lambda row: row["score"])
    fastest, mine = (_fastest(part, best["score"] - NEAR, size) for part in (others, ours))
    found.update(best=best["name"], best_score=best["score"], fastest=fastest["name"] if fastest else None)
    if mine is not None and fastest is not None:
        found.update(ours=mine["name"], our_score=mine["score"], speedup=fastest["ms"][size] / mine["ms"][size])
    for row in others:
        as_fast = [own["score"] for own in ours if own["ms"][size] <= row["ms"][size]]
        gain = max(as_fast) - row["score"] if as_fast else None
        times = None if mine is None else row["ms"][size] / mine["ms"][size]
        found["contestants"][row["name"]] = {"gain": gain, "beaten": gain is not None and gain >= -NEAR - 1e-9, "times": times}
    return found


def mean_times(reports: Sequence[Dict[str, Any]], title: str, size: str) -> Optional[float]:
    """RETURNS (Optional[float]): How many times our seconds a contestant takes with its fastest backbone, the mean over corpora;
    None if one lacks it."""
    found: List[float] = []
    for report in reports:
        names = {row["name"] for row in report["rows"] if title in row["title"] and row["kind"] != OURS}
        contestants = report["verdict"].get(size, {}).get("contestants", {})
        times = [own["times"] for name, own in contestants.items() if name in names and own["times"]]
        if not times:
            return None
        found.append(min(times))
    return float(numpy.mean(found)) if found else None


def _fastest(rows: Sequence[Row], floor: float, size: str) -> Optional[Row]:
    good = [row for row in rows if row["score"] >= floor - 1e-9]
    return min(good, key=lambda row: row["ms"][size], default=None)
