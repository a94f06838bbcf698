"""The training table, and how far training has come."""

import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Optional, Union

import tqdm
from spacy.language import Language
from spacy.training.loggers import console_logger_v3
from wasabi import Printer

from ..component.pipe import EarlyExitTransformer
from ..evaluation.scoring import describe_main
from ..model import get_stepper, get_trunk_shim
from ..runtimes.cores import describe_slowdown
from .passes import count_passes, steps_of


def ConsoleLogger(
    progress_bar: Optional[str] = "train", console_output: bool = True, output_file: Optional[Union[str, Path]] = None
):
    """spaCy's training table, with the mean exit layer as a plain number (spaCy prints every score times 100), what its columns
    are, the passes that the steps make, and a bar with wordpieces a second and the time left.

    progress_bar (Optional[str]): "train" for a bar over all of training, "eval" for one up to the next evaluation, or None.
        There is none where the output is no terminal.
    console_output (bool): Whether to print anything.
    output_file (Optional[Union[str, Path]]): A JSONL file to log to.
    RETURNS (Callable): The logger.
    """
    if progress_bar not in (None, "train", "eval"):
        raise ValueError(f"The setting `training.logger.progress_bar` is '{progress_bar}'; give 'train', 'eval' or null.")
    setup = console_logger_v3(progress_bar=None, console_output=console_output, output_file=output_file)

    def setup_printer(nlp: Language, stdout: IO = sys.stdout, stderr: IO = sys.stderr):
        check_steps(nlp.config.interpolate()["training"])
        pipes = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, EarlyExitTransformer)]
        msg, notes = Printer(no_print=True), _Notes(nlp, pipes)
        passes = count_passes(nlp) if console_output else None
        steps = steps_of(nlp, passes)
        if console_output:
            if passes is not None and steps:
                stdout.write(msg.info(passes.describe(steps)) + "\n")
            for text in notes.of_columns():
                stdout.write(msg.info(text) + "\n")
            for text in notes.of_threads():
                stdout.write(msg.warn(text) + "\n")
        bar = _Bar(nlp, pipes, progress_bar if console_output else None, steps, stderr)
        with _layers_shown(nlp):
            log_step, finalize = setup(nlp, _Above(stdout, bar), stderr)

        def log(info: Optional[Dict[str, Any]]) -> None:
            if info is not None:
                scores = info["other_scores"]
                layers = {name: scores[name] / 100 for name in scores if name.endswith("exit_layer")}
                info = {**info, "other_scores": {**scores, **layers}}
                log_step(info)
                if console_output:
                    for text in [*notes.of_missing(info["other_scores"]), *notes.of_threads()]:
                        print(msg.warn(text), file=_Above(stdout, bar), flush=True)
            bar.step(evaluated=info is not None)

        def close() -> None:
            bar.close()
            finalize()
            if console_output:
                for text in notes.of_end():
                    stdout.write(msg.info(text) + "\n")

        return log, close

    return setup_printer


@contextmanager
def _layers_shown(nlp: Language) -> Iterator[None]:
    """Have a column for the exit layer. It has none in configs that spaCy makes: its own logger would print it times 100."""
    weights = nlp.config["training"]["score_weights"]
    hidden = "exit_layer" in weights and weights["exit_layer"] is None
    try:
        if hidden:
            weights["exit_layer"] = 0.0
        yield
    finally:
        if hidden:
            weights["exit_layer"] = None


def check_steps(training: Dict[str, Any]) -> None:
    """Warn if the learning rate is 0 before training ends.

    training (Dict[str, Any]): The block `training` of a config.
    """
    rate = training["optimizer"].get("learn_rate")
    falls = rate.get("total_steps") if isinstance(rate, dict) else None
    steps = training["max_steps"]
    if falls and steps > falls:
        warnings.warn(
            f"The learning rate is 0 from step {falls} on, and training goes on to step {steps}. In place of "
            "`training.max_steps` set `training.optimizer.learn_rate.total_steps`, which it follows in the configs here."
        )


class _Notes:
    """What is said of a training beside its table, each thing once."""

    def __init__(self, nlp: Language, pipes: List[EarlyExitTransformer]):
        self.pipes = pipes
        weights = nlp.config.interpolate()["training"]["score_weights"]
        self.columns = [name for name, weight in weights.items() if weight is not None]
        self.missing: List[str] = []
        self.slow = any(get_stepper(pipe.model).device.type == "cpu" for pipe in pipes)

    def of_columns(self) -> List[str]:
        """RETURNS (List[str]): Which scores the columns are."""
        found = []
        for pipe in self.pipes:
            for task, slot in pipe.slots.items():
                kinds = {slot.task.main: "with the exit rule", slot.task.full: "at full depth"}
                named = {f"{own}{slot.prefix}{name}": kind for own in ("", f"{pipe.name}_") for name, kind in kinds.items()}
                shown = [f"{name.upper()} {kind}" for name, kind in named.items() if name in self.columns]
                if shown:
                    found.append(f"The score is {describe_main(pipe, task)}: {', '.join(shown)}")
        return found

    def of_missing(self, scores: Dict[str, Any]) -> List[str]:
        """RETURNS (List[str]): That there are columns without a score, for which spaCy prints zeros."""
        missing = [name.upper() for name in self.columns if scores.get(name) is None]
        if not missing or missing == self.missing:
            return []
        self.missing = missing
        return [f"0.00 in {', '.join(missing)} is no score: the dev data have no annotation for it, or nothing computes it"]

    def of_threads(self) -> List[str]:
        """RETURNS (List[str]): That several threads are slower than one."""
        found = describe_slowdown() if self.slow else None
        self.slow = self.slow and found is None
        return [] if found is None else [found]

    def of_end(self) -> List[str]:
        """RETURNS (List[str]): What is to be done with what was trained."""
        labels = any(slot.thresholded for pipe in self.pipes for slot in pipe.slots.values())
        also = ", and a threshold for each label," if labels else ""
        return (
            [f"The exit rule is that of the config; `python -m spacy epee tune` chooses one{also} on dev"] if self.pipes else []
        )


class _Bar:
    """A bar with wordpieces a second and the time left."""

    def __init__(self, nlp: Language, pipes: List[EarlyExitTransformer], kind: Optional[str], steps: int, stderr: IO):
        self.pipes, self.kind = pipes, kind
        self.unit = "patches" if any(get_trunk_shim(pipe.model).reads == "images" for pipe in pipes) else "wordpieces"
        self.every = nlp.config.interpolate()["training"]["eval_frequency"]
        self.steps, self.seen, self.seconds, self.learned = 0, self._count(), 0.0, 0
        self.last = time.perf_counter()
        total = (self.every if kind == "eval" else steps) or None
        # The time left counts evaluations, of which none has been: the mean of all steps is better than that of the last.
        settings: Dict[str, Any] = {"smoothing": 0, "leave": False, "disable": True if kind is None else None}
        self.bar = tqdm.tqdm(total=total, desc="Evaluating", unit=" steps", file=stderr, **settings)

    def step(self, evaluated: bool) -> None:
        """Note that a step is done.

        evaluated (bool): Whether it was followed by an evaluation, so that its time says nothing of learning.
        """
        now, seen = time.perf_counter(), self._count()
        if not evaluated:
            self.seconds += now - self.last
            self.learned += seen - self.seen
        self.last, self.seen, self.steps = now, seen, self.steps + 1
        self.bar.set_description("Evaluating" if self.steps % self.every == 0 else "Training", refresh=False)
        if self.seconds:
            self.bar.set_postfix_str(f"{self.learned / self.seconds:,.0f} {self.unit}/s", refresh=False)
        if evaluated and self.kind == "eval":
            self.bar.reset()
        elif self.bar.total is None or self.bar.n < self.bar.total:  # spaCy takes a step more than it is told
            self.bar.update()
        if self.steps % self.every == 0:  # it stands still from now on
            self.bar.refresh()

    def close(self) -> None:
        """Remove it."""
        self.bar.close()

    def _count(self) -> int:
        return sum(pipe.wordpieces for pipe in self.pipes)


class _Above:
    """Lines that go above a bar."""

    def __init__(self, stdout: IO, bar: _Bar):
        self.stdout, self.bar = stdout, bar.bar

    def write(self, text: str) -> None:
        self.bar.clear()
        self.stdout.write(text)

    def flush(self) -> None:
        self.stdout.flush()
        if not self.bar.disable:
            self.bar.refresh()
