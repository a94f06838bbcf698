"""Rules for events on text in which most sentences hold none: score on test, layers, and seconds in turns.

    OMP_NUM_THREADS=1 python benchmarks/empty_text.py MODEL DEV TEST --allowed 0.5

Of each kind of rule that setting is taken that runs the fewest layers on dev and loses at most so many points there; the first
rule of the table behind the full depth is the one of these that runs the fewest. Test is used once. `--faster` names the same
pipeline in another runtime, which is timed too. Writes benchmarks/results/empty-text.json and .md, or NAME.json and .md.
"""

from functools import partial
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
from spacy_epee.evaluation.spread import spread
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.evaluation.timing import milliseconds, prepare
from spacy_epee.tuning.careful import LIMITS, NORMAL, Limits
from spacy_epee.tuning.search import Candidate
from spacy_epee.tuning.tuner import Tuner

SIZES = (1, 32)


def best_of_kinds(tuner: Tuner, allowed: float, kinds: str, held_out: bool) -> List[Candidate]:
    """By kind the setting with the fewest layers that loses at most so many points on dev, that with the fewest of all first.
    Held out, points are those in five folds, on documents that settings were not made on, with a standard error."""
    full = tuner.trials.full.score
    if held_out:
        limits = Limits(tuner.chooser, len(tuner.replay.layers) - 1)
        found = [best_held_out(tuner, limits, kind, allowed) for kind in limits.kinds if kinds in kind]
    else:
        found = [trial if full - trial.score <= allowed / 100 else None for trial in tuner.trials.trials if kinds in trial.name]
    best: Dict[str, Candidate] = {}
    for trial in sorted((one for one in found if one is not None), key=lambda trial: trial.wordpiece_layers):
        best.setdefault(trial.name, trial)
    return list(best.values())


def best_held_out(tuner: Tuner, limits: Limits, kind: str, allowed: float) -> Optional[Candidate]:
    """The setting of a kind that may change as many answers as loses little enough in the folds; None if any loses too much."""
    chooser, best = tuner.chooser, None
    for place, exits in enumerate(limits.held_out(kind)):
        error = (spread(partial(chooser.drop, exits), chooser.n_docs) or 0.0) / NORMAL
        msg.text(f"{kind}, {LIMITS[place]:g} changed: {100 * chooser.drop(exits):.2f} +- {100 * error:.2f} points")
        if chooser.drop(exits) + error <= allowed / 100:
            best = limits.fastest(chooser.wanted, kind)[place]
    return None if best is None else tuner.try_setting(kind, best[1])


def page(figures: Dict[str, Any]) -> str:
    """RETURNS (str): The figures in Markdown."""
    rows, first = figures["rows"], figures["rows"][0]
    columns = list(first["ms"])
    header = ["rule", "on dev", "score", "layers", "fewer", *(f"ms, {name}" for name in columns)]
    header += [f"faster, {name}" for name in columns]
    cells = []
    for row in rows:
        times = [(first["ms"][name], row["ms"][name]) for name in columns]
        shown = [row["rule"], f"{row['dev']:.2f}", f"{row['score']:.2f}", f"{row['layers']:.2f}"]
        shown.append(f"{first['layers'] / row['layers']:.2f}x")
        cells.append([*shown, *(f"{own:.1f}" for _, own in times), *(f"{full / own:.2f}x" for full, own in times)])
    recall = figures["gate_recall"]
    gated = "No gate." if recall is None else f"The gate before the first layer is fitted for a recall of {recall:g} on dev."
    how = " (in five folds, on documents that settings were not made on, with a standard error)" if figures["held_out"] else ""
    lines = [
        *made_by(figures["command"], figures["machine"]),
        f"Score on dev and on {figures['documents']:,} test documents, of which {figures['timed']} are timed in "
        f"{figures['rounds']} rounds, in turns.",
        f"Of each kind of rule the setting that runs the fewest layers on dev and loses at most {figures['allowed']:g} points",
        f"there{how}; that with the fewest of all comes first. {gated}",
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
    held_out: bool = typer.Option(False, help="Count what is lost on documents that settings were not made on"),
    kinds: str = typer.Option("", help="Only kinds of rules in whose names this is"),
    faster: Optional[Path] = typer.Option(None, help="The same pipeline in another runtime"),
    name: str = typer.Option("empty-text", help="The name of what is written"),
):
    nlp = spacy.load(model)
    pipe = find_component(nlp)
    examples = {part: list(EntityReader(path)(nlp)) for part, path in (("dev", dev), ("test", test))}
    tuner = Tuner(nlp, pipe, examples["dev"], missing_labels=True, gate_recall=gate_recall)
    trials = [tuner.trials.full, *best_of_kinds(tuner, allowed, kinds, held_out)]
    stored = StoredOutputs(pipe, prepare(nlp, pipe, examples["test"]), nlp=nlp)
    replay = stored.replay()
    score = stored.scorer(replay)
    some = examples["test"][:: max(len(examples["test"]) // timed, 1)][:timed]
    settings = [dict.fromkeys(pipe.slots, trial.rule) for trial in trials]
    timed_pipelines = {"": (nlp, pipe)}
    if faster is not None:
        other = spacy.load(faster)
        component = find_component(other)
        for task, slot in pipe.slots.items():
            component.slots[task].cfg = slot.cfg
        timed_pipelines[f" in {faster.name}"] = other, component
    ms = {
        f"batch {size}{where}": milliseconds(own, some, component, settings, size, rounds)
        for where, (own, component) in timed_pipelines.items()
        for size in SIZES
    }
    rows: List[Dict[str, Any]] = []
    for place, trial in enumerate(trials):
        result = replay.run(trial.rule)
        layers = float(stored.wordpieces @ result.layers / stored.wordpieces.sum())
        row = {"kind": trial.name, "rule": describe(trial.rule), "dev": 100 * trial.score, "score": 100 * score(result)}
        row.update(layers=layers, config=None if trial.rule is None else trial.rule.to_config())
        rows.append({**row, "ms": {column: own[place] for column, own in ms.items()}})
        msg.info(f"{row['rule']}: {row['score']:.2f}, {layers:.2f} layers")
    figures = {
        "command": command(),
        "machine": machine(),
        "allowed": allowed,
        "gate_recall": gate_recall,
        "held_out": held_out,
        "documents": stored.n_docs,
        "timed": len(some),
        "rounds": rounds,
        "rows": rows,
    }
    write_results(name, figures, page(figures))


if __name__ == "__main__":
    typer.run(main)
