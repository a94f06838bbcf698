"""The training table."""

from pathlib import Path
from typing import Optional, Union

from spacy.training.loggers import console_logger_v3


def ConsoleLogger(
    progress_bar: Optional[str] = None, console_output: bool = True, output_file: Optional[Union[str, Path]] = None
):
    """spaCy's training table, with the mean exit layer as a plain number. spaCy prints every score times 100.

    progress_bar (Optional[str]): None, "train" or "eval".
    console_output (bool): Whether to print the table.
    output_file (Optional[Union[str, Path]]): A JSONL file to log to.
    RETURNS (Callable): The logger.
    """
    setup = console_logger_v3(progress_bar=progress_bar, console_output=console_output, output_file=output_file)

    def setup_printer(nlp, *streams, **named):
        log_step, finalize = setup(nlp, *streams, **named)

        def log(info):
            if info is not None and "exit_layer" in info.get("other_scores", {}):
                scores = info["other_scores"]
                info = {**info, "other_scores": {**scores, "exit_layer": scores["exit_layer"] / 100}}
            log_step(info)

        return log, finalize

    return setup_printer
