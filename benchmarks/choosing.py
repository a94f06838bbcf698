"""Whether what `tune --max-drop` chooses holds on other documents: rules are chosen on resampled dev sets and scored on test.

    python benchmarks/choosing.py minilm-l6/health_advice/exits --corpora ../shared/corpora --models MODELS

Each of the resampled dev sets is 80 % of the dev set, drawn without replacement. Temperatures and how much words count are
fitted to the whole dev set. Compared are the choice that the package makes and the fastest of all settings that lose nothing on
the documents themselves ("lucky").
Writes benchmarks/results/choosing.json and .md.
"""

from pathlib import Path
from typing import Any, Dict, List

import numpy
import spacy
import typer
from corpora import CORPORA, split
from machine import command, machine
from tables import made_by, table
from wasabi import msg
from written import write_results

from spacy_epee.engine.replay import ReplayResult
from spacy_epee.evaluation.compare import times_fewer
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.evaluation.timing import prepare
from spacy_epee.settings import split_list
from spacy_epee.tuning.careful import CarefulChooser
from spacy_epee.tuning.grids import rule_grids
from spacy_epee.tuning.search import calmest
from spacy_epee.tuning.tuner import Tuner

SHARE, EXCEEDS = 0.8, 0.005


def speedup(stored: StoredOutputs, layers: numpy.ndarray) -> float:
    return times_fewer(stored.layers[-1], float(stored.wordpieces @ layers) / stored.wordpieces.sum())


def lucky(replay: Any, score: Any, stored: StoredOutputs, wanted: numpy.ndarray, max_drop: float) -> Any:
    """The fastest of all settings that lose no more on the documents themselves."""
    units = wanted[stored.docs]
    costs = stored.wordpieces[units] / stored.wordpieces[units].sum()
    full = score(replay.run(None), wanted)
    found = [(float(stored.layers[-1]), 0.0, None)]
    seen: Dict[bytes, bool] = {}
    for grid in rule_grids(replay, units, 16, stored.wordpieces).values():
        for rule in grid:
            simulation = replay.run(rule)
            key = simulation.exits[units].tobytes()
            if key not in seen:
                seen[key] = score(simulation, wanted) >= full - max_drop - 1e-9
                if seen[key]:
                    changed = replay.differs[simulation.exits, numpy.arange(replay.n_units)][units].mean()
                    found.append((float(simulation.layers[units] @ costs), float(changed), rule))
    layers, changed, rules = zip(*found)
    return rules[calmest(numpy.array(layers), numpy.array(changed))]


def measure(model: Path, corpus: str, corpora: Path, rounds: int, drops: List[float]) -> Dict[str, Any]:
    plan = CORPORA[corpus]
    nlp = spacy.load(model)
    pipe = nlp.get_pipe(plan.pipe)
    dev, test = (list(plan.reader(split(corpora, corpus, part))(nlp)) for part in ("dev", "test"))
    tuner = Tuner(nlp, pipe, dev, missing_labels=True, steps=2)  # fits temperatures and the rest
    stored, replay, score = tuner.stored, tuner.replay, tuner.score
    tested = StoredOutputs(pipe, prepare(nlp, pipe, test), nlp=nlp)
    test_replay = tested.replay()
    test_score = tested.scorer(test_replay)
    full = test_score(test_replay.run(None))
    losses = stored.doc_losses()
    chance = numpy.random.default_rng(0)
    figures: Dict[str, Any] = {"full": full, "score": stored.describe(), "choices": {}}
    for number in range(rounds):
        wanted = numpy.zeros(stored.n_docs, dtype=bool)
        wanted[chance.permutation(stored.n_docs)[: int(SHARE * stored.n_docs)]] = True
        chooser = CarefulChooser(
            replay,
            score,
            losses,
            docs=stored.docs,
            n_docs=stored.n_docs,
            wordpieces=stored.wordpieces,
            wanted=wanted,
            seed=number,
        )
        for drop in drops:
            rules = {"careful": chooser.choose(drop / 100).rule, "lucky": lucky(replay, score, stored, wanted, drop / 100)}
            for name, rule in rules.items():
                simulation: ReplayResult = test_replay.run(rule)
                row = {"drop": full - test_score(simulation), "speedup": speedup(tested, simulation.layers)}
                figures["choices"].setdefault(f"{name}, {drop:g}", []).append(row)
    for rows in list(figures["choices"].values()):
        rows.sort(key=lambda row: row["drop"])
    return figures


def main(
    runs: List[str],
    corpora: Path = typer.Option(..., help="Folder of the corpora"),
    models: Path = typer.Option(..., help="Where train.py put models"),
    rounds: int = typer.Option(20, help="Resampled dev sets"),
    drops: str = typer.Option("0,1", help="What may be lost, in points"),
    folder: Path = typer.Option(Path(__file__).parent / "results", help="Where results go"),
):
    allowed = [float(drop) for drop in split_list("--drops", drops, "points")]
    results, rows = {}, []
    for run in runs:
        _, corpus, _ = run.split("/")
        results[run] = measure(models / run / "model-best", corpus, corpora, rounds, allowed)
        for name, found in results[run]["choices"].items():
            lost, fast = (numpy.array([row[key] for row in found]) for key in ("drop", "speedup"))
            limit = float(name.split(", ")[1]) / 100 + EXCEEDS
            rows.append(
                [run, name, f"{(lost > limit).sum()} of {rounds}", f"{100 * lost.mean():.2f}", f"{100 * lost.max():.2f}"]
                + [f"{numpy.median(fast):.2f}"]
            )
            msg.info("  ".join(rows[-1]))
    header = ["Model", "Choice, points that may be lost", "Exceeded by over 0.5", "Mean loss on test", "Most", "Fewer layers"]
    page = "\n".join([*made_by(command(), machine()), *table(header, rows)])
    write_results("choosing", {"machine": machine(), "command": command(), "runs": results}, page, folder)


if __name__ == "__main__":
    typer.run(main)
