"""PubTator: title, abstract, tab-separated mentions, and relations between concepts (Wei et al. 2013)."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, Tuple

from ..checks import may_be_label
from ..texts import find_files, read_text
from .concepts import ConceptRelation, relate_mentions
from .mentions import Mention, place_mentions
from .registry import Format
from .remarks import Remarks

SUFFIXES = [".pubtator", ".pubtator.txt"]

TEXT = re.compile(r"([^\t|]+)\|([A-Za-z]+)\|(.*)", re.DOTALL)

NUMBER = re.compile("-?[0-9]+")

OFFSET = re.compile("[0-9]{1,18}")

SUBJECT = "Subject:"

NO_RELATION = "Lines that say which concept is the subject, and there is no such relation in the document, left out"


def read_pubtator(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read entities and relations. What belongs to a document may be anywhere behind its title.

    path (Path): A file, or a folder of them, in which subfolders are looked through too.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document. Its relations, which are of concepts, become
        relations of all pairs of their mentions. The first of the two is the head, unless a line such as
        `1 <tab> C1 <tab> C2 <tab> Subject:C2` says otherwise; a row in which no line says so is "symmetric". Texts of the single
        concepts of a mention and whether a relation is novel are left out.
    RAISES ValueError: A line that is not of this form, or a mention whose text is not there. It names file and line and shows
        nothing of either.
    """
    remarks = Remarks()
    for file in find_files(path, SUFFIXES):
        for document in _read_documents(file):
            yield document.where, document.row(remarks)
    remarks.warn()


@dataclass
class _Document:
    """What has been read of a document.

    name (str): Its id.
    where (str): What to call it in errors.
    texts (Dict[str, str]): Title and abstract, under "t" and "a".
    mentions (List[Mention]): Its mentions.
    relations (List[ConceptRelation]): Its relations.
    subjects (Dict[FrozenSet[str], Tuple[str, str]]): The subject of a relation of two concepts, and the line that names it.
    """

    name: str
    where: str
    texts: Dict[str, str] = field(default_factory=dict)
    mentions: List[Mention] = field(default_factory=list)
    relations: List[ConceptRelation] = field(default_factory=list)
    subjects: Dict[FrozenSet[str], Tuple[str, str]] = field(default_factory=dict)

    def add_text(self, part: str, text: str, where: str) -> None:
        """Take in the title or the abstract."""
        if part not in ("t", "a"):
            raise ValueError(f"{where}: a text is neither a title, |t|, nor an abstract, |a|.")
        if part in self.texts:
            raise ValueError(f"{where}: the document has another abstract. Put both on one line.")
        self.texts[part] = text

    def add_line(self, line: str, where: str) -> None:
        """Take in a line of columns: a mention, a relation, or which concept is the subject of one."""
        fields = [column.strip() for column in line.split("\t")]
        if len(fields) > 2 and NUMBER.fullmatch(fields[1]) and NUMBER.fullmatch(fields[2]):
            if not 5 <= len(fields) <= 7 or not OFFSET.fullmatch(fields[1]) or not OFFSET.fullmatch(fields[2]):
                raise ValueError(f"{where}: not a mention: an id, start and end from 0 on, text, label and, perhaps, concepts.")
            name, place = f"T{len(self.mentions) + 1}", (int(fields[1]), int(fields[2]))
            text = line.split("\t")[3]
            concept = fields[5] if len(fields) > 5 else ""
            self.mentions.append(Mention(name, fields[4], concept, [place], text if text.strip() else None, f"{where}, {name}"))
            return
        named = len(fields) in (4, 5) and all(fields[1:4]) and not NUMBER.fullmatch(fields[1]) and may_be_label(fields[1])
        if len(fields) == 4 and named and fields[3].startswith(SUBJECT):
            self.subjects[frozenset(fields[1:3])] = (fields[3].removeprefix(SUBJECT), where)
        elif named:
            self.relations.append(ConceptRelation(fields[2], fields[3], fields[1], where))
        else:
            raise ValueError(
                f"{where}: not a line of PubTator. A mention has an id, start, end, text, label and, perhaps, concepts, with "
                "tabs between them; a relation has an id, a label, two concepts and, perhaps, whether it is novel."
            )

    def row(self, remarks: Remarks) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The row."""
        text = self.texts.get("t", "") + ("\n" + self.texts["a"] if "a" in self.texts else "")
        ents = place_mentions(text, self.mentions, self.where, remarks)
        relations = [self._directed(relation) for relation in self.relations]
        known = {frozenset(relation[:2]) for relation in relations}
        for pair, (_, where) in self.subjects.items():
            remarks.add(NO_RELATION, "lines", where, count=pair not in known)
        row = {"id": self.name, "text": text, "ents": ents, "relations": relate_mentions(ents, relations, remarks)}
        if relations:
            row["level"] = "concept"
        return row if self.subjects or not relations else {**row, "symmetric": True}

    def _directed(self, relation: ConceptRelation) -> ConceptRelation:
        subject, _ = self.subjects.get(frozenset(relation[:2]), (relation.head, ""))
        # Some tools write how sure they are behind a bar.
        if relation.child in (subject, subject.rpartition("|")[0]) and relation.head != subject:
            return relation._replace(head=relation.child, child=relation.head)
        return relation


def _read_documents(file: Path) -> List[_Document]:
    """Read a file whole, since mentions of a document may come after other documents."""
    found: List[_Document] = []
    latest: Dict[str, _Document] = {}
    content = read_text(file)
    for number, line in enumerate(re.split("\r?\n" if "\n" in content else "\r", content), 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        text = TEXT.fullmatch(line)
        name = (text[1] if text else line.split("\t")[0]).strip()
        if text and (name not in latest or (text[2] == "t" and "t" in latest[name].texts)):
            latest[name] = _Document(name, f"{file}, document at line {number}")
            found.append(latest[name])
        if name not in latest:
            raise ValueError(f"{where}: not a line of PubTator, or one of a document whose text does not come before it.")
        if text:
            latest[name].add_text(text[2], text[3], where)
        else:
            latest[name].add_line(line, where)
    return found


FORMAT = Format(read_pubtator, suffixes=SUFFIXES)
