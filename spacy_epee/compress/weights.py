"""Weights in fewer bits, in the folder of the pipeline: embeddings, and those of layers."""

from typing import Sequence

import torch
from spacy.language import Language
from torch import nn

from ..component.pipe import EarlyExitTransformer
from ..trunk.packed import SMALL
from ..trunk.quantized import QuantizedEmbedding, dequantize, quantize, quantize_embedding, rounded_to
from .base import Smaller

FLOAT = "fp32"


class Embeddings(Smaller):
    """Embeddings of words in whole numbers with a scale each, which are multiplied as they are looked up. All others are rounded
    alike, and multiplied as they are loaded."""

    decides = "embeddings"
    choices: Sequence[str] = ("int4", "int8", FLOAT)

    def __init__(self, pipe: EarlyExitTransformer):
        super().__init__(pipe)
        words = self.model.get_input_embeddings()
        if isinstance(words, QuantizedEmbedding):
            raise ValueError(_twice(pipe, "embeddings", words.kind))

    def change(self, choice: str) -> None:
        model = self.copied()
        quantize_embedding(model, choice)
        self.shim.replace(model)


class Weights(Smaller):
    """The matrices of a backbone, embeddings of positions among them, rounded to whole numbers with a scale for each row. They
    are saved so; in memory they are floats, for torch to multiply, unless the precision is int8 there too."""

    decides = "weights"
    choices: Sequence[str] = ("int8", FLOAT)

    def __init__(self, pipe: EarlyExitTransformer):
        super().__init__(pipe)
        self.words = self.model.get_input_embeddings()
        kinds = {kind for _, part in _matrices(self.model, self.words) if (kind := rounded_to(part.detach())) is not None}
        if kinds:
            raise ValueError(_twice(pipe, "weights", *kinds))

    @torch.no_grad()
    def change(self, choice: str) -> None:
        model = self.copied()
        for _, part in _matrices(model, model.get_input_embeddings()):
            part.copy_(dequantize(*quantize(part, choice)))
        self.shim.replace(model)


def _matrices(model: nn.Module, words: nn.Module) -> Sequence[tuple]:
    """The matrices of a model but the embeddings of words, with their names."""
    own = {id(part) for part in words.parameters()}
    return [
        (name, part)
        for name, part in model.named_parameters()
        if part.dim() == 2 and part.numel() >= SMALL and id(part) not in own
    ]


def _twice(pipe: EarlyExitTransformer, what: str, *kinds: str) -> str:
    return (
        f"The {what} of the component '{pipe.name}' are in {' and '.join(sorted(kinds))} already, and rounding them again would "
        "add to what is lost. Compress the pipeline as it was before."
    )


def embeddings(nlp: Language, pipe: EarlyExitTransformer) -> Embeddings:
    """RETURNS (Embeddings): The embeddings of a component. RAISES ValueError: They are quantized already."""
    return Embeddings(pipe)


def weights(nlp: Language, pipe: EarlyExitTransformer) -> Weights:
    """RETURNS (Weights): The matrices of a component. RAISES ValueError: They are quantized already."""
    return Weights(pipe)
