"""What rules are called in tables and sentences."""

from typing import Any, Dict, Optional, Sequence, Union


def describe_rule(rule: Optional[Dict[str, Any]]) -> str:
    """RETURNS (str): The settings of a rule, on a line."""
    if rule is None:
        return ""
    parts = []
    for name, value in rule.items():
        if name == "rules":
            parts += [f"{key}: {describe_rule(part)}" for key, part in value.items()]
        elif name == "rule":
            parts.append(name_rule(value))
        elif isinstance(value, (list, tuple)) and not any(isinstance(number, (int, float)) for number in value):
            continue  # fitted, and of no use to a reader
        elif isinstance(value, (list, tuple)):
            parts.append(f"{name} {' '.join(f'{number:.3g}' for number in value)}")
        elif not name.startswith("@"):
            parts.append(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(parts)


def name_rule(rule: Union[Dict[str, Any], str, None]) -> str:
    """RETURNS (str): A rule with its settings, on a line."""
    if rule is None:
        return "none, the full depth"
    if isinstance(rule, str):  # it does not tell its settings
        return rule
    return f"{rule['@misc'].split('.')[-2]} ({describe_rule(rule)})"


def name_figure(figures: Sequence[str], asked: str) -> str:
    """RETURNS (str): The figure of a task that a word on the command line stands for, as macro-f for "macro F"; the word itself
    if there is none.

    figures (Sequence[str]): The figures of the task.
    asked (str): The word.
    """
    return next((figure for figure in figures if figure.lower().replace(" ", "-") == asked.lower()), asked)
