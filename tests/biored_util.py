"""Invented documents in the forms of BioRED: PubTator and BioC XML, ids with bars, relations without direction."""

from typing import List, Tuple
from xml.sax.saxutils import escape

Found = Tuple[str, str, str]
"""The words of a mention, its label and its concepts."""

GENE, VARIANT, DISEASE, CHEMICAL = "GeneOrGeneProduct", "SequenceVariant", "DiseaseOrPhenotypicFeature", "ChemicalEntity"

TITLE = "The A1298C variant of MTHFR and liver or kidney damage."
ABSTRACT = "Zolodrin damages the liver; in carriers of A1298C, zolodrin raised MTHFR\u2019s \u03b2 form. Kidney damage was rare."
MENTIONS: List[Tuple[int, Found]] = [
    (0, ("A1298C", VARIANT, "c|SUB|A|1298|C,rs1801131")),
    (0, ("MTHFR", GENE, "4524")),
    (0, ("liver or kidney damage", DISEASE, "D056486,D007674")),
    (0, ("kidney damage", DISEASE, "D007674")),
    (1, ("Zolodrin", CHEMICAL, "D001")),
    (1, ("A1298C", VARIANT, "c|SUB|A|1298|C")),
    (1, ("zolodrin", CHEMICAL, "D001")),
    (1, ("MTHFR", GENE, "4524")),
    (1, ("Kidney damage", DISEASE, "D007674")),
]
RELATIONS = [
    ("Positive_Correlation", "D001", "D056486", "Novel"),
    ("Association", "D001", "D007674", "No"),
    ("Association", "c|SUB|A|1298|C", "D001", "Novel"),
    ("Positive_Correlation", "4524", "c|SUB|A|1298|C", "No"),
]


def places() -> List[Tuple[int, int, Found]]:
    """RETURNS (List[Tuple[int, int, Found]]): TaskSlot, first character of the document, and mention."""
    ends = [0, 0]
    found = []
    for part, mention in MENTIONS:
        start = (TITLE, ABSTRACT)[part].index(mention[0], 0 if mention[0] == "kidney damage" else ends[part])
        ends[part] = max(ends[part], start + 1)
        found.append((part, start + part * (len(TITLE) + 1), mention))
    return found


def pubtator(name: str = "1") -> str:
    """RETURNS (str): A document."""
    mentions = [f"{name}\t{at}\t{at + len(words)}\t{words}\t{label}\t{ids}" for _, at, (words, label, ids) in places()]
    relations = ["\t".join((name, *relation)) for relation in RELATIONS]
    return "\n".join([f"{name}|t|{TITLE}", f"{name}|a|{ABSTRACT}", *mentions, *relations, "", ""])


def bioc(*names: str) -> str:
    """RETURNS (str): A file with documents."""
    passages = ["", ""]
    for number, (part, at, (words, label, ids)) in enumerate(places()):
        infons = f'<infon key="type">{label}</infon><infon key="identifier">{ids}</infon>'
        place = f'<location offset="{at}" length="{len(words)}"/><text>{words}</text>'
        passages[part] += f'<annotation id="{number}">{infons}{place}</annotation>\n'
    relations = ""
    for number, (label, one, other, novel) in enumerate(RELATIONS):
        infons = {"entity1": one, "entity2": other, "type": label, "novel": novel}
        inside = "".join(f"<infon key={key!r}>{value}</infon>" for key, value in infons.items())
        relations += f'<relation id="R{number}">{inside}</relation>\n'
    document = "".join(
        f'<passage><infon key="type">{kind}</infon><offset>{offset}</offset><text>{escape(text)}</text>\n{mentions}</passage>'
        for kind, offset, text, mentions in zip(("title", "abstract"), (0, len(TITLE) + 1), (TITLE, ABSTRACT), passages)
    )
    documents = "".join(f"<document><id>{name}</id>\n{document}{relations}</document>" for name in names)
    head = "<?xml version='1.0' encoding='UTF-8'?>\n<!DOCTYPE collection SYSTEM 'BioC.dtd'>\n"
    return f"{head}<collection><source>invented</source><date></date><key></key>{documents}</collection>"
