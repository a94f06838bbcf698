"""Pages that are made from the code when the site is built: every setting of every block, and every command."""

import inspect
import re
import textwrap
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Dict, Iterator, List, Tuple

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from spacy.language import Language
from thinc.api import Config
from typer.main import get_group

from spacy_epee.cli import epee

GROUPS = {
    "spacy_factories": "Components",
    "spacy_architectures": "Models",
    "spacy_misc": "Rules, tasks, candidates and losses",
    "spacy_readers": "Readers",
    "spacy_scorers": "Scorers",
    "spacy_callbacks": "Callbacks",
    "spacy_loggers": "Loggers",
}
"""The groups of entry points, and what to call what is in them."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    files.append(File.generated(config, "settings.md", content=settings_page()))
    files.append(File.generated(config, "commands.md", content=commands_page()))
    return files


def registered() -> Iterator[Tuple[str, EntryPoint]]:
    """YIELDS (Tuple[str, EntryPoint]): Group and entry point of everything that this package registers and that has settings."""
    for group in GROUPS:
        for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
            if entry.value.startswith("spacy_epee."):
                yield group, entry


def described(function: Any) -> Tuple[str, Dict[str, str]]:
    """Read a docstring.

    function (Callable): A function, or a class with an `__init__`.
    RETURNS (Tuple[str, Dict[str, str]]): What it is, and {setting: text}.
    """
    texts = [function.__doc__, function.__init__.__doc__] if inspect.isclass(function) else [function.__doc__]
    paragraphs: List[str] = []
    settings: Dict[str, str] = {}
    for text in filter(None, texts):
        last = ""
        for line in inspect.cleandoc(text).splitlines():
            match = re.match(r"(\w+) \(.+?\): (.*)", line)
            if match and match.group(1).isupper():  # RETURNS and RAISES
                last = "-"
            elif match:
                last = match.group(1)
                settings[last] = match.group(2)
            elif last and line.startswith(" "):
                if last != "-":
                    settings[last] += " " + line.strip()
            else:
                last = ""
                paragraphs.append(line)
    return "\n".join(paragraphs).strip(), settings


def settings_of(entry: EntryPoint) -> Tuple[str, List[Tuple[str, str, str, str]]]:
    """Find out about what is registered.

    entry (EntryPoint): Its entry point.
    RETURNS (Tuple[str, List[Tuple[str, str, str, str]]]): What it is, and name, type, default and text of each setting. The
        text is empty if there is none.
    """
    function = entry.load()
    text, own = described(function)
    known = {**borrowed(function, text), **own}
    rows = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("nlp", "name") and entry.group == "spacy_factories":
            continue
        default = "" if parameter.default is parameter.empty else repr(parameter.default)
        kind = re.sub(r"(\w+\.)+", "", inspect.formatannotation(parameter.annotation))  # without modules
        rows.append((name, kind, default, known.get(name, "")))
    return text, rows


def borrowed(function: Any, text: str) -> Dict[str, str]:
    """Texts of settings that a builder passes on: those of the components that its docstring names, and of what it makes.

    function (Callable): What is registered.
    text (str): What its docstring says it is.
    RETURNS (Dict[str, str]): {setting: text}.
    """
    known: Dict[str, str] = {}
    factories = {entry.name: entry for entry in entry_points(group="spacy_factories")}
    for name in re.findall(r"`(\w+)`", text):
        if name in factories:
            known.update(described(factories[name].load())[1])
    made = inspect.signature(function).return_annotation
    if inspect.isclass(made):
        known.update(described(made)[1])
    return known


def settings_page() -> str:
    """RETURNS (str): The page of all settings."""
    lines = ["# Every setting", "", "Made from the code. Blocks with defaults can be left out of a config."]
    title = ""
    for group, entry in registered():
        if GROUPS[group] != title:
            title = GROUPS[group]
            lines += ["", f"## {title}"]
        text, rows = settings_of(entry)
        lines += ["", f"### `{entry.name}`", "", text, ""]
        if rows:
            lines += ["| setting | type | default | |", "|---|---|---|---|"]
            lines += [f"| `{name}` | {_code(kind)} | {_code(default)} | {_cell(about)} |" for name, kind, default, about in rows]
        if group == "spacy_factories":
            defaults = Config({"components": {entry.name: Language.get_factory_meta(entry.name).default_config}})
            lines += ["", "```ini", defaults.to_str(interpolate=False).strip(), "```"]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """RETURNS (str): The page of all commands."""
    lines = ["# Command line", "", "Made from the code; `--help` says the same."]
    group = get_group(epee)
    for name in group.list_commands(None):  # type: ignore[arg-type]
        own = group.get_command(None, name)  # type: ignore[arg-type]
        assert own is not None
        lines += ["", f"## `python -m spacy epee {name}`", "", textwrap.dedent(own.help or "").strip(), ""]
        lines += ["| | default | |", "|---|---|---|"]
        for parameter in own.params:
            is_option = parameter.param_type_name == "option"
            shown = ", ".join(f"`{part}`" for part in [*parameter.opts, *parameter.secondary_opts]) if is_option else ""
            shown = shown or f"`{parameter.name.upper()}`"
            default = "" if parameter.default is None or callable(parameter.default) else str(parameter.default)
            lines.append(f"| {shown} | {_code(default)} | {_cell(getattr(parameter, 'help', None) or '')} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text and text != "Ellipsis" else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
