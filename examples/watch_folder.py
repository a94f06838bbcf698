"""Answer notes that other programs put into a folder, as long as it runs.

    python examples/watch_folder.py tuned inbox outbox

Each `inbox/NAME.txt` becomes `outbox/NAME.json`, with the columns of `python -m spacy epee annotate`, and is then removed. Put a
note there under another name first and rename it, so that it is whole. After a kill the notes that are left are answered anew.
"""

import json
import time
from pathlib import Path

import typer

from spacy_epee.files import whole_file
from spacy_epee.scale.notes import Note, annotate_alone
from spacy_epee.scale.version import load_pipeline

MOST = 64
"""How many notes are answered together."""


def read(path: Path) -> Note:
    """RETURNS (Note): The note of a file. One that cannot be read has the reason, and nothing of what is in it."""
    try:
        return Note(path.stem, path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Note(path.stem, None, f"the file cannot be read ({type(error).__name__})")


def main(
    model: str = typer.Argument(..., help="The pipeline"),
    inbox: Path = typer.Argument(..., help="Where notes appear"),
    outbox: Path = typer.Argument(..., help="Where answers belong"),
    seconds: float = typer.Option(1.0, help="How often to look"),
    once: bool = typer.Option(False, "--once", help="Answer what is there, and end"),
):
    loaded = load_pipeline(model)
    outbox.mkdir(parents=True, exist_ok=True)
    while True:
        paths = sorted(inbox.glob("*.txt"))[:MOST]
        for path, row in zip(paths, annotate_alone(loaded.nlp, [read(path) for path in paths], loaded.version)):
            with whole_file(outbox / f"{path.stem}.json") as part:
                part.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
            path.unlink()
        if once and not paths:
            return
        if not paths:
            time.sleep(seconds)


if __name__ == "__main__":
    typer.run(main)
