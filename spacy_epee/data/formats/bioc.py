"""BioC XML (Comeau et al. 2013), of documents with passages or sentences.

Relations are of two mentions, by nodes, or of two concepts, by infons:

- The head is what has the first role of a pair in `ROLES` or `NUMBERED`, the child what has the second, in any writing: `Arg1`,
  `arg-1`, `entity1_id`. PubTator's role1 and role2 may have a role themselves. Without any of these the first in the file is the
  head.
- Where infons have none of these roles, those two are taken that are not in `ABOUT`, or whose values are concepts of the
  document.
- Relations of more than two, or of relations, are left out with a warning that counts them.
"""

import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..texts import find_files
from .concepts import ConceptRelation, Concepts, relate_mentions
from .elements import Element, read_elements
from .mentions import Mention, Passage, place_passages
from .registry import Format
from .remarks import Remarks

SUFFIXES = [".xml"]

CONCEPTS = ("identifier", "mesh", "ncbigene", "omim", "chebi", "tmvar", "ncbitaxonomy", "cellosaurus", "normalizedid")
"""The infons that may name a mention's concept, in small letters and digits alone."""

LABELS = ("relationtype", "type", "relation")
"""The infons that may be the label of a relation. Some files have the type "Relation" beside it."""

ROLES = (
    ("arg1", "arg2"),
    ("head", "tail"),
    ("head", "child"),
    ("subject", "object"),
    ("subj", "obj"),
    ("source", "target"),
    ("cause", "effect"),
    ("chemical", "disease"),
)
"""Roles of head and child."""

NUMBERED = (("entity1", "entity2"), ("role1", "role2"))
"""Roles of head and child in corpora whose relations have no direction."""

ABOUT = (*LABELS, "novel", "novelty", "score", "noveltyscore", "directionscore", "annotator", "updatedat", "note", "file")
"""Infons that are about a relation, and none of what it relates."""

HEADS = {head for head, _ in (*ROLES, *NUMBERED)}

CHILDREN = {child for _, child in (*ROLES, *NUMBERED)}

BY_ORDER = "Relations whose roles do not say which of the two is the head: the first in the file is"

NO_PLACE = "Annotations without a location and a text, which are of a whole text, left out"

NOT_OF_TWO = "Relations left out, for rows have relations of two mentions"

OFFSET = re.compile(r"\s*([0-9]{1,18})\s*")

Scope = Dict[str, List[str]]
"""The names of the mentions that have an id, in a part of a document."""


def read_bioc(path: Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read entities and relations, of mentions or of concepts.

    path (Path): An .xml file, or a folder of them, in which subfolders are looked through too.
    YIELDS (Tuple[str, Dict[str, Any]]): The place and the row of each document. Passages are put together by their offsets. A
        mention of several locations reaches from the first to the last, and has the "parts". Relations of concepts become
        relations of all pairs of their mentions. A row in which no role says what is the head of a relation is "symmetric".
    RAISES ValueError: A file that is not BioC XML, or a mention whose text is not there. It names file, document and line, and
        shows nothing of what is there.
    """
    remarks = Remarks()
    for file in find_files(path, SUFFIXES):
        elements = read_elements(file, "collection", "document", ["id", "offset", "text", "infon"])
        for number, element in enumerate(elements, 1):
            where = f"{file}, document {number} (line {element.line})"
            yield where, _Document(element, where, remarks).row()
    remarks.warn()


class _End(NamedTuple):
    """One of the ends of a relation.

    value (str): The id of a mention or concept.
    role (str): Its role, in small letters and digits alone.
    """

    value: str
    role: str


class _Document:
    """A document, of which everything is read but relations, which need the ids of all mentions."""

    def __init__(self, element: Element, where: str, remarks: Remarks):
        """
        element (Element): The document.
        where (str): What to call it in errors.
        remarks (Remarks): Takes down what is left out.
        """
        self.element, self.where, self.remarks = element, where, remarks
        self.passages: List[Passage] = []
        self.others: List[Mention] = []
        self.names: Dict[str, None] = {}
        self.relations: List[Tuple[Element, List[Scope]]] = []
        self.directed = False
        scope: Scope = {}
        for passage in element.all("passage"):
            self._read_passage(passage, scope)
        self._read_annotations(element, self.others, [scope])
        self.ids = {relation.attributes.get("id", "") for relation, _ in self.relations} - {""}

    def row(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The row."""
        text, ents = place_passages(self.passages, self.others, self.where, self.remarks)
        concepts = Concepts(ents)
        of_mentions: List[Dict[str, str]] = []
        of_concepts: List[ConceptRelation] = []
        for relation, scopes in self.relations:
            found = self._relate(relation, scopes, concepts)
            if isinstance(found, ConceptRelation):
                of_concepts.append(found)
            elif found is not None:
                of_mentions.append(found)
        relations = of_mentions + relate_mentions(ents, of_concepts, self.remarks)
        row = {"id": self.element.text_of("id"), "text": text, "ents": ents, "relations": relations}
        if of_concepts and not of_mentions:
            row["level"] = "concept"
        return row if self.directed or not relations else {**row, "symmetric": True}

    def _read_passage(self, element: Element, outer: Scope) -> None:
        """Read a passage, which has a text or sentences that have one, or both: then sentences repeat the text."""
        scope: Scope = {}
        mentions = self._add_passage(element)
        self._read_annotations(element, self.others if mentions is None else mentions, [scope, outer])
        for sentence in element.all("sentence"):
            own = mentions if mentions is not None else self._add_passage(sentence)
            self._read_annotations(sentence, self.others if own is None else own, [{}, scope, outer])

    def _add_passage(self, element: Element) -> Optional[List[Mention]]:
        """RETURNS (Optional[List[Mention]]): Where the mentions of a passage or sentence belong; None if it has no text."""
        text = element.text_of("text")
        if not text:
            return None
        where = f"{self.where}, {element.tag} at line {element.line}"
        self.passages.append(Passage(self._number(element.text_of("offset"), where, "an <offset>"), text, [], where))
        return self.passages[-1].mentions

    def _read_annotations(self, holder: Element, mentions: List[Mention], scopes: List[Scope]) -> None:
        """Read the mentions and keep the relations that are directly in an element."""
        for annotation in holder.all("annotation"):
            places, quoted = annotation.all("location"), annotation.text_of("text")
            if not places and not quoted.strip():
                self.remarks.add(NO_PLACE, "annotations", f"{self.where}, annotation at line {annotation.line}")
                continue
            number = annotation.attributes.get("id", "")
            where = f"{self.where}, annotation at line {annotation.line}"
            where += f", id {number}" if re.fullmatch("[A-Za-z]{0,2}[0-9]{1,9}", number) else ""
            # Some files count from 0 in each passage.
            name = number if number and number not in self.names else f"{number}#{len(self.names)}"
            while name in self.names:
                name += "#"
            self.names[name] = None
            for scope in scopes:
                scope.setdefault(number, []).append(name)
            infons = {key: value for key, _, value in _infons(annotation)}
            concept = next((infons[key] for key in CONCEPTS if infons.get(key)), "")
            if not places:
                raise ValueError(f'{where}: it has a text and no <location offset="..." length="..."/>.')
            parts = []
            for place in places:
                start, length = (
                    self._number(place.attributes.get(key, ""), where, f"a <location> with {article} {key}")
                    for key, article in (("offset", "an"), ("length", "a"))
                )
                parts.append((start, start + length))
            mentions.append(Mention(name, infons.get("type", ""), concept, parts, quoted or None, where))
        self.relations += [(relation, scopes) for relation in holder.all("relation")]

    def _relate(self, relation: Element, scopes: Sequence[Scope], concepts: Concepts) -> Any:
        """RETURNS (Any): A relation of a row or a ConceptRelation; None if it is not of two mentions or concepts."""
        where = f"{self.where}, relation at line {relation.line}"
        infons = _infons(relation)
        named = {key: value for key, _, value in infons}
        label = next((named[key] for key in LABELS if named.get(key) and (key, named[key].lower()) != ("type", "relation")), "")
        if not label:
            raise ValueError(f'{where}: it has no type. Expected <infon key="type">.')
        nodes = [_End(node.attributes.get("refid", ""), _key(node.attributes.get("role", ""))) for node in relation.all("node")]
        ends = [_End(value, role or key) for key, role, value in infons if key not in ABOUT and value]
        known = {key: _End(value, role or key) for key, role, value in infons if value}
        pairs = [(known[head], known[child]) for head, child in (*ROLES, *NUMBERED) if head in known and child in known]
        if pairs and (len(nodes) != 2 or all(concepts.of(end.value) for end in pairs[0])):
            head, child = self._ordered(pairs[0], where)
            return ConceptRelation(head, child, label, where)
        if len(nodes) > 1:
            if len(nodes) == 2 and not any(self._is_relation(node.value, scopes) for node in nodes):
                head, child = self._ordered(
                    [node._replace(value=self._mention(node.value, scopes, where)) for node in nodes], where
                )
                return {"head": head, "child": child, "label": label}
            kind = "of relations" if len(nodes) == 2 else f"of {len(nodes)} nodes"
            self.remarks.add(NOT_OF_TWO, f"relations {kind}", where)
            return None
        if len(ends) > 2:
            ends = [end for end in ends if concepts.of(end.value)] or ends
        if len(ends) > 2:
            self.remarks.add(NOT_OF_TWO, f"relations of {len(ends)} concepts", where)
            return None
        if len(ends) < 2:
            raise ValueError(
                f'{where}: it does not say what it relates. Expected two <node refid="..." role="..."/>, or two infons '
                "with the ids of concepts, such as entity1 and entity2."
            )
        head, child = self._ordered(ends, where)
        return ConceptRelation(head, child, label, where)

    def _ordered(self, ends: Sequence[_End], where: str) -> Tuple[str, str]:
        """The head and the child of a relation, by their roles."""
        one, other = ends
        roles = {one.role, other.role}
        self.directed |= len(roles) == 2 and roles not in map(set, NUMBERED)
        self.remarks.add(BY_ORDER, "relations", where, count=len(roles) == 2 and not roles & (HEADS | CHILDREN))
        turned = (one.role in CHILDREN and other.role not in CHILDREN) or (other.role in HEADS and one.role not in HEADS)
        return (other.value, one.value) if turned else (one.value, other.value)

    def _is_relation(self, number: str, scopes: Sequence[Scope]) -> bool:
        return number in self.ids and not any(number in scope for scope in scopes)

    def _mention(self, number: str, scopes: Sequence[Scope], where: str) -> str:
        """The name of the mention that an id stands for, in the innermost part of the document that has it."""
        names = next((scope[number] for scope in scopes if number in scope), [])
        if len(names) != 1:
            cause = "several annotations have" if names else "no annotation has"
            raise ValueError(f"{where}: one of its nodes has an id that {cause} there.")
        return names[0]

    def _number(self, text: str, where: str, what: str) -> int:
        found = OFFSET.fullmatch(text)
        if found is None:
            raise ValueError(f"{where}: expected {what} that is a whole number, from 0 on, of at most 18 digits.")
        return int(found[1])


def _infons(element: Element) -> List[Tuple[str, str, str]]:
    """RETURNS (List[Tuple[str, str, str]]): The key, the role and the value of each infon."""
    infons = element.all("infon")
    return [(_key(info.attributes.get("key", "")), _key(info.attributes.get("role", "")), info.text.strip()) for info in infons]


def _key(name: str) -> str:
    """A key or role in small letters and digits alone, and without "id" behind it: Entity1_ID is entity1."""
    found = re.sub("[^a-z0-9]", "", name.lower())
    return found[:-2] if found[:-2] in HEADS | CHILDREN and found.endswith("id") else found


FORMAT = Format(read_bioc, suffixes=SUFFIXES)
