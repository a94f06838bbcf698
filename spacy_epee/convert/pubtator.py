"""PubTator: title, abstract, tab-separated mentions, and relations between concepts (Wei et al. 2013)."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from ..texts import read_text
from .concepts import relate_mentions
from .library import need_bioc


def read_pubtator(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read entities and relations.

    path (Path): The file.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document. Its relations, which are of concepts, become
        relations of all pairs of their mentions; the first of the two is the head.
    RAISES ValueError: A line that is not of this form. It names the line and shows nothing of it.
    """
    decoder = need_bioc("bioc.pubtator.decoder")
    # The library prints what it cannot read, which may be a patient's text: it is given one line at a time.
    found = _Document("")
    for number, line in enumerate(read_text(path).split("\n"), 1):
        line = line.rstrip("\r")
        if not line.strip():
            continue
        try:
            parts = line.split("\t")
            name = parts[0] if len(parts) > 1 else line.split("|", 1)[0]
            if name != found.name:  # a blank line between documents is usual, and not always there
                if found.texts:
                    yield f"{path}, before line {number}", found.row()
                found = _Document(name)
            if len(parts) == 1:
                _, part, text = line.split("|", 2)
                if part not in ("t", "a"):
                    raise ValueError
                found.texts[part] = text
            elif len(parts) >= 5 and parts[1].isdigit() and parts[2].isdigit():
                mention = decoder.loads_ann(parts if len(parts) > 5 else [*parts, ""])
                entity = {"id": f"T{len(found.ents) + 1}", "start": mention.start, "end": mention.end, "label": mention.type}
                found.ents.append({**entity, "kb_id": mention.id})
            elif len(parts) in (4, 5):
                found.concepts.append((parts[2], parts[3], parts[1]))
            else:
                raise ValueError
        except (ValueError, IndexError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not a line of PubTator ({type(error).__name__}).") from None
    if found.texts:
        yield f"{path}, last document", found.row()


class _Document:
    """What has been read of a document."""

    def __init__(self, name: str):
        self.name = name
        self.texts: Dict[str, str] = {}
        self.ents: List[Dict[str, Any]] = []
        self.concepts: List[Tuple[str, str, str]] = []

    def row(self) -> Dict[str, Any]:
        text = self.texts.get("t", "") + ("\n" + self.texts["a"] if "a" in self.texts else "")
        return {"id": self.name, "text": text, "ents": self.ents, "relations": relate_mentions(self.ents, self.concepts)}
