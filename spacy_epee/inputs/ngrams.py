"""N-grams of documents, and of pieces of them, as numbers: of words by spaCy's hashes, and of characters. No text is kept of
either."""

import math
from dataclasses import dataclass
from typing import Iterable, Iterator, List, NamedTuple, Sequence, Tuple, Union, cast

import numpy
from scipy.sparse import csr_matrix, vstack
from spacy.attrs import IS_SPACE, LOWER
from spacy.tokens import Doc, Span

from ..threads import cached_property
from .ranges import ranges

Piece = Union[Doc, Span]
"""What n-grams are made of."""

WORDS = 2
"""The most words in an n-gram."""

CHARACTERS = (3, 5)
"""The fewest and the most characters in one."""

BITS = 20
"""The first bits of an n-gram say where it is looked up. Known ones differ in them, so that a look is enough."""

CHUNK = 1_000_000
"""About how many characters are looked at together. Each takes some 100 bytes meanwhile."""

# Arrays, as numpy takes longer to read a number than to work on those of a short document.
_FACTOR = numpy.array(0x9E3779B97F4A7C15, dtype="uint64")
_MIXER = numpy.array(0xFF51AFD7ED558CCD, dtype="uint64")
_SHIFT = numpy.array(33, dtype="uint64")
_TO_PLACE = numpy.array(64 - BITS, dtype="uint64")


def hash_ngrams(pieces: Sequence[Piece]) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """List what documents say, or pieces of them, all of it: nothing is cut off at a window. Case and the kind of whitespace do
    not matter.

    pieces (Sequence[Union[Doc, Span]]): The Docs or pieces. Their tokens are those of the pipeline.
    RETURNS (Tuple[ndarray, ndarray]): Their n-grams, each as often as it is there, uint64, and the piece of each.
    """
    words, texts = [], []
    for piece in pieces:
        tokens = _read_tokens(piece)
        words.append(tokens[tokens[:, 1] == 0, 0] if 1 in tokens[:, 1] else tokens[:, 0])
        texts.append(f" {' '.join(piece.text.lower().split())} ")
    text = "".join(texts)
    characters = numpy.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    if "\0" in text:  # as 0 it would be nothing in front of others; no character has this number
        characters = numpy.where(characters == 0, numpy.uint32(0x110000), characters)
    runs = _runs(numpy.concatenate((*words, characters), dtype="uint64"), len(characters))
    keys = numpy.concatenate(runs)
    if len(pieces) == 1:
        return keys, numpy.zeros(len(keys), dtype="int64")
    owners = [numpy.repeat(numpy.arange(len(pieces)), [*map(len, parts)]) for parts in (words, texts)]
    ends = [owners[number >= WORDS] for number in range(len(runs))]
    firsts = numpy.concatenate([own[: len(run)] for own, run in zip(ends, runs)])
    whole = firsts == numpy.concatenate([own[len(own) - len(run) :] for own, run in zip(ends, runs)])
    return keys[whole], firsts[whole]


def hash_parts(doc: Doc, parts: Sequence[numpy.ndarray]) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """List the words, and pairs of them, of some things that a Doc has, such as what is before, in and behind each of some spans.
    A word is another one in each part.

    doc (Doc): The Doc.
    parts (Sequence[ndarray]): The first token of each part and the one behind its last, for each thing, (N, 2) each.
    RETURNS (Tuple[ndarray, ndarray]): The n-grams, uint64, and the thing of each.
    """
    tokens = _read_tokens(doc)
    words = numpy.flatnonzero(tokens[:, 1] == 0)
    runs = _runs(tokens[words, 0], 0)[:WORDS]
    keys, owners = [_NOTHING], [_NOTHING.astype("int64")]
    for number, bounds in enumerate(parts):
        starts, stops = numpy.searchsorted(words, bounds.T)
        for more, run in enumerate(runs):
            counts = numpy.maximum(stops - starts - more, 0)
            keys.append(_in_part(run[ranges(starts, counts)], number))
            owners.append(numpy.repeat(numpy.arange(len(bounds)), counts))
    return numpy.concatenate(keys), numpy.concatenate(owners)


def hash_facts(facts: Sequence[numpy.ndarray]) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Have facts about some things beside their n-grams.

    facts (Sequence[ndarray]): A whole number for each thing, (N,) each.
    RETURNS (Tuple[ndarray, ndarray]): As `hash_parts`.
    """
    keys = [_in_part(_mix(values.astype("uint64") + _FACTOR), -1 - number) for number, values in enumerate(facts)]
    return numpy.concatenate(keys), numpy.concatenate([numpy.arange(len(values)) for values in facts])


def _read_tokens(piece: Piece) -> numpy.ndarray:
    """The words and whether they are whitespace, (T, 2) uint64."""
    return cast(Doc, piece).to_array([LOWER, IS_SPACE]).reshape(-1, 2)  # of a Span, too


def _in_part(keys: numpy.ndarray, number: int) -> numpy.ndarray:
    """Tell n-grams of a part from those of others."""
    return _mix(keys + _mix(numpy.array([number], dtype="int64").view("uint64") * _FACTOR))


class Bags(NamedTuple):
    """N-grams of what is asked about.

    keys (ndarray): The n-grams, uint64.
    owners (ndarray): What each is of, by number.
    items (ndarray): What each item is about, by number: several can be about the same, (N,).
    size (int): How many numbers there are.
    """

    keys: numpy.ndarray
    owners: numpy.ndarray
    items: numpy.ndarray
    size: int


@dataclass(frozen=True)
class NGrams:
    """The n-grams that a model knows.

    keys (ndarray): The n-grams, (V,) uint64. No two of them begin with the same `BITS` bits.
    rarity (ndarray): How rare each is in the documents that it was made of (idf), (V,) float32.
    """

    keys: numpy.ndarray
    rarity: numpy.ndarray

    @cached_property
    def table(self) -> numpy.ndarray:
        """RETURNS (ndarray): By its first bits, where an n-gram is if it is known, (2 ** BITS,). It is looked up at random, so it
        is as small as can be."""
        table = numpy.zeros(1 << BITS, dtype=numpy.min_scalar_type(max(len(self.keys) - 1, 0)))
        table[_first_bits(self.keys)] = numpy.arange(len(self.keys))
        return table

    def count(self, docs: Sequence[Doc]) -> csr_matrix:
        """Weigh the n-grams of documents by the logarithm of their counts and their rarity, to rows of length 1 (tf-idf).

        docs (Sequence[Doc]): The Docs.
        RETURNS (csr_matrix): What they have of what is known, (N, V) float32. One without any has an empty row.
        """
        if not len(self.keys) or not len(docs):
            return csr_matrix((len(docs), len(self.keys)), dtype="float32")
        found = [self.weigh(*hash_ngrams(part), len(part)) for part in chunks(docs)]
        return self.stack(found)

    def stack(self, found: Sequence["Weighed"]) -> csr_matrix:
        """RETURNS (csr_matrix): What was weighed, (N, V) float32."""
        parts = [csr_matrix((own.values, own.columns, own.starts), (len(own.starts) - 1, len(self.keys))) for own in found]
        return parts[0] if len(parts) == 1 else vstack(parts, format="csr")

    def weigh(self, keys: numpy.ndarray, owners: numpy.ndarray, things: int) -> "Weighed":
        """As `count`, of n-grams that fit into memory together, where any are known.

        keys (ndarray): The n-grams, uint64, as `hash_ngrams` lists them.
        owners (ndarray): The document of each, or whatever it is of.
        things (int): How many of these there are.
        RETURNS (Weighed): What they have of what is known.
        """
        alone = things == 1  # then numbers of documents need not be carried along
        places = self.table.take(_first_bits(keys))
        known = self.keys.take(places) == keys
        cells = places[known]
        if not alone:
            cells = owners[known] * len(self.keys) + cells
        cells.sort()
        last = numpy.ones(len(cells), dtype=bool)  # of a run of the same
        numpy.not_equal(cells[1:], cells[:-1], out=last[:-1])
        ends = last.nonzero()[0]
        counts = ends.copy()
        counts[1:] -= ends[:-1]
        counts[:1] += 1
        columns = cells[ends]
        if not alone:
            rows, columns = numpy.divmod(columns, len(self.keys))
        values = (1 + numpy.log(counts)) * self.rarity.take(columns)
        if alone:
            return Weighed((values / math.sqrt(values @ values)).astype("float32"), columns, numpy.array((0, len(ends))))
        lengths = numpy.sqrt(numpy.bincount(rows, values * values, minlength=things))
        starts = numpy.searchsorted(rows, numpy.arange(things + 1))
        return Weighed((values / lengths[rows]).astype("float32"), columns, starts)


class Weighed(NamedTuple):
    """N-grams of documents, or other things, one behind the other.

    values (ndarray): Their weights, (M,) float32.
    columns (ndarray): Which they are, of those that are known, (M,).
    starts (ndarray): Where each document begins, and where the last one ends, (N + 1,).
    """

    values: numpy.ndarray
    columns: numpy.ndarray
    starts: numpy.ndarray


def chunks(docs: Sequence[Doc]) -> Iterator[Sequence[Doc]]:
    """YIELDS (Sequence[Doc]): Some documents that fit into memory together, in order."""
    if len(docs) == 1:
        yield docs
        return
    lengths = numpy.cumsum([doc[-1].idx + len(doc[-1]) if len(doc) else 0 for doc in docs])
    bounds = [0, *(numpy.flatnonzero(numpy.diff(lengths // CHUNK)) + 1).tolist(), len(docs)]
    for begin, end in zip(bounds, bounds[1:]):
        if begin < end:
            yield docs[begin:end]


def _first_bits(keys: numpy.ndarray) -> numpy.ndarray:
    return (keys >> _TO_PLACE).view("int64")


def choose_ngrams(batches: Iterable[Sequence[Doc]], most: int) -> NGrams:
    """Take the n-grams that are in most documents. Memory does not grow with the documents: of very many those are forgotten
    that were in the fewest so far.

    batches (Iterator[Sequence[Doc]]): The Docs, some at a time.
    most (int): How many n-grams to take. Of 500 documents or more they must be in five, of few in two.
    RETURNS (NGrams): The n-grams.
    """
    return choose_keys(([numpy.unique(hash_ngrams([doc])[0]) for doc in batch] for batch in batches), most)


def choose_keys(batches: Iterable[Sequence[numpy.ndarray]], most: int) -> NGrams:
    """As `choose_ngrams`, of the n-grams of any things.

    batches (Iterable[Sequence[ndarray]]): The n-grams of each thing, none of them twice, some things at a time.
    most (int): How many n-grams to take.
    RETURNS (NGrams): The n-grams.
    """
    keys, docs, seen = _NOTHING, numpy.zeros(0, dtype="int64"), 0
    waiting: List[numpy.ndarray] = []
    for batch in batches:
        seen += len(batch)
        waiting.extend(batch)
        if sum(map(len, waiting)) > TOGETHER:
            keys, docs, waiting = *_forget(*_merge(keys, docs, waiting)), []
    keys, docs = _merge(keys, docs, waiting)
    enough = numpy.flatnonzero(docs >= min(max(seen // 100, 2), 5))
    order = enough[numpy.argsort(-docs[enough], kind="stable")]
    _, firsts = numpy.unique(_first_bits(keys[order]), return_index=True)
    kept = numpy.sort(order[numpy.sort(firsts)[:most]])
    return NGrams(keys[kept], (numpy.log((1 + seen) / (1 + docs[kept])) + 1).astype("float32"))


TOGETHER, REMEMBERED = 4_000_000, 8_000_000
"""How many n-grams are counted together, and how many are remembered."""


def _merge(keys: numpy.ndarray, docs: numpy.ndarray, more: Sequence[numpy.ndarray]) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Add documents to the counts of n-grams."""
    every, places = numpy.unique(numpy.concatenate([keys, *more]), return_inverse=True)
    ones = numpy.ones(len(places) - len(keys), dtype="int64")
    return every, numpy.bincount(places.reshape(-1), numpy.concatenate([docs, ones]), minlength=len(every)).astype("int64")


def _forget(keys: numpy.ndarray, docs: numpy.ndarray) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Keep n-grams that are in most documents."""
    if len(keys) <= REMEMBERED:
        return keys, docs
    kept = numpy.sort(numpy.argsort(-docs, kind="stable")[: REMEMBERED // 2])
    return keys[kept], docs[kept]


def _runs(units: numpy.ndarray, characters: int) -> List[numpy.ndarray]:
    """A number for each run of so many units. Words and characters lie in one array, so that each length is one step for both.

    units (ndarray): The words, and behind them the characters, uint64. It is written to.
    characters (int): How many are characters.
    RETURNS (List[ndarray]): The words, pairs of them, and the runs of characters of each length.
    """
    words = len(units) - characters
    # Numbers of frequent words of spaCy's own are small: their first bits are all 0.
    runs = _mix(units)
    found = []
    for length in range(1, CHARACTERS[1] + 1):
        if length > 1:
            runs = _mix(runs[:-1] * _FACTOR + units[length - 1 :])
        if length <= WORDS:
            found.append(runs[: max(words - length + 1, 0)])
        if length == WORDS:
            runs, units = runs[words:], units[words:]
        elif length >= CHARACTERS[0]:
            found.append(runs)
    return found


def _mix(values: numpy.ndarray) -> numpy.ndarray:
    """Spread the bits of numbers, in place (the finalizer of MurmurHash3, Appleby 2011)."""
    values ^= values >> _SHIFT
    values *= _MIXER
    values ^= values >> _SHIFT
    return values


_NOTHING = numpy.zeros(0, dtype="uint64")
