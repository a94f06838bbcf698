"""`python -m spacy epee benchmark --front`"""

from pathlib import Path
from typing import Any, Dict, Optional

from wasabi import Printer

from ..benchmark.front.ours import Measured
from ..benchmark.front.run import Plan, measure_front
from ..files import whole_file
from .data import read_data
from .tables import print_table, share


def run_front(
    model: str, component: Optional[str], files: Dict[str, Path], cats: Optional[str], plan: Plan, limit: int, seed: int
) -> Dict[str, Any]:
    """Measure the front of a pipeline.

    model (str): The pipeline: a folder or an installed package.
    component (Optional[str]): The component; None if there is only one.
    files (Dict[str, Path]): The documents of "train", "dev" and "test".
    cats (Optional[str]): The field with the labels, in a JSONL file.
    plan (Plan): How to measure.
    limit (int): The most documents of "test", of which some are drawn; 0 for all.
    seed (int): The seed of the draw.
    RETURNS (Dict[str, Any]): See `measure_front`.
    """
    name = Path(model).name
    own = Measured(name, name, model, component)
    examples = {}
    for split, path in files.items():
        examples[split], _ = read_data(own.nlp, own.component, path, cats, limit=limit if split == "test" else 0, seed=seed)
    return measure_front([own], examples, plan)


def load_picture() -> Any:
    """RETURNS (Callable): What draws a front.
    RAISES ValueError: What it needs is not installed.
    """
    try:
        from ..benchmark.front.picture import draw
    except ImportError as error:
        raise ValueError(
            f"Pictures need the package '{error.name}'. Install it with `pip install \"spacy_epee[front]\"`."
        ) from error
    return draw


def save_picture(draw: Any, path: Path, name: str, report: Dict[str, Any], msg: Printer) -> None:
    """Draw a front.

    draw (Callable): See `load_picture`.
    path (Path): The PNG file.
    name (str): What stands above.
    report (Dict[str, Any]): What `measure_front` returned.
    msg (Printer): Where to say so.
    """
    with whole_file(path) as part:
        draw({name: report}).savefig(part, format="png", dpi=110, metadata={"Software": None})
    msg.good(f"Saved the picture to {path}")


def show_front(report: Dict[str, Any], msg: Printer) -> None:
    """Print a front.

    report (Dict[str, Any]): What `measure_front` returned.
    msg (Printer): Where to.
    """
    sizes = list(report["verdict"])
    for name, reason in report["skipped"].items():
        msg.warn(f"Without {name}: {reason}")
    rows = []
    for row in report["rows"]:
        cells = [row["title"], f"{row['score']:.2f}", f"{row['layers']:.2f}" if "layers" in row else "-"]
        cells.append(share(row["layers_saved"]) if "layers" in row else "-")
        for size in sizes:
            own = report["verdict"][size]["contestants"].get(row["name"], {"gain": None})
            cells += [f"{row['ms'][size]:.3g}", "-" if own["gain"] is None else f"{own['gain']:+.2f}"]
        rows.append(cells)
    header = ["", "Macro F", "Layers", "Saved"]
    for size in sizes:
        header += [f"ms, batch {size}", "Our best as fast"]
    print_table(msg, rows, header)
    documents = report["documents"]
    msg.info(
        f"{documents['test']} documents, {report['timed_documents']} of them timed, medians of {report['rounds']} rounds in "
        "turns, tokenization included; rules, depths and thresholds are chosen on the documents of --dev"
    )
    titles = {row["name"]: row["title"] for row in report["rows"]}
    for size, own in report["verdict"].items():
        if own["best"] is None:
            continue
        said = f"Batch {size}: the best score of the others has {titles[own['best']]} ({own['best_score']:.2f}), and "
        said += f"within 0.3 points of it {titles[own['fastest']]} is the fastest. "
        if own["speedup"] is None:
            said += "None of ours has such a score."
        else:
            said += f"{titles[own['ours']]} has {own['our_score']:.2f}, {own['speedup']:.2f} times as fast."
        msg.text(said)
    for row in report["rows"]:
        if row["note"]:
            msg.text(f"{row['title']}: {row['note']}")
