"""Sentences without labels for a student of health_advice: those of abstracts and reports of other corpora.

    python benchmarks/unlabelled.py sentences some.jsonl --corpora ../shared/corpora --limit 23517
    python -m spacy epee teach TEACHER train.jsonl taught-train.jsonl
    python -m spacy epee teach TEACHER some.jsonl taught-some.jsonl
    python benchmarks/unlabelled.py pick taught-train.jsonl taught-some.jsonl taught.jsonl --most 8000

Nothing that is in any part of health_advice is among them. `pick` takes all sentences that the teacher does not find surely
without advice, and others until there are enough.
"""

import random
from pathlib import Path
from typing import Any, Dict, Iterator, List

import spacy
import srsly
import typer
from corpora import CORPORA
from spacy.language import Language
from wasabi import msg

from spacy_epee.data.readers import read_jsonl
from spacy_epee.files import whole_file

ENDS = {"hoc_doc10": 5, "bc5cdr": 5, "ddi2013": 0, "genia": 0}
"""Of which corpora texts are cut, and how many of the last sentences are taken, where conclusions stand; 0 for all."""
WHOLE = "ade"
"""Its texts are sentences."""
SHORTEST, LONGEST = 40, 600
OWN, NOTHING = "health_advice", "none"

app = typer.Typer(add_completion=False)


@app.command()
def sentences(
    out: Path = typer.Argument(..., help="JSONL to write"),
    corpora: Path = typer.Option(..., help="Folder of the corpora"),
    limit: int = typer.Option(0, help="The most sentences, drawn at random; 0 for all"),
    seed: int = typer.Option(0, help="Seed of the draw"),
):
    """Write sentences of other corpora."""
    own = corpora / CORPORA[OWN].folder
    known = {row["text"].strip().lower() for path in own.glob("*.jsonl*") for row in read_jsonl(path)}
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    found = [sentence for corpus in ENDS for text in texts_of(corpora, corpus) for sentence in cut(nlp, text, ENDS[corpus])]
    found += [text.strip() for text in texts_of(corpora, WHOLE)]
    texts = [text for text in dict.fromkeys(found) if SHORTEST <= len(text) <= LONGEST and text.lower() not in known]
    random.Random(seed).shuffle(texts)
    write(out, [{"text": text} for text in texts[: limit or None]])


def cut(nlp: Language, text: str, ends: int) -> List[str]:
    """RETURNS (List[str]): The last sentences of a text, or all."""
    return [sentence.text.strip() for sentence in nlp(text).sents][-ends:]


def texts_of(corpora: Path, corpus: str) -> Iterator[str]:
    """YIELDS (str): The texts of a corpus, of every part that is there."""
    for part in ("train", "dev", "test"):
        path = corpora / CORPORA[corpus].folder / f"{part}.jsonl.gz"
        if path.exists():
            yield from (row["text"] for row in read_jsonl(path))


@app.command()
def pick(
    train: Path = typer.Argument(..., help="What `teach` wrote of the training data"),
    some: Path = typer.Argument(..., help="What it wrote of the sentences"),
    out: Path = typer.Argument(..., help="JSONL to write"),
    most: int = typer.Option(8000, help="How many sentences to take"),
    sure: float = typer.Option(0.8, help="From which probability on the teacher finds a sentence surely without advice"),
    seed: int = typer.Option(0, help="Seed of the draw"),
):
    """Put training data and sentences together."""
    draw = random.Random(seed)
    taught = [row for row in read_jsonl(some) if row.get("teacher")]
    rare = [row for row in taught if row["teacher"][NOTHING] < sure]
    others = [row for row in taught if row["teacher"][NOTHING] >= sure]
    draw.shuffle(others)
    rows = [*read_jsonl(train), *(rare + others)[:most]]
    draw.shuffle(rows)
    write(out, rows)


def write(path: Path, rows: List[Dict[str, Any]]) -> None:
    with whole_file(path) as part:
        srsly.write_jsonl(part, rows)
    msg.good(f"{len(rows)} rows in {path}")


if __name__ == "__main__":
    app()
