"""Score relations of BC5CDR as its task does: pairs of concepts for each abstract, at full depth and with the exit rule.

    python benchmarks/bc5cdr.py MODELS/e5-small/bc5cdr/exits/model-best --corpora ../shared/corpora

A pair of concepts is found if any pair of their mentions is. "Same sentence" leaves out pairs of mentions in two sentences,
which is all that a model of single sentences could find.
"""

from pathlib import Path
from typing import Dict, Set, Tuple

import spacy
import typer
from corpora import CORPORA, split
from spacy.scorer import PRFScore
from wasabi import msg

from spacy_epee.data.readers import read_jsonl
from spacy_epee.evaluation.compare import find_component

Concepts = Set[Tuple[str, str]]


def concepts(row: Dict, doc, same_sentence: bool) -> Concepts:
    """The pairs of concepts that the relations of a Doc speak of."""
    sentence = {place: i for i, (start, end) in enumerate(row["sents"]) for place in range(start, end)}
    known = {}
    for ent in row["ents"]:
        span = doc.char_span(ent["start"], ent["end"], alignment_mode="expand")
        known.setdefault((span.start, span.end, ent["label"]), set()).update(ent["kb_id"].split("|"))
    found = set()
    for relation in doc._.relations:
        ends = [(*relation[name], label) for name, label in (("head", "Chemical"), ("child", "Disease"))]
        places = [sentence.get(doc[end[0]].idx) for end in ends]
        if not same_sentence or places[0] == places[1]:
            found |= {(head, child) for head in known[ends[0]] for child in known[ends[1]]}
    return found


def main(model: Path, corpora: Path = typer.Option(..., help="Folder of the corpora"), part: str = "test"):
    nlp = spacy.load(model)
    pipe = find_component(nlp)
    path = split(corpora, "bc5cdr", part)
    examples, rows = list(CORPORA["bc5cdr"].reader(path)(nlp)), read_jsonl(path)
    table = []
    for name, rule in (("full depth", None), ("exits", pipe.exit)):
        docs = [eg.predicted.copy() for eg in examples]
        found = pipe.run(docs, dict.fromkeys(pipe.slots, rule))
        pipe.set_annotations(docs, found)
        [answers] = found.values()
        for same_sentence in (True, False):
            score = PRFScore()
            for doc, row in zip(docs, rows):
                gold = {(relation["head"], relation["child"]) for relation in row["concept_relations"]}
                score.score_set(concepts(row, doc, same_sentence), gold)
            figures = [f"{100 * value:.2f}" for value in (score.precision, score.recall, score.fscore)]
            layers = f"{answers.layers[answers.layers > 0].mean():.2f}"
            table.append([name, "same sentence" if same_sentence else "whole abstract", *figures, layers])
    msg.table(table, header=["", "pairs", "P", "R", "F", "layers"], divider=True)


if __name__ == "__main__":
    typer.run(main)
