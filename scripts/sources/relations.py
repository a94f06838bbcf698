"""Corpora for relations between entities."""

import re
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Dict, List, NamedTuple
from xml.etree import ElementTree

from spacy_epee.data.formats.bioc import read_bioc
from spacy_epee.data.formats.concepts import relate_mentions

from .files import Rows, by_abstract


class Mention(NamedTuple):
    """A drug or an effect of the ADE corpus.

    text (str): Its text.
    start (int): Where it starts in the abstract, which the corpus does not have.
    """

    text: str
    start: int

    def places(self, sentence: str) -> List[int]:
        """RETURNS (List[int]): Where the sentence starts in the abstract, by each place that the mention can have in it."""
        return [self.start - match.start() for match in re.finditer(f"(?={re.escape(self.text)})", sentence)]


def ade(folder: Path) -> Rows:
    """Drugs and their adverse effects in sentences of case reports (Gurulingappa et al. 2012)."""
    sentences: Dict[str, List[Any]] = defaultdict(list)
    for line in (folder / "DRUG-AE.rel").read_text(encoding="utf-8").split("\n"):
        if line:
            pmid, sentence, effect, effect_start, _, drug, drug_start, _ = line.split("|")
            sentence = " ".join(sentence.split())
            pair = (_mention(drug, drug_start), _mention(effect, effect_start))
            sentences[sentence.lower()].append((pmid, sentence, pair))
    for lines in sentences.values():
        pmid, text, _ = lines[0]
        pairs = [pair for _, _, pair in lines]
        ents: Dict[tuple, Dict[str, Any]] = {}
        relations: Dict[tuple, Dict[str, str]] = {}
        for pair, start in zip(pairs, _sentence_starts(text, pairs)):
            ends = []
            for mention, label in zip(pair, ("Drug", "Effect")):
                place = (mention.start - start, mention.start - start + len(mention.text), label)
                ends.append(ents.setdefault(place, _entity(f"T{len(ents) + 1}", *place))["id"])
            relations[tuple(ends)] = {"head": ends[0], "child": ends[1], "label": "ADE"}
        row = {"group": pmid, "text": text, "ents": list(ents.values()), "relations": list(relations.values()), "events": []}
        yield by_abstract(pmid), row


def _mention(text: str, start: str) -> Mention:
    """A mention without the white space that a few have at an end."""
    return Mention(text.strip(), int(start) + len(text) - len(text.lstrip()))


def _entity(name: str, start: int, end: int, label: str) -> Dict[str, Any]:
    return {"id": name, "start": start, "end": end, "label": label}


def _sentence_starts(text: str, pairs: List[Any]) -> List[int]:
    """Where the sentence starts in its abstract, for each pair: the start that fits most of the pairs, of those that fit it."""
    fitting = [set(drug.places(text)) & set(effect.places(text)) for drug, effect in pairs]
    counts = Counter(start for starts in fitting for start in starts)
    if not all(fitting):
        raise ValueError("A drug and an effect of DRUG-AE.rel are not in their sentence at the places given.")
    return [min(starts, key=lambda start: (-counts[start], start)) for starts in fitting]


def ddi2013(folder: Path) -> Rows:
    """Interactions of drugs in sentences (Herrero-Zazo et al. 2013). The official training documents are split."""
    with zipfile.ZipFile(folder / "DDICorpus-2013.zip") as archive:
        for name in sorted(archive.namelist()):
            part = re.match(r"DDICorpus/(Train|Test/Test for DDI Extraction task)/.*\.xml$", name)
            if not part:
                continue
            # The standard library's parser reads no other files: an entity that is not in the XML itself is an error.
            document = ElementTree.fromstring(archive.read(name))
            split = "test"
            if part[1] == "Train":
                split = "dev" if by_abstract(document.get("id", "")) == "dev" else "train"
            for sentence in document.iter("sentence"):
                if sentence.get("text", "").strip():
                    yield split, {"group": document.get("id"), **_ddi_sentence(sentence)}


def _ddi_sentence(sentence: ElementTree.Element) -> Dict[str, Any]:
    facts = sentence.attrib
    ents = []
    for entity in sentence.iter("entity"):
        name, label, offsets = entity.attrib["id"], entity.attrib["type"], entity.attrib["charOffset"]
        # The last character of a part is in it.
        parts = sorted((int(start), int(end) + 1) for start, end in (part.split("-") for part in offsets.split(";")))
        ents.append(_entity(name, parts[0][0], parts[-1][1], label))
        if len(parts) > 1:
            ents[-1]["parts"] = [{"start": start, "end": end} for start, end in parts]
    relations = []
    for pair in sentence.iter("pair"):
        # One pair is said to interact and has no type.
        if pair.get("ddi") == "true" and pair.get("type"):
            relations.append({"head": pair.get("e1"), "child": pair.get("e2"), "label": pair.get("type")})
    return {"id": facts["id"], "text": facts["text"], "ents": ents, "relations": relations, "events": []}


def bc5cdr(folder: Path) -> Rows:
    """Diseases that chemicals induce, in abstracts (Li et al. 2016), official split.

    The relations hold between concepts, and are kept like that in "concept_relations".
    """
    for part, split in (("Training", "train"), ("Development", "dev"), ("Test", "test")):
        file = folder / f"CDR_{part}Set.BioC.xml"
        documents = ElementTree.parse(file).getroot().iter("document")
        for document, (_, row) in zip(documents, read_bioc(file)):
            facts = [{infon.get("key"): infon.text for infon in relation} for relation in document.iter("relation")]
            concepts = [{"head": fact["Chemical"], "child": fact["Disease"], "label": fact["relation"]} for fact in facts]
            ents = _one_a_place(row["ents"])
            relations = relate_mentions(ents, [(pair["head"], pair["child"], pair["label"]) for pair in concepts])
            found = {"ents": ents, "relations": relations, "events": [], "concept_relations": concepts}
            yield split, {"id": row["id"], "group": row["id"], "text": row["text"], **found}


def _one_a_place(ents: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Unite mentions that reach as far: the parts of "liver and kidney damage" have a concept each, the whole both."""
    places: Dict[tuple, Dict[str, Any]] = {}
    for ent in ents:
        known = places.setdefault((ent["start"], ent["end"], ent["label"]), ent)
        known["kb_id"] = "|".join(dict.fromkeys(f"{known['kb_id']}|{ent['kb_id']}".split("|")))
    return list(places.values())
