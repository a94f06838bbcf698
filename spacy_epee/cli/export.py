"""`python -m spacy epee export`"""

from pathlib import Path
from typing import Any, Dict, Optional

from spacy.cli._util import import_code
from spacy.strings import StringStore
from spacy.util import load_model
from typer import Argument, Option
from wasabi import Printer

from ..component.saving import save_pipeline
from ..compress.choose import compress
from ..evaluation.compare import find_component
from ..registry import names, runtimes
from ..trunk.base import find_runtime
from . import epee
from .data import read_data
from .options import CatsOpt, CodeOpt, ComponentOpt, EntitiesOpt, LimitOpt, ModelArg, SeedOpt, SpansKeyOpt
from .outputs import check_place
from .tables import SPREAD, change, percent, print_table, share


@epee.command("export")
def export_cli(
    model: ModelArg,
    output_model: Path = Argument(..., help="Folder for the faster copy of the pipeline"),
    data: Optional[Path] = Option(None, "--data", "-d", help="Documents to compare scores on: .spacy, .jsonl or .jsonl.gz"),
    runtime: str = Option(
        "onnx", "--runtime", help="'onnx', ONNX Runtime on a CPU; 'torch', in another precision; or an installed one"
    ),
    precision: str = Option(
        "auto", "--precision", help="'int8', 'fp32', or another of the runtime; 'auto': what keeps the score"
    ),
    max_drop: float = Option(0.3, "--max-drop", min=0, help="Lose at most so many points of the score on --data"),
    cats: CatsOpt = None,
    entities: EntitiesOpt = "gold",
    spans_key: SpansKeyOpt = None,
    component: ComponentOpt = None,
    limit: LimitOpt = 0,
    seed: SeedOpt = 0,
    code: CodeOpt = None,
):
    """Write a faster copy of a pipeline: its transformer in ONNX Runtime, or in a lower precision of torch."""
    msg = Printer()
    try:
        check_place("the folder", output_model)
        import_code(code)
        if runtime not in runtimes:
            raise ValueError(f"--runtime is '{runtime}'; give one of {names(runtimes)}")
        chosen = find_runtime(runtime)
        *_, exact = precisions = list(chosen.precisions)
        if precision not in ("auto", *precisions):
            raise ValueError(f"--precision is '{precision}'; for the runtime '{runtime}' give 'auto' or one of {precisions}")
        nlp = load_model(model)
        strings = StringStore(nlp.vocab.strings)
        pipe = find_component(nlp, component)
        if data is None and precision == "auto":
            msg.info(f"Without --data no score can be compared: the precision is {exact}")
            precision = exact
        examples, fewest = None, 0
        if data is not None:
            examples, fewest = read_data(nlp, pipe, data, cats, entities, spans_key=spans_key, limit=limit, seed=seed)
        docs = [eg.reference for eg in examples or ()]
        report = compress(nlp, pipe, "export", precision, examples, max_drop, fewest, runtime=runtime, docs=docs)
        show(report, msg)
        save_pipeline(nlp, output_model, strings)
        msg.good(f"Saved the pipeline, which runs in {chosen.title} in {report['choice']}, to {output_model}")
        if report["choice"] != exact and data is None:
            msg.warn(f"{report['choice']} changes some answers; give --data to see how the score changes")
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)


def show(report: Dict[str, Any], msg: Printer) -> None:
    """Print what was tried.

    report (Dict[str, Any]): That of `compress`.
    msg (Printer): Where to.
    """
    for tried in report["tried"]:
        if "refused" in tried:
            msg.warn(f"Without {tried['choice']}: {tried['refused']}")
    header = [report["decides"].capitalize(), "Task", "", "Score before", "So", "Difference", "Other answers"]
    rows = [
        [
            tried["choice"],
            row["task"],
            "full depth" if row["depth"] == "full" else "with exits",
            percent(row["before"]),
            percent(row["after"]),
            change(row["difference"], row["spread"]),
            share(row["differs"]),
        ]
        for tried in report["tried"]
        for row in tried["rows"]
    ]
    if rows:
        print_table(msg, rows, header, left=3)
        msg.info(SPREAD)
    for task, labels in report["left_out"].items():
        msg.info(f"Labels in too few of these documents are left out of the score of {task}: {len(labels)}")
