"""The results of the benchmarks. Each appears whole or not at all: a run that is stopped leaves the last ones."""

from pathlib import Path
from typing import Any, Dict, Optional

import srsly

from spacy_epee.files import whole_file

RESULTS = Path(__file__).parent / "results"


def write_results(name: str, figures: Dict[str, Any], page: Optional[str] = None, folder: Path = RESULTS) -> None:
    """Write NAME.json and, with a page, NAME.md.

    name (str): What the files are called.
    figures (Dict[str, Any]): What was measured.
    page (Optional[str]): The same to be read, in Markdown.
    folder (Path): Where to. It is made.
    """
    with whole_file(folder / f"{name}.json") as part:
        srsly.write_json(part, figures)
    if page is not None:
        with whole_file(folder / f"{name}.md") as part:
            part.write_text(page.rstrip("\n") + "\n", encoding="utf-8")
