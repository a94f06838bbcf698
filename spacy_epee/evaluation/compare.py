"""Early exit against the full depth of the same pipeline: scores, layers and seconds."""

from typing import Any, Dict, Iterable, List, Optional, Sequence

import numpy
import tqdm
from spacy.language import Language
from spacy.training import Example

from ..component.pipe import EarlyExitTransformer
from ..engine.results import Predictions
from ..exits.rules.base import complete
from ..inputs.instances import Instances
from ..model import get_settings
from .scoring import Scoring, differing_docs
from .timing import Rules, prepare, sources_of, time_run


def find_component(nlp: Language, name: Optional[str] = None) -> EarlyExitTransformer:
    """Find the early-exiting component of a pipeline.

    nlp (Language): The pipeline.
    name (Optional[str]): Its name; None if there is only one.
    RETURNS (EarlyExitTransformer): The component.
    RAISES ValueError: There is none, or several and no name.
    """
    names = [n for n, pipe in nlp.pipeline if isinstance(pipe, EarlyExitTransformer)]
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        raise ValueError(
            f"The pipeline has the early-exiting components {names}; name one of them with `--component`."
            if names
            else f"The pipeline has no early-exiting component, only {nlp.pipe_names}."
        )
    return nlp.get_pipe(name)  # type: ignore[return-value]


def compare(
    nlp: Language,
    examples: Sequence[Example],
    component: EarlyExitTransformer,
    batch_sizes: Iterable[int] = (1, 32),
    rounds: int = 3,
    progress: bool = False,
    fewest: int = 0,
) -> Dict[str, Any]:
    """Run a pipeline with its exit rule and at full depth, in turns.

    nlp (Language): The pipeline.
    examples (Sequence[Example]): Annotated documents.
    component (EarlyExitTransformer): The component whose rules are compared.
    batch_sizes (Iterable[int]): Batch sizes to time the whole pipeline at; 1 calls it on each text.
    rounds (int): How often each is timed; medians are reported.
    progress (bool): Whether to show a progress bar.
    fewest (int): In how many of the documents a label must be to count in a mean over labels; 0 leaves all to the scorer.
    RETURNS (Dict[str, Any]): Scores, None where nothing is annotated; the difference of the main ones and its "spread", half the
        95 % interval; "disagreement", the share of documents with another answer than at full depth; mean layers over units
        (documents, windows or sentences) and over wordpieces, layers saved, documents per second, and speed-ups in layers and
        seconds. With several tasks the scores and layers of each are in "tasks", and the layers beside it are those that windows
        or sentences ran for the last task that needs them.
    """
    rules = component.exits
    contestants: Dict[str, Rules] = {"full": dict.fromkeys(rules), "exits": rules}
    report: Dict[str, Any] = {"documents": len(examples)}
    sources = sources_of(examples)
    ready = prepare(nlp, component, examples)
    docs = [eg.predicted for eg in ready]
    answers = {name: component.run(docs, contestant) for name, contestant in contestants.items()}
    scorings = {task: Scoring(component, ready, task, fewest, nlp) for task in component.slots}
    tasks = {task: _compare(scoring, answers) for task, scoring in scorings.items()}
    full = next(iter(answers["full"].values())).items
    for name, by_task in answers.items():
        report[name] = _climbed(list(by_task.values()), full) if len(tasks) > 1 else {}
    report["depth"] = next(iter(tasks.values()))["depth"]
    if len(tasks) == 1:
        report.update(next(iter(tasks.values())))
    else:
        report["tasks"] = {task: {**figures, **_saved(figures)} for task, figures in tasks.items()}
        report["unit"] = get_settings(component.model).unit
    report.update(_saved(report))
    report["speedup_seconds"] = {}
    batch_sizes = list(batch_sizes)
    with tqdm.tqdm(total=len(batch_sizes) * rounds, desc="Timing", disable=not progress, leave=False) as bar:
        for size in batch_sizes:
            seconds: Dict[str, List[float]] = {name: [] for name in contestants}
            for name, contestant in contestants.items():  # the first call pays for things that are made only once
                time_run(nlp, component, contestant, sources[:size], size)
            for _ in range(rounds):
                for name, contestant in contestants.items():
                    seconds[name].append(time_run(nlp, component, contestant, sources, size))
                bar.update()
            for name in contestants:
                report[name].setdefault("docs_per_second", {})[str(size)] = len(examples) / float(numpy.median(seconds[name]))
            ratios = numpy.array(seconds["full"]) / numpy.array(seconds["exits"])
            report["speedup_seconds"][str(size)] = float(numpy.median(ratios))
    return report


def _compare(scoring: Scoring, answers: Dict[str, Dict[str, Predictions]]) -> Dict[str, Any]:
    """Scores and layers of a task by the names of those who answered, and how they differ."""
    rule = scoring.component.exits[scoring.name]
    figures: Dict[str, Any] = {"unit": scoring.unit, "left_out": scoring.left_out, "absent": scoring.absent}
    config = None if rule is None else complete(rule).to_config()
    figures["rule"] = None if rule is None else config or type(rule).__name__
    lengths = answers["full"][scoring.name].items.lengths  # what leaves before the first layer is not cut into windows
    answered = {name: scoring.answered(by_task[scoring.name]) for name, by_task in answers.items()}
    for name, by_task in answers.items():
        predictions, scores = by_task[scoring.name], scoring.scores(answered[name])
        figures["depth"] = predictions.depth
        figures[name] = {
            "score": scoring.main_of(scores),
            "score_desc": scoring.describe(scores),
            "per_label": scoring.per_label(scores),
            "parts": scoring.parts(scores),
            "scores": {key: score for key, score in scores.items() if score is None or isinstance(score, float)},
            **_layers(predictions.layers[predictions.ran], lengths[predictions.ran], predictions.depth),
        }
    full, exits = (figures[name]["score"] for name in ("full", "exits"))
    figures["difference"] = None if full is None or exits is None else exits - full
    figures["spread"] = scoring.spread(answered["full"], answered["exits"])
    figures["disagreement"] = float(differing_docs(*(by_task[scoring.name] for by_task in answers.values())).mean())
    return figures


def _layers(layers: numpy.ndarray, wordpieces: numpy.ndarray, depth: int) -> Dict[str, Any]:
    """The layers of units that ran, and of their wordpieces."""
    counts = numpy.bincount(layers, minlength=depth + 1).tolist()
    return {
        "layers": float(layers.mean()) if len(layers) else 0.0,
        "wordpiece_layers": float(wordpieces @ layers / max(wordpieces.sum(), 1)),
        "before_first_layer": counts[0],
        "histogram": counts[1:],
    }


def _climbed(answers: Sequence[Predictions], full: Instances) -> Dict[str, Any]:
    """The layers that windows ran for several tasks: those of the last one that needs them. What leaves before the first layer
    has windows only at full depth."""
    windows = answers[0].items.windows
    layers = numpy.full(len(windows), -1)
    for predictions in answers:
        asked = predictions.items.window_units >= 0
        units = predictions.items.window_units[asked]
        layers[asked] = numpy.maximum(layers[asked], numpy.where(predictions.ran[units], predictions.layers[units], -1))
    every = numpy.zeros(len(full.windows), dtype="int64")
    every[numpy.isin(full.windows.docs, windows.docs)] = layers
    return _layers(every[every >= 0], full.windows.lengths[every >= 0], answers[0].depth)


def times_fewer(full: float, exits: float) -> float:
    """RETURNS (float): How many times fewer layers than at full depth; 100 at the most, as what leaves before the first one costs
    something too."""
    return full / max(exits, full / 100) if full else 1.0


def _saved(report: Dict[str, Any]) -> Dict[str, float]:
    """What of the layers is saved."""
    full, exits = report["full"], report["exits"]
    return {
        "speedup_layers": times_fewer(full["layers"], exits["layers"]),
        # A long document costs more than a short one, and often climbs higher: this is what seconds can follow.
        "speedup_wordpieces": times_fewer(full["wordpiece_layers"], exits["wordpiece_layers"]),
        "layers_saved": 1 - exits["layers"] / full["layers"] if full["layers"] else 0.0,
    }
