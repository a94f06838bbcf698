"""What a pipeline scores as it comes out of training, without `tune`, with and without what its checkpoints get from dev.

    python benchmarks/checkpoints.py minilm-l6/health_advice/exits --corpora ../shared/corpora --models MODELS

The score on test by the rule of the config and at full depth. Models may be trained with `spacy-epee.fit_on_dev.v1` or without:
what it does to the saved one is undone, and done again. Writes benchmarks/results/checkpoints.json and .md.
"""

from pathlib import Path
from typing import Any, Dict, List

import spacy
import typer
from corpora import CORPORA, split
from machine import command, machine
from tables import made_by, table
from written import write_results

from spacy_epee.evaluation.compare import find_component
from spacy_epee.evaluation.timing import prepare
from spacy_epee.tasks.mix import restore_mix
from spacy_epee.tuning.checkpoints import fit_on_dev

FIGURES = ("cats_macro_f", "rel_micro_f", "ev_f")
"""Of each task, the score."""


def measure(model: Path, corpus: str, corpora: Path) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): Scores in points, and mean layers by unit."""
    nlp = spacy.load(model)
    pipe, found = find_component(nlp), {}
    [slot] = pipe.slots.values()
    restore_mix(slot, pipe.model)
    slot.drop_fitted()
    nlp.config["paths"]["dev"] = str(split(corpora, corpus, "dev"))
    test = prepare(nlp, pipe, list(CORPORA[corpus].reader(split(corpora, corpus, "test"))(nlp)))
    for name, fit in (("as trained", lambda nlp: nlp), ("fitted to dev", fit_on_dev())):
        fit(nlp)
        for what, rule in (("rule", pipe.exit), ("full depth", None)):
            answers = pipe.answer([eg.predicted for eg in test], rule)
            scores = pipe.score_answers(test, answers)
            [score] = [scores[figure] for figure in FIGURES if figure in scores]
            found[f"{name}, {what}"] = {"score": 100 * float(score), "layers": float(answers.layers.mean())}
    return found


def main(
    runs: List[str] = typer.Argument(..., help="BACKBONE/CORPUS/KIND"),
    corpora: Path = typer.Option(..., help="Folder of the corpora"),
    models: Path = typer.Option(..., help="Where train.py put models"),
    folder: Path = typer.Option(Path(__file__).parent / "results", help="Where results go"),
):
    results, rows = {}, []
    for run in runs:
        results[run] = measure(models / run / "model-best", run.split("/")[1], corpora)
        rows.append([run, *(f"{found['score']:.2f} ({found['layers']:.2f})" for found in results[run].values())])
        print(*rows[-1], sep=" | ", flush=True)
    header = ["Model", *(f"{name} (layers)" for name in next(iter(results.values())))]
    page = "\n".join(["# What checkpoints get from dev", "", *made_by(command(), machine()), *table(header, rows)])
    write_results("checkpoints", {"machine": machine(), "command": command(), "runs": results}, page, folder)


if __name__ == "__main__":
    typer.run(main)
