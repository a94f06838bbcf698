"""Libraries of tables, which extras install."""

from importlib import import_module
from typing import Any


def parquet() -> Any:
    """RETURNS (module): pyarrow's reader and writer of Parquet.
    RAISES ValueError: It is not installed."""
    return require("pyarrow.parquet", "Parquet", "parquet")


def require(module: str, use: str, extra: str) -> Any:
    """Import a library that an extra installs.

    module (str): The module.
    use (str): What needs it.
    extra (str): The extra.
    RETURNS (module): The module.
    RAISES ValueError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise ValueError(f'{use} needs the library {module.split(".")[0]}: `pip install "spacy_epee[{extra}]"`') from None
