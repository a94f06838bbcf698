"""Steps of training and passes over the data."""

from dataclasses import dataclass
from typing import Callable, Optional

from spacy.language import Language
from spacy.util import registry, resolve_dot_names


@dataclass
class Passes:
    """How a pass over the data is cut into steps.

    documents (int): The documents of a pass.
    steps (int): The steps that it takes.
    largest (int): The most documents in a step.
    """

    documents: int
    steps: int
    largest: int

    def describe(self, steps: int) -> str:
        """RETURNS (str): What some steps are in passes."""
        even = (self.documents - 1) // self.largest + 1 == self.steps
        size = f"{self.largest}" if even else f"about {self.documents / self.steps:.0f}"
        return f"{steps:,} steps of {size} = {steps / self.steps:.1f} passes over {self.documents:,} documents"


def count_passes(nlp: Language) -> Optional[Passes]:
    """Read the training data once, and cut them into batches as training does.

    nlp (Language): The pipeline with the config of its training.
    RETURNS (Optional[Passes]): What a pass is. None for data that are streamed, or where there are none.
    """
    config = nlp.config.interpolate()
    if config["training"]["max_epochs"] < 0:
        return None
    corpus, *_ = resolve_dot_names(config, [config["training"]["train_corpus"]])
    batcher = registry.resolve({"batcher": config["training"]["batcher"]})["batcher"]
    sizes = [len(list(batch)) for batch in batcher(corpus(nlp))]
    return Passes(sum(sizes), len(sizes), max(sizes)) if sizes else None


def steps_of(nlp: Language, passes: Optional[Passes]) -> int:
    """RETURNS (int): How many steps training takes at the most; 0 if nobody has said."""
    training = nlp.config.interpolate()["training"]
    by_passes = training["max_epochs"] * passes.steps if passes is not None else 0
    return min((steps for steps in (training["max_steps"], by_passes) if steps > 0), default=0)


def steps_from_passes() -> Callable[[Language], None]:
    """Let `training.max_epochs` say how long training is: `training.max_steps`, by which learning rates fall, is set to the steps
    that so many passes make, unless it is fewer already. For `[initialize.before_init]`.

    RETURNS (Callable[[Language], None]): The callback.
    """
    return set_steps


def set_steps(nlp: Language) -> None:
    """Set `training.max_steps` by `training.max_epochs`, if that is given.

    nlp (Language): The pipeline, whose config is changed.
    """
    if nlp.config.interpolate()["training"]["max_epochs"] <= 0:
        return
    try:
        steps = steps_of(nlp, count_passes(nlp))
    except (ValueError, OSError):  # no data where the config says: `spacy train` will say so, and in Python nobody needs them
        return
    training = nlp.config["training"]
    training["max_steps"] = steps
    rate = training["optimizer"].get("learn_rate")
    if isinstance(rate, dict) and "total_steps" in rate:
        rate["total_steps"] = steps
