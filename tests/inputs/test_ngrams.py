"""N-grams of whole documents."""

import numpy
import pytest
import spacy
from hypothesis import example, given
from hypothesis import strategies as st
from util import SENTENCES

from spacy_epee.inputs import ngrams as module
from spacy_epee.inputs.ngrams import BITS, NGrams, choose_ngrams, hash_facts, hash_ngrams, hash_parts

nlp = spacy.blank("en")
TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from(" \n\tabcéß"), max_size=40)


def of(text):
    return sorted(hash_ngrams([nlp.make_doc(text)])[0].tolist())


def grams(doc):
    """The n-grams as strings."""
    words = [token.lower_ for token in doc if not token.is_space]
    text = f" {' '.join(doc.text.lower().split())} "
    runs = [tuple(words[i : i + n]) for n in (1, 2) for i in range(len(words) - n + 1)]
    return runs + [text[i : i + n] for n in (3, 4, 5) for i in range(len(text) - n + 1)]


@given(st.lists(TEXT, max_size=5))
def test_documents_are_read_alike_alone_and_together(texts):
    keys, owners = hash_ngrams([nlp.make_doc(text) for text in texts])
    assert [sorted(keys[owners == place].tolist()) for place in range(len(texts))] == [of(text) for text in texts]


@given(TEXT)
@example("\x00\x000")
def test_the_same_ngrams_have_the_same_numbers_and_others_have_others(text):
    doc = nlp.make_doc(text)
    keys, counts = numpy.unique(hash_ngrams([doc])[0], return_counts=True)
    expected = {}
    for gram in grams(doc):
        expected[gram] = expected.get(gram, 0) + 1
    assert sorted(counts.tolist()) == sorted(expected.values())


def test_ngrams_have_the_numbers_that_saved_pipelines_know():
    keys, owners = hash_ngrams([nlp.make_doc("No rash")])
    assert len(keys) == 21 and not owners.any()
    assert keys[:3].tolist() == [0xB7B3E3ABE97C09AA, 0xD7AAFCBC7A5FF630, 0xFD73585A2FD2537C]  # no, rash, and both
    assert keys[[3, 10, 16, 20]].tolist() == [0x472365DACE6E48A9, 0x76B47C03FFF78CC0, 0xAFED23E9EFF4B565, 0x65074925216C8F25]


@pytest.mark.parametrize("known, dtype", [(0, "uint8"), (256, "uint8"), (257, "uint16"), (65_536, "uint16"), (65_537, "uint32")])
def test_the_table_of_places_is_as_small_as_can_be(known, dtype):
    keys = numpy.arange(known, dtype="uint64") << numpy.uint64(64 - BITS)
    table = NGrams(keys, numpy.ones(known, dtype="float32")).table
    assert table.dtype == dtype and table[:known].tolist() == list(range(known))


def test_case_and_kinds_of_whitespace_do_not_matter():
    assert of("Chest  pain\n\ttoday") == of("chest pain TODAY")


def test_nothing_is_cut_off():
    assert set(of("word " * 3000 + "pneumonia")) >= set(of("pneumonia")) - set(of(" p")) - set(of("x"))


def test_counts_are_those_of_the_documents_they_are_in(monkeypatch):
    docs = [nlp.make_doc(text) for text in SENTENCES]
    whole = choose_ngrams([docs], 10_000)
    monkeypatch.setattr(module, "TOGETHER", 10)
    parts = choose_ngrams([docs[:3], docs[3:4], docs[4:]], 10_000)
    assert numpy.array_equal(whole.keys, parts.keys) and numpy.allclose(whole.rarity, parts.rarity)
    counts = {}
    for doc in docs:
        for gram in set(grams(doc)):
            counts[gram] = counts.get(gram, 0) + 1
    assert len(whole.keys) == pytest.approx(sum(count >= 2 for count in counts.values()), abs=2)  # their first bits may meet


def test_the_most_frequent_are_kept_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(module, "TOGETHER", 100)
    monkeypatch.setattr(module, "REMEMBERED", 200)
    docs = [nlp.make_doc(f"fever {text}") for text in SENTENCES]
    chosen = choose_ngrams([[doc] for doc in docs], 20)
    assert len(chosen.keys) == 20
    assert set(of("fever")) & set(chosen.keys.tolist())


def test_known_ngrams_are_found_by_their_first_bits():
    docs = [nlp.make_doc(text) for text in SENTENCES]
    known = choose_ngrams([docs], 300)
    assert len(numpy.unique(known.keys >> numpy.uint64(64 - BITS))) == len(known.keys)
    for doc, row in zip(docs, range(len(docs))):
        counted = known.count([doc])
        assert set(known.keys[counted.indices].tolist()) == set(hash_ngrams([doc])[0].tolist()) & set(known.keys.tolist())
        assert numpy.linalg.norm(counted.data) == pytest.approx(1, abs=1e-5)


def test_a_text_without_known_ngrams_has_none():
    known = choose_ngrams([[nlp.make_doc(text) for text in SENTENCES]], 300)
    assert known.count([nlp.make_doc("日本"), nlp.make_doc(""), nlp.make_doc(" \n")]).nnz == 0


def test_documents_are_counted_alike_in_parts_and_together(monkeypatch):
    docs = [nlp.make_doc(text) for text in [*SENTENCES, "", "日本"]]
    known = choose_ngrams([docs], 300)
    whole = known.count(docs)
    for size in (1, 100, 10**9):
        monkeypatch.setattr(module, "CHUNK", size)
        assert (known.count(docs) != whole).nnz == 0


def test_a_document_is_weighed_alike_alone_and_among_others():
    docs = [nlp.make_doc(text) for text in [*SENTENCES, "", "日本", "the the the"]]
    known = choose_ngrams([docs], 300)
    together = known.count(docs)
    for doc, row in zip(docs, together):
        alone = known.count([doc])
        assert alone.indices.tolist() == row.indices.tolist()
        numpy.testing.assert_allclose(alone.data, row.data, rtol=1e-6)


def test_of_many_documents_ngrams_must_be_in_five():
    docs = [nlp.make_doc(f"note {number % 7} " + ("Kowalczyk" if number < 4 else "fever")) for number in range(600)]
    known = set(choose_ngrams([docs], 10_000).keys.tolist())
    assert set(of("fever")) & known
    assert not known & (set(of("Kowalczyk")) - set(of("note 1 fever")))


def test_frequent_words_of_spacy_are_told_apart():
    text = "neg agent mark root dep det aux meta poss"
    assert len(choose_ngrams([[nlp.make_doc(text)] * 2], 300).keys) == len(set(of(text)))


def test_nothing_can_be_known():
    known = choose_ngrams([[nlp.make_doc("fever")]], 300)  # in one document alone
    assert not len(known.keys) and known.count([nlp.make_doc("fever")]).shape == (1, 0)


@given(TEXT, st.data())
def test_a_piece_is_read_as_its_text(text, data):
    doc = nlp.make_doc(text)
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(doc))] * 2)))
    whole = spacy.tokens.Doc(
        nlp.vocab, [token.text for token in doc[start:stop]], [bool(token.whitespace_) for token in doc[start:stop]]
    )
    assert sorted(hash_ngrams([doc[start:stop]])[0].tolist()) == sorted(hash_ngrams([whole])[0].tolist())


def test_nothing_weighs_nothing():
    known = choose_ngrams([[nlp.make_doc(text) for text in SENTENCES]], 300)
    assert [part.tolist() for part in known.weigh(*hash_ngrams([]), 0)] == [[], [], [0]]


def test_no_pieces_have_no_ngrams():
    assert [len(part) for part in hash_ngrams([])] == [0, 0]


def test_words_of_parts_are_known_by_where_they_are():
    doc = nlp.make_doc("No rash  on warfarin , no rash")
    words = [token.text.lower() for token in doc]
    bounds = numpy.array([[0, 2], [words.index(","), len(doc)], [0, 0], [0, len(doc)]])
    keys, owners = hash_parts(doc, [bounds, bounds])
    of_things = [sorted(keys[owners == thing].tolist()) for thing in range(4)]
    assert [len(own) for own in of_things] == [2 * 3, 2 * 5, 0, 2 * 13]  # 2, 3, 0 and 7 words, and pairs of them
    assert set(of_things[0]) <= set(of_things[1]) <= set(of_things[3])  # "no rash"
    first = hash_parts(doc, [bounds])[0]
    assert sorted(first.tolist() * 2) != sorted(keys.tolist()) and set(first.tolist()) < set(keys.tolist())
    assert numpy.array_equal(hash_parts(nlp.make_doc("no rash"), [numpy.array([[0, 2]])])[0], first[owners[: len(first)] == 0])


def test_facts_are_others_than_words_and_than_each_other():
    keys, owners = hash_facts([numpy.array([1, 2, 1]), numpy.array([1, 1, 0])])
    assert owners.tolist() == [0, 1, 2] * 2
    assert keys[0] == keys[2] != keys[1] and keys[3] == keys[4] != keys[5] and len(set(keys.tolist())) == 4
