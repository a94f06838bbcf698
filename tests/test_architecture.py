"""Data flow one way: each module imports from steps before its own, at its top, in functions and for type checkers alike."""

import ast
from configparser import ConfigParser
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "spacy_epee"

LAYERS = [
    ["errors", "doc_entries", "threads", "settings", "registry", "forgetting"],
    ["files"],
    ["sealing"],
    ["doc_attributes"],
    ["inputs"],
    ["trunk"],
    ["runtimes"],
    ["heads"],
    ["exits"],
    ["engine"],
    ["training"],
    ["model"],
    ["tasks"],
    ["inference"],
    ["component"],
    ["data"],
    ["evaluation"],
    ["training.callbacks", "training.passes", "training.pruning"],  # what spaCy's training calls with a whole pipeline
    ["training.logger"],
    ["tuning", "compress", "teach"],
    ["report", "benchmark"],
    ["scale"],
    ["monitor", "service"],
    ["card"],
    ["displacy"],
    ["defaults"],
    ["factories"],
    ["cli"],
    [""],
]
"""From the first step to the last. The longest name that fits a module counts."""

LONGEST_FILE, LONGEST_CLASS = 400, 300
"""Lines."""


def modules() -> Dict[str, Path]:
    """RETURNS (Dict[str, Path]): The modules of the package, by name without that of the package."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()

TASKS = {module.split(".")[1] for module in MODULES if module.startswith("tasks.") and module.count(".") == 2}
"""The folders of tasks, by their names."""

BUILDERS = {"factories", "tasks.slot"}
"""What makes tasks of settings."""

EXTENDS = {"imagecat": {"textcat"}}
"""Tasks that are others with something added."""


def runtimes() -> Set[str]:
    """RETURNS (Set[str]): The runtimes that the package registers, by their names."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options.entry_points"]["spacy_epee_runtimes"].splitlines()
    return {line.split("=")[0].strip() for line in lines if line.strip()}


RUNTIMES = runtimes()

NAMES_RUNTIMES = {
    "trunk.base",  # that of the trunk itself
    "benchmark.targets",
    "benchmark.front.run",
    "benchmark.networks",
    "benchmark.workspace",
    "benchmark.run",
    "cli.compress",  # what is taken if none is named
    "cli.export",
}
"""Modules that name runtimes. The benchmark compares them with each other."""


def rank(module: str) -> int:
    """RETURNS (int): The step that a module belongs to."""
    while True:
        for number, names in enumerate(LAYERS):
            if module in names:
                return number
        module = module.rpartition(".")[0]


def group(module: str) -> str:
    """RETURNS (str): The name in `LAYERS` that a module goes by."""
    while not any(module in names for names in LAYERS):
        module = module.rpartition(".")[0]
    return module


def imports(module: str) -> Iterator[Tuple[str, str]]:
    """YIELDS (Tuple[str, str]): The modules of the package that a module imports from, wherever it does, and what."""
    path = MODULES[module]
    own = module.split(".") if module else []
    package = own if path.name == "__init__.py" else own[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from ((".".join(parts[1:]), "") for parts in names if parts[0] == PACKAGE)
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = package[: len(package) - node.level + 1]
        elif (node.module or "").split(".")[0] == PACKAGE:
            base = []
        else:
            continue
        names = (node.module or "").split(".") if node.level else (node.module or "").split(".")[1:]
        source = ".".join([*base, *filter(None, names)])
        for alias in node.names:
            inner = f"{source}.{alias.name}".strip(".")
            yield (inner, "") if inner in MODULES else (source, alias.name)


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_from_steps_before_their_own(module):
    above = [other for other, _ in imports(module) if group(other) != group(module) and rank(other) >= rank(module)]
    assert not above


def test_modules_import_in_no_circle():
    graph: Dict[str, Set[str]] = {module: {other for other, _ in imports(module)} - {module} for module in MODULES}
    done: Set[str] = set()

    def visit(module: str, path: List[str]) -> None:
        assert module not in path, " imports ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in graph[module]:
                visit(other, [*path, module])
            done.add(module)

    for module in graph:
        visit(module, [])


@pytest.mark.parametrize("module", MODULES)
def test_modules_use_no_private_name_of_another(module):
    assert not [f"{other}.{name}" for other, name in imports(module) if name.startswith("_") and name != "__version__"]


def compared(module: str) -> Iterator[str]:
    """YIELDS (str): The strings that a module compares something with, or looks for it among."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            for operator, one, other in zip(node.ops, [node.left, *node.comparators], node.comparators):
                sides = [one, other] if isinstance(operator, (ast.Eq, ast.NotEq)) else getattr(other, "elts", [])
                elements = [element for side in sides for element in getattr(side, "elts", [side])]
                yield from (element.value for element in elements if isinstance(element, ast.Constant))


@pytest.mark.parametrize("module", [module for module in MODULES if module not in BUILDERS])
def test_tasks_are_known_by_themselves_and_their_builders_alone(module):
    """What is known of a task lies in its folder. All others go by the members of `Task`."""
    folder = module.split(".")[1] if module.startswith("tasks.") else ""
    others = TASKS - {folder, *EXTENDS.get(folder, ())}
    strange = [other for other, _ in imports(module) if other.startswith("tasks.") and other.split(".")[1] in others]
    # What is on a Doc is for everybody.
    assert not [other for other in strange if other.split(".")[2:] not in ([], ["docs"])]
    assert not [value for value in compared(module) if value in TASKS - {folder}]


def strings(module: str) -> Iterator[str]:
    """YIELDS (str): The strings of a module."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_runtimes_that_are_registered_are_looked_for():
    assert {"onnx", "torch"} <= RUNTIMES


OUTSIDE_RUNTIMES = [module for module in MODULES if module.split(".")[0] != "runtimes" and module not in NAMES_RUNTIMES]


@pytest.mark.parametrize("module", OUTSIDE_RUNTIMES)
def test_runtimes_are_known_by_themselves_alone(module):
    """All others go by the members of `Runtime`."""
    assert not [other for other, _ in imports(module) for name in RUNTIMES if f"{other}.".startswith(f"runtimes.{name}.")]
    assert not [value for value in strings(module) if value in RUNTIMES]


def foreign(module: str) -> Iterator[str]:
    """YIELDS (str): What a module imports from other packages, wherever it does, with the names of their modules."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@lru_cache(maxsize=1)
def family_names() -> Dict[str, str]:
    """RETURNS (Dict[str, str]): The families of backbones that transformers has, as configurations call them, and how the
    names of their classes begin."""
    auto = pytest.importorskip("transformers.models.auto.configuration_auto")
    return {name: config.removesuffix("Config") for name, config in auto.CONFIG_MAPPING_NAMES.items()}


def test_families_that_are_run_are_looked_for():
    assert {"bert", "roberta", "deberta-v2", "modernbert", "albert", "vit"} <= set(family_names())


@pytest.mark.parametrize("module", [module for module in MODULES if module.split(".")[0] != "trunk"])
def test_families_of_backbones_are_known_by_the_trunk_alone(module):
    """All others go by the trunk's stepper, which is the same for each."""
    classes = tuple(f"transformers.{name}" for name in family_names().values())
    assert not [name for name in foreign(module) if name.startswith(("transformers.models.", *classes))]
    assert not [value for value in compared(module) if value in family_names()]


@pytest.mark.parametrize("module", MODULES)
def test_files_and_classes_are_short(module):
    text = MODULES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    assert not [node.name for node in classes if node.end_lineno - node.lineno >= LONGEST_CLASS]
