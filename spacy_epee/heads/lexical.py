"""Linear models over n-grams: of whole documents, what can be said before the first layer, and what each exit adds to; of
windows and pairs, whether there can be anything."""

from dataclasses import dataclass
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple, cast

import numpy
import torch
from spacy.strings import get_string_id
from spacy.tokens import Doc
from torch import Tensor, nn

from ..inputs.instances import Lexical
from ..inputs.ngrams import NGrams, Weighed, chunks, hash_ngrams


@dataclass(frozen=True)
class LinearModel:
    """Logits of documents by their n-grams.

    ngrams (NGrams): The n-grams that it knows.
    weights (ndarray): What each adds to each logit, (V, K) float32.
    bias (ndarray): What is added to it in a document that has any, (K,) float32. One without any has zeros.
    """

    ngrams: NGrams
    weights: numpy.ndarray
    bias: numpy.ndarray

    def __call__(self, docs: Sequence[Doc]) -> Lexical:
        """RETURNS (Lexical): What it says about some Docs."""
        if len(docs) == 1 and len(self.weights):
            values, columns, _ = self.ngrams.weigh(*hash_ngrams(docs), 1)
            if len(values):
                return Lexical(self._say(values, columns)[None], numpy.ones(1, dtype=bool))
        return self.read((self.ngrams.weigh(*hash_ngrams(part), len(part)) for part in chunks(docs)), len(docs))

    def read(self, parts: Iterable[Weighed], things: int) -> Lexical:
        """Say what there is to say about documents, or other things, by their n-grams.

        parts (Iterable[Weighed]): What `ngrams` knows of them, some of them at a time.
        things (int): How many there are.
        RETURNS (Lexical): What it says.
        """
        known = numpy.zeros(things, dtype=bool)
        logits = numpy.zeros((things, len(self.bias)), dtype="float32")
        if not len(self.weights):
            return Lexical(logits, known)
        row = 0
        for values, columns, starts in parts:
            for begin, end in zip(starts[:-1].tolist(), starts[1:].tolist()):
                if begin < end:
                    known[row] = True
                    logits[row] = self._say(values[begin:end], columns[begin:end])
                row += 1
        return Lexical(logits, known)

    def _say(self, values: numpy.ndarray, columns: numpy.ndarray) -> numpy.ndarray:
        """The logits of what has some n-grams, (K,)."""
        said: numpy.ndarray = values @ self.weights.take(columns, axis=0) + self.bias
        return said


class LinearHead(nn.Module):
    """A linear model that was learned before training begins. Saved are numbers alone, and none of the words."""

    keys: Tensor
    rarity: Tensor
    weights: Tensor
    bias: Tensor

    def __init__(self, ngrams: int, labels: int):
        """
        ngrams (int): How many n-grams are known, V.
        labels (int): The number of logits, K.
        """
        super().__init__()
        self.register_buffer("keys", torch.zeros(ngrams, dtype=torch.int64))
        self.register_buffer("rarity", torch.zeros(ngrams, dtype=torch.float16))
        self.register_buffer("weights", torch.zeros(ngrams, labels, dtype=torch.float16))
        self.register_buffer("bias", torch.zeros(labels))
        self._model: Optional[Tuple[Any, LinearModel]] = None

    def take_model(self, model: LinearModel) -> None:
        """Take over what was learned.

        model (LinearModel): The model.
        """
        device = self.bias.device
        self.keys = torch.from_numpy(model.ngrams.keys.view("int64")).to(device)
        self.rarity = torch.from_numpy(model.ngrams.rarity.astype("float16")).to(device)
        self.weights = torch.from_numpy(model.weights.astype("float16")).to(device)
        self.bias = torch.from_numpy(model.bias.astype("float32")).to(device)

    @property
    def model(self) -> LinearModel:
        """RETURNS (LinearModel): The linear model, made anew when what it is made of has changed."""
        parts = cast(Tuple[Tensor, ...], tuple(self._buffers.values()))  # as attributes each takes a microsecond
        kept = self._model
        if kept is None or any(part is not old for part, old in zip(parts, kept[0])):
            # Copies: to send tensors to another process, torch moves them to other memory, and a view stays where they were.
            keys, rarity, weights, bias = (part.cpu().numpy().copy() for part in parts)
            ngrams = NGrams(keys.view("uint64"), rarity.astype("float32"))
            kept = self._model = parts, LinearModel(ngrams, weights.astype("float32"), bias)
        return kept[1]

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_model": None}

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._model = None
        super()._load_from_state_dict(*args, **kwargs)


class LexicalHead(LinearHead):
    """A linear model of whole documents, and how much it counts at each exit (as in Wide & Deep, Cheng et al. 2016, whose parts
    are trained together; here each by itself)."""

    def __init__(self, ngrams: int, labels: int, exits: int):
        """
        ngrams (int): How many n-grams are known, V.
        labels (int): The number of logits, K.
        exits (int): The number of exits behind layers, E.
        """
        super().__init__(ngrams, labels)
        self.mix = nn.Parameter(torch.zeros(exits))  # until it is learned from documents that were held out
        self.held_out: Dict[int, int] = {}
        self.held_out_logits = numpy.zeros((0, labels), dtype="float32")

    def take(self, model: LinearModel, texts: Sequence[str], held_out: numpy.ndarray) -> None:
        """Take over what was learned.

        model (LinearModel): The model of all documents.
        texts (Sequence[str]): The texts that it was learned from. They are not kept.
        held_out (ndarray): The logits of models that have not seen them, (N, K) float32.
        """
        self.take_model(model)
        self.held_out = {get_string_id(text): row for row, text in enumerate(texts)}
        self.held_out_logits = held_out

    def look(self, docs: Sequence[Doc]) -> Lexical:
        """RETURNS (Lexical): What the words of some Docs say."""
        return self.model(docs)

    def look_unseen(self, docs: Sequence[Doc]) -> Lexical:
        """Say of documents to learn from what will be said of new ones: by models that have not seen them. What is not among
        those of `take` may have been seen, and nothing is said.

        docs (Sequence[Doc]): The Docs.
        RETURNS (Lexical): What can be said.
        """
        rows = [self.held_out.get(get_string_id(doc.text), -1) for doc in docs]
        known = numpy.array(rows, dtype="int64") >= 0
        logits = numpy.zeros((len(docs), len(self.bias)), dtype="float32")
        logits[known] = self.held_out_logits[[row for row in rows if row >= 0]]
        return Lexical(logits, known)

    def __getstate__(self) -> Dict[str, Any]:
        # What it was learned from is of use where it is trained, and copies answer.
        return {**super().__getstate__(), "held_out": {}, "held_out_logits": self.held_out_logits[:0]}
