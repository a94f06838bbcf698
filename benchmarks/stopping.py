"""Which rule to take, and what it costs: the speed-up of each at several allowed drops, before and after calibration, of the
tuned best, and of rules that come with a promise.

    python benchmarks/stopping.py e5-small/health_advice e5-small/hoc_doc10 e5-small/ddi2013 e5-small/phee \
        --corpora ../shared/corpora --models MODELS

All rules have settings by the quantiles of the dev documents' evidence (`spacy_epee.tuning.grids`); of each rule, and of
all together ("tuned"), the one is taken that is fastest within the allowed drop on dev, and run on test once. Speed-ups are in
layers over wordpieces, scores as in benchmarks/rules.py. Promises are made on dev with a confidence of 95 %. As one dev set is
one draw, the share of broken promises is counted too: of all documents (dev and test) that the settings were not made from, 1,000
random samples with replacement, half as many, each make the promise, and it is broken if all these documents break it. Writes
benchmarks/results/stopping.json and stopping.md.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import numpy
import typer
from corpora import CORPORA, split
from machine import command
from rules import StoredOutputs, load
from tables import line, made_by, table
from wasabi import msg
from written import write_results

from spacy_epee.engine.replay import Replay
from spacy_epee.evaluation.compare import find_component
from spacy_epee.exits.risk_control import certify, documents_needed
from spacy_epee.tuning.search import Candidates, pareto_front, search

DROPS = (0.0, 0.3, 0.5, 1.0)
PROMISES, CONFIDENCE, DRAWS = (0.01, 0.02, 0.05), 0.95, 1000


def try_all(stored: StoredOutputs, replay: Replay, grids=None) -> Candidates:
    """Run settings on what is stored."""
    return search(
        replay,
        lambda found: float(numpy.mean(stored.figures(found))),
        docs=stored.docs,
        n_docs=stored.n_docs,
        wordpieces=stored.wordpieces,
        grids=grids,
    )


def spread(trials: Candidates, names=None) -> Dict[str, Any]:
    """The settings that are fastest within each drop."""
    own = [trial for trial in trials.trials if names is None or trial.name == names]
    part = Candidates(trials.full, own, trials.differs, trials.first, trials.first_layers)
    return {str(drop): part.within_drop(drop) for drop in DROPS}


def measure(run: str, corpora: Path, models: Path) -> Dict[str, Any]:
    """All figures of one backbone on one corpus."""
    corpus = run.split("/")[1]
    plan = CORPORA[corpus]
    nlp = load(models / run / "exits" / "model-best", plan.pipe)
    pipe = find_component(nlp)
    examples = {name: list(plan.reader(split(corpora, corpus, name))(nlp)) for name in ("dev", "test")}
    dev, test = (StoredOutputs(pipe, examples[name]) for name in ("dev", "test"))
    temperatures = dev.fit()
    report: Dict[str, Any] = {"run": run, "documents": {"dev": dev.n_docs, "test": test.n_docs}, "rules": {}}
    report["temperatures"] = temperatures
    report["calibration"] = test.calibration(temperatures)
    for name, scale in (("before", None), ("after", temperatures)):
        reading = replace(dev.reading, temperatures={} if scale is None else dict(zip(dev.layers, scale)))
        replay, held = dev.replay(reading), test.replay(reading)
        trials = try_all(dev, replay)
        full = try_all(test, held, {}).full
        for rule in [None, *dict.fromkeys(trial.name for trial in trials.trials)]:
            for drop, trial in spread(trials, rule).items():
                found = try_all(test, held, {"": [trial.rule]}).trials[0] if trial.rule is not None else full
                entry = {
                    "rule": None if trial.rule is None else trial.rule.to_config(),  # type: ignore[attr-defined]
                    "from": trial.name,
                    "drop": full.score - found.score,
                    "speedup": full.wordpiece_layers / found.wordpiece_layers,
                }
                report["rules"].setdefault(rule or "tuned", {}).setdefault(name, {})[drop] = entry
        if scale is None:
            report["promises"] = promises(trials, test, held)
    return report


def promises(trials: Candidates, test: StoredOutputs, held: Replay) -> Dict[str, Any]:
    """What is promised on dev, and what becomes of it on test."""
    grids = {"all": [trial.rule for trial in trials.trials]}
    on_test = try_all(test, held, grids)
    # Settings were made from the first half of dev; the other documents are all alike to them.
    rest = numpy.concatenate((trials.differs[:, ~trials.first], on_test.differs), axis=1)
    order = pareto_front(trials.differs[:, trials.first].mean(axis=1), trials.first_layers)
    found: Dict[str, Any] = {}
    random = numpy.random.default_rng(0)
    for promise in PROMISES:
        needed = 2 * documents_needed(promise, CONFIDENCE)
        entry: Dict[str, Any] = {"needed": needed}
        found[str(promise)] = entry
        if (~trials.first).sum() >= needed // 2:
            trial, certificate = trials.certified(promise, CONFIDENCE)
            place = next((i for i, other in enumerate(trials.trials) if other is trial), None)
            entry["rule"] = None if trial.rule is None else trial.rule.to_config()  # type: ignore[attr-defined]
            entry["disagreement"] = 0.0 if place is None else float(on_test.differs[place].mean())
            entry["speedup"] = 1.0 if place is None else on_test.full.wordpiece_layers / on_test.trials[place].wordpiece_layers
            entry["drop"] = 0.0 if place is None else on_test.full.score - on_test.trials[place].score
        broken, size = 0, rest.shape[1] // 2
        if size >= needed // 2:
            for _ in range(DRAWS):
                drawn = random.integers(0, rest.shape[1], size)
                certificate = certify(rest[order][:, drawn], promise, CONFIDENCE)
                passed = [] if certificate.chosen is None else order[: certificate.chosen + 1]
                if len(passed):
                    best = min(passed, key=lambda place: trials.first_layers[place])
                    broken += rest[best].mean() > promise
            entry["broken"] = broken / DRAWS
    return found


def markdown(reports: List[Dict[str, Any]]) -> str:
    """The tables."""
    runs = [report["run"] for report in reports]
    lines = ["# Which rule, and what it costs", "", *made_by(command())]
    lines += ["Times fewer layers over wordpieces on test (score less full depth, in points), for a drop allowed on dev."]
    for when in ("before", "after"):
        lines += ["", f"## {when.capitalize()} calibration", ""]
        lines += table(["rule", "allowed drop", *runs, "mean"], [])
        for rule in reports[0]["rules"]:
            for drop in map(str, DROPS):
                cells = [report["rules"].get(rule, {}).get(when, {}).get(drop) for report in reports]
                shown = [f"{cell['speedup']:.2f}x ({-cell['drop']:+.2f})" if cell else "-" for cell in cells]
                mean = "-"
                if all(cells):
                    speedup, lost = (numpy.mean([cell[key] for cell in cells]) for key in ("speedup", "drop"))  # type: ignore
                    mean = f"{speedup:.2f}x ({-lost:+.2f})"
                lines.append(line([rule, drop, *shown, mean]))
    lines += ["", "## Promises: at most this share of answers is not that of the full depth, confidence 95 %", ""]
    lines += ["Speed-up, disagreement on test, and the share of promises that are broken if they are made on random samples.", ""]
    lines += table(["promise", *runs], [])
    for promise in map(str, PROMISES):
        cells = [report["promises"][promise] for report in reports]
        shown = [
            (
                f"{cell['speedup']:.2f}x, {100 * cell['disagreement']:.2f} %"
                if "speedup" in cell
                else f"needs {cell['needed']} documents"
            )
            + (f", broken {100 * cell['broken']:.1f} %" if "broken" in cell else "")
            for cell in cells
        ]
        lines.append(line([f"{100 * float(promise):.0f} %", *shown]))
    lines += ["", "## Calibration errors on test, before and after, by exit", ""]
    for report in reports:
        errors = ", ".join(f"{100 * row['ece'][0]:.1f} > {100 * row['ece'][1]:.1f}" for row in report["calibration"])
        lines += [f"{report['run']}: {errors}", ""]
    return "\n".join(lines)


def main(
    runs: List[str] = typer.Argument(..., help="BACKBONE/CORPUS"),
    corpora: Path = typer.Option(..., help="Folder of the corpora"),
    models: Path = typer.Option(..., help="Folder of the models"),
):
    reports = []
    for run in runs:
        msg.divider(run)
        reports.append(measure(run, corpora, models))
        write_results("stopping", {"command": command(), "runs": reports}, markdown(reports))
    print(markdown(reports))


if __name__ == "__main__":
    typer.run(main)
