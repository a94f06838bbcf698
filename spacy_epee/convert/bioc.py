"""BioC XML (Comeau et al. 2013)."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple

from .concepts import relate_mentions
from .library import need_bioc

CONCEPTS = ("MESH", "identifier", "Identifier", "NCBI Gene", "OMIM")
"""The infons that may name a mention's concept."""


def read_bioc(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read entities and relations, of mentions or of concepts.

    path (Path): An .xml file, or a folder of them.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document. Passages are put together by their offsets.
        Relations that name concepts, as in BC5CDR, become relations of all pairs of their mentions; the first of the two is
        the head, whatever their roles are called.
    RAISES ValueError: A file that is not BioC XML, or a mention outside its passage. It names the file and the document.
    """
    biocxml = need_bioc("bioc.biocxml")
    for file in [path] if path.is_file() else sorted(path.glob("*.xml")):
        try:
            with file.open("rb") as source:
                collection = biocxml.load(source)
        except Exception as error:  # whatever lxml and bioc make of it
            raise ValueError(f"{file}: not BioC XML ({type(error).__name__}).") from None
        for number, document in enumerate(collection.documents, 1):
            try:
                row = _row(document)
            except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
                raise ValueError(f"{file}, document {number}: not the form of BioC expected ({type(error).__name__}).") from None
            yield f"{file}, document {number}", row


def _row(document: Any) -> Dict[str, Any]:
    parts = [*document.passages, *(sentence for passage in document.passages for sentence in passage.sentences)]
    text = ""
    for part in sorted(parts, key=lambda part: part.offset):
        text = _put(text, part.offset, part.text or "")
    found = [annotation for part in parts for annotation in part.annotations]
    ents: List[Dict[str, Any]] = []
    names: Set[str] = set()
    twice: Set[str] = set()
    for annotation in [*found, *document.annotations]:
        start = min(location.offset for location in annotation.locations)
        end = max(location.offset + location.length for location in annotation.locations)
        concept = next((annotation.infons[name] for name in CONCEPTS if name in annotation.infons), "")
        label = annotation.infons.get("type", "")
        # Some files count from 0 in each passage; nothing can refer to those.
        name = annotation.id if annotation.id not in names else f"{annotation.id}#{len(ents)}"
        twice |= {annotation.id} & names
        names.add(name)
        ents.append({"id": name, "start": start, "end": end, "label": label, "kb_id": concept})
    relations: List[Dict[str, str]] = []
    concepts: List[Tuple[str, str, str]] = []
    for relation in (relation for place in (document, *parts) for relation in place.relations):
        label = relation.infons.get("type") or relation.infons.get("relation") or ""
        if relation.nodes:
            head, child = (node.refid for node in relation.nodes)
            if {head, child} & twice:
                raise KeyError
            relations.append({"head": head, "child": child, "label": label})
        else:
            head, child = (value for name, value in relation.infons.items() if name not in ("type", "relation"))
            concepts.append((head, child, label))
    return {"id": document.id, "text": text, "ents": ents, "relations": relations + relate_mentions(ents, concepts)}


def _put(text: str, offset: int, part: str) -> str:
    """Put a part of the text where it belongs."""
    known = text[offset : offset + len(part)]
    if not part.startswith(known):
        raise ValueError
    return text if len(known) == len(part) else text[:offset].ljust(offset) + part
