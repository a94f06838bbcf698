"""Pruned vocabularies"""

import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from util import SENTENCES, make_nlp, make_tokenizer

pytest.importorskip("spacy_transformers")

import tokenizers  # noqa: E402
import transformers  # noqa: E402

from spacy_epee.compress.vocabulary import Vocabulary, dropped_pieces  # noqa: E402
from spacy_epee.compress.wordpieces import choose_pieces, count_pieces, cut, keep_pieces  # noqa: E402
from spacy_epee.model import get_trunk_shim  # noqa: E402

KINDS = {"wordpiece": ("bert", "bert"), "bytes": ("roberta", "roberta"), "metaspace": ("bert", "bert")}
"""The special wordpieces and the family that go with a method."""

USED = SENTENCES[:4]


def prune(kind, texts):
    special, family = KINDS[kind]
    tokenizer = make_tokenizer(special, kind)
    counts = count_pieces(tokenizer, texts)
    used = {piece for piece, number in tokenizer.get_vocab().items() if counts[number]}
    kept = choose_pieces(tokenizer, used)
    return tokenizer, kept, *keep_pieces(tokenizer, transformers.AutoConfig.for_model(family), kept)


@pytest.fixture(scope="module", params=sorted(KINDS))
def pruned(request):
    return prune(request.param, USED)


def pieces(tokenizer, text):
    [ids] = cut(tokenizer, [text])
    return tokenizer.convert_ids_to_tokens(ids)


@given(words=st.lists(st.sampled_from(sorted({word for text in SENTENCES for word in text.split()})), max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_texts_whose_wordpieces_all_stay_are_cut_as_before(pruned, words):
    before, kept, after, _ = pruned
    text = " ".join(words)
    whole = pieces(before, text)
    if set(whole) <= set(kept):
        assert pieces(after, text) == whole
    else:  # into parts, and nothing gets lost
        assert "".join(pieces(after, text)).replace("##", "") == "".join(whole).replace("##", "")


def test_wordpieces_keep_their_order_and_special_ones_their_places(pruned):
    before, kept, after, rows = pruned
    old, new = before.get_vocab(), after.get_vocab()
    assert len(new) < len(old) and list(rows) == sorted(rows)
    assert all(old[piece] == rows[number] for piece, number in new.items())
    one, other = before("fever"), after("fever")
    assert one["input_ids"] == [int(rows[number]) for number in other["input_ids"]]


def test_a_method_that_is_not_understood_is_refused_by_its_name():
    from tokenizers import Tokenizer, models

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")), unk_token="[UNK]"
    )
    with pytest.raises(ValueError, match="'WordLevel'.*WordPiece, BPE, Unigram"):
        choose_pieces(tokenizer, {"a"})


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_pruned_pipeline_answers_as_before_where_its_wordpieces_stay_and_is_saved(backbones, family, tmp_path):
    nlp = make_nlp(backbones(family))
    pipe = nlp.get_pipe("epee_textcat")
    before = [doc.cats for doc in nlp.pipe(USED)]
    size = len(nlp.to_bytes())
    shim = get_trunk_shim(pipe.model)
    words = shim._model.get_input_embeddings().weight.shape[0]
    step = Vocabulary(pipe, USED)
    step.use("used once")
    assert [doc.cats for doc in nlp.pipe(USED)] == before
    assert shim._model.get_input_embeddings().weight.shape[0] == len(shim.objects.tokenizer) < words
    nlp.to_disk(tmp_path / "pruned")
    loaded = spacy.load(tmp_path / "pruned")
    assert [doc.cats for doc in loaded.pipe(USED)] == before and len(loaded.to_bytes()) < size
    assert [doc.cats for doc in loaded.pipe(SENTENCES)] == [doc.cats for doc in nlp.pipe(SENTENCES)]
    step.use("all")
    assert [doc.cats for doc in nlp.pipe(USED)] == before and shim._model.get_input_embeddings().weight.shape[0] == words


def test_new_texts_that_need_a_dropped_wordpiece_are_counted(pruned):
    before, kept, after, _ = pruned
    counted = dropped_pieces(before, after, SENTENCES)
    needed = [[piece not in kept for piece in pieces(before, text)] for text in SENTENCES]
    assert counted["dropped"] == sum(map(sum, needed)) > 0 and counted["changed"] == sum(map(any, needed))
    assert counted["pieces"] == sum(map(len, needed)) and counted["texts"] == len(SENTENCES) and counted["unknown"] == 0
    assert dropped_pieces(before, after, USED)["dropped"] == 0


def test_no_texts_are_refused(backbone):
    with pytest.raises(ValueError, match="no texts"):
        Vocabulary(make_nlp(backbone).get_pipe("epee_textcat"), [])


def test_a_tokenizer_with_more_wordpieces_than_embeddings_is_refused(backbone):
    nlp = make_nlp(backbone)
    [(_, pipe)] = nlp.pipeline
    vocabulary = Vocabulary(pipe, SENTENCES)
    vocabulary.tokenizer.add_special_tokens({"additional_special_tokens": ["[NAME]"]})
    vocabulary = Vocabulary(pipe, SENTENCES)
    with pytest.raises(ValueError, match="has 1 wordpieces that must stay"):
        vocabulary.use("used once")


def test_wordpieces_are_counted_whatever_their_numbers():
    words = {"[UNK]": 0, "fever": 7, "rash": 900}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    counts = count_pieces(transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer), ["fever rash rash"])
    assert counts[7] == 1 and counts[900] == 2 and counts.sum() == 3
