"""The front: score against seconds a document of all that a user could take, and of exits at several operating points.

    OMP_NUM_THREADS=1 python benchmarks/front.py minilm-l6/health_advice/exits --corpora ../shared/corpora --models MODELS

Runs are pipelines of benchmarks/train.py, BACKBONE/CORPUS/KIND; those of one corpus are compared together, and with TF-IDF and
logistic regression, spaCy's own text classifiers, WordLlama's static embeddings, every fixed depth, the encoder cut off at the
layer whose states are best (in PyTorch, ONNX Runtime int8 and OpenVINO int8), and spacy-transformers. Thresholds, rules,
temperatures and layers are chosen on dev; test is used once. Seconds are those of the whole pipeline, text to answer, on one
thread, in turns. spaCy's own classifiers are trained once for a corpus, and kept in MODELS/spacy/CORPUS.

Writes benchmarks/results/front-CORPUS.json, and makes front.md and front.png anew of all that are there. Without runs it does
only the latter.
"""

from itertools import groupby
from pathlib import Path
from typing import Any, Dict, List, Optional

import spacy
import srsly
import torch
import typer
from corpora import CORPORA, split
from machine import command, machine
from tables import table
from threadpoolctl import threadpool_limits
from wasabi import msg
from written import RESULTS, write_results

from spacy_epee.benchmark.front.ours import Measured
from spacy_epee.benchmark.front.picture import draw
from spacy_epee.benchmark.front.run import CONTESTANTS, Plan, choose_contestants, measure_front
from spacy_epee.benchmark.front.spacy_textcat import Training
from spacy_epee.benchmark.front.verdict import mean_times
from spacy_epee.files import whole_file

SPLITS = ("train", "dev", "test")


def measure(corpus: str, runs: List[str], corpora: Path, models: Path, plan: Plan, limit: int) -> Dict[str, Any]:
    """All figures of one corpus."""
    pipelines = []
    for run in runs:
        backbone, _, kind = run.split("/")
        pipelines.append(Measured(f"{backbone} {kind}", backbone, models / run / "model-best"))
    nlp = spacy.blank("en")
    examples = {name: list(CORPORA[corpus].reader(split(corpora, corpus, name))(nlp)) for name in SPLITS}
    if limit:
        examples = {name: part[:: max(len(part) // limit, 1)][:limit] for name, part in examples.items()}
    plan.training.folder = models / "spacy" / corpus
    report = measure_front(pipelines, examples, plan)
    return {"corpus": corpus, "runs": runs, "command": command(), "machine_line": machine(), "limit": limit, **report}


def page(reports: Dict[str, Dict[str, Any]]) -> str:
    """The results, in Markdown."""
    lines = [
        "# Score against seconds",
        "",
        "Macro-F1 on test, in points, and milliseconds a document of the whole pipeline on one",
    ]
    lines += [
        "thread, in turns. Everything is chosen on dev. Of labels that are not exclusive the score is with 0.5 for all labels"
    ]
    lines += ["or with a threshold for each, whichever is better on halves of dev; both are in the table.", ""]
    lines += ["![Score against documents a second](front.png)", ""]
    lines += ["## Whether ours is better", "", "Against all contestants, every fixed depth of every backbone among them:", ""]
    lines += [*_verdicts(reports, "verdict"), "", "Of fixed depths against the one alone that is the best on dev:", ""]
    lines += [*_verdicts(reports, "verdict_chosen"), "", *_means(reports)]
    for name, report in reports.items():
        lines += [f"## {name}", "", f"Made by `{report['command']}`", f"on {report['machine_line']}."]
        timed, tested = report["timed_documents"], report["documents"]["test"]
        lines += [f"Timed on {timed} of {tested} test documents, in {report['rounds']} rounds.", ""]
        lines += [*_rows(report), ""]
        notes = [f"{row['title']}: {row['note']}." for row in report["rows"] if row["note"]]
        lines += [f"- {note}" for note in notes]
        lines += [f"- Without {who}: {why}." for who, why in report["skipped"].items()] + [""]
    return "\n".join(lines)


def _rows(report: Dict[str, Any]) -> List[str]:
    """The table of a corpus."""
    sizes = list(report["verdict"])
    header = ["", "score", *([] if report["exclusive"] else ["at 0.5", "a threshold each"]), "on dev", "layers", "layers saved"]
    header += [f"ms, batch {size}" for size in sizes]
    header += [f"our best as fast, batch {size}" for size in sizes]
    rows = []
    for row in report["rows"]:
        cells = [row["title"], f"{row['score']:.2f}"]
        cells += [] if report["exclusive"] else [f"{row['score_half']:.2f}", f"{row['score_fitted']:.2f}"]
        layers = [f"{row['layers']:.2f}", f"{100 * row['layers_saved']:.0f} %"] if "layers" in row else ["", ""]
        cells += [f"{row['dev']:.2f}", *layers]
        cells += [f"{row['ms'][size]:.3g}" for size in sizes]
        for size in sizes:
            own = report["verdict"][size]["contestants"].get(row["name"])
            cells.append("" if own is None else "none" if own["gain"] is None else f"{own['gain']:+.2f}")
        rows.append(cells)
    return table(header, rows)


def _verdicts(reports: Dict[str, Dict[str, Any]], kind: str) -> List[str]:
    """A table of verdicts."""
    rows = []
    for name, report in reports.items():
        titles = {row["name"]: row["title"] for row in report["rows"]}
        for size, own in report[kind].items():
            beaten = [found["beaten"] for found in own["contestants"].values()]
            cells = [name, size, *_named(titles, own, "best", "best_score"), titles.get(own["fastest"], "none")]
            cells += _named(titles, own, "ours", "our_score")
            cells += ["-" if own["speedup"] is None else f"{own['speedup']:.2f}x", f"{sum(beaten)} of {len(beaten)}"]
            rows.append(cells)
    header = ["corpus", "batch", "best contestant", "score", "fastest within 0.3 points of it", "ours within 0.3", "score"]
    return table([*header, "times faster", "contestants at whose speed ours is within 0.3 points"], rows)


def _means(reports: Dict[str, Dict[str, Any]]) -> List[str]:
    """The mean seconds of two contestants over ours."""
    rows = []
    for title in ("spacy-transformers", "ONNX Runtime, int8"):
        for size in next(iter(reports.values()))["verdict"] if reports else []:
            mean = mean_times(list(reports.values()), title, size)
            rows.append([title, size, "none" if mean is None else f"{mean:.2f}"])
    header = ["seconds over those of ours within 0.3 points of the best", "batch", "mean over the corpora"]
    return [
        *table(header, rows),
        "",
        "ONNX Runtime runs the encoder cut off at its best layer on dev. None where a corpus lacks one of the two.",
        "",
    ]


def _named(titles: Dict[str, str], verdict: Dict[str, Any], name: str, score: str) -> List[str]:
    return ["none", "-"] if verdict[name] is None else [titles[verdict[name]], f"{verdict[score]:.2f}"]


def write(folder: Path) -> None:
    """Write the page and the picture of all corpora that were measured."""
    found = [srsly.read_json(path) for path in sorted(folder.glob("front-*.json"))]
    if not found:
        msg.fail(f"There is no front-CORPUS.json in {folder}; give runs to measure", exits=1)
    reports = {report["corpus"]: report for report in sorted(found, key=lambda report: [*CORPORA].index(report["corpus"]))}
    with whole_file(folder / "front.md") as part:
        part.write_text(page(reports), encoding="utf-8")
    with whole_file(folder / "front.png") as part:
        draw(reports).savefig(part, format="png", dpi=110, metadata={"Software": None})


def main(
    runs: Optional[List[str]] = typer.Argument(None, help="BACKBONE/CORPUS/KIND"),
    corpora: Path = typer.Option(Path("../shared/corpora"), help="Folder of the corpora"),
    models: Path = typer.Option(Path("models"), help="Folder of the models"),
    contestants: Optional[str] = typer.Option(None, help=f"Who takes part, with commas: {', '.join(CONTESTANTS)}"),
    timed: int = typer.Option(100, help="The most test documents to time"),
    seconds: float = typer.Option(180.0, help="About how long timing may take; if it would be more, fewer documents are timed"),
    rounds: int = typer.Option(3, help="How often each is timed"),
    words: int = typer.Option(600_000, help="The most words on which spaCy's own classifiers are trained"),
    limit: int = typer.Option(0, help="The most documents of each split, to try it out; 0 for all"),
    threads: int = typer.Option(1, help="Threads"),
    folder: Path = typer.Option(RESULTS, help="Where to write"),
):
    wrong = [run for run in runs or [] if run.count("/") != 2 or getattr(CORPORA.get(run.split("/")[1]), "task", "") != "textcat"]
    if wrong:
        known = [name for name, plan in CORPORA.items() if plan.task == "textcat"]
        msg.fail(f"'{wrong[0]}' is no BACKBONE/CORPUS/KIND of a corpus with labels: {', '.join(known)}", exits=1)
    torch.set_num_threads(threads)
    with threadpool_limits(threads):
        for corpus, own in groupby(sorted(runs or [], key=lambda run: run.split("/")[1]), key=lambda run: run.split("/")[1]):
            msg.divider(corpus)
            training = Training(words=words)
            plan = Plan(choose_contestants(contestants), (1, 32), rounds, timed, seconds, training=training, tell=msg.info)
            write_results(f"front-{corpus}", measure(corpus, list(own), corpora, models, plan, limit), folder=folder)
    write(folder)
    print((folder / "front.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    typer.run(main)
