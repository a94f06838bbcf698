"""Print some errors of a relation component on test, at full depth, to be read and sorted by hand. They hold text: keep them to
yourself.

    python benchmarks/errors.py MODELS/e5-small/ddi2013/exits/model-best --corpus ddi2013 --corpora ../shared/corpora
"""

from pathlib import Path

import numpy
import spacy
import typer
from corpora import CORPORA, split

from spacy_epee.evaluation.compare import find_component


def main(
    model: Path,
    corpus: str = typer.Option(...),
    corpora: Path = typer.Option(...),
    count: int = typer.Option(50, help="How many"),
    seed: int = 0,
):
    nlp = spacy.load(model)
    pipe = find_component(nlp)
    examples = list(CORPORA[corpus].reader(split(corpora, corpus, "test"))(nlp))
    answers = pipe.answer([eg.predicted for eg in examples], None)
    items, labels = answers.items, ["none", *pipe.labels]
    targets, _ = pipe.task.targets(examples, pipe.labels, items)
    found, gold = answers.logits.argmax(axis=1), targets.argmax(axis=1)
    wrong = numpy.flatnonzero(found != gold)
    print(f"{len(wrong)} of {len(items)} pairs are wrong")
    chosen = numpy.sort(numpy.random.default_rng(seed).choice(wrong, min(count, len(wrong)), replace=False))
    pairs = numpy.bincount(items.docs, minlength=len(examples))
    for number, item in enumerate(chosen, 1):
        doc = examples[items.docs[item]].predicted
        head, child = (doc[slice(*tokens[item])].text for tokens in (items.head_tokens, items.child_tokens))
        label, other, among = labels[gold[item]], labels[found[item]], pairs[items.docs[item]]
        print(f"{number}. {label}, found {other}: {head} / {child}, one of {among} pairs")
        print("   ", doc.text)


if __name__ == "__main__":
    typer.run(main)
