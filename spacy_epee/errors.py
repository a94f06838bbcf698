"""Errors that hold nothing of a note."""

from typing import NoReturn


def raise_alone(error: Exception) -> NoReturn:
    """Raise an error that keeps no other one. `raise ... from None` hides what was being handled and leaves it in `__context__`,
    where error trackers find it; JSONDecodeError and UnicodeDecodeError hold the whole text.

    error (Exception): The error.
    """
    try:
        raise error
    finally:
        error.__cause__ = error.__context__ = None
