"""`python -m spacy epee compress`"""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, List, Optional

import tqdm
from spacy.cli._util import import_code
from spacy.strings import StringStore
from spacy.util import load_model
from typer import Argument, Option
from wasabi import Printer

from ..component.saving import save_pipeline
from ..compress.measure import MEGABYTE
from ..compress.sequence import STEPS, Goal, Report, Step, shrink
from ..evaluation.compare import find_component
from ..evaluation.sample import sample
from ..files import whole_file
from ..registry import compressors, names
from ..settings import split_list
from . import epee
from .data import read_data
from .options import CatsOpt, CodeOpt, ComponentOpt, EntitiesOpt, LimitOpt, ModelArg, OutputOpt, SeedOpt, SpansKeyOpt
from .outputs import check_file, check_place, write_figures
from .tables import SPREAD, change, percent, print_table, share, tell_slowdown

UNITS = {"KB": 1e3, "MB": MEGABYTE, "GB": 1e9}


@epee.command("compress")
def compress_cli(
    model: ModelArg,
    data: Path = Argument(..., help="Annotated documents to keep the score on: .spacy, .jsonl or .jsonl.gz"),
    output_model: Path = Argument(..., help="Folder for the smaller copy of the pipeline"),
    train: Optional[Path] = Option(
        None, "--train", help="Documents that nothing is compared on: their wordpieces stay, and what matters for them"
    ),
    max_drop: float = Option(1.0, "--max-drop", min=0, help="Lose at most so many points of the score on DATA in all"),
    target_size: Optional[str] = Option(None, "--target-size", help="Stop when the folder is as small as this, such as 20MB"),
    speedup: Optional[float] = Option(
        None, "--speedup", min=1, help="Stop when a note that comes alone is answered so many times faster"
    ),
    steps: str = Option(",".join(STEPS), "--steps", help="The steps, in order, with commas; also 'sparsity'"),
    runtime: str = Option("onnx", "--runtime", help="The runtime of the step 'export'"),
    timed: int = Option(64, "--timed", min=1, help="How many documents to time on"),
    picture: Optional[Path] = Option(None, "--picture", help="PNG file for score against time and size"),
    cats: CatsOpt = None,
    entities: EntitiesOpt = "gold",
    spans_key: SpansKeyOpt = None,
    component: ComponentOpt = None,
    limit: LimitOpt = 0,
    seed: SeedOpt = 0,
    output: OutputOpt = None,
    code: CodeOpt = None,
):
    """Make a trained pipeline smaller and faster in steps, as far as its score allows."""
    msg = Printer()
    try:
        goal = Goal(max_drop, read_size(target_size), speedup)
        check_place("the folder", output_model)
        check_file("--picture", picture, inputs=[data, train])
        check_file("--output", output, inputs=[data, train, picture])
        draw = None if picture is None else load_drawing()
        import_code(code)
        chosen = read_steps(steps)
        nlp = load_model(model)
        strings = StringStore(nlp.vocab.strings)
        pipe = find_component(nlp, component)
        reading: Any = {"cats": cats, "entities": entities, "spans_key": spans_key, "seed": seed}
        examples, fewest = read_data(nlp, pipe, data, limit=limit, **reading)
        learned = None if train is None else read_data(nlp, pipe, train, labelled=False, **reading).examples
        if train is None and "vocabulary" in chosen:
            msg.info("Without --train it is not known which wordpieces texts use: there is no step 'vocabulary'")
        some = sample(examples, [slot.task for slot in pipe.slots.values()], timed, seed)
        tell_slowdown(-1, msg)
        with tqdm.tqdm(total=1 + len(chosen), desc="Compressing", leave=False) as bar:

            def tell(step: Step) -> None:
                bar.update()
                bar.set_postfix_str(f"{step.name}: {step.choice}" if step.choice else step.name)

            report = shrink(nlp, pipe, examples, some, chosen, goal, runtime, learned, fewest, tell)
        show(report, msg)
        save_pipeline(nlp, output_model, strings)
        if draw is not None and picture is not None:
            with whole_file(picture) as part:
                draw(report).savefig(part, format="png", dpi=110, metadata={"Software": None})
        write_figures(output, asdict(report), msg)
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
    if report.missing:
        msg.warn(
            f"The goal was not reached: {' and '.join(report.missing)}. What was found is as near as --max-drop {max_drop:g} "
            "allows; allow more, give more documents, or begin with a smaller pipeline"
        )
    msg.good(f"Saved the pipeline to {output_model}. Tune its exit rule again: `python -m spacy epee tune`")


def read_size(text: Optional[str]) -> Optional[float]:
    """RETURNS (Optional[float]): How many bytes a size such as "20MB" is.
    RAISES ValueError: It is none.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMG]B)", text.strip(), re.IGNORECASE)
    if match is None or not float(match[1]):
        raise ValueError(f"--target-size is '{text}'; give a size such as '20MB', in KB, MB or GB")
    return float(match[1]) * UNITS[match[2].upper()]


def read_steps(text: str) -> List[str]:
    """RETURNS (List[str]): The names of steps that have commas between them.
    RAISES ValueError: One of them is not registered, or is there twice, or is empty.
    """
    steps = split_list("--steps", text)
    known = names(compressors)
    if not set(steps) <= set(known):
        raise ValueError(f"--steps is '{text}'; give some of {', '.join(known)}, each once, with commas between them")
    return steps


def load_drawing() -> Any:
    """RETURNS (Any): What draws the picture.
    RAISES ValueError: What it needs is not installed.
    """
    try:
        from ..report.compression import draw_compression
    except ImportError as error:
        raise ValueError(
            f"--picture needs the package '{error.name}'. Install it with `pip install \"spacy_epee[report]\"`."
        ) from error
    return draw_compression


def show(report: Report, msg: Printer) -> None:
    """Print what was done.

    report (Report): What `shrink` returned.
    msg (Printer): Where to.
    """
    batches = list(report.steps[0].size.ms)
    header = ["Step", "", "MB", "Million parameters", "Zeros", *(f"ms a note, batch {size}" for size in batches), "MB in memory"]
    rows = []
    for step in report.steps:
        size = step.size
        figures = [f"{size.disk / MEGABYTE:.1f}", f"{size.parameters / 1e6:.1f}", share(size.zeros)]
        figures += [f"{size.ms[batch]:.2f}" for batch in batches] + [f"{size.memory / MEGABYTE:.1f}"]
        if not step.choice and step.name:  # nothing was found to measure
            figures = ["-"] * len(figures)
        rows.append([step.name or "before", step.choice + ("" if step.kept else " (undone)"), *figures])
    print_table(msg, rows, header, left=2)
    scores = [
        [step.name or "before", row["task"], "full depth" if row["depth"] == "full" else "with exits"]
        + [percent(row["after"]), change(row["difference"], row["spread"]), share(row["differs"])]
        for step in report.steps
        for row in step.rows
    ]
    print_table(msg, scores, ["After", "Task", "", "Score", "Against before", "Other answers"], left=3)
    msg.info(SPREAD)
    for step in report.steps:
        if step.why:
            msg.info(f"Without {step.name}{f' ({step.choice})' if step.choice else ''}: {step.why}")
    if report.pieces is not None:
        pieces = report.pieces
        part = share(pieces["dropped"] / max(pieces["pieces"], 1))
        msg.info(
            f"{part} of the wordpieces of these documents were dropped and are written with others, in {pieces['changed']} of "
            f"{pieces['texts']} documents; {pieces['unknown']} more are unknown"
        )
