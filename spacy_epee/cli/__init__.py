"""`python -m spacy epee ...`"""

from importlib import import_module
from typing import Any, List, Optional

from spacy.cli._util import app
from typer import Typer
from typer.core import TyperGroup
from typer.main import get_group

COMMANDS = (
    "annotate",
    "benchmark",
    "card",
    "compress",
    "convert",
    "evaluate",
    "export",
    "monitor",
    "report",
    "serve",
    "teach",
    "tune",
)
"""The commands, each of which is in a module of its name."""


class _Commands(TyperGroup):
    """Imports the module of a command when that one is asked for. spaCy imports this module for every command of its own, and
    what runs a model takes seconds to import."""

    def list_commands(self, ctx: Any) -> List[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Optional[Any]:
        if cmd_name not in COMMANDS:
            return None
        import_module(f"{__name__}.{cmd_name}")
        return get_group(epee).commands[cmd_name]


epee = Typer(name="epee", help="Early-exiting transformers", no_args_is_help=True, rich_markup_mode=None, cls=_Commands)


@epee.callback()
def _epee() -> None:
    """There is a group before the first command is known."""


app.add_typer(epee)
