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
    least = tuner.trials.full.score - allowed / 100
    kept = [trial for trial in tuner.trials.trials if trial.score >= least]
    kinds = {name: [trial for trial in kept if trial.name == name] for name in dict.fromkeys(trial.name for trial in kept)}
    return {name: min(own, key=lambda trial: trial.wordpiece_layers).rule for name, own in kinds.items()}


def page(figures: Dict[str, Any]) -> str:
    """RETURNS (str): The figures in Markdown."""
    rows, first = figures["rows"], figures["rows"][0]
    header = ["rule", "score", "layers", "fewer"]
    header += [f"ms, batch {size}" for size in SIZES] + [f"faster, batch {size}" for size in SIZES]
    cells = []
    for row in rows:
        times = [(first["ms"][str(size)], row["ms"][str(size)]) for size in SIZES]
        shown = [row["rule"], f"{row['score']:.2f}", f"{row['layers']:.2f}", f"{first['layers'] / row['layers']:.2f}x"]
        cells.append([*shown, *(f"{own:.1f}" for _, own in times), *(f"{full / own:.2f}x" for full, own in times)])
    recall = figures["gate_recall"]
    gated = "No gate." if recall is None else f"The gate before the first layer is fitted for a recall of {recall:g} on dev."
    lines = [
        *made_by(figures["command"], figures["machine"]),
        f"Score on {figures['documents']:,} test documents, of which {figures['timed']} are timed in {figures['rounds']} "
        "rounds, in turns. Of each kind of",
        f"rule the setting that runs the fewest layers on dev and loses at most {figures['allowed']:g} points there. {gated}",
        "",
    ]
    return "\n".join(["# Text that mostly holds no event", "", *lines, *table(header, cells)])


def main(
    model: Path,
    dev: Path,
    test: Path,
    allowed: float = 0.5,
    timed: int = 150,
    rounds: int = 3,
    gate_recall: Optional[float] = typer.Option(None, help="Fit the gate before the first layer, as `tune --gate-recall`"),
):
    nlp = spacy.load(model)
    pipe = find_component(nlp)
    examples = {part: list(EntityReader(path)(nlp)) for part, path in (("dev", dev), ("test", test))}
    tuner = Tuner(nlp, pipe, examples["dev"], missing_labels=True, gate_recall=gate_recall)
    rules: Dict[str, Optional[ExitRule]] = {"full depth": None, **best_of_kinds(tuner, allowed)}
    stored = StoredOutputs(pipe, prepare(nlp, pipe, examples["test"]), nlp=nlp)
    replay = stored.replay()
    score = stored.scorer(replay)
    some = examples["test"][:: max(len(examples["test"]) // timed, 1)][:timed]
    settings = [dict.fromkeys(pipe.slots, rule) for rule in rules.values()]
    ms = {str(size): milliseconds(nlp, some, pipe, settings, size, rounds) for size in SIZES}
    rows: List[Dict[str, Any]] = []
    for place, (name, rule) in enumerate(rules.items()):
        result = replay.run(rule)
        layers = float(stored.wordpieces @ result.layers / stored.wordpieces.sum())
        row = {"kind": name, "rule": describe(rule), "score": 100 * score(result), "layers": layers}
        rows.append({**row, "ms": {size: own[place] for size, own in ms.items()}})
        msg.info(f"{row['rule']}: {row['score']:.2f}, {layers:.2f} layers")
    figures = {
        "command": command(),
        "machine": machine(),
        "allowed": allowed,
        "gate_recall": gate_recall,
        "documents": stored.n_docs,
        "timed": len(some),
        "rounds": rounds,
        "rows": rows,
    }
    write_results("empty-text", figures, page(figures))


if __name__ == "__main__":
    typer.run(main)
