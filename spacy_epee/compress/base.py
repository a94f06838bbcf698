"""What a way to make a trained component smaller or faster is, to whoever chooses how far to go."""

from typing import Protocol, Sequence


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
