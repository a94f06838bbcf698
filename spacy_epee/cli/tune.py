"""`python -m spacy epee tune`"""

from pathlib import Path
from typing import Any, Dict, List, Optional

from spacy.cli._util import import_code, setup_gpu
from spacy.strings import StringStore
from spacy.util import load_model
from typer import Argument, Option
from wasabi import Printer

from ..component.saving import save_pipeline
from ..evaluation.compare import find_component
from ..monitor.counts import store_reference
from ..tuning.annotation import check_component
from ..tuning.gate import check_gate
from ..tuning.names import describe_rule, name_figure
from ..tuning.tuner import Tuner, TuningGoal
from . import epee
from .data import read_data, read_sizes
from .gate import describe_gate
from .linear import add_linear, learn_linear
from .options import (
    BatchSizesOpt,
    CatsOpt,
    CodeOpt,
    ComponentOpt,
    EntitiesOpt,
    GpuOpt,
    LimitOpt,
    ModelArg,
    OutputOpt,
    RoundsOpt,
    SpansKeyOpt,
    StepsOpt,
    TaskOpt,
    TimedOpt,
    TimeOpt,
    TrainOpt,
)
from .outputs import check_file, check_place, write_figures
from .tables import SPREAD, change, percent, print_table, share, tell, tell_slowdown, times


@epee.command("tune")
def tune_cli(
    model: ModelArg,
    data: Path = Argument(..., help="Annotated documents that were not trained on: .spacy, .jsonl or .jsonl.gz; images: .jsonl"),
    max_drop: Optional[float] = Option(
        None, "--max-drop", help="Lose at most so many points of the score on these documents, of 100; begin with 0"
    ),
    min_speedup: Optional[float] = Option(None, "--min-speedup", help="Run at least so many times fewer layers, by wordpieces"),
    max_disagreement: Optional[float] = Option(
        None, "--max-disagreement", help="At most this share of documents gets another answer than at full depth: 0.01"
    ),
    confidence: float = Option(0.95, "--confidence", help="How surely, with --max-disagreement or --gate-recall"),
    score: Optional[str] = Option(
        None,
        "--score",
        help="What the score is, for labels of documents: macro-f or macro-auc. If left out, the main score of the task",
    ),
    coverage: Optional[float] = Option(
        None, "--coverage", help="Share of documents without the flag `uncertain`: 0.9. The others are to be reviewed"
    ),
    unknown_precision: Optional[float] = Option(
        None, "--unknown-precision", help="Give a label only so surely that this share of those given is right: 0.95"
    ),
    gate_recall: Optional[float] = Option(
        None,
        "--gate-recall",
        help="Answer windows or pairs before the first layer so that at most the rest of this share of triggers or relations is "
        "lost: 0.99",
    ),
    output_model: Optional[Path] = Option(None, "--output-model", help="Folder for a copy of the pipeline with the rule"),
    force: bool = Option(False, "--force", "-F", help="Replace what is at --output-model"),
    in_place: bool = Option(False, "--in-place", help="Write the rule into the given pipeline"),
    output: OutputOpt = None,
    task: TaskOpt = None,
    calibrate: Optional[bool] = Option(
        None, "--calibrate/--no-calibrate", help="Fit temperatures; if left out, where they help on held-out documents"
    ),
    thresholds: Optional[bool] = Option(
        None,
        "--thresholds/--no-thresholds",
        help="Fit a threshold for each label that is not exclusive, or each role and attribute of events; if left out, where "
        "they help on held-out documents",
    ),
    missing_labels: bool = Option(False, "--missing-labels", help="Tune although labels have no example in the documents"),
    time: TimeOpt = True,
    timed: TimedOpt = 100,
    cats: CatsOpt = None,
    entities: EntitiesOpt = "gold",
    spans_key: SpansKeyOpt = None,
    component: ComponentOpt = None,
    batch_sizes: BatchSizesOpt = "1,32",
    rounds: RoundsOpt = 3,
    steps: StepsOpt = 16,
    train: TrainOpt = None,
    seed: int = Option(0, "--seed", help="Seed of the split of the documents and of the draw with --limit"),
    limit: LimitOpt = 0,
    code: CodeOpt = None,
    gpu_id: GpuOpt = -1,
):
    """Choose the exit rule by what may be lost, or what must be gained, and write it into the pipeline."""
    msg = Printer()
    try:
        wish = TuningGoal(max_drop, min_speedup, max_disagreement, confidence)
        sizes = read_sizes(batch_sizes)
        check_paths(model, wish, coverage, unknown_precision, gate_recall, output_model, in_place, output, force)
        import_code(code)
        setup_gpu(gpu_id)
        nlp = load_model(model)
        strings = StringStore(nlp.vocab.strings)
        pipe = find_component(nlp, component)
        check_component(pipe, task)
        check_gate(pipe.slot(task), pipe.model, gate_recall)
        examples, fewest = read_data(nlp, pipe, data, cats, entities, spans_key=spans_key, limit=limit, seed=seed)
        linear = None if train is None else learn_linear(nlp, pipe, train, cats)
        tell_slowdown(gpu_id, msg)
        stays = wish.empty and any(share is not None for share in (coverage, unknown_precision, gate_recall))
        tuning = Tuner(
            nlp,
            pipe,
            examples,
            task,
            wish=wish,
            # The rule that stays leaves by temperatures and thresholds of labels, so that they stay, too.
            calibrate=False if calibrate is None and stays else calibrate,
            thresholds=False if thresholds is None and stays else thresholds,
            gate_recall=gate_recall,
            missing_labels=missing_labels,
            steps=steps,
            seed=seed,
            progress=True,
            fewest=fewest,
            figure=None if score is None else name_figure(pipe.slot(task).task.figures, score),
        )
        if not wish.empty:
            tuning.choose()
        if time:
            tuning.time(sizes, timed, rounds)
        if coverage is not None:
            tuning.flag(coverage)
        if unknown_precision is not None:
            tuning.leave_unknown(unknown_precision)
        if linear is not None:
            add_linear(tuning, linear, sizes if time else [], timed, rounds)
        show(tuning.report, msg)
        target = Path(model) if in_place else output_model
        if target is not None:
            if not wish.empty:
                tuning.write()
            store_reference(nlp, pipe, (eg.reference.text for eg in examples))
            save_pipeline(nlp, target, strings)
            msg.good(f"Saved the pipeline to {target}")
        write_figures(output, tuning.report, msg)
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)


def check_paths(
    model: str,
    wish: TuningGoal,
    coverage: Optional[float],
    unknown_precision: Optional[float],
    gate_recall: Optional[float],
    output_model: Optional[Path],
    in_place: bool,
    output: Optional[Path],
    force: bool,
) -> None:
    """Refuse places to write to before anything is run.

    RAISES ValueError: One exists, or there is nothing to write.
    """
    if coverage is not None and not 0 <= coverage <= 1:
        raise ValueError(f"--coverage is {coverage}; give a share from 0 to 1, such as 0.9")
    if unknown_precision is not None and not 0 <= unknown_precision <= 1:
        raise ValueError(f"--unknown-precision is {unknown_precision}; give a share from 0 to 1, such as 0.95")
    if output_model is not None and in_place:
        raise ValueError("Give --output-model or --in-place, not both")
    if unknown_precision is not None and wish.max_disagreement is not None:
        raise ValueError(
            "--max-disagreement promises something of the labels that are given, and --unknown-precision changes these; give "
            "--unknown-precision alone, and then --max-disagreement for the pipeline that it has written"
        )
    if (output_model is not None or in_place) and wish.empty and coverage is unknown_precision is gate_recall is None:
        raise ValueError(
            "There is nothing to write without a wish; give --max-drop, --min-speedup or --max-disagreement, --coverage, "
            f"--unknown-precision or --gate-recall, with {'--in-place' if in_place else '--output-model'}"
        )
    if in_place and not Path(model).is_dir():
        raise ValueError(f"--in-place needs a folder, and '{model}' is none; give --output-model FOLDER")
    check_place("--output-model", output_model, replace=force and output_model is not None and output_model.is_dir())
    check_file("--output", output, replace=False)
    if output is not None and output_model is not None and output.absolute() == output_model.absolute():
        raise ValueError(f"--output and --output-model are both '{output}'; give each a place of its own")


def show(report: Dict[str, Any], msg: Printer) -> None:
    """Print a tuning.

    report (Dict[str, Any]): That of `Tuner`.
    msg (Printer): Where to.
    """
    calibration = report["calibration"]
    rows = [
        [
            str(exit["layer"]),
            f"{exit['temperature']:.2f}",
            *(_pair(exit[name]) for name in ("nll", "ece", "failure_auroc", "depth_auroc")),
        ]
        for exit in calibration["exits"]
    ]
    header = ["Layer", "Temperature", "NLL", "Calibration error", "AUROC of errors", "AUROC of changes"]
    print_table(msg, rows, header, left=0)
    if calibration["fitted"]:
        msg.info(f"Temperatures are fitted to {calibration['documents']} of these documents; before -> after")
    else:
        msg.info("Temperatures are those that were there" if calibration["kept"] else "No temperatures")
    show_thresholds(report["thresholds"], msg)
    sizes = list(report["full"].get("ms", {}))
    header = ["Rule", "Settings", report["score_desc"], "Against full depth", "Other answers", "Layers", "Fewer"]
    header += [f"ms, batch {size}" for size in sizes]
    chosen = report.get("chosen", {}).get("rule", "none")
    rows = []
    others = [row for row in report["front"] if row["rule"] is not None]
    simpler = [report[name] for name in ("linear", "fixed") if name in report]
    for row in [*simpler, report["full"], *others]:
        mark = "> " if row["rule"] == chosen and row not in simpler else ""
        cells = [mark + row["name"], describe_rule(row["rule"]), percent(row["score"]), change(-row["drop"], row["spread"])]
        cells += [share(row["disagreement"]), f"{row['wordpiece_layers']:.2f}", times(row["speedup"])]
        cells += [f"{row['ms'][size]:.2f}{'*' if row['on_time_front'][size] else ' '}" for size in sizes]
        rows.append(cells)
    print_table(msg, rows, header, left=2)
    text = f"{report['documents']} documents, {report['settings']} settings, of which {report['front_settings']} have the best "
    text += "score for their layers (by wordpieces); at most 8 of these are shown"
    msg.info(text + (f". * also has the best score for its time, on {report['timed_documents']} documents" if sizes else ""))
    msg.info(SPREAD)
    tell(report, msg)
    for line in conclusions(report):
        msg.text(line)


def show_thresholds(thresholds: Dict[str, Any], msg: Printer) -> None:
    """Print the thresholds of labels, if they have any of their own.

    thresholds (Dict[str, Any]): What the report has of them.
    msg (Printer): Where to.
    """
    if not thresholds["labels"]:
        return
    print_table(msg, [[label, f"{own:.3g}"] for label, own in thresholds["labels"].items()], ["Of", "Threshold"], left=1)
    before, after = (percent(score) for score in thresholds["macro_f"])
    where = f"fitted to {thresholds['documents']} of these documents" if thresholds["fitted"] else "those that were there"
    msg.info(f"Thresholds are {where}; macro F at full depth {before} at {thresholds['threshold']:g} -> {after}")


def conclusions(report: Dict[str, Any]) -> List[str]:
    """RETURNS (List[str]): What was chosen, and what that rests on, in sentences."""
    if "chosen" not in report:
        asks = "ask with --max-drop, --min-speedup or --max-disagreement."
        return [
            f"The rule stays; for another one {asks}"
            if "uncertain" in report or "unknown" in report or report["gate"]
            else f"Nothing is chosen; {asks}",
            *describe_gate(report),
            *_flagged(report),
        ]
    chosen, lines = report["chosen"], _seconds(report)
    promise = report.get("promise")
    if promise and not promise["kept"]:
        lines.append(
            f"No rule could be shown to keep {100 * promise['max_disagreement']:g} % disagreement with "
            f"{100 * promise['confidence']:g} % confidence on {promise['documents']} documents: the full depth stays."
        )
    elif chosen["rule"] is None and "slower" in report:
        lines.append("The full depth stays.")
    elif chosen["rule"] is None:
        lines.append("No rule does what was asked for; the full depth stays.")
    else:
        lines.append(
            f"Chosen: {chosen['name']} ({describe_rule(chosen['rule'])}), {change(-chosen['drop'], chosen['spread'])} points, "
            f"{share(chosen['disagreement'])} of the documents with other answers, {chosen['speedup']:.2f} times "
            "fewer layers. Of settings about as good or as fast it has the fewest other answers."
        )
    held_out = report.get("held_out")
    if held_out:
        lines.append(
            f"On documents that its thresholds were not made on (5 folds): {change(-held_out['drop'], None)} points against the "
            f"full depth, and {share(held_out['changed'])} of the answers other than those of layer {held_out['deepest']}, the "
            "first that is as good as any."
        )
    if promise and promise["kept"] and chosen["rule"] is not None:
        lines.append(
            f"Promised: at most {100 * promise['max_disagreement']:g} % of documents get another answer than at full depth, "
            f"with {100 * promise['confidence']:g} % confidence over the draw of the dev set (tested on "
            f"{promise['documents']} of its documents, the settings made from the others). It holds for documents like these, "
            "and only if they were used neither for training nor for choosing the checkpoint."
        )
    elif not promise:
        lines.append(
            "Scores are those of the documents that the rule was chosen on, and the best of many settings are better on these "
            "than on others; evaluate it on test data, once."
        )
    return lines + describe_gate(report) + _flagged(report)


def _seconds(report: Dict[str, Any]) -> List[str]:
    """RETURNS (List[str]): What is to be said of seconds where parts of documents leave, in a sentence."""
    slower = report.get("slower")
    if slower:
        return [
            f"Not chosen: {slower['name']} ({describe_rule(slower['rule'])}), which takes up to {slower['times']:.2f} times the "
            "seconds of the full depth on this machine: what it looks at costs more than it saves."
        ]
    if report.get("unit", "document") != "document" and report["chosen"]["rule"] is not None and "ms" not in report["full"]:
        return [
            f"Not timed: where {report['unit']}s leave, a rule can take longer than the full depth. Leave out --no-time to know."
        ]
    return []


def _flagged(report: Dict[str, Any]) -> List[str]:
    """What is flagged and what is given no label, if that was asked for, in sentences."""
    uncertain, unknown = report.get("uncertain"), report.get("unknown")
    lines = []
    if unknown:
        right = "-" if unknown["right"] is None else share(unknown["right"])
        lines.append(
            f"Given a label from a probability of {unknown['threshold']:.4g} on: {share(unknown['given'])} of these documents, "
            f"{right} of them the right one. The others are unknown."
        )
    if not uncertain:
        return lines
    return [
        *lines,
        f"Flagged as uncertain: {share(uncertain['flagged'])} of these documents, those that no rule has found "
        f"settled and that have an entropy above {uncertain['threshold']:.4g}.",
    ]


def _pair(values: List[Optional[float]]) -> str:
    if all(value is None for value in values):
        return "-"
    return " -> ".join("-" if value is None else f"{value:.3f}" for value in values)
