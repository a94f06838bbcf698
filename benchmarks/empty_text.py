"""Rules for events on text in which most sentences hold none: score on test, layers, and seconds in turns.

    OMP_NUM_THREADS=1 python benchmarks/empty_text.py MODEL DEV TEST --allowed 0.5

Of each kind of rule that setting is taken that runs the fewest layers on dev and loses at most so many points there. Test is used
once. Writes benchmarks/results/empty-text.json and .md.
"""

from pathlib import Path
from typing import Any, Dict, List, Optional

import spacy
import typer
from machine import command, machine
from tables import made_by, table
from wasabi import msg
from written import write_results

from spacy_epee.benchmark.front.ours import describe
from spacy_epee.data.readers import EntityReader
from spacy_epee.evaluation.compare import find_component
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.evaluation.timing import milliseconds, prepare
from spacy_epee.exits.rules.base import ExitRule
from spacy_epee.tuning.tuner import Tuner

SIZES = (1, 32)


def best_of_kinds(tuner: Tuner, allowed: float) -> Dict[str, Optional[ExitRule]]:
    """By kind the setting with the fewest layers that loses at most so many points on dev."""
    full = tuner.trials.full
    found: Dict[str, Any] = {}
    for trial in tuner.trials.trials:
        if full.score - trial.score <= allowed / 100:
            best = found.get(trial.name)
            if best is None or trial.wordpiece_layers < best.wordpiece_layers:
                found[trial.name] = trial
    return {name: trial.rule for name, trial in found.items()}


def main(model: Path, dev: Path, test: Path, allowed: float = 0.5, timed: int = 150, rounds: int = 3):
    nlp = spacy.load(model)
    pipe = find_component(nlp)
    reader = {part: list(EntityReader(path)(nlp)) for part, path in (("dev", dev), ("test", test))}
    tuner = Tuner(nlp, pipe, reader["dev"], missing_labels=True)
    rules: Dict[str, Optional[ExitRule]] = {"full depth": None, **best_of_kinds(tuner, allowed)}
    stored = StoredOutputs(pipe, prepare(nlp, pipe, reader["test"]), nlp=nlp)
    replay = stored.replay()
    score = stored.scorer(replay)
    results = {name: replay.run(rule) for name, rule in rules.items()}
    some = reader["test"][:: max(len(reader["test"]) // timed, 1)][:timed]
    settings = [{name: rule} for rule in rules.values() for name in pipe.slots]
    ms = {size: milliseconds(nlp, some, pipe, settings, size, rounds) for size in SIZES}
    rows: List[Dict[str, Any]] = []
    for place, (name, rule) in enumerate(rules.items()):
        layers = float(stored.wordpieces @ results[name].layers / stored.wordpieces.sum())
        row = {"kind": name, "rule": describe(rule), "score": 100 * score(results[name])}
        rows.append({**row, "layers": layers, "ms": {str(size): ms[size][place] for size in SIZES}})
        msg.info(f"{row['rule']}: {row['score']:.2f}, {layers:.2f} layers")
    report = {"command": command(), "machine": machine(), "allowed": allowed, "rows": rows}
    lines = ["# Text that mostly holds no event", "", *made_by(command(), machine())]
    lines += [
        f"Score on {stored.n_docs:,} test documents, of which {len(some)} are timed in {rounds} rounds, in turns. Of each kind of"
    ]
    lines += [f"rule the setting that runs the fewest layers on dev and loses at most {allowed:g} points there.", ""]
    header = [
        "rule",
        "score",
        "layers",
        "fewer",
        *(f"ms, batch {size}" for size in SIZES),
        *(f"faster, batch {size}" for size in SIZES),
    ]
    first = rows[0]
    cells = [
        [row["rule"], f"{row['score']:.2f}", f"{row['layers']:.2f}", f"{first['layers'] / row['layers']:.2f}x"]
        + [f"{row['ms'][str(size)]:.1f}" for size in SIZES]
        + [f"{first['ms'][str(size)] / row['ms'][str(size)]:.2f}x" for size in SIZES]
        for row in rows
    ]
    write_results("empty-text", report, "\n".join([*lines, *table(header, cells)]))


if __name__ == "__main__":
    typer.run(main)
