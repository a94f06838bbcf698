"""`python -m spacy epee ...`"""

from spacy.cli._util import app
from typer import Typer

epee = Typer(name="epee", help="Early-exiting transformers", no_args_is_help=True)
app.add_typer(epee)

from . import benchmark, convert, evaluate, export, report, tune  # noqa: E402, F401
