"""From Docs to windows of wordpieces, and back to tokens."""

import copy
import warnings
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Iterable, List, Optional, Sequence, Tuple

import numpy
from spacy.tokens import Doc, Span

from ..doc_attributes import token_characters
from ..errors import raise_alone
from ..threads import cached_property
from .alignment import Alignment, behind_one_another, farthest_from_edges, first_behind, first_pieces
from .packing import cut, cut_at
from .ranges import firsts, ranges
from .sections import Sections
from .sentences import FIX, find_sentences, lacking_sentences

Encoded = Tuple[numpy.ndarray, numpy.ndarray]
"""Wordpieces (n,), and their characters, start and end, (n, 2)."""

_FIRST = numpy.zeros(1, dtype="int64")
"""The Doc, and the first wordpiece, of a window that is alone."""

NOTHING: Encoded = numpy.zeros(0, dtype="int64"), numpy.zeros((0, 2), dtype="int64")


PANIC = "PanicException"
"""What the library of tokenizers raises where it breaks down. It cannot be imported."""


class FailedDocs(ValueError):
    """Some Docs of a batch cannot be answered. The others still can.

    docs (List[int]): Which ones.
    """

    def __init__(self, message: str, docs: Sequence[int]):
        super().__init__(message, docs)
        self.message = message
        self.docs = list(docs)

    def __str__(self) -> str:
        return self.message


class UnreadableDocs(FailedDocs):
    """They hold something that cannot be read."""


class NotFinite(FailedDocs):
    """What the model says about them is NaN or infinite."""


@dataclass
class Windows:
    """The windows of a batch of Docs, in order.

    ids (List[ndarray]): The wordpieces of each window, special ones included, not padded; W arrays.
    docs (ndarray): The Doc that each window is of, (W,).
    starts (ndarray): The first of the Doc's wordpieces in each window, (W,).
    offsets (List[ndarray]): For each Doc the characters of its wordpieces (start, end), (n, 2).
    n_prefix (int): The special wordpieces before the first one of the text.
    n_suffix (int): Those behind the last one.
    mask (Optional[int]): The wordpiece that stands for a hidden one, if the tokenizer has it.
    cores (Optional[ndarray]): If windows are sentences, what each is asked about: the first of the Doc's wordpieces and the one
        behind the last, in rising order, (W, 2). What else it has is read with it. None if a window is asked about all it has.
    """

    ids: List[numpy.ndarray]
    docs: numpy.ndarray
    starts: numpy.ndarray
    offsets: List[numpy.ndarray]
    n_prefix: int
    n_suffix: int
    mask: Optional[int] = None
    cores: Optional[numpy.ndarray] = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_docs(self) -> int:
        """RETURNS (int): The number of Docs, those without a window included."""
        return len(self.offsets)

    @cached_property
    def lengths(self) -> numpy.ndarray:
        """RETURNS (ndarray): Wordpieces per window, special ones included, (W,)."""
        return numpy.array([len(ids) for ids in self.ids], dtype="int64")

    @property
    def by_sentence(self) -> bool:
        """RETURNS (bool): Whether windows are sentences."""
        return self.cores is not None

    @cached_property
    def asked(self) -> numpy.ndarray:
        """RETURNS (ndarray): What each window is asked about: the first of the Doc's wordpieces, and the one behind the last,
        (W, 2)."""
        if self.cores is not None:
            return self.cores
        return numpy.column_stack((self.starts, self.starts + self.lengths - self.n_prefix - self.n_suffix))

    def doc_lengths(self) -> numpy.ndarray:
        """RETURNS (ndarray): Wordpieces to run per Doc, special ones and overlaps included, (n_docs,)."""
        return numpy.bincount(self.docs, weights=self.lengths, minlength=self.n_docs).astype("int64")

    def select(self, docs: Sequence[int]) -> "Windows":
        """The windows of some of the Docs.

        docs (Sequence[int]): The Docs, which are renumbered in this order.
        RETURNS (Windows): Their windows.
        """
        new = numpy.full(self.n_docs, -1)
        new[list(docs)] = numpy.arange(len(docs))
        kept = numpy.flatnonzero(new[self.docs] >= 0)
        kept = kept[numpy.argsort(new[self.docs[kept]], kind="stable")]
        some = self._only(kept)
        return replace(some, docs=new[some.docs], offsets=[self.offsets[i] for i in docs])

    def sample(self, most: int) -> "Windows":
        """Leave out random windows of the Docs that are too long.

        most (int): The most wordpieces to keep of a Doc; one window is always kept.
        RETURNS (Windows): The windows, in order.
        """
        long = numpy.flatnonzero(self.doc_lengths() > most)
        kept = numpy.ones(len(self), dtype=bool)
        for doc in long:
            rows = numpy.random.permutation(numpy.flatnonzero(self.docs == doc))
            kept[rows[1:]] = numpy.cumsum(self.lengths[rows])[1:] <= most
        if kept.all():
            return self
        return self._only(numpy.flatnonzero(kept))

    def _only(self, rows: numpy.ndarray) -> "Windows":
        """Some of the windows, of the same Docs."""
        cores = None if self.cores is None else self.cores[rows]
        return replace(self, ids=[self.ids[i] for i in rows], docs=self.docs[rows], starts=self.starts[rows], cores=cores)

    def batch(self, rows: numpy.ndarray, padding: int) -> Tuple[numpy.ndarray, ...]:
        """Make the model's inputs of some windows.

        rows (ndarray): Which windows.
        padding (int): The wordpiece to pad with.
        RETURNS (Tuple[ndarray, ndarray]): Padded wordpieces (W', T), and 1 for them and 0 for padding (W', T).
        """
        if len(rows) == 1:
            alone = self.ids[rows[0]][None]
            mask = numpy.empty_like(alone)
            mask.fill(1)  # as `ones_like`, which goes through Python
            return alone, mask
        lengths = self.lengths[rows]
        ids = numpy.full((len(rows), lengths.max()), padding, dtype="int64")
        for place, row in enumerate(rows):
            ids[place, : lengths[place]] = self.ids[row]
        mask = numpy.arange(ids.shape[1]) < lengths[:, None]
        return ids, mask.astype("int64")

    def hide(self, spans: numpy.ndarray) -> None:
        """Put the mask in place of wordpieces, for all who look at these windows.

        spans (ndarray): Window, first wordpiece in it and the one behind the last, (S, 3).
        """
        for window, start, stop in spans.tolist():
            self.ids[window] = self.ids[window].copy()
            self.ids[window][start:stop] = self.mask

    def pieces(self, index: int, starts: numpy.ndarray, ends: numpy.ndarray) -> numpy.ndarray:
        """Find characters among the wordpieces of a Doc.

        index (int): Which Doc of the batch it is.
        starts (ndarray): First characters, (S,).
        ends (ndarray): The ones behind the last, (S,).
        RETURNS (ndarray): The first wordpiece that shares a character, and the one behind the last, (S, 2). The second is not
            above the first if there is none.
        """
        offsets = self.offsets[index]
        return numpy.stack((first_pieces(offsets, starts), first_behind(offsets, ends)), axis=1)

    def align(self, docs: Sequence[Doc], numbers: Sequence[int]) -> "Alignment":
        """Find each token of some Docs in the windows.

        docs (Sequence[Doc]): The Docs.
        numbers (Sequence[int]): Which of the batch each of them is, in rising order.
        RETURNS (Alignment): Where to read each token.
        """
        offsets, characters = [self.offsets[number] for number in numbers], [token_characters(doc) for doc in docs]
        sizes, counts = (numpy.array([len(part) for part in parts], dtype="int64") for parts in (offsets, characters))
        ends = [1 + max(int(part[:, 1].max(initial=0)) for part in parts) for parts in zip(offsets, characters)]
        shift = firsts(numpy.array(ends, dtype="int64"))
        before = firsts(sizes)
        pieces, tokens = behind_one_another(offsets, sizes, shift), behind_one_another(characters, counts, shift)
        # The wordpieces that share a character with a token; zero-width ones belong to no token.
        first, stop = first_pieces(pieces, tokens[:, 0]), first_behind(pieces, tokens[:, 1])
        last = numpy.maximum(first, stop)
        low, high = (numpy.searchsorted(self.docs, numbers, side=side) for side in ("left", "right"))
        rows = ranges(low, high - low)
        asked = self.asked[rows] + numpy.repeat(before, high - low)[:, None]
        owners = numpy.repeat(numpy.arange(len(sizes)), counts)
        window = numpy.full(len(owners), -1)
        if len(rows):
            bounds = firsts(high - low)[owners], numpy.cumsum(high - low)[owners]
            if len(rows) == len(sizes) and (high > low).all():  # one each
                best = owners
            else:
                best = farthest_from_edges(first + last, 2 * asked[:, 0], 2 * asked[:, 1], *bounds)
            first_in, last_in = (numpy.clip(end, *asked[best].T) for end in (first, last))
            window = numpy.where((last_in > first_in) & (bounds[0] < bounds[1]), rows[best], -1)
            shift = self.n_prefix - before[owners] - self.starts[rows[best]]
        else:
            first_in, last_in, shift = first, last, -before[owners]
        return Alignment(
            window=window,
            first=first_in + shift,
            last=last_in + shift,
            docs=owners,
            pieces=numpy.column_stack((first, stop)),
            rows=rows,
            asked=asked,
            before=before,
        )


def no_windows(docs: int) -> Windows:
    """RETURNS (Windows): Those of Docs that are not cut."""
    return Windows([], NOTHING[0], NOTHING[0], [NOTHING[1]] * docs, 0, 0)


class Windower:
    """Cuts Docs into overlapping windows of wordpieces, or into sentences."""

    def __init__(
        self,
        tokenizer,
        size: int,
        overlap: int,
        sections: Optional[Sections] = None,
        context: Optional[int] = None,
        known: Optional[int] = None,
    ):
        """
        tokenizer (PreTrainedTokenizerFast): The backbone's tokenizer.
        size (int): The most wordpieces in a window, special ones included.
        overlap (int): The fewest wordpieces that neighbouring windows share.
        sections (Optional[Sections]): The sections to cut, one behind the other; None for all of a text.
        context (Optional[int]): Cut where sentences begin, and read so many wordpieces at each side of one with it, as far as
            there is room. None for windows that are as long as can be.
        known (Optional[int]): How many wordpieces the backbone has embeddings for; None for all.
        RAISES ValueError: A tokenizer without offsets, or settings that leave no room for text.
        """
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(
                f"The backbone's tokenizer ({type(tokenizer).__name__}) does not tell which characters a wordpiece is made of. "
                "Name a backbone with a fast tokenizer (a `tokenizer.json`) in the setting `model.trunk.name`."
            )
        self.tokenizer = tokenizer
        self.mask: Optional[int] = tokenizer.mask_token_id
        # Of its own, so that nobody changes it meanwhile. Some files come with truncation and padding switched on, and any call
        # of the tokenizer elsewhere can do so: notes would be cut silently, and padding taken for text.
        self.backend = copy.deepcopy(tokenizer.backend_tokenizer)
        self.backend.no_truncation()
        self.backend.no_padding()
        probe = self.backend.encode("a", add_special_tokens=True)
        text = numpy.flatnonzero(numpy.array(probe.special_tokens_mask) == 0)
        if not len(text):
            raise ValueError(
                "The backbone's tokenizer makes nothing of the letter 'a', so it cannot be told which of its wordpieces are "
                "special. Name a backbone for text in a Latin script in the setting `model.trunk.name`."
            )
        self.prefix = numpy.array(probe.ids[: text[0]], dtype="int64")
        self.suffix = numpy.array(probe.ids[text[-1] + 1 :], dtype="int64")
        self.room = size - len(self.prefix) - len(self.suffix)
        self.overlap = overlap
        self.sections = sections
        self.context = context
        self.known = known
        if known is not None and self.backend.get_vocab_size() > known:
            warnings.warn(
                f"The backbone's tokenizer has {self.backend.get_vocab_size()} wordpieces, and its model embeddings for {known}. "
                "Texts with one of the others cannot be answered. Take the tokenizer that belongs to the model, or make room for "
                "what was added with `model.resize_token_embeddings(len(tokenizer))` and save both."
            )
        if not 0 <= overlap < self.room:
            raise ValueError(
                f"Windows of {size} wordpieces have room for {self.room} beside the special ones, which leaves nothing for an "
                f"overlap of {overlap}. Raise the setting `model.trunk.window` or lower `model.trunk.overlap`."
            )

    def __call__(self, docs: Sequence[Doc], wanted: Optional[Sequence[bool]] = None) -> Windows:
        """Cut Docs into windows. No wordpiece is dropped.

        docs (Sequence[Doc]): The Docs. One without any wordpiece gets no window.
        wanted (Optional[Sequence[bool]]): Those to cut; the others get no window. None for all.
        RETURNS (Windows): Their windows.
        RAISES UnreadableDocs: Docs have no sentence boundaries, and are to be cut into sentences; or wordpieces that the model
            does not know.
        """
        asked: Iterable[bool] = wanted or repeat(True)
        if self.context is not None:
            self._need_sentences(docs, asked)
        parts: List[List[Span]] = [[] for _ in docs]
        if self.sections is None:
            texts = iter(self._encode([doc.text for doc, want in zip(docs, asked) if want]))
            encoded = [next(texts) if want else NOTHING for _, want in zip(docs, asked)]
        else:
            self.sections.expect(docs)
            parts = [self.sections.parts(doc) if want else [] for doc, want in zip(docs, asked)]
            encoded = self._encode_parts(parts)
        self._need_known([pieces for pieces, _ in encoded])
        if len(encoded) == 1 and self.context is None and 0 < len(encoded[0][0]) <= self.room:  # a text alone
            pieces, offsets = encoded[0]
            whole = numpy.concatenate((self.prefix, pieces, self.suffix))
            return Windows([whole], _FIRST, _FIRST, [offsets], len(self.prefix), len(self.suffix), self.mask)
        ids: List[numpy.ndarray] = []
        owners: List[int] = []
        starts: List[int] = []
        cores = [numpy.zeros((0, 2), dtype="int64")]
        for owner, (pieces, offsets) in enumerate(encoded):
            if self.context is None:
                windows = cut(len(pieces), self.room, self.overlap)
            else:
                bounds = first_pieces(offsets, find_sentences(docs[owner], parts[owner]))
                reads, own = cut_at(bounds, len(pieces), self.room, self.overlap, self.context)
                windows = reads.tolist()
                cores.append(own)
            for start, stop in windows:
                ids.append(numpy.concatenate((self.prefix, pieces[start:stop], self.suffix)))
                owners.append(owner)
                starts.append(start)
        return Windows(
            ids=ids,
            docs=numpy.array(owners, dtype="int64"),
            starts=numpy.array(starts, dtype="int64"),
            offsets=[offsets for _, offsets in encoded],
            n_prefix=len(self.prefix),
            n_suffix=len(self.suffix),
            mask=self.mask,
            cores=None if self.context is None else numpy.concatenate(cores),
        )

    def _need_sentences(self, docs: Sequence[Doc], wanted: Iterable[bool]) -> None:
        """Refuse Docs that do not say where their sentences begin."""
        lacking = lacking_sentences(docs, wanted)
        if lacking:
            raise UnreadableDocs(
                f"{len(lacking)} of {len(docs)} documents have no sentence boundaries, which the setting `model.trunk.unit` "
                f"('sentence') needs. {FIX}",
                lacking,
            )

    def _need_known(self, pieces: Sequence[numpy.ndarray]) -> None:
        """Refuse wordpieces without an embedding."""
        if self.known is None:
            return
        unknown = [number for number, own in enumerate(pieces) if own.max(initial=0) >= self.known]
        if unknown:
            raise UnreadableDocs(
                f"{len(unknown)} of {len(pieces)} documents have wordpieces without an embedding in the backbone, which knows "
                f"{self.known}. The tokenizer belongs to another model, or was added to.",
                unknown,
            )

    def _encode(self, texts: Sequence[str]) -> List[Encoded]:
        """The wordpieces of texts, without special ones."""
        if not texts:
            return []
        try:
            if len(texts) == 1:  # a batch of one would wait for a thread of the library
                encodings = [self.backend.encode(texts[0], add_special_tokens=False)]
            else:
                encodings = self.backend.encode_batch(texts, add_special_tokens=False)
        except BaseException as error:
            if type(error).__name__ != PANIC:
                raise
            # It is no Exception, so that one text would end all, and it may hold the text.
            raise_alone(ValueError("The backbone's tokenizer broke down at a text, as some do at long runs of one sign."))
        return [
            (numpy.array(encoding.ids, dtype="int64"), numpy.array(encoding.offsets, dtype="int64").reshape(-1, 2))
            for encoding in encodings
        ]

    def _encode_parts(self, parts: Sequence[Sequence[Span]]) -> List[Encoded]:
        """The wordpieces of parts of Docs, one part behind the other, each where it is in its Doc."""
        encoded = iter(self._encode([part.text for own in parts for part in own]))
        joined = []
        for own in parts:
            pieces, offsets = [[part] for part in NOTHING]
            for part, (part_pieces, part_offsets) in zip(own, encoded):
                pieces.append(part_pieces)
                offsets.append(part_offsets + part.start_char)
            joined.append((numpy.concatenate(pieces), numpy.concatenate(offsets)))
        return joined
