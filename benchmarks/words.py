"""What words alone know: the exit before the first layer, learned from the training data of corpora, without any network.

    python benchmarks/words.py health_advice ade hoc_doc10 mtsamples_kinds mtsamples --corpora ../shared/corpora

Macro-F1 on dev and test, of labels that are not exclusive with 0.5 for each, as n-grams are and weighed by what they tell, with
the strength that is best on what is held out of train, and in the way that is chosen there. Writes benchmarks/results/words.json
and .md.
"""

import time
from pathlib import Path
from typing import Any, Dict, List

import numpy
import spacy
import typer
from corpora import CORPORA, split
from machine import command, machine
from sklearn.metrics import f1_score
from spacy.util import minibatch
from tables import made_by, table
from written import write_results

from spacy_epee.data.readers import read_jsonl
from spacy_epee.inputs.ngrams import choose_ngrams
from spacy_epee.training.lexical import STRENGTHS, Way, choose_way, fit_linear

NGRAMS = 50_000


def read(corpus: str, corpora: Path) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): N-grams and labels of each split, and the texts of train."""
    nlp = spacy.blank("en")
    rows = {part: read_jsonl(split(corpora, corpus, part)) for part in ("train", "dev", "test")}
    docs = {part: [nlp.make_doc(row["text"]) for row in own] for part, own in rows.items()}
    labels = sorted({label for row in rows["train"] for label in row["cats"]})
    ngrams = choose_ngrams(minibatch(docs["train"], 100), NGRAMS)
    found: Dict[str, Any] = {part: ngrams.count(own) for part, own in docs.items()}
    for part, own in rows.items():
        found[f"{part}_labels"] = numpy.array([[float(row["cats"].get(label, 0)) for label in labels] for row in own], "float32")
    return {**found, "texts": [row["text"] for row in rows["train"]]}


def score(data: Dict[str, Any], part: str, linear: Any, exclusive: bool) -> float:
    """RETURNS (float): Macro-F1 in points."""
    logits, labels = data[part] @ linear[0] + linear[1], data[f"{part}_labels"]
    if exclusive:
        true = labels.argmax(axis=1)
        return 100 * float(f1_score(true, logits.argmax(axis=1), average="macro", labels=numpy.unique(true)))
    return 100 * float(f1_score(labels, logits > 0, average="macro", zero_division=0))


def main(corpora_used: List[str] = typer.Argument(..., metavar="CORPUS..."), corpora: Path = typer.Option(...)):
    rows = []
    for corpus in corpora_used:
        exclusive, data = CORPORA[corpus].exclusive, read(corpus, corpora)
        known = data["train"], data["train_labels"], numpy.ones_like(data["train_labels"])
        start = time.perf_counter()
        chosen = choose_way(*known, data["texts"], exclusive=exclusive)
        seconds = [time.perf_counter() - start]
        ways = {"as they are": Way(numpy.full(known[1].shape[1], STRENGTHS[0])), "as chosen": chosen}
        for name, way in ways.items():
            start = time.perf_counter()
            linear = fit_linear(*known, exclusive=exclusive, way=way)
            seconds.append(time.perf_counter() - start)
            figures = [f"{score(data, part, linear, exclusive):.2f}" for part in ("dev", "test")]
            strengths = ", ".join(f"{strength:g}" for strength in STRENGTHS if strength in way.strengths)
            rows.append([corpus, name, "yes" if way.weighed else "no", strengths, *figures, f"{seconds[-1]:.1f}"])
        rows[-1][-1] = f"{seconds[0]:.1f} + {seconds[-1]:.1f}"
        print(*rows[-2:], sep="\n", flush=True)
    header = ["corpus", "n-grams", "weighed", "strengths", "dev", "test", "seconds, to choose + to learn"]
    page = "\n".join(["# What words alone know", "", *made_by(command(), machine()), *table(header, rows)])
    write_results("words", {"command": command(), "machine": machine(), "header": header, "rows": rows}, page)


if __name__ == "__main__":
    typer.run(main)
