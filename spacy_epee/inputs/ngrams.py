"""N-grams of whole documents as numbers: of words by spaCy's hashes, and of characters. No text is kept of either."""

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy
from scipy.sparse import csr_matrix
from spacy.attrs import LOWER
from spacy.tokens import Doc

WORDS = 2
"""The most words in an n-gram."""

CHARACTERS = (3, 5)
"""The fewest and the most characters in one."""

Counted = Tuple[numpy.ndarray, numpy.ndarray]
"""The n-grams of a document, in rising order, and how often each is there."""

_FACTOR = numpy.uint64(0x9E3779B97F4A7C15)
_MIXER = numpy.uint64(0xFF51AFD7ED558CCD)
_SHIFT = numpy.uint64(33)


def count_ngrams(doc: Doc) -> Counted:
    """Count what a document says, of all of it: nothing is cut off at a window.

    doc (Doc): The Doc. Its tokens are those of the pipeline; case does not matter.
    RETURNS (Tuple[ndarray, ndarray]): Its n-grams, uint64, and their counts.
    """
    words = doc.to_array([LOWER]).astype("uint64").reshape(-1)
    text = numpy.frombuffer(f" {doc.text.lower()} ".encode("utf-32-le", "surrogatepass"), dtype="<u4").astype("uint64")
    parts = [*_runs(words, 1, WORDS), *_runs(_mix(text), *CHARACTERS)]
    keys, counts = numpy.unique(numpy.concatenate(parts), return_counts=True)
    return keys, counts


@dataclass(frozen=True)
class NGrams:
    """The n-grams that a model knows.

    keys (ndarray): The n-grams, in rising order, (V,) uint64.
    weights (ndarray): How rare each is in the documents that it was made of (idf), (V,) float32.
    """

    keys: numpy.ndarray
    weights: numpy.ndarray

    @classmethod
    def of(cls, counted: Sequence[Counted], most: int, fewest_docs: int = 2) -> "NGrams":
        """Take the n-grams that are in most documents.

        counted (Sequence[Counted]): What `count_ngrams` returned of some documents.
        most (int): How many to take.
        fewest_docs (int): In how many documents an n-gram must be.
        RETURNS (NGrams): The n-grams.
        """
        every = numpy.concatenate([numpy.zeros(0, dtype="uint64"), *(keys for keys, _ in counted)])
        keys, docs = numpy.unique(every, return_counts=True)
        keys, docs = keys[docs >= fewest_docs], docs[docs >= fewest_docs]
        if len(keys) > most:
            kept = numpy.sort(numpy.argsort(-docs, kind="stable")[:most])
            keys, docs = keys[kept], docs[kept]
        return cls(keys, (numpy.log((1 + len(counted)) / (1 + docs)) + 1).astype("float32"))

    def rows(self, counted: Sequence[Counted]) -> csr_matrix:
        """Weigh the n-grams of documents, by the logarithm of their counts and their rarity, to rows of length 1 (tf-idf).

        counted (Sequence[Counted]): What `count_ngrams` returned.
        RETURNS (csr_matrix): A row for each document, (N, V) float32. One without any known n-gram is empty.
        """
        columns, values, lengths = [numpy.zeros(0, dtype="int64")], [numpy.zeros(0, dtype="float32")], [0]
        for keys, counts in counted:
            places = numpy.minimum(numpy.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
            known = self.keys[places] == keys if len(self.keys) else numpy.zeros(len(keys), dtype=bool)
            found = places[known]
            weighted = (1 + numpy.log(counts[known])) * self.weights[found]
            columns.append(found)
            values.append((weighted / max(float(numpy.linalg.norm(weighted)), 1e-9)).astype("float32"))
            lengths.append(len(found))
        parts = numpy.concatenate(values), numpy.concatenate(columns), numpy.cumsum(lengths)
        return csr_matrix(parts, shape=(len(counted), len(self.keys)))


def _runs(units: numpy.ndarray, fewest: int, most: int) -> List[numpy.ndarray]:
    """A number for each run of so many units."""
    found, runs = [], units
    for length in range(1, most + 1):
        if length > 1:
            runs = _mix(runs[:-1] * _FACTOR + units[length - 1 :])
        if length >= fewest:
            found.append(runs)
    return found


def _mix(values: numpy.ndarray) -> numpy.ndarray:
    """Spread the bits of numbers (the finalizer of MurmurHash3, Appleby 2011)."""
    values = (values ^ (values >> _SHIFT)) * _MIXER
    return values ^ (values >> _SHIFT)
