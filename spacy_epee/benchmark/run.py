"""A text classifier against itself in other libraries: scores, seconds of the whole pipeline, and seconds to load."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, cast

import numpy
import torch
import tqdm
from spacy.training import Example
from spacy.util import load_model, make_tempdir

from ..component.pipe import EarlyExitTransformer
from ..engine.results import Predictions
from ..evaluation.scoring import Scoring
from ..exits.evidence import EvidenceBuilder
from ..exits.rules.base import complete
from ..exits.written import make_rule
from ..trunk.spacy_pipelines import first_line
from .memory import apart, watch_memory
from .networks import pooled_heads
from .targets import CONTESTANTS
from .turns import seconds_in_turns
from .workspace import Target, Unavailable, Workspace

PACKAGES = ("spacy_epee", "spacy", "spacy-transformers", "torch", "transformers", "tokenizers", "onnx", "onnxruntime", "openvino")
"""The packages whose versions matter."""

FIRST = "The first answer takes longer than those after it."
"""What targets are given before any document."""


def benchmark(
    model: str,
    component: EarlyExitTransformer,
    examples: Sequence[Example],
    names: Sequence[str] = tuple(CONTESTANTS),
    base: str = "full",
    batch_sizes: Sequence[int] = (1, 8, 32),
    rounds: int = 5,
    memory: bool = False,
    progress: bool = False,
    fewest: int = 0,
) -> Dict[str, Any]:
    """Run targets in turns.

    model (str): The pipeline: a folder or an installed package.
    component (EarlyExitTransformer): Its component, for text classification alone.
    examples (Sequence[Example]): Annotated documents.
    names (Sequence[str]): The targets.
    base (str): The one that all are compared with.
    batch_sizes (Sequence[int]): Batch sizes to time at; 1 calls pipelines on each text.
    rounds (int): How often each is timed, after a round that only warms up.
    memory (bool): Whether to measure memory too, each target in a process of its own.
    progress (bool): Whether to show a progress bar.
    fewest (int): In how many of the documents a label must be to count in a mean over labels; 0 leaves all to the scorer.
    RETURNS (Dict[str, Any]): Of each target the figures of the component's own scorer, None where nothing is annotated, how
        the main one differs from that of the base with half the 95 % interval of that, and the share of documents with the
        answer of our full depth, all at the largest batch size; seconds to load; for each batch size documents per second,
        milliseconds per document and the speed-up; of those that exit early how many times fewer layers they run, by
        wordpieces, and which share of that their speed-up is over their twin at full depth; and with `memory` the megabytes
        that answering all at the largest batch size takes at its peak, above the loaded model. Beside them who was left out and
        why, and the machine.
    RAISES ValueError: The component is for something else, or the base does not take part.
    """
    pooled_heads(component)
    if base not in names:
        raise ValueError(f"--base is '{base}'; give one that takes part ({', '.join(names)}), or add it to --contestants")
    texts = [eg.reference.text for eg in examples]
    expected = component.answer([eg.predicted for eg in examples], None)
    report: Dict[str, Any] = {"documents": len(texts), "base": base, "rounds": rounds}
    scoring = Scoring(component, examples, fewest=fewest)
    answered: Dict[str, List[Example]] = {}
    report.update(depth=expected.depth, contestants={}, skipped={}, machine=describe_machine())
    report.update(left_out=scoring.left_out, absent=scoring.absent)
    with make_tempdir() as folder:
        place = Workspace(model, component, Path(folder), calibration=texts)
        found: Dict[str, Target] = {}
        for name in tqdm.tqdm(names, desc="Loading", disable=not progress, leave=False):
            target = CONTESTANTS[name](place)
            try:
                seconds = _load(target)
                probabilities, layers = _answer(target, texts, max(batch_sizes))
            except Unavailable as error:
                report["skipped"][name] = str(error)
                continue
            found[name] = target
            report["contestants"][name] = {"title": target.title, "note": target.note, **seconds, "batches": {}}
            answered[name] = scoring.answered(_as_answers(expected, probabilities))
            report["contestants"][name].update(_score(scoring, answered[name], expected, probabilities))
            if layers is not None:
                report["contestants"][name]["fewer_layers"] = _fewer(layers, expected)
        if base not in found:
            raise ValueError(f"--base is '{base}', which cannot take part: {report['skipped'][base]}")
        for name, own in report["contestants"].items():
            score, other = own["score"], report["contestants"][base]["score"]
            own["difference"] = None if score is None or other is None else score - other
            own["spread"] = scoring.spread(answered[base], answered[name])
        with tqdm.tqdm(total=len(batch_sizes) * (rounds + 1), desc="Timing", disable=not progress, leave=False) as bar:
            for size in batch_sizes:
                seconds_of = seconds_in_turns(found, texts, size, rounds, bar.update)
                for name, own in seconds_of.items():
                    timed = _times(own, seconds_of[base], len(texts))
                    twin = seconds_of.get(found[name].twin)
                    if twin is not None:  # what the layers that it saves are worth
                        faster = float(numpy.median(numpy.array(twin) / numpy.array(own)))
                        timed["realised"] = faster / report["contestants"][name]["fewer_layers"]
                    report["contestants"][name]["batches"][str(size)] = timed
        for name in tqdm.tqdm(list(found) if memory else [], desc="Memory", disable=not progress, leave=False):
            rule = None if component.exit is None else complete(component.exit).to_config()
            asked = (name, model, component.name, rule, Path(folder), texts, max(batch_sizes))
            report["contestants"][name]["memory_mb"] = apart(_measure_memory, *asked)
    return report


def _measure_memory(
    name: str,
    model: str,
    component: str,
    rule: Optional[Dict[str, Any]],
    folder: Path,
    texts: Sequence[str],
    size: int,
) -> Optional[float]:
    """The megabytes that a target takes to answer, whose files are there. None if that cannot be told."""
    try:
        pipe: EarlyExitTransformer = load_model(model).get_pipe(component)  # type: ignore[assignment]
        if rule is not None:
            pipe.set_exit(make_rule(rule))
        target = CONTESTANTS[name](Workspace(model, pipe, folder))
        target.load()
        target.run([FIRST], 1)
        with watch_memory() as peak:
            target.run(texts, size)
    except Exception:  # it could in the process that prepared it: what is registered there may be missing here
        return None
    return None if peak.bytes is None else peak.bytes / 1e6


def describe_machine() -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): What the figures depend on beside the model."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            pass
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _load(target: Target) -> Dict[str, float]:
    """Seconds to write a target's files, and from the files to the first answer."""
    began = time.perf_counter()
    try:
        target.prepare()
        prepared = time.perf_counter()
        target.load()
        target.run([FIRST], 1)
    except Unavailable:
        raise
    except Exception as error:  # no compiler, an unknown operator, or whatever a library raises on a model that it is not for
        raise Unavailable(f"it cannot run this model ({type(error).__name__}: {first_line(error)})") from error
    return {"prepare_seconds": prepared - began, "load_seconds": time.perf_counter() - prepared}


def _answer(target: Target, texts: Sequence[str], size: int) -> Tuple[numpy.ndarray, Optional[numpy.ndarray]]:
    """The probabilities of all documents and the layers at which they left, or why there are none. What a library says of its
    error may hold their text."""
    try:
        found = target.run(texts, size)
        return target.read(found), target.layers(found)
    except Exception as error:
        raise Unavailable(f"it cannot answer these documents ({type(error).__name__})") from None


def _fewer(layers: numpy.ndarray, expected: Predictions) -> float:
    """How many times fewer layers are run than at full depth, by wordpieces."""
    lengths = expected.items.lengths
    return float(expected.depth * lengths.sum() / max((layers * lengths).sum(), 1))


def _times(own: Sequence[float], base: Sequence[float], documents: int) -> Dict[str, Any]:
    """What is reported of the seconds of some rounds."""
    milliseconds = 1000 * numpy.array(own) / documents
    median = float(numpy.median(milliseconds))
    return {
        "docs_per_second": 1000 / median,
        "milliseconds": median,
        "fastest": float(milliseconds.min()),
        "slowest": float(milliseconds.max()),
        "speedup": float(numpy.median(numpy.array(base) / numpy.array(own))),
        "rounds": milliseconds.tolist(),
    }


def _as_answers(expected: Predictions, probabilities: numpy.ndarray) -> Predictions:
    """What others say of the documents that ours answered."""
    answers = Predictions.empty(expected.items, probabilities.shape[1], expected.depth, expected.reading)
    answers.probabilities = probabilities
    return answers


def _score(scoring: Scoring, answered: List[Example], expected: Predictions, probabilities: numpy.ndarray) -> Dict[str, Any]:
    """The figures of the component's own scorer, and the share of documents that are answered as at our full depth."""
    scores = scoring.scores(answered)
    reading = cast(EvidenceBuilder, expected.reading)
    if reading.exclusive:
        same = probabilities.argmax(axis=1) == expected.probabilities.argmax(axis=1)
    else:
        threshold = reading.threshold
        same = ((probabilities >= threshold) == (expected.probabilities >= threshold)).all(axis=1)
    return {
        "score": scoring.main_of(scores),
        "score_desc": scoring.describe(scores),
        "scores": {name: score for name, score in scores.items() if score is None or isinstance(score, float)},
        "same_answers": float(same.mean()),
    }
