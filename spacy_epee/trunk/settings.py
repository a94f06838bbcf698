"""What a trunk for text is told."""

from dataclasses import dataclass
from typing import Literal, Optional, get_args

from ..inputs.sections import Sections
from ..settings import check_number
from .base import Precision
from .layers import Layers

Unit = Literal["window", "sentence"]
"""What texts are cut into: windows that are as long as can be, or sentences."""


@dataclass(frozen=True)
class TrunkSettings:
    """What `TransformerTrunk` is given. It is kept off the model's attributes, which thinc saves and would put back over what
    a config asks for when a pipeline is loaded."""

    name: str
    window: int
    overlap: int
    freeze_embeddings: bool
    lr_decay: float
    mixed_precision: bool
    max_wordpieces: int
    component: Optional[str] = None
    frozen: bool = False
    runtime: str = "auto"
    precision: Precision = "fp32"
    layers: Layers = None
    sections: Optional[Sections] = None
    unit: Unit = "window"
    context: int = 0

    def check(self) -> None:
        """RAISES ValueError: A setting means nothing."""
        check_number("model.trunk.window", self.window, 1, whole=True)
        check_number("model.trunk.overlap", self.overlap, 0, whole=True)
        check_number("model.trunk.context", self.context, 0, whole=True)
        check_number("model.trunk.lr_decay", self.lr_decay, 0, 1)
        check_number("model.trunk.max_wordpieces", self.max_wordpieces, 1, whole=True)
        if self.precision not in get_args(Precision):
            raise ValueError(f"The setting `model.trunk.precision` is '{self.precision}'; give 'fp32', 'bf16', 'int8' or 'auto'.")
        if self.unit not in get_args(Unit):
            raise ValueError(f"The setting `model.trunk.unit` is '{self.unit}'; give 'window' or 'sentence'.")
