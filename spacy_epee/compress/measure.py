"""How large and how fast a pipeline is."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

from spacy.language import Language
from spacy.training import Example
from torch import Tensor, nn

from ..component.pipe import EarlyExitTransformer
from ..evaluation.timing import milliseconds
from ..model import get_heads, get_trunk_shim

MEGABYTE = 1e6


@dataclass
class Size:
    """A pipeline.

    disk (int): Bytes of its folder.
    parameters (int): Numbers in its transformer and classifiers.
    zeros (float): The share of them that are zero.
    memory (int): Bytes that these take in memory, and what was exported of them.
    ms (Dict[str, float]): Milliseconds a note of the whole pipeline, by batch size.
    """

    disk: int
    parameters: int
    zeros: float
    memory: int
    ms: Dict[str, float]


def measure(
    nlp: Language, pipe: EarlyExitTransformer, examples: Sequence[Example], sizes: Sequence[int] = (1, 32), rounds: int = 3
) -> Size:
    """Measure a pipeline.

    nlp (Language): The pipeline.
    pipe (EarlyExitTransformer): Its component.
    examples (Sequence[Example]): Documents to time on.
    sizes (Sequence[int]): Batch sizes to time at; 1 calls it on each text.
    rounds (int): How often each is timed; the median counts.
    RETURNS (Size): It.
    """
    weights = list(_weights(pipe))
    count = sum(own.numel() for own in weights)
    zeros = sum(int((own == 0).sum()) for own in weights)
    memory = sum(own.numel() * own.element_size() for own in weights) + _exported(pipe)
    ms = {str(size): milliseconds(nlp, examples, pipe, [pipe.exits], size, rounds)[0] for size in sizes}
    return Size(disk=measure_folder(nlp), parameters=count, zeros=zeros / max(count, 1), memory=memory, ms=ms)


def measure_folder(nlp: Language) -> int:
    """RETURNS (int): How many bytes a pipeline takes on disk, without the words that it has seen since it was loaded."""
    with tempfile.TemporaryDirectory() as name:
        nlp.to_disk(name, exclude=["strings"])
        return sum(file.stat().st_size for file in Path(name).rglob("*") if file.is_file())


def _weights(pipe: EarlyExitTransformer) -> Iterator[Tensor]:
    modules: List[nn.Module] = [get_trunk_shim(pipe.model)._model, *get_heads(pipe.model)]
    seen: Dict[int, Tensor] = {}
    for module in modules:
        for part in (*module.parameters(), *module.buffers()):
            seen.setdefault(id(part), part.detach())
    yield from seen.values()


def _exported(pipe: EarlyExitTransformer) -> int:
    exported = get_trunk_shim(pipe.model).exported
    return 0 if exported is None else sum(len(own) for own in exported.to_message().values() if isinstance(own, bytes))
