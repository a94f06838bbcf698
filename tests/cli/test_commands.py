"""Commands are imported when they are asked for."""

import subprocess
import sys

from typer.testing import CliRunner

from spacy_epee.cli import COMMANDS, epee


def test_every_command_has_help():
    found = CliRunner().invoke(epee, ["--help"])
    assert found.exit_code == 0 and all(f"  {name} " in found.output for name in COMMANDS)
    assert all(CliRunner().invoke(epee, [name, "--help"]).exit_code == 0 for name in COMMANDS)


def test_what_is_no_command_is_refused():
    found = CliRunner().invoke(epee, ["tun"])
    assert found.exit_code == 2 and "No such command" in found.output


def test_spacy_itself_imports_no_command():
    code = "from spacy.cli._util import registry; registry.cli.get_all(); import sys; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "spacy_epee.cli" in modules
    assert not {"spacy_transformers", *(f"spacy_epee.cli.{name}" for name in COMMANDS)} & set(modules)
