"""Texts as nobody writes them, through all components: each is answered, with numbers, and as it is answered alone."""

import math
import random
import sys
import tempfile
import unicodedata
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from threads_util import KINDS, make_pipeline, near
from util import SENTENCES

TEXTS = 10_000
PREFETCH_DOCS = 64

pytestmark = pytest.mark.hard

SPECIAL = ["[PAD]", "[SEP]", "[CLS]", "[UNK]", "[MASK]", "<s>", "</s>", "<|endoftext|>", "<unk>", "##ing", "\u2581", "\x00"]
JOINED = ["\u200d", "\u200b", "\u00ad", "\u0301", "\u202e", "\u2066", "\ufe0f", "\U0001f3fd", "\u0345", "\u1d17"]
BLANK = [" ", "\t", "\n", "\r\n", "\u00a0", "\u2028", "\u3000", "\x0b", "\x1c"]
FAMILY = ["\U0001f468\u200d\U0001f469\u200d\U0001f467", "\ufeff", "\ufffd"]
LETTERS = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")]


def make_texts(count: int, seed: int = 0) -> Iterator[str]:
    """YIELDS (str): Texts of control characters, parts of letters, special wordpieces, blanks, repetitions and some words."""
    chance = random.Random(seed)
    sources = [SPECIAL, JOINED, BLANK, LETTERS, SENTENCES, "abc", FAMILY, ["codeine rash "]]
    for number in range(count):
        kinds = chance.sample(sources, chance.randint(1, 3))
        length = int(chance.paretovariate(1.2)) if number % 500 else 3_000
        parts = [chance.choice(chance.choice(kinds)) for _ in range(min(length, 3_000))]
        yield chance.choice(["", " "]).join(parts) if chance.random() < 0.97 else chance.choice(parts) * chance.randint(0, 2_000)


def numbers_in(value: Any) -> Iterator[float]:
    """YIELDS (float): All numbers in what was answered."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from numbers_in(part)
    elif isinstance(value, (int, float)):
        yield value


def answer_of(doc) -> List[Any]:
    extra = [getattr(doc._, name) for name in ("relations", "events") if doc.has_extension(name)]
    return [dict(doc.cats), extra, doc._.exits]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "imagecat"])
def test_hostile_texts_are_answered_together_as_alone(kind):
    if "onnx" in kind:
        pytest.importorskip("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        nlp = make_pipeline(kind, Path(folder))
    ruler = nlp.add_pipe("entity_ruler", first=True)
    ruler.add_patterns([{"label": "Drug", "pattern": "codeine"}, {"label": "Problem", "pattern": "rash"}])
    texts = list(make_texts(TEXTS))
    alone = random.Random(1)
    count = 0
    for text, doc in zip(texts, nlp.pipe(texts, batch_size=PREFETCH_DOCS)):
        count += 1
        assert doc.text == text
        answer = answer_of(doc)
        assert all(map(math.isfinite, numbers_in(answer)))
        if alone.random() < 0.1:
            assert near(answer_of(nlp(text)), answer)
    assert count == TEXTS
