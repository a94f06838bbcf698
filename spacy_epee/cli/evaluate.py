"""`python -m spacy epee evaluate`"""

from pathlib import Path
from typing import Any, Dict, List

from spacy.cli._util import import_code, setup_gpu
from spacy.util import load_model
from typer import Argument, Option
from wasabi import Printer

from ..evaluation.compare import compare, find_component
from ..tasks.rankings import LEFT_OUT, RANKINGS
from ..tuning.names import name_rule
from . import epee
from .data import read_data, read_sizes
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
    RuleOpt,
    SeedOpt,
    SpansKeyOpt,
    ThresholdOpt,
)
from .outputs import check_file, write_figures
from .rules import set_rules
from .tables import SPREAD, change, percent, print_table, share, tell, tell_slowdown, times

TIE = 0.02
"""By what share seconds may differ and are as good as the same."""


@epee.command("evaluate")
def evaluate_cli(
    model: ModelArg,
    data: Path = Argument(..., help="Annotated documents: .spacy, .jsonl or .jsonl.gz; images: .jsonl"),
    cats: CatsOpt = None,
    entities: EntitiesOpt = "gold",
    triggers: str = Option("predicted", "--triggers", "-t", help="For events: 'predicted', or 'gold', those of the data"),
    spans_key: SpansKeyOpt = None,
    component: ComponentOpt = None,
    batch_sizes: BatchSizesOpt = "1,32",
    rounds: RoundsOpt = 3,
    rule: RuleOpt = None,
    threshold: ThresholdOpt = None,
    limit: LimitOpt = 0,
    seed: SeedOpt = 0,
    output: OutputOpt = None,
    code: CodeOpt = None,
    gpu_id: GpuOpt = -1,
):
    """Compare a pipeline's exit rule with its full depth: score, layers, documents per second."""
    msg = Printer()
    try:
        sizes = read_sizes(batch_sizes)
        check_file("--output", output, inputs=[data])
        import_code(code)
        setup_gpu(gpu_id)
        nlp = load_model(model)
        pipe = find_component(nlp, component)
        set_rules(pipe, rule, threshold)
        tasks = [slot.task for slot in pipe.slots.values()]
        examples, fewest = read_data(nlp, pipe, data, cats, entities, triggers, spans_key, limit, seed)
        tell_slowdown(gpu_id, msg)
        report = compare(nlp, examples, pipe, sizes, rounds, progress=True, fewest=fewest)
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
    if any(task.reads_entities for task in tasks):
        report["entities"] = entities
        msg.info(f"With {entities} entities")
    if any(task.has_triggers for task in tasks):
        report["triggers"] = triggers
        msg.info(f"With {triggers} triggers")
    show(report, msg)
    try:
        write_figures(output, report, msg)
    except OSError as error:
        msg.fail(str(error), exits=1)


def show(report: Dict[str, Any], msg: Printer) -> None:
    """Print a comparison.

    report (Dict[str, Any]): What `compare` returned.
    msg (Printer): Where to.
    """
    tasks = report.get("tasks", {})
    titles = {"full": "Full depth", "exits": "Early exit"}
    depth = report["depth"]
    compared = ["Against full depth", "Other answers", "Mean exit layer"]
    parts = tasks or {"": report}
    if tasks:
        scores = [
            [task, part[name]["score_desc"], title, *_scored(part, name), f"{part[name]['layers']:.2f} of {depth}"]
            for task, part in tasks.items()
            for name, title in titles.items()
        ]
        print_table(msg, scores, ["Task", "Score", "", "", *compared], left=3)
    sizes = list(report["speedup_seconds"])
    header = ["", "Layers run"] if tasks else ["", f"Score ({report['full']['score_desc']})", *compared]
    header += [f"Docs/s, batch {size}" for size in sizes] + [f"Speed-up, batch {size}" for size in sizes]
    rows = []
    for name, title in titles.items():
        part = report[name]
        row = [title, *([] if tasks else _scored(report, name)), f"{part['layers']:.2f} of {depth}"]
        row += [f"{part['docs_per_second'][size]:.1f}" for size in sizes]
        row += [times(report["speedup_seconds"][size] if name == "exits" else 1.0) for size in sizes]
        rows.append(row)
    print_table(msg, rows, header)
    for kind, heading in (("parts", "Part"), ("per_label", "Label")):
        rows = _figures(parts, kind, list(titles))
        if rows:
            figures = [f"{key.upper()}, {title.lower()}" for title in titles.values() for key in "prf"]
            print_table(msg, rows, [*(["Task"] if tasks else []), heading, *figures], left=2 if tasks else 1)
    ranked = [
        [*([task] if task else []), title, *(percent(part[name]["scores"][figure]) for figure in RANKINGS)]
        for task, part in parts.items()
        if LEFT_OUT in part["full"]["scores"]
        for name, title in titles.items()
    ]
    if ranked:
        print_table(msg, ranked, [*(["Task"] if tasks else []), "", "Macro AUROC", "Macro AUPRC"], left=2 if tasks else 1)
    saved = f"{100 * report['layers_saved']:.0f} % of the layers saved ({report['speedup_layers']:.2f} times fewer"
    saved += f"; {report['speedup_wordpieces']:.2f} times, counted by wordpieces)"
    msg.info(f"{report['documents']} documents, {saved}; speed-ups in seconds of the whole pipeline")
    msg.info(SPREAD)
    tell_costs(report, msg)
    for task, part in parts.items():
        name = f"Task {task}: " if task else ""
        if part["full"]["score"] is None:
            msg.warn(f"{name}nothing is annotated in these documents, so that there is no score")
        one_class = part["full"]["scores"].get(LEFT_OUT)
        if one_class:
            msg.info(f"{name}labels that all of these documents have, or none, are left out of AUROC and AUPRC: {one_class:.0f}")
        tell({**part, "score_desc": part["full"]["score_desc"]}, msg)
        msg.text(f"{name}exit rule: {name_rule(part['rule'])}")
        left = [part["exits"]["before_first_layer"], *part["exits"]["histogram"]]
        counts = ", ".join(f"{layer}: {count}" for layer, count in enumerate(left) if count)
        msg.text(f"{name}{part['unit']}s by exit layer: {counts}")


def tell_costs(report: Dict[str, Any], msg: Printer) -> None:
    """Print that exits cost time, if they do.

    report (Dict[str, Any]): What `compare` returned.
    msg (Printer): Where to.
    """
    slower = {size: ratio for size, ratio in report["speedup_seconds"].items() if ratio < 1 - TIE}
    rules = [part["rule"] for part in report.get("tasks", {"": report}).values()]
    if slower and any(rule is not None for rule in rules):
        told = ", ".join(
            f"{1 / ratio:.2f} times the seconds of the full depth at batch size {size}" for size, ratio in slower.items()
        )
        msg.warn(
            f"Early exit costs time here: it takes {told}. Take the full depth (`exit = null`), or choose another rule with "
            "`tune`, which times it"
        )


def _figures(parts: Dict[str, Dict[str, Any]], kind: str, names: List[str]) -> List[List[str]]:
    """Rows with precision, recall and F of each part of the answers, or of each label, for all who answered."""
    rows = []
    for task, part in parts.items():
        for what in part[names[0]][kind]:
            found = [part[name][kind].get(what, {}) for name in names]
            rows.append([*([task] if task else []), what, *(percent(own.get(key)) for own in found for key in "prf")])
    return rows


def _scored(part: Dict[str, Any], name: str) -> List[str]:
    """The score, how it differs from that of the full depth, and how many documents have other answers."""
    if name == "full":
        return [percent(part[name]["score"]), "", ""]
    return [percent(part[name]["score"]), change(part["difference"], part["spread"]), share(part["disagreement"])]
