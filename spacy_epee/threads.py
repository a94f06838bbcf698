"""What several threads need that share a pipeline, and processes that are forked beside them.

Whatever answers is kept in objects of its own call; what pipelines share does not change while they answer. What is left is
here: what is made at first use, and that nothing must be half done when a process is forked.
"""

import multiprocessing
import os
import sys
import threading
from contextlib import ContextDecorator, contextmanager
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, TypeVar

import torch

Made = TypeVar("Made")

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property
else:

    class cached_property:
        """As in functools from Python 3.12 on. Until then a lock of the class keeps all other threads waiting, and those of a
        process that is forked meanwhile for good."""

        def __init__(self, function: Callable[[Any], Any]):
            self.function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self.name] = self.function(instance)
            return value


class _NoFork(ContextDecorator):
    """A context in which no process is forked: the child would have the locks of threads at work, of torch's and others' too, but
    not the threads that open them. A thread that forks waits for those in here, and keeps others out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: List[int] = []
        self._forking = 0

    def __enter__(self) -> None:
        own = threading.get_ident()
        with self._changed:
            while self._forking and own not in self._inside:
                self._changed.wait()
            self._inside.append(own)

    def __exit__(self, *error: Any) -> None:
        with self._changed:
            self._inside.remove(threading.get_ident())
            self._changed.notify_all()

    def begin_fork(self) -> None:
        """Wait for the others. What is locked here stays so until there are two processes."""
        own = threading.get_ident()
        self._changed.acquire()
        self._forking += 1
        while any(thread != own for thread in self._inside):
            self._changed.wait()

    def end_fork(self) -> None:
        """Let the others go on, if there are any in this process."""
        self._forking -= 1
        self._changed.notify_all()
        self._changed.release()


no_fork = _NoFork()


class Turn(ContextDecorator):
    """A context, or decorator, for one thread at a time, which can enter it again. No process is forked meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        no_fork.__enter__()
        self._lock.acquire()

    def __exit__(self, *error: Any) -> None:
        self._lock.release()
        no_fork.__exit__()


FIRST_USE, LOADING = Turn(), Turn()
"""For what is made when it is first asked for; and for loading and saving, in which other libraries change what is global."""


class Shared:
    """What keeps training and answers apart: modules that are switched to training, or have some of the new weights, give answers
    that are neither those of before nor those of after."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answering: List[int] = []
        self._training: List[int] = []
        self._waiting = 0

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A context for any number of threads that answer. They wait for one that trains, or is about to."""
        own = threading.get_ident()
        with no_fork:
            with self._changed:
                while (self._training or self._waiting) and own not in self._training and own not in self._answering:
                    self._changed.wait()
                self._answering.append(own)
            try:
                yield
            finally:
                with self._changed:
                    self._answering.remove(own)
                    self._changed.notify_all()

    @contextmanager
    def training(self) -> Iterator[None]:
        """A context for one thread that trains, which can enter it again. It waits for those that answer."""
        own = threading.get_ident()
        with no_fork:
            with self._changed:
                self._waiting += 1
                try:
                    while any(thread != own for thread in (*self._answering, *self._training)):
                        self._changed.wait()
                finally:
                    self._waiting -= 1
                    self._changed.notify_all()
                self._training.append(own)
            try:
                yield
            finally:
                with self._changed:
                    self._training.remove(own)
                    self._changed.notify_all()

    def __reduce__(self) -> Any:
        return Shared, ()  # a copy has threads of its own


def kept(owner: Any, name: str, fits: Callable[[Any], bool], make: Callable[[], Made]) -> Made:
    """Get what is made when it is first asked for, by whatever thread that is.

    owner (Any): What keeps it.
    name (str): As which attribute. None is nothing so far.
    fits (Callable[[Any], bool]): Whether what is kept will do.
    make (Callable[[], Any]): Makes it.
    RETURNS (Any): It.
    """
    found = getattr(owner, name)
    if found is None or not fits(found):
        with FIRST_USE:
            found = getattr(owner, name)
            if found is None or not fits(found):
                found = make()
                setattr(owner, name, found)
    return found


def one_thread() -> None:
    """Keep this process to one thread: there are others beside it."""
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def end_with_parent() -> None:
    """Have this process, a worker, end with the one that began it, also if that one is killed."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


# A forked worker inherits the thread pools of torch and tokenizers without their threads and would wait for them forever. One
# that is started anew keeps to one thread as well: there are others beside it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=no_fork.begin_fork, after_in_parent=no_fork.end_fork, after_in_child=no_fork.end_fork)
    os.register_at_fork(after_in_child=one_thread)
if multiprocessing.parent_process() is not None or getattr(multiprocessing.current_process(), "_inheriting", False):
    one_thread()  # the latter while the new process still reads what it was given, a pipeline for example
