"""What words alone know: the exit before the first layer, learned from the training data of corpora, without any network.

    python benchmarks/words.py health_advice ade hoc_doc10 mtsamples_kinds mtsamples --corpora ../shared/corpora

Macro-F1 on dev and test, of labels that are not exclusive with 0.5 for each, as n-grams are and weighed by what they tell, with
the strength that is best on what is held out of train, and in the way that is chosen there. Writes benchmarks/results/words.json
and .md.
"""

import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy
import spacy
import typer
from corpora import CORPORA, split
from machine import command, machine
from scipy.special import expit
from spacy.util import minibatch
from tables import made_by, table
from written import write_results

from spacy_epee.benchmark.front.texts import LabelledTexts, macro_f
from spacy_epee.data.readers import read_jsonl
from spacy_epee.inputs.ngrams import choose_ngrams
from spacy_epee.training.lexical import STRENGTHS, Way, choose_way, fit_linear

NGRAMS = 50_000


def read(corpus: str, corpora: Path) -> Dict[str, Tuple[Any, LabelledTexts]]:
    """RETURNS (Dict[str, Tuple[csr_matrix, LabelledTexts]]): N-grams, texts and labels of each split."""
    nlp = spacy.blank("en")
    rows = {part: read_jsonl(split(corpora, corpus, part)) for part in ("train", "dev", "test")}
    docs = {part: [nlp.make_doc(row["text"]) for row in own] for part, own in rows.items()}
    labels = sorted({label for row in rows["train"] for label in row["cats"]})
    ngrams = choose_ngrams(minibatch(docs["train"], 100), NGRAMS)
    found = {}
    for part, own in rows.items():
        truths = numpy.array([[row["cats"].get(label, 0) > 0 for label in labels] for row in own], dtype=bool)
        texts = LabelledTexts([row["text"] for row in own], truths, labels, CORPORA[corpus].exclusive)
        found[part] = ngrams.count(docs[part]), texts
    return found


def main(corpora_used: List[str] = typer.Argument(..., metavar="CORPUS..."), corpora: Path = typer.Option(...)):
    rows = []
    for corpus in corpora_used:
        data = read(corpus, corpora)
        counts, train = data["train"]
        targets = train.truths.astype("float32")
        known, exclusive = (counts, targets, numpy.ones_like(targets)), train.exclusive
        start = time.perf_counter()
        chosen = choose_way(*known, train.texts, exclusive=exclusive)
        seconds = [time.perf_counter() - start]
        ways = {"as they are": Way(numpy.full(len(train.labels), STRENGTHS[0])), "as chosen": chosen}
        for name, way in ways.items():
            start = time.perf_counter()
            weights, bias = fit_linear(*known, exclusive=exclusive, way=way)
            seconds.append(time.perf_counter() - start)
            scores = [macro_f(data[part][1], expit(data[part][0] @ weights + bias)) for part in ("dev", "test")]
            strengths = ", ".join(f"{strength:g}" for strength in STRENGTHS if strength in way.strengths)
            figures = [f"{score:.2f}" for score in scores]
            rows.append([corpus, name, "yes" if way.weighed else "no", strengths, *figures, f"{seconds[-1]:.1f}"])
        rows[-1][-1] = f"{seconds[0]:.1f} + {seconds[-1]:.1f}"
        print(*rows[-2:], sep="\n", flush=True)
    header = ["corpus", "n-grams", "weighed", "strengths", "dev", "test", "seconds, to choose + to learn"]
    page = "\n".join(["# What words alone know", "", *made_by(command(), machine()), *table(header, rows)])
    write_results("words", {"command": command(), "machine": machine(), "header": header, "rows": rows}, page)


if __name__ == "__main__":
    typer.run(main)
