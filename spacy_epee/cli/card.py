"""`python -m spacy epee card`"""

from pathlib import Path
from typing import Optional

from spacy.cli._util import import_code
from spacy.util import load_model
from typer import Argument, Option, echo
from wasabi import Printer

from ..card import UNKNOWN, make_card
from ..files import whole_file
from . import epee
from .options import CodeOpt, ModelArg
from .outputs import check_file


@epee.command("card")
def card_cli(
    model: ModelArg,
    target: Optional[Path] = Argument(None, metavar="OUT", help="Markdown file to write; printed if left out"),
    force: bool = Option(False, "--force", "-F", help="Replace the file if it is there"),
    code: CodeOpt = None,
):
    """Write a model card: data, scores, exits, what is promised, and limits, as far as the pipeline's files tell."""
    msg = Printer()
    try:
        check_file("OUT", target, replace=force)
        import_code(code)
        card = make_card(load_model(model), Path(model).resolve().name)
        if target is None:
            echo(card, nl=False)
            return
        with whole_file(target) as part:
            part.write_text(card, encoding="utf-8")
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
    msg.good(f"Saved the card to {target}")
    unknown = card.count(UNKNOWN)
    if unknown:
        msg.info(f"{unknown} things are unknown: fill in `meta.json`, and tune the rule")
