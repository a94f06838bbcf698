"""Tokenizers that cut Docs."""

from functools import lru_cache
from typing import List

import spacy
from spacy.tokens import Doc
from util import make_tokenizer

from spacy_epee.inputs.windows import Windower


@lru_cache(maxsize=None)
def get_windower(special: str = "bert", kind: str = "wordpiece", size: int = 16, overlap: int = 4) -> Windower:
    return Windower(make_tokenizer(special, kind), size, overlap)


@lru_cache(maxsize=None)
def blank():
    return spacy.blank("en")


def make_docs(*texts: str) -> List[Doc]:
    return [blank().make_doc(text) for text in texts]
