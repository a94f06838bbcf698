"""Pruning while a pipeline is trained."""

from dataclasses import dataclass
from typing import Any, Dict

from spacy.language import Language

from ..component.pipe import EarlyExitTransformer
from ..model import get_trunk_shim
from ..settings import check_number
from ..trunk.pruning import prune_smallest


def gradual_pruning(
    pipe: str, sparsity: float, from_step: int, to_step: int, every: int = 10, everywhere: bool = True
) -> "GradualPruning":
    """Set more and more of the smallest weights of the backbone's linear layers to zero, fast at first and ever more slowly,
    while the others learn to do without them (Zhu and Gupta 2017). For `[training.before_update]`.

    pipe (str): The component.
    sparsity (float): The share of zeros in the end, above 0 and below 1.
    from_step (int): The step at which it begins.
    to_step (int): The step from which on the share is that of the end.
    every (int): After how many steps more zeros are chosen. What is zero in between stays zero.
    everywhere (bool): Whether the smallest weights of all layers are chosen together. If not, all layers have the same share.
    RETURNS (GradualPruning): The callback.
    """
    block = "training.before_update"
    check_number(f"{block}.sparsity", sparsity, 0, 1, above=True, below=True)
    check_number(f"{block}.from_step", from_step, 0, whole=True)
    check_number(f"{block}.to_step", to_step, from_step, above=True, whole=True)
    check_number(f"{block}.every", every, 1, whole=True)
    return GradualPruning(pipe, sparsity, from_step, to_step, every, everywhere)


@dataclass(frozen=True)
class GradualPruning:
    """As `gradual_pruning`."""

    pipe: str
    sparsity: float
    from_step: int
    to_step: int
    every: int
    everywhere: bool

    def __call__(self, nlp: Language, progress: Dict[str, Any]) -> None:
        """Choose zeros, if it is time.

        nlp (Language): The pipeline in training.
        progress (Dict[str, Any]): The current "step".
        """
        shim, step = self._find_trunk(nlp), progress["step"]
        if step == 0:
            self._check_training(nlp.config.interpolate()["training"])
        done = step - self.from_step
        if done < 0 or step > self.to_step or (done % self.every and step != self.to_step):
            return
        shim.masks = prune_smallest(shim.stepper, self.share_at(step), self.everywhere)
        shim.weights_changed()

    def share_at(self, step: int) -> float:
        """RETURNS (float): The share of zeros from a step on."""
        left = 1 - (step - self.from_step) / (self.to_step - self.from_step)
        return self.sparsity * (1 - min(max(left, 0.0), 1.0) ** 3)

    def _find_trunk(self, nlp: Language) -> Any:
        """What holds the backbone."""
        component = nlp.get_pipe(self.pipe) if self.pipe in nlp.pipe_names else None
        if not isinstance(component, EarlyExitTransformer):
            raise ValueError(
                f"The setting `training.before_update.pipe` is '{self.pipe}', which is no early-exiting component of this "
                f"pipeline: {nlp.pipe_names}."
            )
        return get_trunk_shim(component.model)

    def _check_training(self, training: Dict[str, Any]) -> None:
        """RAISES ValueError: Training would not end with the zeros."""
        if 0 < training["max_steps"] < self.to_step:
            raise ValueError(
                f"The setting `training.before_update.to_step` is {self.to_step}, and training ends at step "
                f"{training['max_steps']} (`training.max_steps`), before all zeros are there. Give an earlier step."
            )
        if training["optimizer"].get("use_averages"):
            raise ValueError(
                "The setting `training.optimizer.use_averages` is true, and averages over steps are not zero where weights "
                "became zero on the way. Set it to false to prune in training."
            )
