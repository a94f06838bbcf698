"""Corpora for document classification."""

import csv
from pathlib import Path
from typing import Dict, Tuple

from .files import Rows, by_abstract

# Baker et al. 2016 number the hallmarks of cancer.
HALLMARKS = {
    "1": "invasion_and_metastasis",
    "2": "avoiding_immune_destruction",
    "3": "cellular_energetics",
    "4": "replicative_immortality",
    "5": "evading_growth_suppressors",
    "6": "genomic_instability_and_mutation",
    "7": "inducing_angiogenesis",
    "8": "resisting_cell_death",
    "9": "proliferative_signaling",
    "a": "tumor_promoting_inflammation",
}


def health_advice(folder: Path) -> Rows:
    """Sentences of structured abstracts (Li, Wang and Yu 2021)."""
    with (folder / "annotations_structured_abstract.csv").open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            cats = {name: int(row["label"] == key) for key, name in (("0", "none"), ("1", "weak"), ("2", "strong"))}
            yield by_abstract(row["pmid"]), {"group": row["pmid"], "text": row["sentence"].strip(), "cats": cats}


def ade(folder: Path) -> Rows:
    """Sentences of case reports (Gurulingappa et al. 2012), repeated ones once."""
    found: Dict[str, Tuple[str, str, set]] = {}
    for name, separator, label in (("DRUG-AE.rel", "|", 1), ("ADE-NEG.txt", " NEG ", 0)):
        for line in (folder / name).read_text(encoding="utf-8").split("\n"):
            if line:
                pmid, sentence = line.split(separator)[:2] if label else line.split(separator, 1)
                sentence = " ".join(sentence.split())
                found.setdefault(sentence.lower(), (pmid, sentence, set()))[2].add(label)
    for pmid, sentence, labels in found.values():
        if len(labels) == 1:
            cats = {"ade": int(1 in labels), "none": int(0 in labels)}
            yield by_abstract(pmid), {"group": pmid, "text": sentence, "cats": cats}


def hoc_doc10(folder: Path) -> Rows:
    """Abstracts by the hallmarks of cancer they speak of (Baker et al. 2016), official split."""
    for source, split in (("train", "train"), ("devel", "dev"), ("test", "test")):
        labels: Dict[str, set] = {}
        for key in HALLMARKS:
            for sign in ("pos", "neg"):
                for line in (folder / f"label-{key}" / f"{source}.{sign}").read_text(encoding="utf-8").split("\n"):
                    if line.strip():
                        labels.setdefault(line.strip(), set()).update(key if sign == "pos" else ())
        for text, keys in labels.items():
            yield split, {"text": text, "cats": {name: int(key in keys) for key, name in HALLMARKS.items()}}
