"""PubTator: title, abstract, tab-separated mentions, and relations between concepts (Wei et al. 2013)."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from .concepts import relate_mentions
from .library import need_bioc


def read_pubtator(path: Path) -> Iterator[Dict[str, Any]]:
    """Read entities and relations.

    path (Path): The file.
    YIELDS (Dict[str, Any]): A row a document. Its relations, which are of concepts, become relations of all pairs of their
        mentions; the first of the two is the head.
    RAISES ValueError: A line that is not of this form. It names the line and shows nothing of it.
    """
    decoder = need_bioc("bioc.pubtator.decoder")
    # The library prints what it cannot read, which may be a patient's text: it is given one line at a time.
    texts: Dict[str, str] = {}
    ents: List[Dict[str, Any]] = []
    concepts: List[Tuple[str, str, str]] = []
    name = ""

    def row() -> Dict[str, Any]:
        text = texts.get("t", "") + ("\n" + texts["a"] if "a" in texts else "")
        return {"id": name, "text": text, "ents": ents, "relations": relate_mentions(ents, concepts)}

    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            if not line.strip():
                if texts:
                    yield row()
                texts, ents, concepts, name = {}, [], [], ""
                continue
            parts = line.split("\t")
            if len(parts) == 1:
                name, part, text = line.split("|", 2)
                if part not in ("t", "a"):
                    raise ValueError
                texts[part] = text
            elif len(parts) in (4, 5):
                concepts.append((parts[2], parts[3], parts[1]))
            else:
                found = decoder.loads_ann(parts)
                number_of = f"T{len(ents) + 1}"
                ents.append({"id": number_of, "start": found.start, "end": found.end, "label": found.type, "kb_id": found.id})
        except (ValueError, IndexError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not a line of PubTator ({type(error).__name__}).") from None
    if texts:
        yield row()
