"""Tables of notes, answered by the workers of Spark, Dask or Ray."""

from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Iterator, Optional

from ..threads import LOADING, one_thread
from .notes import COLUMNS, annotate_alone, chunks, make_note
from .tables import require
from .version import Loaded, load_pipeline
from .writing import flat

if TYPE_CHECKING:
    import pandas

SCHEMA = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
"""The columns of what `annotate` yields, as Spark calls them."""


def annotate(
    frames: "Iterator[pandas.DataFrame]",
    path: str,
    *,
    id_column: str = "id",
    text_column: str = "text",
    batch_size: int = 32,
    version: Optional[str] = None,
) -> "Iterator[pandas.DataFrame]":
    """Answer tables of notes. This is what `mapInPandas` of Spark is to call: it reads the pipeline by its path, once a process,
    and keeps the process to one thread. What is wrong with a note is said in its row.

    frames (Iterator[DataFrame]): The tables.
    path (str): The pipeline: a folder or an installed package, the same on every machine.
    id_column (str): The column with the ids: strings or whole numbers.
    text_column (str): The column with the texts.
    batch_size (int): How many notes are answered together.
    version (Optional[str]): The version that the pipeline must have, as of `load_pipeline`; None takes any.
    YIELDS (DataFrame): A table for each, with a row for each note, in order; see `SCHEMA`.
    RAISES ValueError: A column is missing, or the pipeline is another one.
    """
    pandas = require("pandas", "annotating tables", "spark")
    one_thread()
    loaded = load_once(path, version)
    for frame in frames:
        for column in (id_column, text_column):
            if column not in frame.columns:
                raise ValueError(f"A table of notes has no column '{column}'.")
        pairs = zip(frame[id_column].tolist(), frame[text_column].tolist())
        notes = (make_note(key, text, "a row of the table") for key, text in pairs)
        rows = chain.from_iterable(annotate_alone(loaded.nlp, chunk, loaded.version, batch_size) for chunk in chunks(notes))
        yield pandas.DataFrame([flat(row) for row in rows], columns=list(COLUMNS))


def load_once(path: str, version: Optional[str] = None) -> Loaded:
    """Load a pipeline, once a process.

    path (str): A folder or an installed package.
    version (Optional[str]): The version that it must have; None takes what this process has loaded before.
    RETURNS (Loaded): The pipeline.
    RAISES ValueError: It has another version.
    """
    with LOADING:
        loaded = _load(path)
        if version is not None and loaded.version != version:  # it was replaced since this process loaded it
            _load.cache_clear()
            loaded = _load(path)
    if version is not None and loaded.version != version:
        raise ValueError(f"The pipeline '{path}' is {loaded.version} here, and is to be {version}: it was replaced meanwhile.")
    return loaded


_load = lru_cache(maxsize=2)(load_pipeline)
