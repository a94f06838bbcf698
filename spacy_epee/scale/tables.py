"""What files of tables end in, and the libraries for them, which extras install."""

from importlib import import_module
from typing import Any, Iterable, Optional


def ending_of(name: str, endings: Iterable[str]) -> Optional[str]:
    """RETURNS (Optional[str]): The ending of a name among some, whatever its case; None if it has another one."""
    return next((ending for ending in endings if name.lower().endswith(ending)), None)


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
