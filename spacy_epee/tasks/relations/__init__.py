"""Relations between entities."""

from .docs import Relation

__all__ = ["Relation"]
