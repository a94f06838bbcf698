"""What is asked of a task's `cfg` that comes with a pipeline: its files may be damaged, or made by somebody else."""

from typing import Any, Callable, Dict

SHARES = ("threshold", "uncertain")
"""What is a number from 0 to 1."""

NAMES = ("labels", "types", "elsewhere")
"""What is a list of names: of which a logit or an embedding is each, or that other components have."""


NOTHING = "none"
"""In place of a layer, where there was nothing to answer."""

BINS = 20
"""Into how many parts entropies from 0 to 1 are counted."""


def check_saved(cfg: Dict[str, Any], called: str) -> None:
    """Refuse a `cfg` with which answers would be wrong in silence, or would end in the middle.

    cfg (Dict[str, Any]): The `cfg`.
    called (str): What to call the task.
    RAISES ValueError: Something is not as it is saved. It shows nothing of it.
    """
    wrong = [name for name in NAMES if name in cfg and not _are_names(cfg[name])]
    wrong += [name for name in SHARES if name in cfg and not _is_share(cfg[name])]
    wrong += [name for name, fits in NOTES.items() if name in cfg and not (isinstance(cfg[name], dict) and fits(cfg[name]))]
    weights = cfg.get("label_weights", {})
    if not isinstance(weights, dict) or not all(_is_number(weight) and 0 <= weight < float("inf") for weight in weights.values()):
        wrong.append("label_weights")
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


def _is_gate(noted: Dict[str, Any]) -> bool:
    promise = ("recall", "confidence", "something", "lost")
    return _is_share(noted.get("threshold")) and ("recall" not in noted or all(_is_number(noted.get(name)) for name in promise))


def _is_tuned(noted: Dict[str, Any]) -> bool:
    promise = noted.get("promise")
    figures = ("score", "full", "drop", "spread", "disagreement", "wordpiece_layers", "speedup")
    return (
        all(isinstance(noted.get(name, ""), str) for name in ("score_desc", "rule", "settings"))
        and {"score_desc", "rule"} <= noted.keys()
        and _is_count(noted.get("documents"))
        and all(name in noted and (noted[name] is None or _is_number(noted[name])) for name in figures)
        and _are_all(noted.get("wish"), _is_number)
        and (promise is None or (isinstance(promise, dict) and _is_promise(promise)))
    )


def _is_promise(noted: Dict[str, Any]) -> bool:
    shares = all(_is_share(noted.get(name)) for name in ("max_disagreement", "confidence"))
    return shares and _is_count(noted.get("documents")) and isinstance(noted.get("kept"), bool)


def _is_reference(noted: Dict[str, Any]) -> bool:
    layers, entropy = noted.get("layers"), noted.get("entropy")
    return (
        all(_is_count(noted.get(name)) for name in ("documents", "failed", "uncertain"))
        and isinstance(noted.get("settings"), str)
        and _are_all(noted.get("labels"), _is_count)
        and _are_all(layers, _is_count)
        and all(layer == NOTHING or layer.isdecimal() for layer in layers or ())
        and isinstance(entropy, list)
        and len(entropy) == BINS
        and all(map(_is_count, entropy))
    )


def _is_mix(noted: Dict[str, Any]) -> bool:
    trained, fitted = (noted.get(name) for name in ("trained", "fitted"))
    if not isinstance(trained, list) or not isinstance(fitted, list) or len(trained) != len(fitted):
        return False
    return all(_is_number(factor) and abs(factor) < float("inf") for factor in (*trained, *fitted))


NOTES: Dict[str, Callable[[Dict[str, Any]], bool]] = {
    "gate": _is_gate,
    "mix": _is_mix,
    "tuned": _is_tuned,
    "reference": _is_reference,
}
"""What was fitted or found out and is kept with the reasons for it, and how it is told to be that."""


def _are_all(values: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(values, dict) and all(map(fits, values.values()))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_names(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values) and len(set(values)) == len(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1
