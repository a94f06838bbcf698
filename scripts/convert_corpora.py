"""Turn the fetched corpora into JSONL, one file a split.

    python scripts/convert_corpora.py corpora

Splits that the source does not have are made by abstract: crc32(PubMed id) % 10 is 8 for dev, 9 for test.
"""

import csv
import json
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Callable, Dict, Iterator, Tuple

import typer
from wasabi import msg

Rows = Iterator[Tuple[str, dict]]
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


def by_abstract(pmid: str) -> str:
    return {8: "dev", 9: "test"}.get(zlib.crc32(pmid.encode()) % 10, "train")


SOURCES: Dict[str, Tuple[str, Callable[[Path], Rows]]] = {
    "health_advice": ("health_advice/normalised", health_advice),
    "ade_v2": ("ade_v2/normalised/sentences", ade),
    "hoc_doc10": ("hoc_doc10/normalised", hoc_doc10),
}


def main(corpora: Path = typer.Argument(..., help="Folder with the fetched corpora, one folder each")):
    for name, (target, read) in SOURCES.items():
        if not (corpora / name).exists():
            msg.warn(f"{name} is not in {corpora}; fetch it with `python -m spacy project assets --extra`")
            continue
        splits = defaultdict(list)
        for split, row in read(corpora / name):
            splits[split].append({"id": f"{split}-{len(splits[split])}", **row})
        (corpora / target).mkdir(parents=True, exist_ok=True)
        for split, rows in splits.items():
            with (corpora / target / f"{split}.jsonl").open("w", encoding="utf-8") as out:
                out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        msg.good(f"{name}: " + ", ".join(f"{split} {len(rows)}" for split, rows in sorted(splits.items())))


if __name__ == "__main__":
    typer.run(main)
