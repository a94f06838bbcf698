"""Turn the fetched corpora into JSONL, one file a split.

    python scripts/convert_corpora.py corpora

Splits that the source does not have are made by abstract: crc32(PubMed id) % 10 is 8 for dev, 9 for test. How the files of
each source are read is in scripts/sources.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import typer
from sources import events, outcomes, relations, textcat
from sources.files import Rows
from wasabi import msg

from spacy_epee.files import whole_folder

# The folder of each source, the folder in it that is written, and the reader
SOURCES: List[Tuple[str, str, Callable[[Path], Rows]]] = [
    ("health_advice", "normalised", textcat.health_advice),
    ("ade_v2", "normalised/sentences", textcat.ade),
    ("hoc_doc10", "normalised", textcat.hoc_doc10),
    ("ade_v2", "normalised/relations", relations.ade),
    ("ddi2013", "normalised", relations.ddi2013),
    ("bc5cdr", "normalised", relations.bc5cdr),
    ("phee_v2", "normalised", events.phee),
    ("genia_ge13", "normalised", events.genia),
    ("maccrobat", "normalised", events.maccrobat),
    ("vaers", "normalised", outcomes.vaers),
]


def main(corpora: Path = typer.Argument(..., help="Folder with the fetched corpora, one folder each")):
    for name, part, read in SOURCES:
        target = corpora / name / part
        if any(target.glob("*.gz")):
            msg.warn(f"{target} has files that were not made here; left as it is")
            continue
        splits: Dict[str, List[dict]] = defaultdict(list)
        try:
            for split, row in read(corpora / name):
                splits[split].append({"id": f"{split}-{len(splits[split])}", **row})
        except FileNotFoundError as error:
            msg.warn(f"There is no file {error.filename}; fetch it with `python -m spacy project assets --extra`")
            continue
        except ValueError as error:  # a table that is not what is expected
            msg.fail(str(error), exits=1)
        try:
            with whole_folder(target, keep=True) as part:
                for split, rows in splits.items():
                    with (part / f"{split}.jsonl").open("w", encoding="utf-8") as out:
                        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        except OSError as error:
            msg.fail(str(error), exits=1)
        msg.good(f"{target}: " + ", ".join(f"{split} {len(rows)}" for split, rows in sorted(splits.items())))


if __name__ == "__main__":
    typer.run(main)
