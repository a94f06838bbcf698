"""The library that reads the formats."""

from importlib import import_module
from types import ModuleType


def need_bioc(name: str) -> ModuleType:
    """Import a module of the package bioc.

    name (str): The module.
    RETURNS (ModuleType): The module.
    RAISES ImportError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            "Reading this format needs the package 'bioc'. Install it with `pip install \"spacy_epee[convert]\"`."
        ) from error
