"""What each checkpoint of a training gets from the documents that it is evaluated on."""

from functools import partial
from typing import Callable

from spacy.language import Language
from spacy.util import resolve_dot_names

from ..component.pipe import EarlyExitTransformer
from ..evaluation.sample import sample
from ..evaluation.stored_outputs import StoredOutputs
from ..evaluation.timing import prepare
from .fitting import fit_mix, fit_salience, fit_temperatures, fit_thresholds


def fit_on_dev(limit: int = 0, seed: int = 0) -> Callable[[Language], Language]:
    """Fit how much words count, temperatures and thresholds of labels to `training.dev_corpus` whenever a pipeline is saved, each
    where it helps on halves that it was not fitted to. Training itself goes on without. For `[training.before_to_disk]`.

    limit (int): The most documents, of which some are drawn; 0 for all.
    seed (int): The seed of the draw and of the halves.
    RETURNS (Callable[[Language], Language]): The callback.
    """
    if limit < 0:
        raise ValueError(f"The setting `training.before_to_disk.limit` is {limit}; give a number of documents, or 0 for all.")
    return partial(fit_checkpoint, limit=limit, seed=seed)


def fit_checkpoint(nlp: Language, *, limit: int, seed: int) -> Language:
    """Fit all early-exiting components that are trained.

    nlp (Language): The pipeline in training, with its config.
    limit (int): The most documents; 0 for all.
    seed (int): The seed.
    RETURNS (Language): The same.
    """
    frozen = nlp.config["training"]["frozen_components"]
    components = [part for name, part in nlp.pipeline if isinstance(part, EarlyExitTransformer) and name not in frozen]
    if not components:
        raise ValueError(
            "The setting `training.before_to_disk` fits early-exiting components, and none of this pipeline is trained: "
            f"{nlp.pipe_names}. Set it to null."
        )
    config = nlp.config.interpolate()
    [corpus] = resolve_dot_names(config, [config["training"]["dev_corpus"]])
    examples = list(corpus(nlp))
    for component in components:
        some = sample(examples, [slot.task for slot in component.slots.values()], limit, seed)
        prepared = prepare(nlp, component, some)
        for task in component.slots:
            stored = StoredOutputs(component, prepared, task, nlp=nlp)
            for fit in (fit_mix, fit_salience, fit_thresholds, fit_temperatures):
                fit(component, stored, None, None, seed)
    return nlp
