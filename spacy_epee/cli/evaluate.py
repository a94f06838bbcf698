"""`python -m spacy epee evaluate`"""

from pathlib import Path
from typing import Any, Dict, List, Optional

import srsly
from spacy.cli._util import import_code, setup_gpu
from spacy.training import Corpus, Example
from spacy.util import load_model
from typer import Argument, Option
from wasabi import Printer

from ..evaluation.compare import compare, find_component
from ..tasks.base import Task
from ..tasks.events import Events
from ..training.images import ImageReader
from ..training.readers import EntityReader, JsonlReader
from . import epee

UNREAD_ENTITIES = "unread_entities"
"""The span group of annotated entities that the component does not look at."""

GIVEN_TRIGGERS = "given_triggers"
"""The span group of annotated triggers, when events are evaluated with them."""


@epee.command("evaluate")
def evaluate_cli(
    model: str = Argument(..., help="Pipeline: a folder or an installed package"),
    data: Path = Argument(..., help="Annotated documents: .spacy, .jsonl or .jsonl.gz; images: .jsonl"),
    cats: Optional[str] = Option(None, "--cats", help="Fields with labels of documents in a JSONL file, with commas: 'cats'"),
    entities: str = Option("gold", "--entities", "-e", help="Relations and events: 'gold', those of the data, or 'predicted'"),
    triggers: str = Option("predicted", "--triggers", "-t", help="For events: 'predicted', or 'gold', those of the data"),
    spans_key: Optional[str] = Option(None, "--spans-key", "-k", help="Span group of the entities, if not the component's"),
    component: Optional[str] = Option(None, "--component", "-p", help="The early-exiting component, if there are several"),
    batch_sizes: str = Option("1,32", "--batch-sizes", "-b", help="Batch sizes to time at, with commas"),
    rounds: int = Option(3, "--rounds", "-r", min=1, help="How often each is timed"),
    limit: int = Option(0, "--limit", "-n", min=0, help="The most documents; 0 for all"),
    output: Optional[Path] = Option(None, "--output", "-o", help="JSON file for the figures"),
    code: Optional[Path] = Option(None, "--code", "-c", help="Python file with more registered functions"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="GPU to run on; -1 for the CPU"),
):
    """Compare a pipeline's exit rule with its full depth: score, layers, documents per second."""
    msg = Printer()
    if entities not in ("gold", "predicted"):
        msg.fail(f"--entities is '{entities}'; give 'gold' or 'predicted'", exits=1)
    if triggers not in ("gold", "predicted"):
        msg.fail(f"--triggers is '{triggers}'; give 'gold' or 'predicted'", exits=1)
    try:
        sizes = [int(size) for size in batch_sizes.split(",")]
        if min(sizes) < 1:
            raise ValueError
    except ValueError:
        msg.fail(f"--batch-sizes is '{batch_sizes}'; give whole numbers from 1 on, with commas between them", exits=1)
    try:
        import_code(code)
        setup_gpu(gpu_id)
        nlp = load_model(model)
        pipe = find_component(nlp, component)
        tasks = [part.task for part in pipe.parts.values()]
        if any(task.name == "imagecat" for task in tasks):
            examples = list(ImageReader(data, cats or "cats", limit)(nlp))
        elif all(task.name == "textcat" for task in tasks):
            examples = read_examples(nlp, data, cats or "cats", limit)
        else:
            examples = read_structures(nlp, data, tasks, pipe.name, cats, entities, triggers, spans_key, limit)
        if not examples:
            raise ValueError(f"There are no documents in {data}")
        report = compare(nlp, examples, pipe, sizes, rounds, progress=True)
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
    if any(task.reads_entities for task in tasks):
        report["entities"] = entities
        msg.info(f"With {entities} entities")
    if any(task.name == "events" for task in tasks):
        report["triggers"] = triggers
        msg.info(f"With {triggers} triggers")
    show(report, msg)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(output, report)
        msg.good(f"Saved the figures to {output}")


def read_examples(nlp, path: Path, cats: str, limit: int) -> List[Example]:
    """Read annotated documents in either format.

    nlp (Language): The pipeline.
    path (Path): The file or, for .spacy, a folder of files.
    cats (str): The field with the labels, in a JSONL file.
    limit (int): The most documents; 0 for all.
    RETURNS (List[Example]): The documents.
    """
    if ".jsonl" in path.suffixes:
        return list(JsonlReader(path, cats, limit)(nlp))
    if not path.exists():
        raise ValueError(f"There is no file '{path}'.")
    return list(Corpus(path, limit=limit)(nlp))


def read_structures(
    nlp,
    path: Path,
    tasks: List[Task],
    name: str,
    cats: Optional[str],
    entities: str,
    triggers: str,
    spans_key: Optional[str],
    limit: int,
) -> List[Example]:
    """Read documents with relations and events, and labels if a task needs them.

    nlp (Language): The pipeline.
    path (Path): The file or, for .spacy, a folder of files.
    tasks (List[Task]): The tasks of the component. Those that find triggers are told to take them where they are given.
    name (str): The component.
    cats (Optional[str]): The fields with the labels, in a JSONL file, with commas between them.
    entities (str): "gold" or "predicted".
    triggers (str): "predicted" or "gold".
    spans_key (Optional[str]): The span group of the entities, if not the component's.
    limit (int): The most documents; 0 for all.
    RETURNS (List[Example]): The documents.
    """
    given = None
    if triggers == "gold":
        events = [task for task in tasks if isinstance(task, Events)]
        if not events:
            raise ValueError(f"--triggers is for events, and the component '{name}' is for {', '.join(task.name for task in tasks)}")
        for task in events:
            given = task.triggers_key = task.triggers_key or GIVEN_TRIGGERS
    readers = [task for task in tasks if task.reads_entities]
    key = spans_key or next((task.spans_key for task in readers if task.spans_key), None)
    if key is None and not readers:
        key = UNREAD_ENTITIES  # a span group holds any
    fields = (cats or "cats").split(",") if any(task.name == "textcat" for task in tasks) else None
    gold = entities == "gold" and bool(readers)
    return list(EntityReader(path, key, gold_entities=gold, triggers_key=given, cats=fields, limit=limit)(nlp))


def show(report: Dict[str, Any], msg: Printer) -> None:
    """Print a comparison.

    report (Dict[str, Any]): What `compare` returned.
    msg (Printer): Where to.
    """
    tasks = report.get("tasks", {})
    titles = {"full": "Full depth", "exits": "Early exit"}
    depth = report["depth"]
    if tasks:
        scores = [
            [task, part["full"]["score_desc"], titles[name], _percent(part[name]["score"]), f"{part[name]['layers']:.2f} of {depth}"]
            for task, part in tasks.items()
            for name in titles
        ]
        msg.table(scores, header=["Task", "Score", "", "", "Mean exit layer"], divider=True, aligns=["l", "l", "l", "r", "r"])
    sizes = list(report["speedup_seconds"])
    header = ["", "Layers run" if tasks else f"Score ({report['full']['score_desc']})", *([] if tasks else ["Mean exit layer"])]
    header += [f"Docs/s, batch {size}" for size in sizes] + [f"Speed-up, batch {size}" for size in sizes]
    rows = []
    for name, title in titles.items():
        part = report[name]
        row = [title, *([] if tasks else [_percent(part["score"])]), f"{part['layers']:.2f} of {depth}"]
        row += [f"{part['docs_per_second'][size]:.1f}" for size in sizes]
        row += [f"{report['speedup_seconds'][size]:.2f}x" if name == "exits" else "1.00x" for size in sizes]
        rows.append(row)
    msg.table(rows, header=header, divider=True, aligns=["l"] + ["r"] * (len(header) - 1))
    labels = [
        [*([task] if task else []), label, *(_percent(part[name]["per_label"].get(label, {}).get(key)) for name in titles for key in "prf")]
        for task, part in (tasks or {"": report}).items()
        for label in part["full"]["per_label"]
    ]
    if labels:
        header = [*(["Task"] if tasks else []), "Label", *(f"{key.upper()}, {titles[name].lower()}" for name in titles for key in "prf")]
        msg.table(labels, header=header, divider=True, aligns=["l"] * (len(header) - 6) + ["r"] * 6)
    saved = f"{100 * report['layers_saved']:.0f} % of the layers saved ({report['speedup_layers']:.2f} times fewer"
    saved += f"; {report['speedup_wordpieces']:.2f} times, counted by wordpieces)"
    msg.info(f"{report['documents']} documents, {saved}; speed-ups in seconds of the whole pipeline")
    for task, part in (tasks or {"": report}).items():
        counts = ", ".join(f"{layer}: {count}" for layer, count in enumerate(part["exits"]["histogram"], 1) if count)
        msg.text(f"{part['unit'].capitalize()}s by exit layer{f', {task}' if task else ''}: {counts}")


def _percent(score: Optional[float]) -> str:
    return "-" if score is None else f"{100 * score:.2f}"
