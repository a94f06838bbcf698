"""Pipelines of all kinds that several threads and processes share. As a script, answers in processes beside answering threads."""

import faulthandler
import multiprocessing
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, List

import torch
from events_util import make_events_nlp
from images_util import make_image_backbone, make_image_docs, make_image_nlp
from relations_util import PROBLEMS, make_relations_nlp, tag
from util import make_backbone, make_nlp, make_texts

RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.5, "patience": 1}
KINDS = ("textcat", "relations", "events", "imagecat", "onnx", "onnx_relations")


def make_pipeline(kind: str, folder: Path):
    """Make a pipeline of one of `KINDS`. Its documents leave at different layers.

    kind (str): Which.
    folder (Path): Where to put its backbone.
    RETURNS (Language): The pipeline.
    """
    if kind == "imagecat":
        return make_image_nlp(make_image_backbone(folder), RULE)
    backbone = make_backbone(folder)
    if kind == "events":
        return make_events_nlp(backbone, steps=40, exit=RULE, trunk={"mixed_precision": False})
    nlp = make_relations_nlp(backbone, exit=RULE) if "relations" in kind else make_nlp(backbone, exit=RULE)
    if kind.startswith("onnx"):
        nlp.get_pipe(nlp.pipe_names[0]).model.get_ref("trunk").shims[0].export("onnx", "fp32")
    return nlp


def make_docs(nlp, count: int = 12, seed: int = 0) -> List[Any]:
    """Docs for any pipeline of `make_pipeline`."""
    if nlp.pipe_names == ["epee_imagecat"]:
        return make_image_docs(nlp, count, seed)
    problems = sorted(PROBLEMS)
    texts = make_texts(count, longest=60, seed=seed)
    return [tag(nlp.make_doc(f"{text} Codeine for {problems[i % 7]}, no rash.")) for i, text in enumerate(texts)]


def answers_of(nlp, docs, **settings: Any) -> List[Any]:
    """What a pipeline answers, to be compared."""
    found = []
    for doc in nlp.pipe((doc.copy() for doc in docs), **settings):
        extra = [getattr(doc._, name) for name in ("relations", "events") if doc.has_extension(name)]
        found.append(rounded([dict(doc.cats), extra, doc._.exits]))
    return found


def rounded(value: Any) -> Any:
    """The same with figures as sure as their last digits are."""
    if isinstance(value, float):
        return round(value, 3) + 0.0
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, (list, tuple)) else value


def near(one: Any, other: Any) -> bool:
    """RETURNS (bool): Whether two answers are the same but for the last digits, which depend on what else is in a batch."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 2e-3
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(near(part, other[name]) for name, part in one.items())
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(near, one, other))
    return bool(one == other)


def together(work: Callable[[int], Any], threads: int = 8, seconds: float = 60) -> None:
    """Run something in threads that begin at the same time.

    work (Callable[[int], Any]): What to run, given the number of the thread.
    threads (int): How many.
    seconds (float): After how long it hangs.
    RAISES Exception: What any of them raised.
    """
    start, errors = threading.Barrier(threads), []

    def run(number: int) -> None:
        try:
            start.wait(seconds)
            work(number)
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(threads)]
    for thread in running:
        thread.start()
    end = time.monotonic() + seconds
    for thread in running:
        thread.join(max(end - time.monotonic(), 0))
    if any(thread.is_alive() for thread in running):
        faulthandler.dump_traceback(sys.__stderr__)
        raise TimeoutError(f"Threads hang after {seconds} seconds.")
    if errors:
        raise errors[0]


def _answer(nlp, docs, sender) -> None:
    sender.send((torch.get_num_threads(), answers_of(nlp, docs, batch_size=5)))


def answer_in_processes(kind: str, method: str, count: int, threads: int = 3, seconds: float = 30) -> None:
    """Start processes that answer, beside threads that do.

    kind (str): One of `KINDS`.
    method (str): "fork", "spawn" or "forkserver".
    count (int): How many, one after the other.
    threads (int): How many threads answer.
    seconds (float): After how long a process hangs.
    """
    with tempfile.TemporaryDirectory() as folder:
        nlp = make_pipeline(kind, Path(folder))
    torch.set_num_threads(2)  # of which a forked process has one
    docs = make_docs(nlp)
    expected = answers_of(nlp, docs, batch_size=5)
    done = threading.Event()

    def keep_on() -> None:
        number = 0
        while not done.is_set():
            # Others every time, so that what is kept by shape is made anew.
            list(nlp.pipe(make_docs(nlp, 4, seed=number)))
            number += 1

    running = [threading.Thread(target=keep_on, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    context = multiprocessing.get_context(method)
    try:
        for number in range(count):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_answer, args=(nlp, docs, sender), daemon=True)
            process.start()
            sender.close()
            if not receiver.poll(seconds):
                process.kill()
                raise TimeoutError(f"Process {number + 1} of {count} hangs.")
            assert receiver.recv() == (1, expected), f"process {number + 1} of {count}"
            process.join(seconds)
            assert process.exitcode == 0, f"process {number + 1} of {count} ends with {process.exitcode}"
        assert all(thread.is_alive() for thread in running)
    finally:
        done.set()
        for thread in running:
            thread.join(seconds)


if __name__ == "__main__":
    faulthandler.dump_traceback_later(float(sys.argv[4]), exit=True)
    answer_in_processes(sys.argv[1], sys.argv[2], int(sys.argv[3]))
