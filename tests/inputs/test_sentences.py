"""Windows of sentences: what they read, and what of it is their own."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sections_util import set_sections
from spacy.tokens import Doc
from util import SENTENCES, make_tokenizer, make_words
from windows_util import blank, make_docs

from spacy_epee.inputs.packing import cut_at
from spacy_epee.inputs.sections import Sections
from spacy_epee.inputs.sentences import find_sentences
from spacy_epee.inputs.windows import UnreadableDocs, Windower

TOKENIZERS = {kind: make_tokenizer(special, kind) for special, kind in (("bert", "wordpiece"), ("roberta", "bytes"))}
quick = settings(max_examples=40)
words = st.lists(
    st.sampled_from([*make_words()[:40], "pneumonitis", ".", "\n", "  ", "\u200b", "日本語"]), min_size=1, max_size=60
)


def make_sentences(words, starts, spaces=None) -> Doc:
    return Doc(blank().vocab, words=words, spaces=spaces, sent_starts=[i == 0 or i in starts for i in range(len(words))])


@st.composite
def notes(draw):
    found = draw(words)
    spaces = draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found)))
    return make_sentences(found, set(draw(st.lists(st.integers(1, 60), max_size=12))), spaces)


def of_whole(windows, row):
    """The wordpieces that a window has, of all of its Doc."""
    start = int(windows.starts[row])
    return range(start, start + int(windows.lengths[row]) - windows.n_prefix - windows.n_suffix)


@given(st.lists(st.integers(0, 120), max_size=30).map(sorted), st.integers(0, 120), st.integers(1, 40), st.data())
@settings(max_examples=150)
def test_parts_are_cut_with_as_much_beside_them_as_there_is_room_for(bounds, length, room, data):
    overlap, context = data.draw(st.integers(0, room - 1)), data.draw(st.integers(0, 50))
    bounds = [bound for bound in bounds if bound <= length]
    reads, cores = cut_at(numpy.array(bounds, dtype="int64"), length, room, overlap, context)
    edges = sorted({0, *bounds, length})
    parts = list(zip(edges, edges[1:]))
    assert cores[:, 0].tolist() == sorted(set(cores[:, 0].tolist()))
    for start, stop in parts:
        inside = [(a, b) for a, b in cores.tolist() if a < stop and b > start]
        if stop - start <= room:
            assert inside == [(start, stop)]
        else:  # as a text that is longer than a window
            assert inside[0][0] == start and inside[-1][1] == stop
            assert all(b - a >= overlap for (_, b), (a, _) in zip(inside, inside[1:]))
    for (begin, end), (start, stop) in zip(reads.tolist(), cores.tolist()):
        left, right = start - begin, end - stop
        assert 0 <= left <= context and 0 <= right <= context and end - begin <= room
        assert left + right == min(room - (stop - start), min(context, start) + min(context, length - stop))


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(st.lists(notes(), max_size=3), st.integers(0, 12))
@quick
def test_cores_of_sentences_partition_the_wordpieces(kind, docs, context):
    windows = Windower(TOKENIZERS[kind], 200, 4, context=context)(docs)
    whole = Windower(TOKENIZERS[kind], 4096, 4)(docs)
    assert windows.lengths.max(initial=0) <= 200
    for index, doc in enumerate(docs):
        rows = numpy.flatnonzero(windows.docs == index)
        own = [piece for start, stop in windows.cores[rows].tolist() for piece in range(start, stop)]
        assert own == list(range(len(windows.offsets[index])))
        for row in rows:
            assert set(range(*windows.cores[row])) <= set(of_whole(windows, row))
            [ids] = [whole.ids[i] for i in numpy.flatnonzero(whole.docs == index)]
            inner = slice(windows.n_prefix, len(windows.ids[row]) - windows.n_suffix)
            assert windows.ids[row][inner].tolist() == ids[windows.n_prefix :][of_whole(windows, row)].tolist()


def test_a_sentence_is_read_with_the_nearest_wordpieces_of_its_neighbours():
    doc = make_sentences([".", ",", ".", ",", ":", ".", "."], {2, 5})
    windows = Windower(TOKENIZERS["wordpiece"], 32, 4, context=1)([doc])
    assert windows.cores.tolist() == [[0, 2], [2, 5], [5, 7]]
    assert windows.starts.tolist() == [0, 1, 4] and windows.lengths.tolist() == [5, 7, 5]


@given(words, st.integers(5, 40))
@quick
def test_a_sentence_alone_is_cut_as_windows_are(words, size):
    docs = [make_sentences(words, set()), make_sentences(["fever"], set())]
    ours, theirs = (Windower(TOKENIZERS["wordpiece"], size, 2, context=context)(docs) for context in (0, None))
    assert [ids.tolist() for ids in ours.ids] == [ids.tolist() for ids in theirs.ids]
    assert ours.starts.tolist() == theirs.starts.tolist() and ours.asked.tolist() == theirs.asked.tolist()
    assert not theirs.by_sentence and ours.by_sentence


@given(notes(), st.integers(0, 6), st.integers(6, 40))
@quick
def test_tokens_are_aligned_to_what_a_window_is_asked_about(doc, context, size):
    windows = Windower(TOKENIZERS["bytes"], size, 2, context=context)([doc])
    aligned = windows.align([doc], [0])
    for token, window, first, last in zip(doc, aligned.window, aligned.first, aligned.last):
        if window < 0:
            continue
        start, stop = windows.cores[window]
        shift = windows.starts[window] - windows.n_prefix
        assert start <= first + shift < last + shift <= stop
        pieces = windows.offsets[0][first + shift : last + shift]
        assert (pieces[:, 0] < token.idx + len(token)).all() and (pieces[:, 1] > token.idx).all()


def test_some_windows_keep_what_they_are_asked_about():
    docs = [make_sentences(["fever", ".", "rash", "."], {2}), make_sentences(["mg"] * 40, set(range(0, 40, 4)))]
    windows = Windower(TOKENIZERS["wordpiece"], 32, 4, context=3)(docs)
    some = windows.select([1])
    assert some.cores.tolist() == windows.cores[windows.docs == 1].tolist()
    sampled = windows.sample(30)
    kept = [windows.starts[windows.docs == 1].tolist().index(start) for start in sampled.starts[sampled.docs == 1]]
    assert 0 < len(kept) < 10
    assert sampled.cores[sampled.docs == 1].tolist() == some.cores[kept].tolist()


def test_sentences_end_where_a_section_does():
    doc = set_sections(make_sentences([".", ",", ".", ",", ".", ","], {3}), ("a", 0, 2), ("b", 4, 6))
    sections = Sections(["a", "b"], "sections")
    windows = Windower(TOKENIZERS["wordpiece"], 32, 4, sections, context=1)([doc])
    assert windows.cores.tolist() == [[0, 2], [2, 4]] and windows.starts.tolist() == [0, 1]
    assert find_sentences(doc, sections.parts(doc)).tolist() == [doc[0].idx, doc[3].idx, doc[4].idx]


def test_docs_without_sentence_boundaries_are_refused_by_name_of_what_to_add():
    windower = Windower(TOKENIZERS["wordpiece"], 32, 4, context=3)
    docs = [make_sentences(["fever", "rash"], {1}), *make_docs(SENTENCES[0], "", "fever")]
    with pytest.raises(UnreadableDocs, match="1 of 4 documents have no .*'sentencizer'.*training.annotating_components") as error:
        windower(docs)
    assert error.value.docs == [1] and SENTENCES[0][:10] not in str(error.value)
    assert windower(docs, [True, False, True, True]).docs.tolist() == [0, 0, 3]


@pytest.mark.parametrize("texts", [[], [""], ["", " ", "fever"]])
def test_docs_of_no_or_one_token_need_no_boundaries(texts):
    windows = Windower(TOKENIZERS["wordpiece"], 32, 4, context=3)(make_docs(*texts))
    assert windows.cores.shape == (len(windows), 2) and windows.n_docs == len(texts)
    assert len(windows) == sum(text == "fever" for text in texts)
