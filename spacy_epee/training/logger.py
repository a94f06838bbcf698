"""The training table."""

import warnings
from pathlib import Path
from typing import Any, Dict, Optional, Union

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
        check_steps(nlp.config.interpolate()["training"])
        log_step, finalize = setup(nlp, *streams, **named)

        def log(info):
            if info is not None and "exit_layer" in info.get("other_scores", {}):
                scores = info["other_scores"]
                info = {**info, "other_scores": {**scores, "exit_layer": scores["exit_layer"] / 100}}
            log_step(info)

        return log, finalize

    return setup_printer


def check_steps(training: Dict[str, Any]) -> None:
    """Warn if the learning rate is 0 before training ends.

    training (Dict[str, Any]): The block `training` of a config.
    """
    rate = training["optimizer"].get("learn_rate")
    falls = rate.get("total_steps") if isinstance(rate, dict) else None
    steps = training["max_steps"]
    if falls and steps > falls:
        warnings.warn(
            f"The learning rate is 0 from step {falls} on, and training goes on to step {steps}. In place of "
            "`training.max_steps` set `training.optimizer.learn_rate.total_steps`, which it follows in the configs here."
        )
