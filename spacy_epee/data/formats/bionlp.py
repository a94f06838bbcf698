"""BioNLP shared task standoff: for each document a .txt, an .a1 with its entities, and an .a2 with what is to be found."""

from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from .registry import Format
from .standoff.documents import read_documents
from .standoff.writing import write_bionlp


def read_bionlp(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read entities, events, modifications, relations and equivalences.

    path (Path): An .a1 or .a2 file beside the others, or a folder of them, in which subfolders are looked through too.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document, as of `read_brat`. All that is in the .a1 is an
        entity. There may be no .a2, as in test data.
    RAISES ValueError: As `read_brat`.
    """
    yield from read_documents(path, [".a1", ".a2"], given=[".a1"])


FORMAT = Format(read_bionlp, write_bionlp, suffixes=[".a1", ".a2"])
