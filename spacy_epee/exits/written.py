"""Exit rules that are written on a line: `EntropyPatience(entropy=0.1, patience=4)`, `none`, or a config block in JSON.

Nothing that is written is run: of Python there are names of registered rules, settings and plain values."""

import ast
import inspect
import json
from difflib import get_close_matches
from typing import Any, Dict, List, Optional

from confection import ConfigValidationError
from spacy.util import registry

from ..errors import raise_alone
from .rules.base import ExitRule
from .rules.config import registered_rules

EXAMPLE = "'EntropyPatience(entropy=0.1, patience=4)', 'FixedDepth(4)', 'none' or a config block in JSON"

LONGEST, SHOWN = 5000, 100
"""How many characters a rule may take, and how many of one that cannot be read are shown."""


def read_rule(text: str, threshold: Optional[str] = None) -> Optional[ExitRule]:
    """Read an exit rule.

    text (str): The rule. A name alone takes the defaults, "none" is the full depth.
    threshold (Optional[str]): Its threshold, as of `set_threshold`.
    RETURNS (Optional[ExitRule]): The rule; None for the full depth.
    RAISES ValueError: It is no rule, or a setting means nothing.
    """
    block = _read_block(text.strip())
    if block is None:
        if threshold is not None:
            raise ValueError(f"The exit rule is '{text}', the full depth, which has no threshold; give one of the two")
        return None
    return make_rule(block if threshold is None else set_threshold(block, threshold))


def make_rule(block: Dict[str, Any]) -> ExitRule:
    """Make an exit rule.

    block (Dict[str, Any]): Its config block.
    RETURNS (ExitRule): The rule.
    RAISES ValueError: It is no rule, or a setting means nothing.
    """
    name = block["@misc"]
    try:
        rule = registry.resolve({"exit": block})["exit"]
    except ConfigValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg'].replace('at root: ', '')}" for one in error.errors]
        raise ValueError(f"The rule {name} cannot be made ({'; '.join(wrong)}); its settings are {_settings(name)}") from None
    except RecursionError:
        raise_alone(ValueError("The exit rule has too many rules within rules"))
    if not isinstance(rule, ExitRule):
        raise ValueError(f"'{name}' makes no exit rule; give one such as {EXAMPLE}")
    return rule


def set_threshold(block: Dict[str, Any], threshold: str) -> Dict[str, Any]:
    """Change the threshold of a rule, which is the first of its settings: the entropy, the layer, and so on.

    block (Dict[str, Any]): The config block of the rule.
    threshold (str): A number, or a list of one for each exit.
    RETURNS (Dict[str, Any]): The block with that threshold.
    RAISES ValueError: It is no number, or the rule has no threshold of its own.
    """
    if isinstance(block.get("rule"), dict):
        return {**block, "rule": set_threshold(block["rule"], threshold)}
    settings = _settings(block["@misc"])
    if not settings or "rules" in settings:
        raise ValueError(f"The exit rule {block['@misc']} has no threshold of its own; write the whole rule, with its thresholds")
    try:
        value = ast.literal_eval(threshold)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
        raise ValueError(f"The threshold is '{threshold}'; give a number, or a list with one for each exit: [0.1, 0.2]")
    return {**block, settings[0]: value}


def _read_block(text: str) -> Optional[Dict[str, Any]]:
    if text.lower() in ("none", "null"):
        return None
    if len(text) > LONGEST:
        raise ValueError(f"The exit rule has {len(text)} characters; give at most {LONGEST}")
    if text.startswith("{"):
        try:
            block = json.loads(text)
        except (ValueError, RecursionError):
            raise_alone(ValueError(f"The exit rule begins with '{{' and is not JSON: {text[:SHOWN]}"))
        return _checked(block)
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise_alone(ValueError(f"The exit rule is '{text[:SHOWN]}'; give one such as {EXAMPLE}"))
    if not isinstance(tree, (ast.Name, ast.Call)):
        raise ValueError(f"The exit rule is '{text[:SHOWN]}'; give one such as {EXAMPLE}")
    return _block(tree)


def _checked(block: Any) -> Dict[str, Any]:
    """A block that names its rule, and so do those within it."""
    if not isinstance(block, dict) or not isinstance(block.get("@misc"), str):
        raise ValueError('The exit rule is a block without the name of a rule, such as {"@misc": "spacy-epee.FixedDepth.v1"}')
    for inner in [block.get("rule"), *(block["rules"].values() if isinstance(block.get("rules"), dict) else ())]:
        if inner is not None:
            _checked(inner)
    if block["@misc"] not in registry.misc.get_all():
        raise ValueError(f"There is no exit rule '{block['@misc']}'; there are {', '.join(registered_rules())}")
    return block


def _block(tree: ast.expr) -> Dict[str, Any]:
    """The config block of a call."""
    call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
    if not isinstance(call.func, ast.Name):
        raise ValueError(f"The exit rule has no plain name; give one such as {EXAMPLE}")
    name = _registered(call.func.id)
    settings = _settings(name)
    if len(call.args) > len(settings) or any(keyword.arg is None for keyword in call.keywords):
        raise ValueError(f"The exit rule {name} has the settings {settings}; give these, by name or in this order")
    block: Dict[str, Any] = {"@misc": name}
    for setting, value in [*zip(settings, call.args), *((keyword.arg, keyword.value) for keyword in call.keywords)]:
        if setting in block:
            raise ValueError(f"The exit rule {name} is given its setting '{setting}' twice")
        block[setting] = _value(value, name)  # type: ignore[index]
    return block


def _value(tree: ast.expr, name: str) -> Any:
    """A plain value, or the block of a rule within a rule."""
    if isinstance(tree, ast.Call):
        return _block(tree)
    if isinstance(tree, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in tree.keys]
        if not all(isinstance(key, str) for key in keys):
            raise ValueError(f'The exit rule {name} joins rules under names; give {{"a": Entropy(0.1), "b": Patience(3)}}')
        return {key: _value(value, name) for key, value in zip(keys, tree.values)}
    if isinstance(tree, ast.Name) and tree.id == "null":
        return None
    try:
        return ast.literal_eval(tree)
    except ValueError:
        raise_alone(ValueError(f"A setting of the rule {name} is '{ast.unparse(tree)}'; give a number, text, None or a rule"))


def _registered(short: str) -> str:
    """The whole name of a rule whose name without package and version is given."""
    known = [name for name in registry.misc.get_all() if name.split(".")[-2:-1] == [short]]
    if len(known) > 1:
        raise ValueError(f"There are several rules '{short}': {sorted(known)}; give a block in JSON with one of these names")
    if not known:
        names = sorted({name.split(".")[-2] for name in registered_rules()})
        near = get_close_matches(short, names, 1, cutoff=0.6)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"There is no exit rule '{short}'{meant}; there are {', '.join(names)}")
    return known[0]


def _settings(name: str) -> List[str]:
    """The settings of a registered rule, in order."""
    return list(inspect.signature(registry.misc.get(name)).parameters)
