"""A text that nobody may see: whether anything shows it, or keeps it where an error tracker finds it."""

import contextlib
import io
import logging
import os
import sys
import tempfile
import traceback
import warnings
from typing import Any, Callable, Iterator, List, Optional, Tuple

CANARY = "QZKANARIENVOGELQZ"
"""Part of a note."""

NUMBER = 90210555123
"""A number of somebody's."""


def shows(text: Any) -> bool:
    """RETURNS (bool): Whether a text, or what Python shows of a value, has some of the canary in it."""
    text = text if isinstance(text, str) else repr(text)
    return CANARY.lower() in text.lower() or str(NUMBER) in text


def kept_by(error: Optional[BaseException]) -> Iterator[str]:
    """YIELDS (str): Where an error, or one that it keeps, has the canary."""
    seen: List[BaseException] = []
    waiting = [(type(error).__name__, error)]
    while waiting:
        name, one = waiting.pop()
        if one is None or any(one is other for other in seen):
            continue
        seen.append(one)
        attributes = {key: getattr(one, key, None) for key in dir(one) if not key.startswith("__")}
        for key, value in {"args": one.args, "str": str(one), "repr": repr(one), **vars(one), **attributes}.items():
            if isinstance(value, (str, bytes, bytearray, int, float, list, tuple, dict, set, BaseException)) and shows(value):
                yield f"{name}.{key}"
        waiting += [(f"{name}.{key}", getattr(one, key)) for key in ("__cause__", "__context__")]
    if error is not None and shows("".join(traceback.format_exception_only(error))):
        yield "what a traceback says"


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.texts: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage() + str(record.exc_text or "") + repr(record.__dict__))


@contextlib.contextmanager
def _written() -> Iterator[Callable[[], str]]:
    """Take down what is written to the standard streams, by libraries in C too."""
    kept, streams = [os.dup(number) for number in (1, 2)], (sys.stdout, sys.stderr)
    with tempfile.TemporaryFile("w+b") as file:
        for stream in streams:
            stream.flush()
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        own = io.StringIO()
        sys.stdout = sys.stderr = own  # type: ignore[assignment]
        found: List[str] = []
        try:
            yield lambda: found[0]
        finally:
            sys.stdout, sys.stderr = streams
            for number, copy in zip((1, 2), kept):
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            found.append(own.getvalue() + file.read().decode("utf-8", "replace"))


def leaks_of(function: Callable[[], Any]) -> Tuple[List[str], Optional[BaseException]]:
    """Run something, and look for the canary in what it writes, warns of, logs and raises.

    function (Callable[[], Any]): What to run. What it returns is not looked at.
    RETURNS (Tuple[List[str], Optional[BaseException]]): Where the canary was found, and what was raised.
    """
    records = _Records()
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in ("spacy", "spacy_epee", "transformers"))]
    error: Optional[BaseException] = None
    for logger in loggers:
        logger.addHandler(records)
    try:
        with warnings.catch_warnings(record=True) as said, _written() as written:
            warnings.simplefilter("always")
            try:
                function()
            except (Exception, SystemExit) as caught:
                error = caught
    finally:
        for logger in loggers:
            logger.removeHandler(records)
    found = list(kept_by(error))
    found += ["the standard streams"] if shows(written()) else []
    found += [f"a warning of {warning.category.__name__}" for warning in said if shows(str(warning.message))]
    found += ["a log" for text in records.texts if shows(text)]
    return found, error


def assert_silent(function: Callable[[], Any]) -> Optional[BaseException]:
    """Run something that may fail with an error for the user, or as a command does, and must show nothing of the canary.

    RETURNS (Optional[BaseException]): What was raised.
    """
    found, error = leaks_of(function)
    assert not found, f"the canary is in {', '.join(found)}"
    assert error is None or isinstance(error, (ValueError, OSError)) or getattr(error, "code", 3) in (0, 1), repr(error)
    return error
