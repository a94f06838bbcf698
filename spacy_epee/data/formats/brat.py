"""brat standoff: a .txt and an .ann file for each document (https://brat.nlplab.org/standoff.html)."""

from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from .registry import Format
from .standoff.documents import read_documents
from .standoff.writing import write_brat


def read_brat(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read entities, relations, events, attributes of both, and equivalences. A warning counts what else there is, and documents
    whose offsets count something other than characters.

    path (Path): An .ann file beside its .txt, or a folder of them, in which subfolders are looked through too.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document. An entity of several parts reaches from its
        first to its last, and has the "parts". A trigger is an entity if not only events refer to it. Numbers of roles, as in
        Theme2, are an argument's "number". The head of a relation is its Arg1.
    RAISES ValueError: A line that is not brat's form, a span whose text there is not the document's, or no .txt. It names file
        and line and shows nothing of either.
    """
    yield from read_documents(path, [".ann"])


FORMAT = Format(read_brat, write_brat, suffixes=[".ann"])
