"""Where pipelines and networks are compared."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import numpy
from transformers import AutoTokenizer

from ..component.pipe import EarlyExitTransformer
from ..inputs.windows import Windower
from ..threads import cached_property
from ..trunk.saved import ALONE
from ..trunk.spacy_pipelines import first_line
from .networks import Network, NetworkSettings, export, load_network, plan_of, save_trunk


class Unavailable(Exception):
    """A target cannot take part. The message says why, in one line."""


@dataclass
class Workspace:
    """What targets are made of. What several need is made once.

    model (str): The pipeline: a folder or an installed package.
    component (EarlyExitTransformer): Its component.
    folder (Path): Where to write.
    layer (Optional[int]): The last layer of networks, at which there is an exit; None for all.
    calibration (Sequence[str]): Texts by which a runtime may find out the size of what it rounds.
    """

    model: str
    component: EarlyExitTransformer
    folder: Path
    layer: Optional[int] = None
    calibration: Sequence[str] = ()
    _failed: Dict[str, str] = field(default_factory=dict)

    @cached_property
    def plan(self) -> NetworkSettings:
        """RETURNS (NetworkSettings): How texts are cut and logits read."""
        return plan_of(self.component, self.layer)

    @cached_property
    def trunk(self) -> Path:
        """RETURNS (Path): The folder with the trunk and its tokenizer, as Hugging Face has them."""
        save_trunk(self.component, self.folder / "trunk", self.layer)
        return self.folder / "trunk"

    def network(self, **settings: Any) -> Network:
        """RETURNS (Network): The network, loaded from files."""
        return load_network(self.component, self.trunk, self.layer, **settings)

    def windower(self) -> Windower:
        """RETURNS (Windower): What cuts texts, loaded from files."""
        return Windower(AutoTokenizer.from_pretrained(self.trunk, **ALONE), self.plan.size, self.plan.overlap)

    @property
    def onnx(self) -> Path:
        """RETURNS (Path): The network as a file.
        RAISES Unavailable: It cannot be written.
        """
        path = self.folder / "model.onnx"
        if "onnx" not in self._failed and not path.exists():
            try:
                export(self.network(attn_implementation="eager").cpu(), path)
            except Exception as error:  # the exporter raises whatever modelling code does when traced
                self._failed["onnx"] = f"{type(error).__name__}: {first_line(error)}"
        if "onnx" in self._failed:
            raise Unavailable(f"the model cannot be written in ONNX ({self._failed['onnx']})")
        return path


class Target:
    """A way to run the classifier."""

    title = ""
    note = ""
    """What must be known about its score, if anything."""
    twin = ""
    """The target that is the same at full depth, if this one exits early."""

    def __init__(self, place: Workspace):
        """
        place (Workspace): What it is made of.
        """
        self.place = place

    def prepare(self) -> None:
        """Write the files that `load` reads.

        RAISES Unavailable: It cannot take part.
        """

    def load(self) -> None:
        """Load it from files, as a new process would.

        RAISES Unavailable: It cannot take part.
        """
        raise NotImplementedError

    def run(self, texts: Sequence[str], size: int) -> Any:
        """Answer texts. This is timed.

        texts (Sequence[str]): The texts.
        size (int): The batch size.
        RETURNS (Any): What `read` reads.
        """
        raise NotImplementedError

    def read(self, found: Any) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities in what `run` returned, (N, K)."""
        return found

    def layers(self, found: Any) -> Optional[numpy.ndarray]:
        """RETURNS (Optional[ndarray]): The layer at which each text left, in what `run` returned, (N,). None without exits."""
        return None
