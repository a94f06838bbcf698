"""Rules as blocks of a config, as they are saved and read."""

import inspect
from typing import Any, Dict, Iterator

from spacy.util import registry
from thinc.api import Config

from .base import ExitRule, complete

DEEPEST = 20
"""How deep rules can lie in rules. A config of more cannot be read."""


def check_kept(rule: ExitRule) -> None:
    """Refuse a rule that would be saved with a pipeline, which then could not be loaded.

    rule (ExitRule): The rule. One without `to_config` is not saved.
    RAISES ValueError: It cannot be made again of its config.
    """
    try:
        block = complete(rule).to_config()
        if block is None:
            return
        written = Config({"exit": block}).to_str() if _depth(block) <= DEEPEST else ""
        kept = _shape(resolve_rule(Config().from_str(written)["exit"]).to_config()) == _shape(block)
    except Exception:  # RecursionError, and what config parsers make of names
        kept = False
    if not kept:
        raise ValueError(
            f"The exit rule {type(rule).__name__} cannot be saved: a pipeline with it could not be loaded. Rules can lie "
            f"{DEEPEST} deep in rules, the names of joined rules are plain words, without dots, brackets and '@', and each rule "
            "is registered as '@misc' under its name."
        )


def _depth(block: Any) -> int:
    """How deep blocks lie in a block."""
    parts = list(block.values()) if isinstance(block, dict) else block if isinstance(block, list) else []
    return int(isinstance(block, dict) and "@misc" in block) + max(map(_depth, parts), default=0)


def _shape(block: Any) -> Any:
    """The names in a block. Numbers may be read back as their neighbours."""
    return {name: _shape(own) for name, own in block.items()} if isinstance(block, dict) else None


def resolve_rule(block: Any) -> Any:
    """Make a rule of its config block.

    block (Dict[str, Any]): The block.
    RETURNS (ExitRule): The rule.
    RAISES ValueError: It names functions of another kind than rules are.
    """
    kinds = {name for part in _blocks(block) for name in part if name.startswith("@")}
    if kinds - {"@misc"}:
        raise ValueError(f"The block of an exit rule names {sorted(kinds)}; rules are registered as '@misc' alone.")
    return registry.resolve({"exit": block})["exit"]


def registered_rules() -> Dict[str, Any]:
    """RETURNS (Dict[str, type]): The classes of all registered rules, those of other packages too, by name in order."""
    made = {name: maker for name, maker in sorted(registry.misc.get_all().items()) if inspect.isclass(maker)}
    return {name: maker for name, maker in made.items() if hasattr(maker, "can_fire") and hasattr(maker, "step")}


def _blocks(value: Any) -> Iterator[Dict[str, Any]]:
    """The blocks in a block, itself included."""
    if isinstance(value, dict):
        yield value
    for own in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _blocks(own)
