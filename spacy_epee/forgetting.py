"""Words of documents are forgotten, and the memory that was needed to know them comes back."""

from contextlib import contextmanager
from typing import Any, Iterator, Tuple, cast

from preshed.maps import PreshMap
from spacy.attrs import NORM
from spacy.language import Language
from spacy.lexeme import Lexeme
from spacy.vocab import Vocab

WORDS = 200_000
"""After how many new words the tables are made anew, if they are not larger from the start. That takes a few milliseconds."""

_ATTRIBUTES = ("flags", "lang", "lower", "norm", "shape", "prefix", "suffix", "rank")
"""What a word has of its own. All else is found by its name."""


@contextmanager
def forget_words(nlp: Language) -> Iterator[None]:
    """Forget the words of documents that are made meanwhile: while no other thread uses the pipeline.

    The memory zone of spaCy takes them out of the tables of its vocabulary, whose cells stay taken and are never fewer: they
    double again and again with the words that ever were in them. So they are made anew from time to time.

    nlp (Language): The pipeline.
    """
    with nlp.memory_zone():
        yield
    if len(nlp.vocab) > max(WORDS, 2 * len(nlp.vocab.strings)):  # all words since the last time, forgotten or not
        shrink(nlp.vocab)


def shrink(vocab: Vocab) -> None:
    """Make the tables of a vocabulary as small as what is in them. Words that somebody has changed stay so.

    vocab (Vocab): The vocabulary, in no memory zone.
    """
    strings, getters = cast(Any, vocab.strings), cast(Any, vocab).lex_attr_getters  # in no stub of spaCy
    smaller = PreshMap(2 * len(strings))
    for key, address in strings._map.items():
        smaller[key] = address
    strings._map = smaller
    words = {word.orth: _state(word) for word in vocab}
    norm = getters.get(NORM)
    vocab.from_bytes(b"\x80", exclude=["strings", "vectors", "lookups"])  # an empty map: its table of words is new, no more
    if norm is not None:
        getters[NORM] = norm  # or it would be wrapped once more each time
    with vocab.memory_zone():
        changed = [orth for orth, state in words.items() if _state(vocab[orth]) != state]
    for orth in changed:
        word = vocab[orth]
        for name, value in zip(_ATTRIBUTES, words[orth]):
            setattr(word, name, value)


def _state(word: Lexeme) -> Tuple[Any, ...]:
    return tuple(getattr(word, name) for name in _ATTRIBUTES)
