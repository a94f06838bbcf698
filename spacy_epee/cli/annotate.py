"""`python -m spacy epee annotate`"""

from pathlib import Path
from typing import Optional

from spacy.cli._util import import_code, setup_gpu
from typer import Argument, Option
from wasabi import Printer

from ..scale.reading import Columns
from ..scale.run import annotate_file, check_places
from ..scale.spark import check_spark, run_spark
from ..scale.version import load_pipeline
from . import epee
from .options import CodeOpt, GpuOpt, ModelArg
from .outputs import check_file
from .tables import tell_slowdown


@epee.command("annotate")
def annotate_cli(
    model: ModelArg,
    source: str = Argument(
        ..., metavar="IN", help="Notes: .jsonl, .jsonl.gz, .csv, .tsv, .parquet or .txt, or a folder of one kind"
    ),
    target: str = Argument(..., metavar="OUT", help="Where the rows belong: .jsonl, .jsonl.gz, .csv or .parquet"),
    id_column: str = Option("id", "--id-column", "-i", help="Column or field with the ids of the notes"),
    text_column: str = Option("text", "--text-column", "-t", help="Column or field with their texts"),
    number: bool = Option(False, "--number", help="Take the numbers of the notes as their ids, from 1"),
    delimiter: str = Option(",", "--delimiter", "-d", help="What is between the values of a CSV file"),
    text: bool = Option(False, "--text", help="Write the texts to OUT, too"),
    n_process: int = Option(1, "--n-process", "-n", min=1, help="In how many processes, with a thread each if there are several"),
    batch_size: int = Option(32, "--batch-size", "-b", min=1, help="How many notes are answered together"),
    spark: Optional[str] = Option(None, "--spark", help="Run on Apache Spark, at this master: 'local[4]', 'yarn', 'spark://...'"),
    code: CodeOpt = None,
    gpu_id: GpuOpt = -1,
):
    """Annotate many notes. Stopped at any moment, the same command goes on where it was."""
    msg = Printer()
    try:
        if len(delimiter) != 1:
            raise ValueError(f"--delimiter is '{delimiter}'; give one character")
        columns = Columns(id_column, text_column, delimiter, number)
        if spark is not None:
            if text or n_process > 1 or code is not None or gpu_id >= 0:
                raise ValueError("--spark goes without --text, --n-process, --code and --gpu-id")
            return _on_spark(spark, model, source, target, columns, batch_size, msg)
        if gpu_id >= 0 and n_process > 1:
            raise ValueError("--n-process is for CPUs; with --gpu-id give a larger --batch-size")
        check_file("OUT", Path(target))
        check_places(Path(source), Path(target))
        import_code(code)
        setup_gpu(gpu_id)
        loaded = load_pipeline(model)
        if n_process == 1:
            tell_slowdown(gpu_id, msg)
        done = annotate_file(
            loaded, Path(source), Path(target), columns, text=text, n_process=n_process, batch_size=batch_size, progress=True
        )
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
    if done.replaced:
        msg.warn(f"The pipeline was replaced meanwhile. All notes were read by {loaded.version}")
    speed = f", {done.now / done.seconds:.1f} notes a second" if done.now and done.seconds else ""
    _tell(done.notes, done.failed, f"{target}{speed}", msg)


def _on_spark(master: str, model: str, source: str, target: str, columns: Columns, batch_size: int, msg: Printer) -> None:
    """Annotate on Spark."""
    check_spark(columns)
    loaded = load_pipeline(model)
    path = str(loaded.folder.resolve()) if loaded.folder == Path(model) else model
    counts = run_spark(master, path, loaded.version, source, target, columns, batch_size)
    _tell(counts.notes, counts.failed, target, msg)


def _tell(notes: int, failed: int, where: str, msg: Printer) -> None:
    """Say what came of it."""
    if failed:
        msg.warn(f"{failed} of {notes} notes have no answer: see the column 'error'")
    msg.good(f"{notes} notes in {where}")
