"""`python -m spacy epee report`"""

from base64 import b64encode
from pathlib import Path
from typing import Any, Dict

import srsly
from spacy.cli._util import import_code, setup_gpu
from spacy.util import load_model
from typer import Argument, Option
from wasabi import Printer

from ..evaluation.compare import find_component
from ..files import whole_folder
from ..report.build import make_report
from ..tuning.annotation import check_component
from ..tuning.names import describe_rule
from ..tuning.tuner import Tuner
from . import epee
from .data import read_data, read_sizes
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
    RoundsOpt,
    RuleOpt,
    SeedOpt,
    SpansKeyOpt,
    StepsOpt,
    TaskOpt,
    ThresholdOpt,
    TimedOpt,
    TimeOpt,
    TrainOpt,
)
from .outputs import check_place
from .rules import set_rules
from .tables import tell, tell_slowdown


@epee.command("report")
def report_cli(
    model: ModelArg,
    data: Path = Argument(..., help="Annotated documents that were not trained on: .spacy, .jsonl or .jsonl.gz; images: .jsonl"),
    folder: Path = Argument(..., help="Folder for report.html, its pictures and report.json"),
    examples: int = Option(0, "--examples", min=0, help="How many of the documents to show, with their text"),
    task: TaskOpt = None,
    missing_labels: bool = Option(False, "--missing-labels", help="Go on although labels have no example in the documents"),
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
    rule: RuleOpt = None,
    threshold: ThresholdOpt = None,
    limit: LimitOpt = 0,
    seed: SeedOpt = 0,
    code: CodeOpt = None,
    gpu_id: GpuOpt = -1,
):
    """Picture what a pipeline's exits cost and save, beside all other rules, in one HTML file."""
    msg = Printer()
    try:
        check_place("the folder", folder)
        sizes = read_sizes(batch_sizes)
        timing = {"batch_sizes": sizes, "documents": timed, "rounds": rounds} if time else None
        draw, template = load_drawing()
        import_code(code)
        setup_gpu(gpu_id)
        nlp = load_model(model)
        pipe = find_component(nlp, component)
        check_component(pipe, task)
        set_rules(pipe, rule, threshold, task)
        found, fewest = read_data(nlp, pipe, data, cats, entities, spans_key=spans_key, limit=limit, seed=seed)
        linear = None if train is None else learn_linear(nlp, pipe, train, cats)
        tell_slowdown(gpu_id, msg)
        tuning = Tuner(
            nlp,
            pipe,
            found,
            task,
            calibrate=False,
            thresholds=False,
            missing_labels=missing_labels,
            steps=steps,
            progress=True,
            fewest=fewest,
        )
        report = make_report(tuning, examples, timing)
        if linear is not None:
            report["linear"] = add_linear(tuning, linear, sizes if time else [], timed, rounds)
        tell(report, msg)
        pictures = draw(report)
        with whole_folder(folder) as part:
            for name, picture in pictures.items():
                (part / f"{name}.png").write_bytes(picture)
            (part / "report.html").write_text(render(template, report, pictures), encoding="utf-8")
            srsly.write_json(part / "report.json", {name: value for name, value in report.items() if name != "examples"})
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
    msg.good(f"Saved the report to {folder / 'report.html'}")


def load_drawing() -> Any:
    """RETURNS (Any): What draws the pictures, and the template of the page.
    RAISES ValueError: What they need is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader

        from ..report.plots import draw
    except ImportError as error:
        raise ValueError(
            f"Reports need the package '{error.name}'. Install it with `pip install \"spacy_epee[report]\"`."
        ) from error
    loader = PackageLoader("spacy_epee", "report")
    return draw, Environment(loader=loader, autoescape=True).get_template("report.html")


def render(template: Any, report: Dict[str, Any], pictures: Dict[str, bytes]) -> str:
    """Write the page.

    template (Template): Its template.
    report (Dict[str, Any]): What it shows.
    pictures (Dict[str, bytes]): PNGs by name.
    RETURNS (str): HTML that refers to nothing outside itself.
    """
    images = {name: "data:image/png;base64," + b64encode(picture).decode() for name, picture in pictures.items()}
    simpler = [report[name] for name in ("linear", "fixed") if name in report]
    rows = [report["chosen"], *simpler, report["full"], *(row for row in report["front"] if row["rule"] is not None)]
    rows = [{**row, "settings": describe_rule(row["rule"])} for row in rows]
    return template.render(**{**report, "rows": rows, "images": images})
