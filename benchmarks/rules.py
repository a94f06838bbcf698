"""Compare exit rules with the full depth, and the full depth with other fine-tunes, on the models of benchmarks/train.py.

    python benchmarks/rules.py e5-small/health_advice e5-small/ade --name textcat --corpora ../shared/corpora --models MODELS

Every setting is chosen on dev, from stored logits: for each rule the fastest setting whose dev score is not below that of
the full depth by more than the allowed drop. Test is used once, for the chosen ones. The headline is EPEE, the component's
default rule, at an allowed drop of 0, looking from the highest layer on at which it is no worse on dev: checks below cost time.
Scores are F1 in points: macro, micro for relations, and for events the mean of that of triggers and those of main arguments,
none of which may fall by more than the allowed drop. For labels that are not exclusive,
pairs and tokens it is chosen on dev too how a unit's uncertainties are joined. Seconds are those of the whole
pipeline on test texts, full depth and exits in turns in one run. Writes benchmarks/results/NAME.json and NAME.md.
"""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy
import spacy
import typer
from corpora import CORPORA, split
from machine import command, machine
from sklearn.metrics import f1_score
from tables import line, made_by, table
from timing import evenly
from wasabi import msg
from written import write_results

from spacy_epee.engine.replay import ReplayResult
from spacy_epee.evaluation import stored_outputs as stored
from spacy_epee.evaluation.compare import compare, find_component
from spacy_epee.exits import rules
from spacy_epee.tasks.events.replay_score import count_events

TAUS = [0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9]
SHARES = [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.999]
MOVES = [0.0001, 0.0003, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
RUNS = range(1, 11)
GRIDS: Dict[str, List[rules.ExitRule]] = {
    "entropy": [rules.Entropy(t) for t in TAUS],
    "patience (PABEE)": [rules.Patience(p) for p in RUNS],
    "EPEE": [rules.EntropyPatience(t, p) for t, p in itertools.product([0.0, *TAUS], [*RUNS, None]) if t or p],
    "PCEE": [rules.ConfidentPatience(t, p) for t, p in itertools.product(TAUS, range(1, 7))],
    **{
        f"F-PABEE {m}": [rules.FlexiblePatience(d, p, m) for d, p in itertools.product(MOVES, range(1, 7))]
        for m in ("KD", "ReKD", "SymKD", "JSKD")
    },
    "confidence": [rules.Confidence(s) for s in SHARES],
    "margin": [rules.Margin(s) for s in SHARES],
    "voting": [rules.Voting(float(v)) for v in range(2, 11)],
    "fixed depth": [rules.FixedDepth(layer) for layer in range(1, 12)],
}
DROPS = (0.0, 0.3, 0.5)
REFERENCES = ("plain", "tutorial")
FIGURES = ("ev_trigger", "ev_main", "ev_role")
REDUCE: Dict[str, List[Any]] = {"textcat": ["max", "mean"], "relations": ["max", "mean"], "events": ["max", "mean", 0.9]}
"""How the uncertainties of a unit may be joined, if it has several."""


class StoredOutputs(stored.StoredOutputs):
    """What all exits say on one split, and how right it is."""

    def __init__(self, pipe, examples):
        super().__init__(pipe, examples)
        self.reading = pipe.reading()
        own = self.reading.reduce
        joined = self.task.name != "textcat" or not self.task.exclusive
        others = [reduce for reduce in REDUCE[self.task.name] if reduce != own] if joined else []
        self.replays = {reduce: self.replay(replace(self.reading, reduce=reduce)) for reduce in [own, *others]}
        self.own = self.replays[own]
        if self.task.name == "events":
            self.found, self.right, self.gold = count_events(self, self.own, FIGURES)
        if self.task.name == "relations":
            self.gold = sum(len(labels) for eg in examples for labels in self.task.gold(eg.reference).values())

    def figures(self, simulation: ReplayResult) -> List[float]:
        """Macro-F1; micro-F1 of relations; of events the F1 of triggers, of main arguments of right triggers, and of main
        arguments whatever the trigger; in points."""
        if self.task.name == "events":
            units = numpy.arange(self.own.n_units)
            found, right = (part[simulation.exits, units].sum(axis=0) for part in (self.found, self.right))
            return (200 * right / numpy.maximum(found + self.gold, 1)).tolist()[: len(FIGURES) if self.gold[1] else 1]
        logits = simulation.logits
        decided = self.reading.evidence(logits, layer=0, units=numpy.arange(len(logits))).decision
        if self.task.name == "relations":  # the first logit of exclusive labels is "not related"
            decided, targets = (part[:, int(self.reading.exclusive) :] > 0 for part in (decided, self.targets))
            right = (decided & targets).sum()
            return [100 * 2 * right / max(decided.sum() + self.gold, 1)]
        return [100 * f1_score(self.targets.astype(int), decided.astype(int), average="macro", zero_division=0)]

    def run(self, rule: Optional[rules.ExitRule], reduce: Any = None) -> Dict[str, Any]:
        found = (self.own if reduce is None else self.replays[reduce]).run(rule)
        figures = self.figures(found)
        return {"score": float(numpy.mean(figures)), "figures": figures, "layers": float(found.layers.mean())}

    def alone(self, exit: int) -> float:
        """The score of one exit for all."""
        units = numpy.full(self.own.n_units, exit)
        return float(numpy.mean(self.figures(ReplayResult(self.own, units, units))))


def choose(stored: StoredOutputs, grid: List[rules.ExitRule], drop: float) -> Optional[Tuple[rules.ExitRule, Any]]:
    """The fastest setting on dev within the allowed drop, of each figure; the better score decides between equals. A rule, and
    how a unit's uncertainties are joined for it."""
    floors = numpy.array(stored.run(None)["figures"]) - drop - 1e-9
    tried = [
        (stored.run(rule, reduce), (rule, reduce)) for reduce in stored.replays for rule in grid if rule.can_fire(stored.layers)
    ]
    allowed = [(found["layers"], -found["score"], i) for i, (found, _) in enumerate(tried) if (found["figures"] >= floors).all()]
    return tried[min(allowed)[2]][1] if allowed else None


def later(stored: StoredOutputs, rule: rules.ExitRule, reduce: Any) -> rules.ExitRule:
    """The same rule, from the highest layer on from which it is no worse and no slower on dev."""
    own, floors = stored.run(rule, reduce), numpy.array(stored.run(None)["figures"]) - 1e-9
    for layer in sorted(stored.layers, reverse=True)[1:-1]:
        other = rules.FromLayer(layer, rule)
        found = stored.run(other, reduce)
        if other.can_fire(stored.layers) and found["layers"] <= own["layers"] + 1e-9 and (found["figures"] >= floors).all():
            return other
    return rule


def envelope(stored: StoredOutputs, grid: List[rules.ExitRule], budgets) -> Dict[str, Optional[float]]:
    """The best dev score at or below each number of layers."""
    tried = [stored.run(rule) for rule in grid if rule.can_fire(stored.layers)]
    return {str(b): max((f["score"] for f in tried if f["layers"] <= b), default=None) for b in budgets}


def load(path: Path, pipe: str):
    """Load a pipeline; how much of a long document was shown in training does not matter here."""
    return spacy.load(path, config={f"components.{pipe}.model.trunk.max_wordpieces": 4096})


def measure(run: str, corpora: Path, models: Path, timed: int) -> Dict[str, Any]:
    """All figures of one backbone on one corpus."""
    backbone, corpus = run.split("/")
    plan = CORPORA[corpus]
    nlp = load(models / run / "exits" / "model-best", plan.pipe)
    pipe = find_component(nlp)
    examples = {name: list(plan.reader(split(corpora, corpus, name))(nlp)) for name in ("dev", "test")}
    dev, test = (StoredOutputs(pipe, examples[name]) for name in ("dev", "test"))
    report: Dict[str, Any] = {"backbone": backbone, "corpus": corpus, "depth": dev.layers[-1]}
    report["documents"] = {name: len(part) for name, part in examples.items()}
    for kind in sorted(path.name for path in (models / run).iterdir() if (path / "model-best").exists()):
        if kind != "exits":
            other = find_component(load(models / run / kind / "model-best", plan.pipe))
            found = {name: StoredOutputs(other, examples[name]).run(None) for name in ("dev", "test")}
            scores = {**{name: part["score"] for name, part in found.items()}, "figures": found["test"]["figures"]}
            report.setdefault("others", {})[kind] = scores
    report["full_dev"] = dev.run(None)["score"]
    report["full"] = test.run(None)["score"]
    report["full_figures"] = test.run(None)["figures"]
    report["exits_alone"] = [test.alone(exit) for exit in range(len(test.layers))]
    report["rules"] = {}
    for rule_name, grid in GRIDS.items():
        for drop in DROPS:
            setting = choose(dev, grid, drop)
            if setting is None:
                continue
            found = test.run(*setting)
            report["rules"].setdefault(rule_name, {})[str(drop)] = {
                "rule": setting[0].to_config(),  # type: ignore[attr-defined]
                "reduce": setting[1],
                "dev": dev.run(*setting),
                "test": found,
                "drop": report["full"] - found["score"],
                "speedup_layers": report["depth"] / found["layers"],
            }
    budgets = [b for b in (2, 2.5, 3, 3.5, 4, 5, 6, 8) if b < report["depth"]]
    report["curves"] = {name: envelope(dev, GRIDS[name], budgets) for name in ("entropy", "patience (PABEE)", "EPEE")}
    headline = choose(dev, GRIDS["EPEE"], 0.0)
    if headline is not None:
        headline = later(dev, *headline), headline[1]
        found = test.run(*headline)
        report["headline"] = {"rule": headline[0].to_config(), "reduce": headline[1], "dev": dev.run(*headline), "test": found}
        report["headline"]["speedup_layers"] = report["depth"] / found["layers"]
    if timed and headline is not None:
        pipe.exit, pipe.task.reduce = headline
        report["seconds"] = compare(nlp, evenly(examples["test"], timed), pipe, batch_sizes=(1, 32), rounds=5)
    return report


def markdown(name: str, reports: List[Dict[str, Any]]) -> str:
    """The tables."""
    lines = [f"# {name}", "", *made_by(command(), machine())]
    lines += [
        "Scores are macro-F1 on test, micro-F1 for relations, the mean F1 of triggers and main arguments for events, in points."
    ]
    lines += ["Settings chosen on dev, test used once (see benchmarks/rules.py)."]
    lines += ["", "## Full depth, and EPEE at no loss on dev", ""]
    header = ["backbone", "corpus", *(f"{kind} fine-tune" for kind in REFERENCES)]
    header += ["our full depth", "with exits", "fewer layers", "s, batch 1", "batch 32"]
    rows = []
    for r in reports:
        epee = r.get("headline")
        others = r.get("others", {})
        row = [r["backbone"], r["corpus"], *(f"{others[kind]['test']:.2f}" if kind in others else "-" for kind in REFERENCES)]
        row += [f"{r['full']:.2f}"]
        row += [f"{epee['test']['score']:.2f}", f"{epee['speedup_layers']:.2f}x"] if epee else ["-", "-"]
        timed = r.get("seconds")
        if timed:
            layers = f"of {timed['speedup_layers']:.2f}x in layers, {timed['speedup_wordpieces']:.2f}x by wordpieces"
            row += [f"{timed['speedup_seconds'][size]:.2f}x ({layers})" for size in ("1", "32")]
        else:
            row += ["-", "-"]
        rows.append(row)
    lines += table(header, rows)
    for r in reports:
        if len(r["full_figures"]) > 1:
            epee = r.get("headline")
            parts = {**{f"{kind} fine-tune": found["figures"] for kind, found in r.get("others", {}).items()}}
            parts["our full depth"] = r["full_figures"]
            parts.update({"with exits": epee["test"]["figures"]} if epee else {})
            shown = "; ".join(f"{kind} {' / '.join(f'{figure:.2f}' for figure in found)}" for kind, found in parts.items())
            lines += [
                "",
                f"{r['backbone']} {r['corpus']}, F1 of triggers / main arguments of right triggers / main arguments: {shown}.",
            ]
    lines += ["", "## Every rule: test score less full depth / times fewer layers", ""]
    lines += table(["rule", "allowed drop on dev", *(f"{r['backbone']} {r['corpus']}" for r in reports), "mean"], [])
    for name, drop in itertools.product(GRIDS, DROPS):
        cells = [r["rules"].get(name, {}).get(str(drop)) for r in reports]
        shown = [f"{-c['drop']:+.2f} / {c['speedup_layers']:.2f}x" if c else "none" for c in cells]
        found = [c for c in cells if c]
        mean = "-"
        if len(found) == len(reports):
            mean = f"{numpy.mean([-c['drop'] for c in found]):+.2f} / {numpy.mean([c['speedup_layers'] for c in found]):.2f}x"
        lines.append(line([name, drop, *shown, mean]))
    lines += ["", "## The hybrid and its parents: best dev score within a number of layers", ""]
    for r in reports:
        points = [[name, *("-" if v is None else f"{v:.2f}" for v in best.values())] for name, best in r["curves"].items()]
        lines += [f"{r['backbone']} {r['corpus']}", "", *table(["layers", *r["curves"]["EPEE"]], points)]
        lines += ["", "Each exit alone, on test: " + ", ".join(f"{s:.1f}" for s in r["exits_alone"]), ""]
        if r.get("others"):
            shown = [f"{kind} {found['dev']:.2f}" for kind, found in r["others"].items()]
            lines += [f"Full depth on dev: exits {r['full_dev']:.2f}, " + ", ".join(shown), ""]
    return "\n".join(lines)


def main(
    runs: List[str] = typer.Argument(..., help="BACKBONE/CORPUS"),
    name: str = typer.Option(..., help="Name of the results"),
    corpora: Path = typer.Option(..., help="Folder of the corpora"),
    models: Path = typer.Option(..., help="Folder of the models"),
    timed: int = typer.Option(300, help="Test documents to time; 0 for none"),
):
    reports = []
    for run in runs:
        if CORPORA.get(run.split("/")[-1]) is None:
            msg.fail(f"Unknown corpus in {run}; there are {list(CORPORA)}", exits=1)
        msg.divider(run)
        reports.append(measure(run, corpora, models, timed))
        figures = {"machine": machine(), "command": command(), "runs": reports}
        write_results(name, figures, markdown(name, reports))
    print(markdown(name, reports))


if __name__ == "__main__":
    typer.run(main)
