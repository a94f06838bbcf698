"""brat standoff: a .txt and an .ann file for each document (https://brat.nlplab.org/standoff.html)."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from .library import need_bioc, read_text


def read_brat(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read entities and relations. Events, attributes and notes are left out.

    path (Path): An .ann file beside its .txt, or a folder of them, in which subfolders are looked through too.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document. An entity of several parts reaches from its
        first to its last.
    RAISES ValueError: A line that is not brat's form, or no .txt. It names file and line and shows nothing of either.
    """
    decoder = need_bioc("bioc.brat.decoder")
    files = [path] if path.is_file() else sorted(path.rglob("*.ann"))
    for file in files:
        source = file.with_suffix(".txt")
        if not source.exists():
            raise ValueError(f"{file}: there is no '{source.name}' beside it.")
        text = read_text(source)
        ents: List[Dict[str, Any]] = []
        relations: List[Dict[str, Any]] = []
        for number, line in enumerate(read_text(file).split("\n"), 1):
            try:
                if line.startswith("T"):
                    entity = decoder.loads_brat_entity(line.rstrip("\r"))
                    start, end = entity.total_span
                    ents.append({"id": entity.id, "start": start, "end": end, "label": entity.type})
                elif line.startswith("R"):
                    relation = decoder.loads_brat_relation(line.rstrip("\r "))
                    (_, head), (_, child) = relation.arguments.items()
                    relations.append({"head": head, "child": child, "label": relation.type})
            except (AssertionError, ValueError, IndexError) as error:
                what = "an entity" if line.startswith("T") else "a relation of two entities"
                raise ValueError(f"{file}, line {number}: not {what} in brat's form ({type(error).__name__}).") from None
        name = file.stem if path.is_file() else str(file.relative_to(path).with_suffix(""))
        yield str(file), {"id": name, "text": text, "ents": ents, "relations": relations}
