"""`python -m spacy epee monitor`"""

from pathlib import Path

from spacy.cli._util import import_code
from typer import Argument, Exit, Option
from wasabi import Printer

from ..monitor.counts import find_references
from ..monitor.drift import compare_counts, watch
from ..scale.notes import components
from ..scale.version import load_pipeline
from . import epee
from .options import CodeOpt, OutputOpt
from .outputs import check_file, write_figures
from .tables import print_table

DRIFT, UNKNOWN = 1, 2
"""How the command ends where something has drifted, and where that cannot be said."""


@epee.command("monitor")
def monitor_cli(
    annotated: Path = Argument(
        ..., help="What `annotate` has written: .jsonl, .jsonl.gz, .csv or .parquet, or a folder of these"
    ),
    reference: str = Option(..., "--reference", "-r", help="Pipeline that `tune` has written: a folder or an installed package"),
    effect: float = Option(0.2, "--effect", min=0, help="The least difference that counts: 0.2 is small, 0.5 medium, 0.8 large"),
    alpha: float = Option(0.01, "--alpha", min=0, max=1, help="How likely luck may make it, of all that are tested"),
    output: OutputOpt = None,
    code: CodeOpt = None,
):
    """Compare exit layers, entropy and labels with those of the documents that the pipeline was tuned on. Ends with 0 if nothing
    has drifted, with 1 if something has, and with 2 if that cannot be said."""
    msg = Printer()
    try:
        check_file("--output", output, inputs=[annotated])
        import_code(code)
        loaded = load_pipeline(reference)
        known = find_references(components(loaded.nlp))
        if known.outdated:
            msg.warn(f"Not compared, as their rule or thresholds were changed since they were tuned: {', '.join(known.outdated)}")
        if not known.counts:
            raise ValueError(
                f"The pipeline '{reference}' has no counts to compare with. Run `python -m spacy epee tune {reference} DATA "
                "--max-drop 0 --output-model FOLDER`, which stores them, and annotate with that."
            )
        found = watch(annotated, known.counts, loaded.version)
        if found.others:
            msg.warn(
                f"{found.others} of {found.rows} rows are of another version of the pipeline than {loaded.version}: what has "
                "changed may be the pipeline"
            )
        changes = compare_counts(known.counts, found.counts, alpha, effect)
    except (ValueError, OSError) as error:
        msg.fail(str(error))
        raise Exit(UNKNOWN) from None
    rows = [
        [change.what, change.before, change.now, f"{change.effect:.3f}", f"{change.p:.2g}", "drift" if change.drifted else ""]
        for change in changes
    ]
    print_table(msg, rows, ["", "Reference", "Now", "Effect", "p", ""])
    documents = {name: next(iter(counts.values())).documents for name, counts in (("then", known.counts), ("now", found.counts))}
    msg.info(f"{documents['now']} answered documents, against {documents['then']}. p is corrected for {len(changes)} tests")
    drifted = [change.what for change in changes if change.drifted]
    figures = {"drifted": drifted, "documents": documents, "changes": [vars(change) for change in changes]}
    write_figures(output, figures, msg)
    if drifted:
        msg.fail(f"Drift: {', '.join(drifted)}")
        raise Exit(DRIFT)
    msg.good("No drift")
