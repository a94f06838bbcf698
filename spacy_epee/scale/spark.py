"""Notes in the files of a cluster, answered by Apache Spark."""

import os
import re
import shutil
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple

from ..errors import raise_alone
from .frames import SCHEMA, annotate
from .notes import CHUNK_NOTES
from .reading import WORDS, Columns
from .tables import require

PARTITION = 10_000
"""How many notes, at most, are answered between two points at which another machine can take over."""

JAVA = "Spark needs Java 17 or newer: `apt-get install openjdk-17-jre-headless`, or let JAVA_HOME name the folder of one"

SAMPLE = 0.01
"""The share of rows in which columns are looked for first."""

BROKEN = "_spacy_epee_broken"
"""The column of CSV files in which Spark puts rows with other numbers of values than columns."""

REPLACED = "\ufffd"
"""What Spark puts in the place of bytes that are no UTF-8."""

QUICK_JAVA = "-XX:TieredStopAtLevel=1"
"""Has Java compile quickly. `spark.driver.extraJavaOptions`, which are yours, come after it."""


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
    builder = require("pyspark.sql", "Spark", "spark").SparkSession.builder.master(master).appName("spacy_epee annotate")
    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        # Java has the cores of the workers here, and little to do: half of its work was to compile it as well as can be.
        builder = builder.config("spark.driver.defaultJavaOptions", QUICK_JAVA)
    # Tables as large as what is answered at once. Python processes go on to the next part with the pipeline that they have.
    builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", str(CHUNK_NOTES))
    builder = builder.config("spark.python.worker.reuse", "true")
    builder = builder.config("spark.sql.csv.parser.columnPruning.enabled", "false")  # or broken rows are not noticed
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise_alone(ValueError(f"Spark cannot be started at '{master}' ({type(error).__name__}). {JAVA}."))


def _run(session: Any, path: str, version: str, source: str, target: str, columns: Columns, batch_size: int) -> Counts:
    functions = require("pyspark.sql.functions", "Spark", "spark")
    kind = _suffix(target)
    table = READERS[_suffix(source)](session, source, columns)
    for use, name in columns.needed().items():
        if name not in table.columns:
            raise ValueError(f"'{source}' has no column '{name}'; name the one with the {use} by {WORDS[use]}.")
    # Numbers that may be missing would be fractions in pandas.
    table = table.select(functions.col(f"`{columns.id}`").cast("string").alias("id"), table[f"`{columns.text}`"].alias("text"))
    # One pass tells how many notes there are, and which ids are doubled.
    groups = table.groupBy("id").count()
    notes, twice = groups.selectExpr("coalesce(sum(count), 0)", "count_if(count > 1 AND id IS NOT NULL)").first()
    if twice:
        raise ValueError(f"In '{source}' {twice} ids are there more than once. Give every note an id of its own.")
    odd = require("pyspark.sql", "Spark", "spark").Observation()
    looked = notes > 0 and dict(table.dtypes)["text"] == "string"
    if looked:
        table = table.observe(odd, functions.expr(f"count_if(contains(text, '{REPLACED}')) AS notes"))
    work = partial(annotate, path=path, batch_size=batch_size, version=version)
    rows = table.repartition(parts_of(notes, session.sparkContext.defaultParallelism)).mapInPandas(work, SCHEMA)
    # Rows are counted as they are written: those of a part that is repeated once.
    seen = require("pyspark.sql", "Spark", "spark").Observation()
    rows = rows.observe(seen, *map(functions.expr, ("count(*) AS notes", "count_if(error IS NOT NULL) AS failed")))
    WRITERS[kind](rows.write.mode("errorifexists"), target)
    if looked and odd.get["notes"]:
        warnings.warn(
            f"{odd.get['notes']} notes in '{source}' have characters that stand for what is not UTF-8. Convert it first."
        )
    return Counts(**seen.get)


def parts_of(notes: int, workers: int) -> int:
    """Divide notes, so that each worker has as many parts as any other: none is alone with the last one.

    notes (int): How many notes there are.
    workers (int): How many parts are answered at the same time.
    RETURNS (int): How many parts there are to be, each of at most `PARTITION` notes.
    """
    return workers * max(1, -(-notes // (PARTITION * workers)))


def _read_jsonl(session: Any, path: str, columns: Columns) -> Any:
    # To find the columns Spark would parse every row. A sample tells them, unless they are rare or texts are no strings.
    some = dict(session.read.json(path, samplingRatio=SAMPLE).dtypes)
    if some.get(columns.text) == "string" and columns.id in some:
        return session.read.schema(", ".join(f"`{name}` STRING" for name in dict.fromkeys(columns.needed().values()))).json(path)
    return session.read.json(path)


def _read_csv(session: Any, path: str, columns: Columns) -> Any:
    form = {"header": True, "multiLine": True, "quote": '"', "escape": '"', "sep": columns.delimiter, "enforceSchema": False}
    table = session.read.csv(path, **form)
    if columns.text not in table.columns:
        return table
    # Of a row that has a value too many Spark leaves out the last, and with that the rest of a note which has a comma in it.
    col, when = (getattr(require("pyspark.sql.functions", "Spark", "spark"), name) for name in ("col", "when"))
    fields = table.schema.add(BROKEN, "string")
    table = session.read.csv(path, schema=fields, columnNameOfCorruptRecord=BROKEN, **form)
    return table.withColumn(columns.text, when(col(BROKEN).isNull(), col(f"`{columns.text}`")))


def _read_parquet(session: Any, path: str, columns: Columns) -> Any:
    return session.read.parquet(path)


def _write_jsonl(writer: Any, path: str) -> None:
    writer.json(path, ignoreNullFields=False)


def _write_csv(writer: Any, path: str) -> None:
    writer.csv(path, header=True, quote='"', escape='"')


def _write_parquet(writer: Any, path: str) -> None:
    writer.parquet(path)


READERS: Dict[str, Callable[[Any, str, Columns], Any]] = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
"""What reads files, by the ending of their names."""

WRITERS: Dict[str, Callable[[Any, str], None]] = {".jsonl": _write_jsonl, ".csv": _write_csv, ".parquet": _write_parquet}
"""What writes a folder of files."""


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
    """RETURNS (str): What our code in a worker said, or what Spark calls an error. It shows values, too, which may be text."""
    text = str(error)
    for line in text.splitlines():
        if line.startswith("ValueError: The pipeline '"):
            return line.removeprefix("ValueError: ").rstrip(".")
    if "CSV header does not conform to the schema" in text:
        return "the CSV files have other columns than the first, or another order. Give files with the same columns"
    condition = re.match(r"\[([A-Z_.]+)\]", text)
    return f"{type(error).__name__} {condition[1] if condition else ''}".rstrip()
