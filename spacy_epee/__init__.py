"""Early-exiting transformers as ordinary spaCy pipeline components."""

__version__ = "0.1.0"
