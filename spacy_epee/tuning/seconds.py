"""Rules that cost more seconds than they save."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..exits.rules.base import ExitRule


def find_faster(
    report: Dict[str, Any], rules: Sequence[Optional[ExitRule]], chosen: Optional[ExitRule], plain: ExitRule
) -> Tuple[Optional[Dict[str, Any]], Optional[int]]:
    """Look whether a chosen rule is slower than the full depth, at any batch size, and for what takes its place then.

    report (Dict[str, Any]): That of `Tuner`, with milliseconds.
    rules (Sequence[Optional[ExitRule]]): Those of the rows in its "front".
    chosen (Optional[ExitRule]): The chosen one.
    plain (ExitRule): A fixed depth that loses no more.
    RETURNS (Tuple[Optional[Dict[str, Any]], Optional[int]]): The rule that is slower, and how many times; None if it is not.
        And the row of the fixed depth, if that is there and not slower.
    """
    full = report["full"]["ms"]
    ratios: List[float] = [max(row["ms"][size] / full[size] for size in full) for row in report["front"]]
    mine = next(place for place, rule in enumerate(rules) if rule == chosen)
    if ratios[mine] <= 1:
        return None, None
    row = report["front"][mine]
    fast = [place for place, rule in enumerate(rules) if rule == plain and ratios[place] <= 1]
    return {"name": row["name"], "rule": row["rule"], "times": ratios[mine]}, fast[0] if fast else None
