"""Where scripts import `Event` from; it lies in `tasks.events.docs`."""

from .events.docs import Event

__all__ = ["Event"]
