"""`python -m spacy epee teach`"""

from pathlib import Path
from typing import Any, Dict, List, Optional

from spacy.cli._util import import_code, setup_gpu
from spacy.util import load_model
from typer import Argument, Option
from wasabi import Printer

from ..settings import split_list
from ..teach.documents import check_target
from ..teach.ensemble import Ensemble, gather, teach
from . import epee
from .options import CodeOpt, GpuOpt
from .outputs import check_file
from .tables import print_table


@epee.command("teach")
def teach_cli(
    models: List[str] = Argument(..., help="Pipelines that write doc.cats: folders or installed packages"),
    data: Path = Argument(..., help="Documents to answer: .spacy, .jsonl or .jsonl.gz. They need no labels"),
    output: Path = Argument(..., help="File for the same documents with what the teachers say"),
    dev: Optional[Path] = Option(None, "--dev", help="Labelled documents that weights of the teachers are fitted to"),
    linear: bool = Option(False, "--linear", help="Add a linear model of words that learns from the labels in DATA"),
    linear_data: Optional[Path] = Option(
        None, "--linear-data", help="Labelled documents that the linear model learns from, in place of those in DATA"
    ),
    cats: str = Option("cats", "--cats", help="Fields with labels of documents in a JSONL file, with commas"),
    field: str = Option("teacher", "--field", help="Field for what the teachers say in a JSONL file"),
    code: CodeOpt = None,
    gpu_id: GpuOpt = -1,
):
    """Answer documents with one or more pipelines, for a student to learn from: the mean of their probabilities."""
    msg = Printer()
    try:
        # DATA itself may take the answers: all that is in it stays.
        check_file("OUTPUT", output, inputs=[] if output.resolve() == data.resolve() else [dev, linear_data])
        check_target(data, output)
        fields = split_list("--cats", cats, "fields")
        if field in ("text", *fields):
            raise ValueError(f"--field is '{field}', which has something else in it; give another name")
        import_code(code)
        setup_gpu(gpu_id)
        ensemble = gather(
            models, [load_model(model) for model in models], data, fields, linear_data or (data if linear else None)
        )
        if dev is not None:
            ensemble.fit(dev, fields)
        show(ensemble, msg)
        counts = teach(ensemble, data, output, fields, field, progress=True)
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
    tell(counts, output, msg)


def show(ensemble: Ensemble, msg: Printer) -> None:
    """Print the teachers.

    ensemble (Ensemble): The teachers.
    msg (Printer): Where to.
    """
    names = [teacher.name for teacher in ensemble.teachers]
    for group in ensemble.groups:
        rows = [[name, f"{weight:.3f}"] for name, weight in zip(names, group.weights)]
        header = ["Teacher", "Weight"]
        if group.losses:
            rows += [["Equal weights", ""], ["These weights", ""]]
            header += ["Log loss on dev", "Calibrated"]
            for row, (before, after) in zip(rows, group.losses):
                row += ["" if before is None else f"{before:.4f}", "no better" if after is None else f"{after:.4f}"]
        print_table(msg, rows, header)
        place = f" in {', '.join(sorted(group.fields))}" if len(ensemble.groups) > 1 and group.fields else ""
        msg.info(f"{len(group.labels)} labels{place}, {'exclusive' if group.exclusive else 'not exclusive'}")
    if any(group.losses for group in ensemble.groups):
        msg.info("Calibrated: the loss on documents that it was not fitted to. Those that are no better by more than chance stay")
    msg.info("Pipelines of spacy_epee answer at full depth")


def tell(counts: Dict[str, Any], output: Path, msg: Printer) -> None:
    """Say what was written.

    counts (Dict[str, Any]): What `teach` returned.
    output (Path): Where to.
    msg (Printer): Where to say so.
    """
    documents, labelled = counts["documents"], counts["labels"]
    if counts["empty"]:
        msg.warn(f"{counts['empty']} of {documents} documents have no text, and the teachers say nothing about them")
    if counts["unknown"]:
        msg.warn(
            f"{counts['unknown']} of {documents} documents have labels that the teachers do not know. A student with such labels "
            "refuses these soft labels if they exclude each other, and otherwise learns those labels from the annotation alone"
        )
    answered = documents - counts["empty"]
    msg.good(f"Saved {documents} documents to {output}: {answered} with soft labels, {labelled} with labels that are true")
