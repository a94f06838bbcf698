"""Documents per second of relation extraction: ours with exits and at full depth, and the pattern of spaCy's tutorial.

    python benchmarks/relations_speed.py MODELS/e5-small/ddi2013/exits/model-best --backbone BACKBONES/e5-small \
        --corpus ddi2013 --corpora ../shared/corpora

The reference is spacy-transformers' `transformer` on the same backbone, behind it the mean of each entity's token vectors, all
pairs side by side and one linear layer. Only its speed is compared, so its weights are random. All three in turns in one run.
"""

from pathlib import Path
from typing import Callable, Dict, List

import numpy
import spacy
import typer
from corpora import CORPORA, split
from spacy.language import Language
from spacy.tokens import Doc
from timing import evenly, seconds
from wasabi import msg

from spacy_epee.evaluation.compare import find_component


@Language.component("tutorial_pairs")
def tutorial_pairs(doc: Doc) -> Doc:
    """Pool entities, put pairs side by side, and classify."""
    tokens = doc._.trf_data.model_output.last_hidden_state if doc._.trf_data.wordpieces else None
    spans = doc.spans.get("entities", ())
    if tokens is None or len(spans) < 2:
        return doc
    flat, align = tokens.reshape(-1, tokens.shape[-1]), doc._.trf_data.align
    vectors = numpy.stack([flat[align[span.start : span.end].dataXd].mean(axis=0) for span in spans])
    heads, children = numpy.triu_indices(len(spans), 1)
    weights = numpy.zeros((2 * vectors.shape[1], 5), dtype="float32")
    numpy.hstack((vectors[heads], vectors[children])) @ weights
    return doc


def tutorial(backbone: Path) -> Language:
    """The reference pipeline."""
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-transformers.TransformerModel.v3", "name": str(backbone)}
    nlp.add_pipe("transformer", config={"model": model})
    nlp.add_pipe("tutorial_pairs")
    nlp.initialize()
    return nlp


def main(
    model: Path,
    backbone: Path = typer.Option(...),
    corpus: str = typer.Option(...),
    corpora: Path = typer.Option(...),
    documents: int = 200,
    rounds: int = 5,
):
    ours, reference = spacy.load(model), tutorial(backbone)
    pipe = find_component(ours)
    rule = pipe.exit
    examples = evenly(list(CORPORA[corpus].reader(split(corpora, corpus, "test"))(ours)), documents)

    def with_rule(chosen) -> Callable[[int], float]:
        def timed(size: int) -> float:
            pipe.exit = chosen
            return seconds(ours, examples, size)

        return timed

    contestants: Dict[str, Callable[[int], float]] = {
        "tutorial": lambda size: seconds(reference, examples, size),
        "full depth": with_rule(None),
        "exits": with_rule(rule),
    }
    rows = []
    for size in (1, 32):
        spent: Dict[str, List[float]] = {name: [] for name in contestants}
        for _ in range(rounds + 1):  # the first round pays for things that are made only once
            for name, timed in contestants.items():
                spent[name].append(timed(size))
        base = numpy.array(spent["tutorial"][1:])
        for name, rounds_spent in spent.items():
            speed = len(examples) / float(numpy.median(rounds_spent[1:]))
            rows.append([size, name, f"{speed:.1f}", f"{float(numpy.median(base / numpy.array(rounds_spent[1:]))):.2f}x"])
    msg.table(rows, header=["batch", "pipeline", "docs/s", "against the tutorial"], divider=True)


if __name__ == "__main__":
    typer.run(main)
