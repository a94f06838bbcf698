"""Notes in the files of a cluster, answered by Apache Spark."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Optional

from ..errors import raise_alone
from .frames import SCHEMA, annotate
from .notes import CHUNK_NOTES
from .reading import WORDS, Columns
from .tables import require

PARTITION = 10_000
"""How many notes are answered between two points at which another machine can take over."""

JAVA = "Spark needs Java 17 or newer: `apt-get install openjdk-17-jre-headless`, or let JAVA_HOME name the folder of one"


class Counts(NamedTuple):
    """What came of it.

    notes (int): How many notes there are.
    failed (int): How many have an error in place of an answer.
    """

    notes: int
    failed: int


def check_spark(columns: Columns) -> None:
    """Refuse what Spark cannot do, before anything is loaded.

    columns (Columns): Where the notes are.
    RAISES ValueError: A library or Java is missing, or notes are to be numbered.
    """
    for library in ("pyspark", "pandas", "pyarrow"):
        require(library, "Spark", "spark")
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=f"{home}/bin" if home else None) is None:
        raise ValueError(f"There is no Java. {JAVA}.")
    if columns.numbered:
        raise ValueError("--number is for one process: with --spark the notes must have ids.")


def run_spark(master: str, path: str, version: str, source: str, target: str, columns: Columns, batch_size: int) -> Counts:
    """Answer all notes of some files.

    master (str): The master of Spark, such as "local[2]" or "yarn".
    path (str): The pipeline, which is there on every machine.
    version (str): Its version. A worker that finds another one fails.
    source (str): A file or folder with notes, as Spark reads it.
    target (str): The folder to write to.
    columns (Columns): Where the notes are.
    batch_size (int): How many notes are answered together.
    RETURNS (Counts): What came of it.
    RAISES ValueError: The notes cannot be read, an id is there twice, or a part failed again and again.
    """
    session = _session(master)
    try:
        return _run(session, path, version, source, target, columns, batch_size)
    except ValueError:
        raise
    except Exception as error:  # what Java and workers say has traces of hundreds of lines
        raise_alone(ValueError(f"Spark failed: {_cause(error)}. Its log, above, says more."))
    finally:
        session.stop()


def _session(master: str) -> Any:
    """Begin a session. On this machine workers are of this Python; on others that is what PYSPARK_PYTHON says."""
    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = require("pyspark.sql", "Spark", "spark").SparkSession.builder.master(master).appName("spacy_epee annotate")
    # Tables as large as what is answered at once. Python processes go on to the next part with the pipeline that they have.
    builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", str(CHUNK_NOTES))
    builder = builder.config("spark.python.worker.reuse", "true")
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise_alone(ValueError(f"Spark cannot be started at '{master}' ({type(error).__name__}). {JAVA}."))


def _run(session: Any, path: str, version: str, source: str, target: str, columns: Columns, batch_size: int) -> Counts:
    functions = require("pyspark.sql.functions", "Spark", "spark")
    table = _read(session, source, columns)
    for use, name in columns.needed().items():
        if name not in table.columns:
            raise ValueError(f"'{source}' has no column '{name}'; name the one with the {use} by {WORDS[use]}.")
    table = table.select(*columns.needed().values())
    twice = table.groupBy(columns.id).count().where(f"count > 1 AND `{columns.id}` IS NOT NULL").count()
    if twice:
        raise ValueError(f"In '{source}' {twice} ids are there more than once. Give every note an id of its own.")
    parts = max(session.sparkContext.defaultParallelism, -(-table.count() // PARTITION))
    work = partial(annotate, path=path, id_column=columns.id, text_column=columns.text, batch_size=batch_size, version=version)
    rows = table.repartition(parts).mapInPandas(work, SCHEMA)
    WRITERS[_suffix(target)](rows.write.mode("errorifexists"), target)
    written = READERS[_suffix(target)](session, target, Columns())
    return Counts(written.count(), written.where(functions.col("error").isNotNull()).count())


def _read(session: Any, source: str, columns: Columns) -> Any:
    """RETURNS (DataFrame): The notes."""
    return READERS[_suffix(source)](session, source, columns)


def _read_jsonl(session: Any, path: str, columns: Columns) -> Any:
    return session.read.json(path)


def _read_csv(session: Any, path: str, columns: Columns) -> Any:
    return session.read.csv(path, header=True, multiLine=True, quote='"', escape='"', sep=columns.delimiter)


def _read_parquet(session: Any, path: str, columns: Columns) -> Any:
    return session.read.parquet(path)


READERS: Dict[str, Callable[[Any, str, Columns], Any]] = {
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}

WRITERS: Dict[str, Callable[[Any, str], None]] = {
    ".jsonl": lambda writer, path: writer.json(path),
    ".csv": lambda writer, path: writer.csv(path, header=True, quote='"', escape='"'),
    ".parquet": lambda writer, path: writer.parquet(path),
}


def _suffix(path: str) -> str:
    """RETURNS (str): The ending of a file or folder, or of what is in the folder.
    RAISES ValueError: It is another one."""
    names = [path.rstrip("/"), *(file.name for file in Path(path).glob("*"))]
    for name in names:
        for suffix in READERS:
            if name.lower().endswith((suffix, f"{suffix}.gz")):
                return suffix
    raise ValueError(f"With --spark '{path}' must end in, or be a folder of files that end in, {', '.join(READERS)}.")


def _cause(error: Exception) -> str:
    """RETURNS (str): The kind of an error, and what our code in a worker said."""
    said: Optional[str] = None
    for line in str(error).splitlines():
        if line.startswith("ValueError: ") and ("column" in line or "pipeline" in line):
            said = line.removeprefix("ValueError: ")
    return said or type(error).__name__
