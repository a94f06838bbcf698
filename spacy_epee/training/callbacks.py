"""Training in stages."""

from functools import partial
from typing import Any, Callable, Dict, Optional

from spacy.language import Language


def two_stage(pipe: str, exits_from_step: Optional[int] = None, exits_from_epoch: Optional[int] = None) -> Callable:
    """Train the trunk with its last exit first, then freeze both and train the other exits (DeeBERT, Xin et al. 2020,
    section 3.2). The answers at full depth do not change in the second stage. For `[training.before_update]`.

    pipe (str): The component.
    exits_from_step (Optional[int]): The step at which the second stage begins.
    exits_from_epoch (Optional[int]): The epoch at which it begins, in place of a step.
    RETURNS (Callable[[Language, Dict[str, Any]], None]): The callback.
    """
    if (exits_from_step is None) == (exits_from_epoch is None):
        raise ValueError("Two-stage training needs either `exits_from_step` or `exits_from_epoch`, and not both.")
    return partial(set_stage, pipe=pipe, step=exits_from_step, epoch=exits_from_epoch)


def set_stage(nlp: Language, progress: Dict[str, Any], *, pipe: str, step: Optional[int], epoch: Optional[int]) -> None:
    """Set the stage of a component.

    nlp (Language): The pipeline in training.
    progress (Dict[str, Any]): The current "step" and "epoch".
    pipe (str): The component.
    step (Optional[int]): The step at which the second stage begins.
    epoch (Optional[int]): The epoch at which it begins.
    """
    if pipe not in nlp.pipe_names or not hasattr(nlp.get_pipe(pipe), "stage"):
        raise ValueError(
            f"The setting `training.before_update.pipe` is '{pipe}', which is no early-exiting component of this pipeline: "
            f"{nlp.pipe_names}."
        )
    second = progress["step"] >= step if step is not None else progress["epoch"] >= epoch
    component: Any = nlp.get_pipe(pipe)
    component.stage = "exits" if second else "trunk"
