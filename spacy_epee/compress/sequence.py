"""Compressing a trained pipeline step by step, as far as its score allows, towards a goal."""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence

from spacy.language import Language
from spacy.training import Example

from ..component.pipe import EarlyExitTransformer
from .base import find_text_trunk
from .choose import Reference, compress
from .measure import MEGABYTE, Size, measure
from .restore import unchanged_if_refused
from .vocabulary import dropped_pieces

STEPS = ("vocabulary", "layers", "heads", "width", "embeddings", "weights", "export")
"""What is done if nothing else is asked for, in order: what makes less to round goes before what rounds."""

GAIN = 0.01
"""By what share a step must make a pipeline smaller, or faster beyond what differs from one timing to the next."""

NOISE = 0.05
"""How far two timings of the same pipeline may differ."""

NEEDS = {"vocabulary": "texts", "heads": "judged_by", "width": "judged_by", "export": "docs"}
"""What steps are given beside the component."""


@dataclass
class Goal:
    """What is wanted.

    max_drop (float): By how many points the score of any task may be below that before, with its rule and at full depth.
    target_size (Optional[float]): The most bytes on disk.
    speedup (Optional[float]): How many times faster than before a note must be answered that comes alone.
    """

    max_drop: float = 1.0
    target_size: Optional[float] = None
    speedup: Optional[float] = None

    @property
    def open_ended(self) -> bool:
        """RETURNS (bool): Whether as much is wanted as the score allows."""
        return self.target_size is None and self.speedup is None

    def missing(self, start: Size, now: Size) -> List[str]:
        """RETURNS (List[str]): What of it is not reached."""
        found = []
        if self.target_size is not None and now.disk > self.target_size:
            found.append(f"{now.disk / MEGABYTE:.1f} MB and not {self.target_size / MEGABYTE:g} MB")
        faster = start.ms["1"] / now.ms["1"]
        if self.speedup is not None and faster < self.speedup:
            found.append(f"{faster:.1f} times faster and not {self.speedup:g} times")
        return found


@dataclass
class Step:
    """A step that was tried.

    name (str): Its name; "" for the pipeline as it was.
    size (Size): The pipeline after it, whether or not it was kept.
    rows (List[Dict[str, Any]]): Scores of each task, as of `Reference.compare`.
    choice (str): How far it went.
    kept (bool): Whether it was kept.
    why (str): Why not.
    """

    name: str
    size: Size
    rows: List[Dict[str, Any]]
    choice: str = ""
    kept: bool = True
    why: str = ""


@dataclass
class Report:
    """What was done.

    steps (List[Step]): The steps, the pipeline as it was first.
    missing (List[str]): What of the goal was not reached.
    pieces (Optional[Dict[str, Any]]): How often the documents that are compared on need a wordpiece that was dropped.
    """

    steps: List[Step] = field(default_factory=list)
    missing: List[str] = field(default_factory=list)
    pieces: Optional[Dict[str, Any]] = None


class _Undone(Exception):
    """A step that does not pay."""


def shrink(
    nlp: Language,
    pipe: EarlyExitTransformer,
    examples: Sequence[Example],
    timed: Sequence[Example],
    steps: Sequence[str],
    goal: Goal,
    runtime: str,
    train: Optional[Sequence[Example]] = None,
    fewest: int = 0,
    tell: Callable[[Step], None] = lambda step: None,
) -> Report:
    """Compress a pipeline in steps, each as far as its share of what may be lost allows, until the goal is reached. What a step
    does not need of its share is left to those behind it. All scores are compared with those of the pipeline as it was.

    nlp (Language): The pipeline. It is changed.
    pipe (EarlyExitTransformer): Its component.
    examples (Sequence[Example]): Annotated documents to compare on.
    timed (Sequence[Example]): Some of them to time on.
    steps (Sequence[str]): Names of what is registered in `registry.compressors`, in order.
    goal (Goal): What is wanted.
    runtime (str): The runtime of the step "export".
    train (Optional[Sequence[Example]]): Documents that nothing is compared on: their wordpieces stay, and what matters to
        the loss on them. Without any there is no step "vocabulary". Without annotation of them the examples tell what matters.
    fewest (int): In how many of the documents a label must be to count in a mean over labels; 0 leaves all to the scorer.
    tell (Callable[[Step], None]): Is told of each step behind it.
    RETURNS (Report): What was done. If the goal was not reached, the pipeline is as near to it as was found.
    RAISES ValueError: Nothing is annotated, or the component cannot be compressed. It is then as it was.
    """
    tokenizer = find_text_trunk(pipe).objects.tokenizer
    reference = Reference(nlp, pipe, examples, fewest)
    if not reference.annotated:
        raise ValueError(
            f"None of the {len(examples)} documents is annotated for the component '{pipe.name}', so that no score can be kept. "
            "Give annotated documents."
        )
    steps = [name for name in steps if NEEDS.get(name) != "texts" or train is not None]
    report = Report([Step("", measure(nlp, pipe, timed), reference.compare())])
    start = now = report.steps[0].size
    given = _given(pipe, examples, train)
    tell(report.steps[0])
    for number, name in enumerate(steps, start=1):
        if not goal.open_ended and not goal.missing(start, now):
            break
        allowed = goal.max_drop * number / len(steps)
        settings = {need: given[need] for need in [NEEDS.get(name)] if need is not None}
        if name == "export":
            settings["runtime"] = runtime
        step = _take(nlp, pipe, name, reference, allowed, settings, timed, now)
        if step.kept:
            now = step.size
        report.steps.append(step)
        tell(step)
    report.missing = goal.missing(start, now)
    after = find_text_trunk(pipe).objects.tokenizer
    if after is not tokenizer:
        report.pieces = dropped_pieces(tokenizer, after, [eg.predicted.text for eg in examples])
    return report


def _given(pipe: EarlyExitTransformer, examples: Sequence[Example], train: Optional[Sequence[Example]]) -> Dict[str, Any]:
    """What steps can need."""
    annotated = any(slot.task.true_labels(eg.reference) for eg in train or () for slot in pipe.slots.values())
    return {
        "texts": [eg.predicted.text for eg in train or ()],
        "judged_by": train if annotated else examples,
        "docs": [eg.reference for eg in (examples if train is None else train)],
    }


def _take(
    nlp: Language,
    pipe: EarlyExitTransformer,
    name: str,
    reference: Reference,
    allowed: float,
    settings: Dict[str, Any],
    timed: Sequence[Example],
    before: Size,
) -> Step:
    """Take a step, and undo it if it does not pay."""
    step = Step(name, before, [], kept=False)
    try:
        with unchanged_if_refused(nlp, pipe):
            report = compress(nlp, pipe, name, "auto", max_drop=allowed, reference=reference, **settings)
            step.choice, step.rows = report["choice"], report["tried"][-1]["rows"]
            if report["unchanged"]:
                step.why = "would lose more than its share"
                raise _Undone
            step.size = measure(nlp, pipe, timed)
            smaller = step.size.disk <= (1 - GAIN) * before.disk
            faster = [step.size.ms[size] <= (1 - NOISE) * before.ms[size] for size in before.ms]
            slower = [step.size.ms[size] > (1 + NOISE) * before.ms[size] for size in before.ms]
            larger = step.size.disk > (1 + GAIN) * before.disk
            if not (smaller or any(faster)) or (larger and not all(faster)) or (all(slower) and not smaller):
                step.why = "is neither smaller nor faster"
                raise _Undone
            step.kept = True
    except _Undone:
        pass
    except ValueError as error:
        step.choice, step.why = "", str(error)
    return step
