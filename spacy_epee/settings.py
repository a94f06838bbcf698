"""Checks of settings."""

import math
from typing import Any, List


def check_number(
    setting: str, value: Any, low: float, high: float = math.inf, *, above: bool = False, below: bool = False, whole: bool = False
) -> None:
    """Refuse a number that a setting cannot have.

    setting (str): The setting's name.
    value (Any): Its value.
    low (float): The smallest number.
    high (float): The largest one.
    above (bool): Whether it must be above the smallest.
    below (bool): Whether it must be below the largest.
    whole (bool): Whether it must be a whole number.
    RAISES ValueError: It is something else, or no number, or infinite.
    """
    fits = isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high
    fits = fits and not (above and value == low) and not (below and value == high)
    if not fits or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        reach = f"above {low:g}" if above else f"from {low:g}"
        if not math.isinf(high):
            reach += f" to {'below ' * below}{high:g}"
        elif not above:
            reach += " on"
        raise ValueError(f"The setting `{setting}` is {value}; give {kind} {reach}.")


def split_list(option: str, text: str, what: str = "names") -> List[str]:
    """Take apart what is given with commas. Spaces around it do not count.

    option (str): The option.
    text (str): Its value.
    what (str): What it lists.
    RETURNS (List[str]): The parts, at least one.
    RAISES ValueError: One of them is empty, or is there twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts) or len(set(parts)) < len(parts):
        raise ValueError(f"{option} is '{text}'; give {what} with commas between them, each once")
    return parts
