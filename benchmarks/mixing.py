"""How much words count at each exit: without them, as training found it, and as `tune` finds it on dev.

    python benchmarks/mixing.py minilm-l6/mtsamples/exits --corpora ../shared/corpora --models MODELS

Macro-F1 on test of words alone and of each layer. Labels that are not exclusive have thresholds that are fitted on dev to the
same exit, where that is better on halves of dev, or 0.5 for all. Writes benchmarks/results/mixing.json and .md.
"""

from pathlib import Path
from typing import Any, Dict, List

import numpy
import spacy
import typer
from corpora import CORPORA, split
from machine import command, machine
from scipy.special import expit, softmax
from tables import made_by, table
from written import write_results

from spacy_epee.benchmark.front.texts import LabelledTexts, label_texts, score_both
from spacy_epee.evaluation.compare import find_component
from spacy_epee.evaluation.mixing import best_mix
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.evaluation.timing import prepare
from spacy_epee.tasks.mix import trained_mix


def scores(stored: Dict[str, StoredOutputs], texts: Dict[str, LabelledTexts], mix: numpy.ndarray) -> List[float]:
    """RETURNS (List[float]): Macro F on test, in points, of words alone and of each exit behind a layer."""
    exits = []
    for part in stored.values():
        part.set_mix(mix)
    for exit in range(len(stored["test"].layers)):
        said = {}
        for name, part in stored.items():
            said[name] = numpy.zeros((part.n_docs, len(part.labels)))  # what never runs has no answer
            logits = part.logits[exit]
            said[name][part.docs] = softmax(logits, axis=1) if part.task.exclusive else expit(logits)
        exits.append(score_both(texts["dev"], said["dev"], texts["test"], said["test"])["score"])
    return exits


def measure(model: Path, corpus: str, corpora: Path) -> Dict[str, Any]:
    nlp = spacy.load(model)
    pipe = find_component(nlp)
    examples = {name: list(CORPORA[corpus].reader(split(corpora, corpus, name))(nlp)) for name in ("dev", "test")}
    texts = label_texts(examples, pipe.labels, pipe.task.exclusive)
    stored = {name: StoredOutputs(pipe, prepare(nlp, pipe, part), nlp=nlp) for name, part in examples.items()}
    trained = trained_mix(pipe.slot(), pipe.model)
    mixes = {"layers alone": numpy.zeros_like(trained), "as trained": trained, "as tune finds it": best_mix(stored["dev"])}
    return {name: {"mix": mix.tolist(), "scores": scores(stored, texts, mix)} for name, mix in mixes.items()}


def main(
    runs: List[str] = typer.Argument(..., help="BACKBONE/CORPUS/KIND"),
    corpora: Path = typer.Option(..., help="Folder of the corpora"),
    models: Path = typer.Option(..., help="Where train.py put models"),
    folder: Path = typer.Option(Path(__file__).parent / "results", help="Where results go"),
):
    results, rows = {}, []
    for run in runs:
        results[run] = measure(models / run / "model-best", run.split("/")[1], corpora)
        for name, found in results[run].items():
            words, *layers = (f"{score:.2f}" for score in found["scores"])
            rows.append([run, words, name, ", ".join(layers), ", ".join(f"{own:.2g}" for own in found["mix"])])
            print(*rows[-1], flush=True)
    header = ["Model", "Words alone", "Words count", "Layers, from the first on", "How many times"]
    page = "\n".join(["# Words and layers", "", *made_by(command(), machine()), *table(header, rows)])
    write_results("mixing", {"machine": machine(), "command": command(), "runs": results}, page, folder)


if __name__ == "__main__":
    typer.run(main)
