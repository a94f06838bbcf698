"""Where the time of a document goes: milliseconds in each part of the pipeline, for texts one by one or in batches.

    python benchmarks/parts.py MODEL ../shared/corpora/health_advice/normalised/dev.jsonl --batch-size 32

Parts lie in each other where they are indented. Timers cost about a microsecond each.
"""

import time
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import spacy
import typer
from wasabi import msg

from spacy_epee.component.pipe import EarlyExitTransformer
from spacy_epee.data.readers import read_jsonl
from spacy_epee.engine import loop
from spacy_epee.engine.results import Predictions
from spacy_epee.evaluation.compare import find_component
from spacy_epee.heads.base import ExitHeads
from spacy_epee.heads.lexical import LexicalHead
from spacy_epee.inputs.windows import Windower
from spacy_epee.model import get_heads, get_runner
from spacy_epee.trunk.arrays import takes_arrays
from spacy_epee.trunk.batch import ActiveBatches, PaddedBatch


def watched(pipe: EarlyExitTransformer, alone: bool) -> List[Tuple[str, type, str]]:
    """What is timed: a name, and a method. A text alone takes another way than a batch."""
    runner, [heads] = get_runner(pipe.model), get_heads(pipe.model)
    assert isinstance(heads, ExitHeads)
    one, kind = type(runner), type(heads)
    parts = [("predict", type(pipe), "predict"), ("  words", LexicalHead, "look"), ("  windows", Windower, "__call__")]
    if alone:
        parts += [
            ("  below the layers", one, "embed_arrays" if takes_arrays(runner) else "embed"),
            ("  layers and looks", one, "climb_until"),
            ("  layers", one, "climb" if hasattr(one, "climb") else "step"),
            ("  classifiers", kind, "classify"),
        ]
    else:
        parts += [
            ("  packs", PaddedBatch, "__init__"),
            ("    below the layers", one, "embed"),
            ("  layers", ActiveBatches, "step"),
            ("  looks", loop.TaskRun, "evaluate_exit"),
            ("    classifiers", kind, "answer" if "answer" in vars(kind) else "forward"),
            ("  compaction", ActiveBatches, "keep"),
        ]
    if pipe.exit is not None:
        parts.append(("  rule", type(pipe.exit), "step"))
    parts.append(("  leaving", Predictions, "of_one") if alone else ("  leaving", loop.TaskRun, "write"))
    parts.append(("annotations", type(pipe), "set_annotations"))
    return [part for part in parts if hasattr(part[1], part[2])]


def watch(owner: type, method: str, tell: Callable[[float], None]) -> None:
    """Be told the seconds of each call."""
    plain = getattr(owner, method)

    def timed(*args, **kwargs):
        began = time.perf_counter()
        try:
            return plain(*args, **kwargs)
        finally:
            tell(time.perf_counter() - began)

    setattr(owner, method, timed)


def main(
    model: str,
    data: Path,
    batch_size: int = typer.Option(1, help="1 calls the pipeline on each text"),
    limit: int = typer.Option(200, help="The most documents"),
    full: bool = typer.Option(False, help="Full depth"),
    component: Optional[str] = typer.Option(None, help="The early-exiting component, if there are several"),
):
    nlp = spacy.load(model)
    pipe = find_component(nlp, component)
    if full:
        pipe.exit = None
    texts = [row["text"] for row in read_jsonl(data)][:limit]

    def run() -> float:
        began = time.perf_counter()
        for _ in map(nlp, texts) if batch_size == 1 else nlp.pipe(texts, batch_size=batch_size):
            pass
        return time.perf_counter() - began

    run()
    plain = sorted(run() for _ in range(5))[2]
    seconds: Counter = Counter()
    calls: Dict[str, int] = Counter()
    parts = watched(pipe, batch_size == 1)
    for name, owner, method in parts:

        def tell(value: float, name: str = name) -> None:
            seconds[name] += value
            calls[name] += 1

        watch(owner, method, tell)
    seconds["all"] = run()
    rows = [(name, f"{1000 * seconds[name] / len(texts):.3f}", f"{calls[name] / len(texts):.2f}") for name, _, _ in parts]
    msg.table(
        [("all", f"{1000 * seconds['all'] / len(texts):.3f}", "1.00"), *rows],
        header=("", "Ms a document", "Calls a document"),
        divider=True,
        aligns=("l", "r", "r"),
    )
    msg.info(f"{len(texts)} documents, {1000 * plain / len(texts):.3f} ms a document without timers")


if __name__ == "__main__":
    typer.run(main)
