"""What is asked of a task's `cfg` that comes with a pipeline: its files may be damaged, or made by somebody else."""

from typing import Any, Dict

SHARES = ("threshold", "uncertain")
"""What is a number from 0 to 1."""

NAMES = ("labels", "types")
"""What is a list of names, of which a logit or an embedding is each."""


def check_saved(cfg: Dict[str, Any], called: str) -> None:
    """Refuse a `cfg` with which answers would be wrong in silence, or would end in the middle.

    cfg (Dict[str, Any]): The `cfg`.
    called (str): What to call the task.
    RAISES ValueError: Something is not as it is saved. It shows nothing of it.
    """
    wrong = [name for name in NAMES if name in cfg and not _are_names(cfg[name])]
    wrong += [name for name in SHARES if name in cfg and not _is_share(cfg[name])]
    gate = cfg.get("gate", {})
    if not isinstance(gate, dict) or not _is_share(gate.get("threshold", 0)):
        wrong.append("gate")
    weights = cfg.get("label_weights", {})
    if not isinstance(weights, dict) or not all(_is_number(weight) and 0 <= weight < float("inf") for weight in weights.values()):
        wrong.append("label_weights")
    if "mix" in cfg and not _are_mixes(cfg["mix"]):
        wrong.append("mix")
    if "positive_label" in cfg and "labels" not in wrong and cfg["positive_label"] not in cfg["labels"]:
        wrong.append("positive_label")
    if wrong:
        raise ValueError(
            f"What was saved of {called} cannot be: {', '.join(map(_say, wrong))}. The file `cfg` is damaged or was changed. "
            "Copy or save the pipeline again."
        )


def _say(name: str) -> str:
    what = "a list of names that differ" if name in NAMES else "a number from 0 to 1" if name in SHARES else "what it should be"
    return f"`{name}` is not {what}"


def _are_names(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values) and len(set(values)) == len(values)


def _are_mixes(values: Any) -> bool:
    """Whether there are as many factors as training found and as were fitted."""
    parts = [values.get(name) for name in ("trained", "fitted")] if isinstance(values, dict) else []
    factors = [factor for part in parts if isinstance(part, list) for factor in part]
    as_many = len(parts) == 2 and all(isinstance(part, list) and 2 * len(part) == len(factors) for part in parts)
    return as_many and all(_is_number(factor) and abs(factor) < float("inf") for factor in factors)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1
