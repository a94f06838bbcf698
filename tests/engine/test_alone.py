"""A unit alone is answered as it is in a batch."""

import numpy
import pytest
from test_replay import RULES
from util import make_nlp, make_texts

from spacy_epee.heads.lexical import LexicalHead
from spacy_epee.inference import alone, climb, predict

TEXTS = [*make_texts(10, seed=7), " ".join(make_texts(12, seed=8)), "a"]
"""One of them has several windows."""

FORMS = {
    "mean": {},
    "multilabel": {"multilabel": True},
    "cls": {"model": {"head": {"pooling": "cls"}}},
    "last": {"model": {"head": {"pooling": "last"}}},
    "words": {"lexical": 64},
}


@pytest.fixture(scope="module", params=FORMS)
def documents(request, backbone):
    """A component, Docs, and the answers with each rule as the loop gives them."""
    nlp = make_nlp(backbone, **FORMS[request.param])
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    docs = [nlp.make_doc(text) for text in TEXTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "answer_alone", lambda *args: None)
        return pipe, docs, [[pipe.answer([doc], rule) for doc in docs] for rule in UNLEARNED]


UNLEARNED = [rule for rule in RULES if rule is None or type(rule).__name__ != "Learned"]


@pytest.mark.parametrize("number", range(len(UNLEARNED)))
def test_a_document_alone_is_answered_as_by_the_loop(documents, number):
    pipe, docs, by_loop = documents
    for doc, expected in zip(docs, by_loop[number]):
        found = pipe.answer([doc], UNLEARNED[number])
        assert found.layers.tolist() == expected.layers.tolist() and found.reasons == expected.reasons
        rounded = 1e-5 * max(abs(expected.logits).max(), 10)
        numpy.testing.assert_allclose(found.logits, expected.logits, atol=rounded)
        numpy.testing.assert_allclose(found.entropy, expected.entropy, atol=1e-4)


def test_a_document_alone_does_not_go_through_the_loop(backbone, monkeypatch):
    monkeypatch.setattr(climb, "run_exits", lambda *args, **kwargs: pytest.fail("the loop ran"))
    nlp = make_nlp(backbone)
    assert nlp(TEXTS[0])._.exits["epee_textcat"]["textcat"]["layer"] > 0


def test_a_document_of_more_wordpieces_than_run_together_goes_through_the_loop(backbone, monkeypatch):
    nlp = make_nlp(backbone, model={"trunk": {"max_wordpieces": 40}})
    [expected] = nlp.pipe([TEXTS[10]])
    monkeypatch.setattr(alone, "climb_alone", lambda *args, **kwargs: pytest.fail("it ran in one call"))
    assert nlp(TEXTS[10]).cats == expected.cats


def test_a_document_that_goes_through_the_loop_is_read_once(backbone, monkeypatch):
    nlp = make_nlp(backbone, model={"trunk": {"max_wordpieces": 40}}, lexical=100)
    cut, looked = [], []
    monkeypatch.setattr(alone, "get_windows", lambda *args, own=alone.get_windows: cut.append(1) or own(*args))
    monkeypatch.setattr(predict, "get_windows", lambda *args: pytest.fail("it is cut again"))
    look = LexicalHead.look
    monkeypatch.setattr(LexicalHead, "look", lambda self, docs: looked.append(1) or look(self, docs))
    assert nlp(TEXTS[10])._.exits["epee_textcat"]["textcat"]["layer"] > 0
    assert len(cut) == len(looked) == 1


def test_what_is_not_asked_about_is_not_answered(backbone, monkeypatch):
    nlp = make_nlp(backbone)
    pipe = nlp.get_pipe("epee_textcat")
    monkeypatch.setattr(type(pipe.task), "has_instances", lambda self, docs: [False] * len(docs))
    found = pipe.answer([nlp.make_doc(TEXTS[0])], None)
    assert not found.ran.any() and not found.probabilities.any()
