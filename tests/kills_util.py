"""Processes that are killed while they write, and what they leave."""

import hashlib
import json
import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional

import spacy
import torch
from spacy.training.initialize import init_nlp
from util import SENTENCES

from spacy_epee.model import get_heads


def fork(action: Callable[[], object]) -> int:
    """Run something in a copy of this process. RETURNS (int): Its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.fsync = lambda number: None  # matters where the machine dies, and takes most of the time
        action()
        code = 0
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """RETURNS (int): The exit code of a process; of a killed one that of the signal, less than 0."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kills_at_each_call(action: Callable[[], object], step: int = 1) -> Iterator[int]:
    """Run something again and again, killed before its first change of the disk, its second one and so on, until it gets through.

    action (Callable[[], object]): What to run.
    step (int): Every how many changes to kill at.
    YIELDS (int): The number of the change that a process was just killed at.
    """
    number, code = 1 - step, -signal.SIGKILL
    while code == -signal.SIGKILL:
        number += step
        code = wait(fork(lambda: _run(action, number, lambda: os.kill(os.getpid(), signal.SIGKILL))))
        assert code in (0, -signal.SIGKILL)
        yield number


def fails_at_each_call(action: Callable[[], object], error: OSError) -> Iterator[int]:
    """Run something again and again, with an error at its first change of the disk, its second one and so on, until none is left.

    action (Callable[[], object]): What to run.
    error (OSError): The error.
    YIELDS (int): The exit code: 3 if it raised an OSError, 0 if it got through all the same.
    """
    number, over = 0, 9

    def fail() -> None:
        raise error

    def run() -> None:
        try:
            calls = _run(action, number, fail)
        except OSError:
            os._exit(3)
        os._exit(0 if calls >= number else over)

    while True:
        number += 1
        code = wait(fork(run))
        assert code in (0, 3, over)
        if code == over:
            return
        yield code


def _run(action: Callable[[], object], number: int, do: Callable[[], object]) -> int:
    """Run something, and something else before one of its changes of the disk. RETURNS (int): How many it made."""
    calls = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal calls
        if _changes(event, arguments):
            calls += 1
            if calls == number:
                do()

    sys.addaudithook(hook)
    action()
    return calls


def _changes(event: str, arguments: tuple) -> bool:
    """Whether an audit event stands for a change of the disk. Two names are exchanged through ctypes."""
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
    return event in ("ctypes.dlsym", *map("os.{}".format, "chmod chown link mkdir remove rename rmdir symlink".split()))


def kills_at_random(action: Callable[[], object], count: int, seconds: Optional[float] = None, seed: int = 0) -> Iterator[int]:
    """Run something again and again, killed at a random moment.

    action (Callable[[], object]): What to run.
    count (int): How many processes to kill.
    seconds (Optional[float]): The latest moment; None for the time it takes.
    seed (int): Of the moments.
    YIELDS (int): How many were killed so far. One that was through before is not counted.
    """
    if seconds is None:
        start = time.perf_counter()
        assert wait(fork(action)) == 0
        seconds = time.perf_counter() - start
        yield 0
    killed, moments = 0, random.Random(seed)
    while killed < count:
        child = fork(action)
        time.sleep(moments.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        code = wait(child)
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
        yield killed


def contents(path: Path) -> Optional[str]:
    """RETURNS (Optional[str]): A digest of all files of a folder, or of a file; None if it is not there."""
    if not path.exists():
        return None
    files: Dict[str, bytes] = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    if path.is_file():
        files[""] = path.read_bytes()
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()


def left_behind(folder: Path) -> list:
    """RETURNS (list): What is unfinished in a folder."""
    return [place.name for place in folder.rglob("*.part")]


def mark(nlp: Any, number: int) -> None:
    """Give every file of a pipeline that may change a number: meta.json, config.cfg, the strings, and of the component its `cfg`
    and its weights.

    nlp (Language): A pipeline with a text classifier.
    number (int): The number, from 1 on. It must rise.
    """
    ((_, pipe),) = nlp.pipeline
    nlp.meta["description"] = str(number)
    nlp.config["nlp"]["batch_size"] = number
    nlp.vocab.strings.add(f"mark-{number}")
    pipe.set_temperatures([float(number)] * len(pipe.slot().exit_layers(pipe.model)))
    with torch.no_grad():
        for heads in get_heads(pipe.model):
            for weights in heads.parameters():
                weights.fill_(number)


def read_mark(path: Path) -> Optional[int]:
    """Load a pipeline and see whether it is one.

    path (Path): Its folder.
    RETURNS (Optional[int]): The number in all its files; None if there is no pipeline.
    """
    if not path.exists():
        return None
    nlp = spacy.load(path)
    ((_, pipe),) = nlp.pipeline
    found = {int(nlp.meta["description"]), nlp.batch_size, *map(int, pipe.cfg["temperatures"])}
    found.add(max(int(word[5:]) for word in nlp.vocab.strings if word.startswith("mark-")))
    for heads in get_heads(pipe.model):
        found |= {int(value) for weights in heads.parameters() for value in weights.unique()}
    assert len(found) == 1, found
    return found.pop()


class Marks:
    """Reads marks, and loads what it has seen before no second time."""

    def __init__(self) -> None:
        self._seen: Dict[Optional[str], Optional[int]] = {}

    def __call__(self, path: Path) -> Optional[int]:
        digest = contents(path)
        if digest not in self._seen:
            self._seen[digest] = read_mark(path)
        return self._seen[digest]


def make_trainable(backbone: Path, folder: Path, steps: int = 8) -> Any:
    """Make a pipeline that spaCy's training loop saves after each step, as `model-best` too, with marks from 1 on.

    backbone (Path): The folder of the backbone.
    folder (Path): Where to put the documents.
    steps (int): The number of steps.
    RETURNS (Language): The pipeline.
    """

    @spacy.registry.callbacks("test.mark")
    def make_marker():
        numbers = count(1)

        def mark_next(nlp):
            mark(nlp, next(numbers))
            return nlp

        return mark_next

    rows = [{"text": text, "cats": {"A": int("a" in text[:12]), "B": int("a" not in text[:12])}} for text in SENTENCES]
    (folder / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    overrides = {
        **{f"paths.{name}": str(folder / "notes.jsonl") for name in ("train", "dev")},
        "paths.backbone": str(backbone),
        "training.max_steps": steps,
        "training.eval_frequency": 1,
        "training.before_to_disk": {"@callbacks": "test.mark"},
        # All are as good, so that each is copied to model-best
        "training.score_weights": dict.fromkeys(("cats_score", "cats_full", "exit_layer"), 0.0),
        "components.epee_textcat.model.trunk.window": 32,
        "components.epee_textcat.model.trunk.overlap": 8,
    }
    config = Path(__file__).parent.parent / "configs" / "textcat.cfg"
    return init_nlp(spacy.util.load_config(config, overrides=overrides, interpolate=False))
