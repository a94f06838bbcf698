"""What is learned of words before training, of more documents than fit into memory too."""

from multiprocessing.reduction import ForkingPickler

import numpy
import pytest
from spacy.training import Example
from spacy.util import minibatch
from util import SENTENCES, make_nlp, make_texts

from spacy_epee.component import words
from spacy_epee.inputs.ngrams import choose_ngrams


@pytest.fixture(scope="module")
def pipe(backbone):
    nlp = make_nlp(backbone, lexical=500)
    return nlp.get_pipe("epee_textcat"), nlp


def read(pipe, copies=1):
    component, nlp = pipe
    cats = [{label: float(label == true) for label in component.labels} for true in component.labels]
    texts = make_texts(120, seed=3) * copies
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": cats[len(text) % len(cats)]}) for text in texts]
    ngrams = choose_ngrams(minibatch((eg.predicted for eg in examples), 50), 500)
    return words.read_examples(ngrams, [component.slot()], lambda: examples)


def test_of_more_than_fits_a_part_is_kept_as_it_is(pipe, monkeypatch):
    whole = read(pipe)
    monkeypatch.setattr(words, "MOST_COUNTS", whole.rows.nnz // 3)
    part = read(pipe)
    assert 0 < part.rows.nnz <= whole.rows.nnz // 3
    assert len(part.texts) == part.rows.shape[0] == len(part.labels[0][0]) == len(part.labels[0][1])
    for row, text in enumerate(part.texts):
        there = whole.texts.index(text)
        assert (part.rows[row] != whole.rows[there]).nnz == 0
        assert (part.labels[0][0][row] == whole.labels[0][0][there]).all()


def test_many_labels_are_learned_from_fewer(pipe, monkeypatch):
    whole = read(pipe)
    monkeypatch.setattr(words, "MOST_WORK", whole.rows.nnz * 2)  # of three labels
    assert read(pipe).rows.nnz <= whole.rows.nnz * 2 // 3


def test_texts_that_are_there_twice_stay_together(pipe, monkeypatch):
    whole = read(pipe, 2)
    monkeypatch.setattr(words, "MOST_COUNTS", whole.rows.nnz // 3)
    texts = read(pipe, 2).texts
    assert texts
    assert all(texts.count(text) == whole.texts.count(text) for text in set(texts))


def test_what_fits_is_read_whole_and_in_order(pipe):
    assert read(pipe).texts == make_texts(120, seed=3)


def test_words_are_known_after_a_pipeline_was_sent_to_another_process(backbone):
    nlp = make_nlp(backbone, lexical=500)
    head = nlp.get_pipe("epee_textcat").slot().heads(nlp.get_pipe("epee_textcat").model).lexical
    before = [doc.cats for doc in nlp.pipe(SENTENCES)]
    for kept, part in ((head.model.ngrams.keys, head.keys), (head.model.bias, head.bias)):
        assert not numpy.shares_memory(kept, part.numpy())  # which torch moves to other memory
    ForkingPickler.dumps(nlp)  # as spaCy does, where processes are not forked
    assert [doc.cats for doc in nlp.pipe(SENTENCES)] == before
