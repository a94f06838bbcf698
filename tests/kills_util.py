"""Processes that are killed while they write, and what they leave."""

import hashlib
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional

WRITES = ("open", "os.", "ctypes.dlsym")
"""What the names of audit events begin with that stand for a system call here."""


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
        action()
        code = 0
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """RETURNS (int): The exit code of a process; of a killed one that of the signal, less than 0."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kills_at_each_call(action: Callable[[], object]) -> Iterator[int]:
    """Run something again and again, killed at its first system call, its second one and so on, until it gets through.

    action (Callable[[], object]): What to run.
    YIELDS (int): The number of the call that a process was just killed at.
    """
    number, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        number += 1
        code = wait(fork(lambda: _run(action, number, lambda: os.kill(os.getpid(), signal.SIGKILL))))
        assert code in (0, -signal.SIGKILL)
        yield number


def fails_at_each_call(action: Callable[[], object], error: OSError) -> Iterator[int]:
    """Run something again and again, with an error at its first system call, its second one and so on, until none is left.

    action (Callable[[], object]): What to run. It exits with 3 where it raises an OSError.
    error (OSError): The error.
    YIELDS (int): The exit code: 3 if it failed, 0 if it got through all the same.
    """
    number, fired = 0, 9

    def fail() -> None:
        raise error

    def run() -> None:
        try:
            _run(action, number, fail)
        except OSError:
            os._exit(3)
        os._exit(0 if _run.calls >= number else fired)  # type: ignore[attr-defined]

    code = 0
    while code != fired:
        number += 1
        code = wait(fork(run))
        assert code in (0, 3, fired)
        if code != fired:
            yield code


def _run(action: Callable[[], object], number: int, do: Callable[[], object]) -> None:
    """Run something, and something else at one of its system calls."""
    _run.calls = 0  # type: ignore[attr-defined]

    def hook(event: str, arguments: object) -> None:
        if event.startswith(WRITES):
            _run.calls += 1  # type: ignore[attr-defined]
            if _run.calls == number:  # type: ignore[attr-defined]
                do()

    sys.addaudithook(hook)
    action()


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
