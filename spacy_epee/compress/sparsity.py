"""Zeros in place of the smallest weights. That saves room in the folder, where zeros are left out, and no time: torch and ONNX
Runtime multiply with zeros as with any number."""

from typing import Sequence

from spacy.language import Language

from ..component.pipe import EarlyExitTransformer
from ..trunk.pruning import prune_smallest
from ..trunk.verification import make_stepper
from .base import Smaller


class Sparsity(Smaller):
    """The share of zeros in the linear layers."""

    decides = "sparsity"
    choices: Sequence[str] = ("50 %", "40 %", "30 %", "20 %", "none")

    def __init__(self, pipe: EarlyExitTransformer, everywhere: bool = True):
        """
        pipe (EarlyExitTransformer): The component.
        everywhere (bool): Whether the smallest weights of all layers are chosen together. If not, all layers have that share.
        """
        super().__init__(pipe)
        self.everywhere = everywhere

    def change(self, choice: str) -> None:
        share = int(choice.split()[0]) / 100
        model = self.copied()
        prune_smallest(make_stepper(model), share, self.everywhere)
        self.shim.replace(model)


def sparsity(nlp: Language, pipe: EarlyExitTransformer, everywhere: bool = True) -> Sparsity:
    """RETURNS (Sparsity): The linear layers of a component."""
    return Sparsity(pipe, everywhere)
