import json
from typing import List

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from tokenizers import Regex, Tokenizer, normalizers
from transformers import AutoTokenizer, BertTokenizer
from util import POSITIONS, SENTENCES, make_nlp, make_texts, make_tokenizer, make_words
from windows_util import blank, get_windower, make_docs

from spacy_epee.inputs.alignment import farthest_from_edges
from spacy_epee.inputs.packing import cut, pack
from spacy_epee.inputs.windows import UnreadableDocs, Windower, Windows
from spacy_epee.model import get_stepper, get_windows

KINDS = [("bert", "wordpiece"), ("roberta", "bytes"), ("gpt2", "bytes"), ("bert", "metaspace")]
quick = settings(max_examples=40)

# Words that are one piece and words of many, other scripts, and everything that tokenizers drop or fold.
snippets = st.sampled_from(
    make_words()[:30]
    + ["pneumonitis", "don't", "140/90", "38.2", "  ", "\n\n", "\t", "\x00\x07", "\u200b", "日本語", "Ödem", "e\u0301"]
)
texts = st.lists(st.one_of(snippets, st.text(max_size=6)), max_size=60).map(" ".join)
words = st.lists(st.sampled_from(make_words() + [".", ",", ":"]), min_size=1, max_size=80).map(" ".join)


def pieces_of(windower: Windower, text: str) -> List[int]:
    """All wordpieces of a text, from a fresh copy of the tokenizer."""
    return Tokenizer.from_str(windower.backend.to_str()).encode(text, add_special_tokens=False).ids


def inner(windows: Windows, row: int) -> numpy.ndarray:
    """A window without its special wordpieces."""
    return windows.ids[row][windows.n_prefix : len(windows.ids[row]) - windows.n_suffix]


def join(windows: Windows, doc: int) -> List[int]:
    """The wordpieces of a Doc, put together from its windows. Where windows overlap they must say the same."""
    found: dict = {}
    for row in numpy.flatnonzero(windows.docs == doc):
        for place, piece in enumerate(inner(windows, row), start=windows.starts[row]):
            assert found.setdefault(int(place), int(piece)) == piece
    assert sorted(found) == list(range(len(found)))
    return [found[place] for place in range(len(found))]


@pytest.mark.parametrize("special,kind", KINDS)
@quick
@given(notes=st.lists(texts, max_size=3))
def test_windows_drop_no_wordpiece(special, kind, notes):
    windower = get_windower(special, kind)
    windows = windower(make_docs(*notes))
    assert windows.n_docs == len(notes)
    for i, note in enumerate(notes):
        assert join(windows, i) == pieces_of(windower, note)
        assert len(windows.offsets[i]) == len(join(windows, i))


@pytest.mark.parametrize("special,kind", KINDS)
def test_windows_keep_to_their_size_and_overlap(special, kind):
    windower = get_windower(special, kind, 16, 5)
    windows = windower(make_docs(*make_texts(12)))
    assert windows.lengths.max() <= 16
    for doc in range(windows.n_docs):
        rows = numpy.flatnonzero(windows.docs == doc)
        stops = windows.starts[rows] + windows.lengths[rows] - windows.n_prefix - windows.n_suffix
        shared = stops[:-1] - windows.starts[rows][1:]
        assert (shared >= 5).all()
    assert (numpy.bincount(windows.docs) > 2).any()


@pytest.mark.parametrize("special,kind,prefix,suffix", [("bert", "wordpiece", [2], [3]), ("roberta", "bytes", [0], [2])])
def test_windows_have_special_wordpieces(special, kind, prefix, suffix):
    windows = get_windower(special, kind)(make_docs(*make_texts(6)))
    for ids in windows.ids:
        assert list(ids[:1]) == prefix and list(ids[-1:]) == suffix
        assert not set(ids[1:-1]) & {*prefix, *suffix}
    assert (windows.n_prefix, windows.n_suffix) == (1, 1)


def test_windows_have_no_special_wordpieces_where_the_family_has_none():
    windows = get_windower("gpt2", "bytes")(make_docs(SENTENCES[0]))
    assert (windows.n_prefix, windows.n_suffix) == (0, 0)
    assert windows.lengths.max() == 16


def test_windows_of_a_short_text_are_what_the_tokenizer_gives():
    tokenizer = make_tokenizer()
    (ids,) = Windower(tokenizer, 64, 8)(make_docs(SENTENCES[0])).ids
    assert list(ids) == tokenizer(SENTENCES[0])["input_ids"]


def test_windows_are_in_order():
    windows = get_windower()(make_docs(*make_texts(9)))
    assert list(windows.docs) == sorted(windows.docs)
    for doc in range(windows.n_docs):
        assert (numpy.diff(windows.starts[windows.docs == doc]) > 0).all()


@pytest.mark.parametrize("text", ["", " ", "\n\t  \n", "\x00\x01\x07"])
def test_windows_of_nothing(text):
    windows = get_windower()(make_docs("chest pain", text, "fever"))
    assert list(windows.docs) == [0, 2]
    assert list(windows.doc_lengths()) == [windows.lengths[0], 0, windows.lengths[1]]
    alignment = windows.align(make_docs(text), [1])
    assert list(alignment.window) == [-1] * len(make_docs(text)[0])


@pytest.mark.parametrize("notes", [[], [""], ["", " "]])
def test_windows_of_no_text_at_all(notes):
    windows = get_windower()(make_docs(*notes))
    assert len(windows) == 0 and windows.n_docs == len(notes)
    assert windows.lengths.shape == (0,)
    assert list(windows.doc_lengths()) == [0] * len(notes)
    assert len(windows.select(range(len(notes)))) == 0
    assert len(windows.sample(10)) == 0


def test_windows_of_20000_tokens():
    nlp = blank()
    (doc,) = [Doc(nlp.vocab, words=[make_words()[i % 40] for i in range(20_000)])]
    windower = get_windower("bert", "wordpiece", 128, 16)
    windows = windower([doc])
    assert len(join(windows, 0)) >= 20_000
    assert windows.lengths.max() <= 128
    assert (windows.align([doc], [0]).window >= 0).all()


def test_windows_are_not_cut_by_a_tokenizer_that_truncates_and_pads(tmp_path):
    make_tokenizer().save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    saved = json.loads(path.read_text())
    saved["truncation"] = {"direction": "Right", "max_length": 12, "strategy": "LongestFirst", "stride": 0}
    saved["padding"] = {
        "strategy": {"Fixed": 20},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    path.write_text(json.dumps(saved))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer.backend_tokenizer.encode(" ".join(SENTENCES)).ids) == 20  # it does cut and pad
    windower = Windower(tokenizer, 32, 8)
    note = " ".join(SENTENCES)
    windows = windower(make_docs(note, "fever"))
    assert join(windows, 0) == make_tokenizer()(note, add_special_tokens=False)["input_ids"]
    assert join(windows, 1) == make_tokenizer()("fever", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("size,overlap", [(16, 14), (16, 20), (2, 0), (1, 0), (16, -1)])
def test_windows_without_room_are_refused(size, overlap):
    with pytest.raises(ValueError, match="model.trunk.window.*model.trunk.overlap"):
        Windower(make_tokenizer(), size, overlap)


def test_windows_of_the_smallest_room():
    windower = Windower(make_tokenizer(), 3, 0)
    windows = windower(make_docs(SENTENCES[0]))
    assert set(windows.lengths) == {3}
    assert join(windows, 0) == pieces_of(windower, SENTENCES[0])


def test_windows_refuse_documents_with_wordpieces_without_embeddings():
    tokenizer = make_tokenizer()
    known = len(tokenizer)
    Windower(tokenizer, 32, 8, known=known)(make_docs("fever NAME and SECRETNAME"))
    tokenizer.add_tokens(["SECRETNAME"])
    with pytest.warns(UserWarning, match=f"has {known + 1} wordpieces, and its model embeddings for {known}"):
        windower = Windower(tokenizer, 32, 8, known=known)
    assert len(windower(make_docs("fever", ""))) == 1
    with pytest.raises(UnreadableDocs, match="1 of 3 documents have wordpieces") as caught:
        windower(make_docs("fever", "and SECRETNAME", ""))
    assert caught.value.docs == [1] and "SECRET" not in str(caught.value)


def test_windows_of_a_text_at_which_the_tokenizer_breaks_down():
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex("(a+)+$"), "x")
    windower = Windower(tokenizer, 32, 8)
    for texts in (["a" * 60 + "b"], ["fever", "a" * 60 + "b"]):
        with pytest.raises(ValueError, match="tokenizer broke down at a text") as caught:
            windower(make_docs(*texts))
        assert caught.value.__context__ is None and "aaa" not in str(caught.value)


def test_windows_refuse_a_slow_tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fever"]))
    with pytest.raises(ValueError, match="BertTokenizer.*model.trunk.name"):
        Windower(BertTokenizer(str(path)), 16, 4)


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet", "gpt2", "deberta-v2"])
def test_windows_are_no_longer_than_the_backbone_can_take(backbones, family):
    # RoBERTa and MPNet have two more positions than they can take wordpieces.
    nlp = make_nlp(backbones(family), model={"trunk": {"window": 4096, "overlap": 8}}, spread=None)
    pipe = nlp.get_pipe("epee_textcat")
    doc = nlp.make_doc(" ".join(["fever"] * 4000))
    assert POSITIONS - 2 <= get_windows(pipe.model, [doc]).lengths.max() <= POSITIONS
    assert nlp(doc)._.exits["epee_textcat"]["textcat"]["layer"] == get_stepper(pipe.model).depth


# cut


@settings(max_examples=50)
@given(length=st.integers(0, 3000), room=st.integers(1, 300), data=st.data())
def test_windows_cut_covers_all_and_keeps_the_overlap(length, room, data):
    overlap = data.draw(st.integers(0, room - 1))
    spans = cut(length, room, overlap)
    assert all(0 < stop - start <= room for start, stop in spans)
    if length:
        assert spans[0][0] == 0 and spans[-1][1] == length
    else:
        assert spans == []
    for (start, stop), (after, end) in zip(spans, spans[1:]):
        assert start < after and stop < end and stop - after >= overlap


def test_windows_cut_of_all_small_sizes():
    for room in range(1, 12):
        for overlap in range(room):
            for length in range(0, 60):
                spans = cut(length, room, overlap)
                covered = sorted({i for start, stop in spans for i in range(start, stop)})
                assert covered == list(range(length))
                assert all(stop - start <= room for start, stop in spans)
                assert all(stop - after >= overlap for (_, stop), (after, _) in zip(spans, spans[1:]))


@quick
@given(length=st.integers(1, 3000), room=st.integers(1, 300), data=st.data())
def test_windows_cut_into_as_few_as_can_be_of_the_same_size(length, room, data):
    overlap = data.draw(st.integers(0, room - 1))
    spans = cut(length, room, overlap)
    fewer = len(spans) - 1
    assert fewer * room - (fewer - 1) * overlap < length if fewer else True
    assert len({stop - start for start, stop in spans}) == 1


# pack

lengths = st.lists(st.integers(1, 300), max_size=120)


@settings(max_examples=50)
@given(lengths=lengths, most=st.integers(1, 5000), call=st.integers(0, 500))
def test_windows_pack_covers_all_once(lengths, most, call):
    batches = pack(lengths, most, call)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) for batch in batches)


@settings(max_examples=50)
@given(lengths=lengths, most=st.integers(1, 5000), call=st.integers(0, 500))
def test_windows_pack_is_bounded(lengths, most, call):
    for batch in pack(lengths, most, call):
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= most


@settings(max_examples=50)
@given(lengths=lengths, most=st.integers(1, 5000), call=st.integers(0, 500))
def test_windows_pack_pads_less_than_a_call_costs(lengths, most, call):
    for batch in pack(lengths, most, call):
        assert len(batch) * max(lengths[i] for i in batch) - sum(lengths[i] for i in batch) <= call


def test_windows_pack_puts_like_lengths_together():
    batches = pack([5, 100, 5, 100, 5, 100], 300, 32)
    assert [sorted(int(i) for i in batch) for batch in batches] == [[0, 2, 4], [1, 3, 5]]


# align


def shares(windows: Windows, index: int, token) -> List[int]:
    """The wordpieces that share a character with a token."""
    begin, end = token.idx, token.idx + len(token)
    return [i for i, (start, stop) in enumerate(windows.offsets[index]) if max(start, begin) < min(stop, end)]


@pytest.mark.parametrize("special,kind", KINDS)
@quick
@given(notes=st.lists(texts, min_size=1, max_size=2))
def test_windows_align_finds_each_token_that_has_wordpieces(special, kind, notes):
    docs = make_docs(*notes)
    windows = get_windower(special, kind)(docs)
    for index, doc in enumerate(docs):
        alignment = windows.align([doc], [index])
        for token, window, first, last in zip(doc, alignment.window, alignment.first, alignment.last):
            pieces = shares(windows, index, token)
            if token.is_space:  # bytes of white space are wordpieces of no width
                continue
            assert (window >= 0) == bool(pieces)
            if not pieces:
                continue
            assert windows.docs[window] == index
            start = windows.starts[window] - windows.n_prefix
            found = range(start + first, start + last)
            stop = start + len(windows.ids[window]) - windows.n_suffix
            inside = range(max(pieces[0], start + windows.n_prefix), min(pieces[-1] + 1, stop))
            assert len(found) and found == inside


@pytest.mark.parametrize("special,kind", KINDS)
@quick
@given(note=texts)
def test_windows_align_takes_the_window_where_the_token_is_farthest_from_an_edge(special, kind, note):
    (doc,) = make_docs(note)
    windows = get_windower(special, kind, 16, 7)([doc])
    alignment = windows.align([doc], [0])
    stops = windows.starts + windows.lengths - windows.n_prefix - windows.n_suffix
    for token, window in zip(doc, alignment.window):
        pieces = shares(windows, 0, token)
        if token.is_space or not pieces:
            continue
        # Wordpieces between the token and the nearer edge of each window.
        room = numpy.minimum(pieces[0] - windows.starts, stops - pieces[-1] - 1)
        assert room[window] == room.max()


@quick
@given(
    cuts=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=12),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=60),
)
def test_windows_align_takes_the_first_of_the_best_windows(cuts, sizes):
    # Windows as they may be when some are left out: in order, of any size, with gaps.
    starts = numpy.cumsum([step for step, _ in cuts]) - cuts[0][0]
    stops = numpy.maximum.accumulate(starts + [4 + more for _, more in cuts]) + numpy.arange(len(cuts))
    bounds = numpy.cumsum([0, *sizes])
    doc = Doc(blank().vocab, words=["x" * size for size in sizes], spaces=[False] * len(sizes))
    offsets = numpy.stack((numpy.arange(bounds[-1]), numpy.arange(1, bounds[-1] + 1)), axis=1)
    ids = [numpy.zeros(stop - start + 2, dtype="int64") for start, stop in zip(starts, stops)]
    windows = Windows(ids, numpy.zeros(len(ids), dtype="int64"), starts, [offsets], 1, 1)
    found = windows.align([doc], [0])
    middle = (bounds[:-1] + bounds[1:]) / 2
    best = numpy.minimum(middle[:, None] - starts, stops - middle[:, None]).argmax(axis=1)
    inside = [numpy.clip(end, starts[best], stops[best]) - starts[best] + 1 for end in (bounds[:-1], bounds[1:])]
    assert found.window.tolist() == numpy.where(inside[0] < inside[1], best, -1).tolist()
    assert found.first.tolist() == inside[0].tolist() and found.last.tolist() == inside[1].tolist()


@pytest.mark.parametrize("special,kind", KINDS)
@quick
@given(note=words)
def test_windows_align_to_wordpieces_that_spell_the_token(special, kind, note):
    (doc,) = make_docs(note)
    windower = get_windower(special, kind)
    windows = windower([doc])
    alignment = windows.align([doc], [0])
    stops = windows.starts + windows.lengths - windows.n_prefix - windows.n_suffix
    for token, window, first, last in zip(doc, alignment.window, alignment.first, alignment.last):
        pieces = shares(windows, 0, token)
        # One that is longer than the overlap may be whole in no window.
        if ((windows.starts <= pieces[0]) & (pieces[-1] < stops)).any():
            spelt = windower.backend.decode([int(i) for i in windows.ids[window][first:last]])
            assert spelt.replace(" ", "") == token.text


@pytest.mark.parametrize("special,kind", KINDS)
@quick
@given(notes=st.lists(texts, min_size=1, max_size=4), size=st.sampled_from([16, 60]), data=st.data())
def test_windows_align_of_several_docs_is_that_of_each(special, kind, notes, size, data):
    docs = make_docs(*notes)
    cut_up = data.draw(st.lists(st.booleans(), min_size=len(docs), max_size=len(docs)))
    windows = get_windower(special, kind, size, 7)(docs, cut_up)
    numbers = data.draw(st.lists(st.sampled_from(range(len(docs))), unique=True).map(sorted))
    together = windows.align([docs[number] for number in numbers], numbers)
    for place, number in enumerate(numbers):
        alone, mine = windows.align([docs[number]], [number]), together.docs == place
        assert together.window[mine].tolist() == alone.window.tolist()
        there = alone.window >= 0
        for name in ("first", "last"):
            assert getattr(together, name)[mine][there].tolist() == getattr(alone, name)[there].tolist()
        assert (together.pieces[mine] - together.before[place]).tolist() == alone.pieces.tolist()
    assert together.rows.tolist() == numpy.flatnonzero(numpy.isin(windows.docs, numbers)).tolist()


def test_windows_align_of_a_token_longer_than_a_window_is_its_middle():
    (doc,) = make_docs("x" * 40)
    windows = get_windower()([doc])
    alignment = windows.align([doc], [0])
    (window,) = alignment.window
    assert (alignment.first[0], alignment.last[0]) == (1, windows.lengths[window] - 1)
    assert windows.starts[window] <= 20 <= windows.starts[window] + windows.lengths[window] - 2


@quick
@given(notes=st.lists(texts, min_size=2, max_size=4), data=st.data())
def test_windows_select_gives_what_the_docs_alone_give(notes, data):
    chosen = data.draw(st.lists(st.sampled_from(range(len(notes))), unique=True))
    windower = get_windower()
    some = windower(make_docs(*notes)).select(chosen)
    alone = windower(make_docs(*(notes[i] for i in chosen)))
    assert [list(ids) for ids in some.ids] == [list(ids) for ids in alone.ids]
    assert list(some.docs) == list(alone.docs) and list(some.starts) == list(alone.starts)
    assert [offsets.tolist() for offsets in some.offsets] == [offsets.tolist() for offsets in alone.offsets]
    assert list(some.lengths) == list(alone.lengths)


# sample


@quick
@given(counts=st.lists(st.integers(0, 60), min_size=1, max_size=4), most=st.integers(1, 120))
def test_windows_sample_keeps_the_bound_and_a_window(counts, most):
    windows = get_windower()(make_docs(*(" ".join(["fever"] * count) for count in counts)))
    sampled = windows.sample(most)
    assert sampled.n_docs == windows.n_docs
    for doc, (before, after) in enumerate(zip(windows.doc_lengths(), sampled.doc_lengths())):
        assert after == before if before <= most else after > 0
        assert after <= most or (sampled.docs == doc).sum() == 1


def test_windows_sample_keeps_order_and_leaves_the_rest_alone():
    windows = get_windower()(make_docs(*make_texts(8)))
    known = {(doc, start): list(ids) for doc, start, ids in zip(windows.docs, windows.starts, windows.ids)}
    sampled = windows.sample(50)
    rows = list(zip(sampled.docs, sampled.starts))
    assert rows == sorted(rows) and len(rows) < len(windows)
    assert all(list(ids) == known[row] for row, ids in zip(rows, sampled.ids))
    assert list(sampled.lengths) == [len(ids) for ids in sampled.ids]


def test_windows_sample_is_random():
    windows = get_windower()(make_docs(" ".join(["fever"] * 200)))
    numpy.random.seed(0)
    assert len({tuple(windows.sample(40).starts) for _ in range(10)}) > 1
    assert windows.sample(10_000) is windows


@given(length=st.integers(1, 3000), room=st.integers(1, 300), data=st.data())
def test_windows_the_window_of_a_place_is_the_one_where_it_is_farthest_from_an_edge(length, room, data):
    overlap = data.draw(st.integers(0, room - 1))
    every = numpy.array(cut(length, room, overlap))
    kept = numpy.array(data.draw(st.lists(st.booleans(), min_size=len(every), max_size=len(every))))
    starts, stops = (every[kept] if kept.any() else every).T
    places = numpy.arange(2 * length + 1) / 2
    low, high = numpy.zeros(len(places), dtype=int), numpy.full(len(places), len(starts))
    farthest = numpy.minimum(places[:, None] - starts, stops - places[:, None]).argmax(axis=1)
    assert (farthest_from_edges(places, starts, stops, low, high) == farthest).all()
