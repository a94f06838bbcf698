"""What a way to make a trained component smaller or faster is, to whoever chooses how far to go."""

import copy
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Sequence

from ..component.pipe import EarlyExitTransformer
from ..model import get_trunk_shim
from ..trunk.transformer import TrunkShim

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Compression(Protocol):
    """A component that can be compressed in several ways. What makes one is registered in `registry.compressors`: it is called
    with the pipeline, the component and settings, and leaves the component answering as what is compared with.

    decides (str): What is chosen, in one word.
    choices (Sequence[str]): What there is to choose from, from the smallest or fastest on. The last one is always possible.
    """

    decides: str
    choices: Sequence[str]

    def use(self, choice: str) -> None:
        """Answer in one of these ways from now on, whichever was used before; and be saved so.

        choice (str): One of `choices`.
        RAISES ValueError: It is not possible here.
        """


class Smaller:
    """A backbone with less in it. The last of the choices is the backbone as it was.

    shim (TrunkShim): What holds it.
    before (HFObjects): What it held.
    model (PreTrainedModel): As it was.
    tokenizer (PreTrainedTokenizerFast): The same.
    """

    decides: ClassVar[str]
    choices: Sequence[str]

    def __init__(self, pipe: EarlyExitTransformer):
        """
        pipe (EarlyExitTransformer): The component.
        RAISES ValueError: It reads images, or was exported, which what follows would undo.
        """
        self.pipe = pipe
        self.shim = find_text_trunk(pipe)
        if self.shim.exported is not None:
            raise ValueError(
                f"The component '{pipe.name}' was exported in {self.shim.exported.precision or 'another precision'} already, and "
                "would have to be exported anew. Compress the pipeline as it was before, and export it afterwards."
            )
        self.before = self.shim.objects
        self.model: "PreTrainedModel" = self.before.transformer
        self.tokenizer: Any = self.before.tokenizer

    def use(self, choice: str) -> None:
        """As `Compression.use`."""
        self.shim.put_back(self.before)
        if choice != self.choices[-1]:
            self.change(choice)

    def change(self, choice: str) -> None:
        """Put a smaller backbone in place of the one that was there.

        choice (str): One of `choices` but the last.
        RAISES ValueError: It is not possible here.
        """
        raise NotImplementedError

    def copied(self) -> "PreTrainedModel":
        """RETURNS (PreTrainedModel): A copy of the backbone, to change."""
        return copy.deepcopy(self.model)


def find_text_trunk(pipe: EarlyExitTransformer, done: str = "compressed") -> TrunkShim:
    """Find what holds the backbone of a component.

    pipe (EarlyExitTransformer): The component.
    done (str): What is to be done with it.
    RETURNS (TrunkShim): It.
    RAISES ValueError: The backbone reads images.
    """
    shim = get_trunk_shim(pipe.model)
    if not isinstance(shim, TrunkShim):
        raise ValueError(f"The component '{pipe.name}' has a trunk for images, and only those for text can be {done}.")
    return shim
