"""More notes than one process reads."""

from .frames import annotate

__all__ = ["annotate"]
