"""Exit rules that commands are given."""

from typing import Dict, List, Optional

from ..component.pipe import EarlyExitTransformer
from ..exits.rules.base import ExitRule, complete
from ..exits.written import make_rule, read_rule, set_threshold


def set_rules(
    pipe: EarlyExitTransformer, rules: Optional[List[str]], threshold: Optional[str], task: Optional[str] = None
) -> None:
    """Set exit rules as options say.

    pipe (EarlyExitTransformer): The component.
    rules (Optional[List[str]]): Those of `--rule`: rules for all tasks, or of one each.
    threshold (Optional[str]): That of `--threshold`: another threshold of these rules, or of those of the component.
    task (Optional[str]): The task that they are for; None for all.
    RAISES ValueError: Something that is no rule, or one that never fires.
    """
    tasks = list(pipe.slots) if task is None else [task]
    given: Dict[str, str] = {}
    for text in rules or []:
        name, _, rule = text.partition("=")
        named = name.strip() in pipe.slots
        for own in [name.strip()] if named else tasks:
            if own in given:
                raise ValueError(f"--rule is given twice for the task '{own}'")
            given[own] = rule if named else text
    if given:
        tasks = [own for own in pipe.slots if own in given]
    for own in tasks if given or threshold is not None else []:
        found = read_rule(given[own], threshold) if own in given else _changed(pipe, own, threshold)
        pipe.set_exit(found, own)


def _changed(pipe: EarlyExitTransformer, task: str, threshold: Optional[str]) -> ExitRule:
    """The rule of a task with another threshold."""
    rule = pipe.exits[task]
    block = None if rule is None else complete(rule).to_config()
    if block is None:
        missing = "no exit rule" if rule is None else "an exit rule that does not tell its settings"
        raise ValueError(f"--threshold changes a rule, and the task '{task}' of '{pipe.name}' has {missing}; give --rule too")
    return make_rule(set_threshold(block, threshold))  # type: ignore[arg-type]
