"""BioC XML (Comeau et al. 2013)."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from .concepts import relate_mentions
from .library import need_bioc

CONCEPTS = ("MESH", "identifier", "Identifier", "NCBI Gene", "OMIM")
"""The infons that may name a mention's concept."""


def read_bioc(path: Path) -> Iterator[Dict[str, Any]]:
    """Read entities and relations, of mentions or of concepts.

    path (Path): An .xml file, or a folder of them.
    YIELDS (Dict[str, Any]): A row a document. Passages are put together by their offsets. Relations that name concepts, as
        in BC5CDR, become relations of all pairs of their mentions; the first of the two is the head.
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
                yield _row(document)
            except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
                raise ValueError(f"{file}, document {number}: not the form of BioC expected ({type(error).__name__}).") from None


def _row(document: Any) -> Dict[str, Any]:
    text, found = "", []
    for passage in document.passages:
        text = _put(text, passage.offset, passage.text)
        found.extend(passage.annotations)
        for sentence in passage.sentences:
            text = _put(text, sentence.offset, sentence.text)
            found.extend(sentence.annotations)
    ents: List[Dict[str, Any]] = []
    for annotation in [*found, *document.annotations]:
        start = min(location.offset for location in annotation.locations)
        end = max(location.offset + location.length for location in annotation.locations)
        concept = next((annotation.infons[name] for name in CONCEPTS if name in annotation.infons), "")
        label = annotation.infons.get("type", "")
        ents.append({"id": annotation.id, "start": start, "end": end, "label": label, "kb_id": concept})
    places = [document, *document.passages, *(sentence for passage in document.passages for sentence in passage.sentences)]
    relations: List[Dict[str, str]] = []
    concepts: List[Tuple[str, str, str]] = []
    for relation in (relation for place in places for relation in place.relations):
        label = relation.infons.get("type") or relation.infons.get("relation") or ""
        if len(relation.nodes) == 2:
            head, child = (node.refid for node in relation.nodes)
            relations.append({"head": head, "child": child, "label": label})
        else:
            ends = [value for name, value in relation.infons.items() if name not in ("type", "relation")]
            concepts.append((*ends[:2], label))  # type: ignore[arg-type]
    return {"id": document.id, "text": text, "ents": ents, "relations": relations + relate_mentions(ents, concepts)}


def _put(text: str, offset: int, part: Any) -> str:
    """Put a part of the text where it belongs."""
    if not part or text[offset : offset + len(part)] == part:
        return text
    return text[:offset].ljust(offset) + part
