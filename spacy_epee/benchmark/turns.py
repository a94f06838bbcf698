"""Timing in turns, so that what else a machine does hits all alike."""

import time
from typing import Any, Callable, Dict, List, Mapping, Protocol, Sequence

import numpy

WARM_UP = 16
"""How many texts are answered before each turn."""


class Answering(Protocol):
    """What answers texts."""

    def run(self, texts: Sequence[str], size: int) -> Any:
        """RETURNS (Any): The answers, of batches of this size."""

    def read(self, found: Any) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities in what `run` returned, (N, K)."""


def seconds_in_turns(
    contestants: Mapping[str, Answering],
    texts: Sequence[str],
    size: int,
    rounds: int,
    tick: Callable[[], Any] = lambda: None,
) -> Dict[str, List[float]]:
    """Time all, again and again. A round before that is not timed pays for what is made only once for a batch size, and some
    texts before each turn for what another one has left in the caches of the processor.

    contestants (Mapping[str, Answering]): Who is timed.
    texts (Sequence[str]): The texts.
    size (int): The batch size.
    rounds (int): How often.
    tick (Callable[[], Any]): Called behind each round.
    RETURNS (Dict[str, List[float]]): Seconds of each round.
    """
    found: Dict[str, List[float]] = {name: [] for name in contestants}
    for contestant in contestants.values():
        contestant.run(texts, size)
    tick()
    for number in range(rounds):
        for name in _turned(list(contestants), number):
            contestants[name].run(texts[:WARM_UP], size)
            began = time.perf_counter()
            answers = contestants[name].run(texts, size)
            found[name].append(time.perf_counter() - began)
            del answers  # not in anybody's time
        tick()
    return found


def _turned(names: List[str], number: int) -> List[str]:
    """The names from another one on in each round, so that nobody always runs after the same state of the machine."""
    start = number % max(len(names), 1)
    return names[start:] + names[:start]
