"""What climbs, whoever computes it, and what a runtime must offer to be one."""

from typing import Any, Callable, Dict, Literal, Mapping, Protocol, Sequence

import numpy
import torch
from torch import Tensor

from ..registry import names, runtimes

TORCH = "torch"
"""The runtime in which a backbone is trained. It runs without an export, in the precision of a setting."""

Precision = Literal["fp32", "bf16", "int8", "auto"]
"""What torch can be told to answer in."""


class State(Protocol):
    """A batch of windows somewhere on its way up.

    layer (int): How many layers have been run.
    """

    layer: int

    @property
    def hidden(self) -> Tensor:
        """RETURNS (Tensor): The states after those layers, (W, T, H)."""

    def keep(self, rows: Tensor) -> None:
        """Drop all but some rows.

        rows (Tensor): Their indices, (W',).
        """


class Runner(Protocol):
    """What steps a batch up the layers: the backbone itself (`LayerStepper`), or what a runtime makes of it.

    own_threads (bool): Whether layers are run by other threads than torch's. Those then keep out of their way.
    """

    own_threads: bool

    @property
    def depth(self) -> int:
        """RETURNS (int): The number of layers."""

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): Where inputs and states are."""

    @property
    def padding(self) -> int:
        """RETURNS (int): The wordpiece to pad with."""

    @property
    def embed(self) -> Callable[..., Any]:
        """RETURNS (Callable[..., State]): The method that runs everything that comes before the first layer. From inputs, which
        are of text the padded wordpieces (W, T), and 1 for wordpieces and 0 for padding (W, T), and of images their pixels
        (W, 3, height, width), to the batch below layer 1."""

    @property
    def restart_at(self) -> Callable[..., Any]:
        """RETURNS (Callable[..., State]): The method that goes on from states that have come up to a layer, in a batch of another
        shape. From the states (W, T, H), the number of layers run so far and the inputs of `embed`, to the batch."""

    def step(self, state: Any) -> None:
        """Run the next layer on a batch.

        state (State): The batch, moved up in place.
        """

    def final_hidden(self, state: Any) -> Tensor:
        """The states as a head should see them.

        state (State): The batch.
        RETURNS (Tensor): Its states behind the model's final norm, if it has one, (W, T, H) in float32.
        """


class Exported(Protocol):
    """A backbone in the form of a runtime, which is saved with the pipeline."""

    precision: str

    def to_message(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What is saved: plain values and bytes, by name."""


class Runtime(Protocol):
    """What can run a backbone in place of torch.

    title (str): What to call it in a sentence.
    precisions (Mapping[str, float]): What it can compute in, from the fastest to the most exact. With each goes how far the last
        states of a probe may be from those of torch in float32, relative to these: what is farther off is not run.
    """

    title: str
    precisions: Mapping[str, float]

    def export(self, stepper: Any, precision: str, samples: Sequence[numpy.ndarray]) -> Exported:
        """Make what is saved.

        stepper (LayerStepper): The backbone.
        precision (str): One of the precisions.
        samples (Sequence[ndarray]): The wordpieces of windows like those to come, special ones included, (T,) each, for what
            wants to measure on them. There may be none.
        RETURNS (Exported): It.
        RAISES ValueError: A library is missing, or this backbone cannot be exported.
        """

    def read(self, message: Dict[str, Any]) -> Exported:
        """RETURNS (Exported): What was saved. It may come from anybody, so nothing of it is run yet."""

    def open(self, exported: Any, stepper: Any) -> Runner:
        """Make what runs it.

        exported (Exported): What was exported or read.
        stepper (LayerStepper): The backbone.
        RETURNS (Runner): What answers, once it has been compared with the backbone.
        RAISES ValueError: It cannot be run here. The message says what to do.
        """


class Unread:
    """What was exported for a runtime that is not installed here. It is saved again as it is.

    message (Dict[str, Any]): What was saved.
    """

    precision = ""

    def __init__(self, message: Dict[str, Any]):
        self.message = message

    def to_message(self) -> Dict[str, Any]:
        return self.message


def is_installed(name: str) -> bool:
    """RETURNS (bool): Whether a runtime is registered and can be imported."""
    try:
        return name in runtimes
    except ImportError:
        return False


def find_runtime(name: str) -> Runtime:
    """Get a runtime.

    name (str): Its name.
    RETURNS (Runtime): The runtime.
    RAISES ValueError: None of that name is registered.
    """
    if not is_installed(name):
        raise ValueError(
            f"The runtime '{name}' is not installed here; there are {', '.join(names(runtimes))}. Install the package that "
            f"registers it, or set `model.trunk.runtime` to '{TORCH}'."
        )
    return runtimes.get(name)()
