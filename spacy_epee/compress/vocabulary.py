"""Dropping wordpieces that no text uses, from the tokenizer and from the embeddings."""

from typing import Any, Dict, Iterable, Sequence

import numpy
import torch
from spacy.language import Language
from torch import nn

from ..component.pipe import EarlyExitTransformer
from ..trunk.quantized import QuantizedEmbedding
from .base import Smaller
from .wordpieces import choose_pieces, count_pieces, cut, keep_pieces

LEAST = {"used 5 times": 5, "used twice": 2, "used once": 1}
"""How often a wordpiece must be used to stay."""


class Vocabulary(Smaller):
    """Wordpieces that are used so often at least.

    counts (ndarray): How often the texts use each, (V,).
    """

    decides = "vocabulary"
    choices = (*LEAST, "all")

    def __init__(self, pipe: EarlyExitTransformer, texts: Iterable[str], progress: bool = False):
        """
        pipe (EarlyExitTransformer): The component.
        texts (Iterable[str]): Texts such as it will read, the more the better. They need no annotation.
        progress (bool): Whether to show a progress bar.
        """
        super().__init__(pipe)
        self.texts = list(texts)
        if not self.texts:
            raise ValueError("There are no texts to find the wordpieces in that are used.")
        self.counts = count_pieces(self.tokenizer, self.texts, progress)

    def change(self, choice: str) -> None:
        pieces = self.tokenizer.get_vocab()
        used = {piece for piece, number in pieces.items() if self.counts[number] >= LEAST[choice]}
        kept = choose_pieces(self.tokenizer, used)
        embeddings = int(self.model.get_input_embeddings().weight.shape[0])  # type: ignore[index]
        missing = sum(pieces[piece] >= embeddings for piece in kept)
        if missing:
            raise ValueError(
                f"The tokenizer of the component '{self.pipe.name}' has {missing} wordpieces that must stay, and its model "
                f"has no embeddings for them, but {embeddings} others, so that its vocabulary cannot be pruned. Leave out the "
                "step 'vocabulary'."
            )
        tokenizer, rows = keep_pieces(self.tokenizer, self.model.config, kept)
        model = self.copied()
        _keep_rows(model, rows)
        self.shim.replace(model, tokenizer)


def vocabulary(nlp: Language, pipe: EarlyExitTransformer, texts: Iterable[str], progress: bool = False) -> Vocabulary:
    """RETURNS (Vocabulary): The wordpieces of a component, of which some texts use some."""
    return Vocabulary(pipe, texts, progress)


def dropped_pieces(before: Any, after: Any, texts: Sequence[str]) -> Dict[str, Any]:
    """Count how often texts need a wordpiece that was dropped.

    before (PreTrainedTokenizerFast): The tokenizer with all of them.
    after (PreTrainedTokenizerFast): The one without some.
    texts (Sequence[str]): Texts that these were not chosen by.
    RETURNS (Dict[str, Any]): "pieces" that the texts are cut into by the first, and how many of these were "dropped"; how many
        "texts" there are, and how many "changed"; and how many pieces are "unknown" now that were not.
    """
    pieces = before.get_vocab()
    dropped = {pieces[piece] for piece in pieces.keys() - after.get_vocab().keys()}
    uses = [(len(ids), sum(number in dropped for number in ids)) for ids in cut(before, texts)]
    unknown = [sum(ids.count(each.unk_token_id) for ids in cut(each, texts)) for each in (before, after)]
    return {
        "pieces": sum(length for length, _ in uses),
        "dropped": sum(missing for _, missing in uses),
        "texts": len(uses),
        "changed": sum(missing > 0 for _, missing in uses),
        "unknown": unknown[1] - unknown[0],
    }


@torch.no_grad()
def _keep_rows(model: Any, rows: numpy.ndarray) -> None:
    """Keep some of the embeddings of words, in order."""
    words = model.get_input_embeddings()
    config = model.config
    numbers = {int(old): new for new, old in enumerate(rows)}
    padding = None if words.padding_idx is None else numbers[words.padding_idx]
    weight = words.weight.detach()[torch.from_numpy(rows).to(words.weight.device)].clone()
    if isinstance(words, QuantizedEmbedding):
        fewer: nn.Module = QuantizedEmbedding(weight, words.kind, padding)
    else:
        fewer = nn.Embedding(weight.shape[0], weight.shape[1], padding_idx=padding, _weight=weight)
        fewer.weight.requires_grad_(words.weight.requires_grad)
    model.set_input_embeddings(fewer)
    config.vocab_size = len(rows)
    for name in ("pad", "bos", "eos", "cls", "sep", "mask", "unk", "decoder_start"):
        number = getattr(config, f"{name}_token_id", None)
        if isinstance(number, int):
            setattr(config, f"{name}_token_id", numbers.get(number))
