"""Documents that are run to be compared with something, one by one."""

import pytest
from spacy.language import Language
from spacy.util import ignore_error
from util import SENTENCES, make_examples, make_nlp

from spacy_epee.evaluation.compare import compare
from spacy_epee.evaluation.timing import answer_all_of, prepare

LABELS = ["ACUTE", "STABLE", "HISTORY"]


@Language.component("fails_at_fever")
def fail_at_fever(doc):
    if "fever" in doc.text:
        raise RuntimeError
    return doc


@pytest.fixture
def leaves_out(backbone):
    """A pipeline that leaves out one of the sentences, as an error handler lets it, before it comes to our component."""
    nlp = make_nlp(backbone, LABELS)
    nlp.add_pipe("fails_at_fever", first=True)
    nlp.set_error_handler(ignore_error)
    return nlp


def test_documents_that_are_left_out_are_no_reason_to_score_others_by_their_labels(leaves_out):
    pipe, examples = leaves_out.get_pipe("epee_textcat"), make_examples(leaves_out, LABELS)
    for run in (lambda: prepare(leaves_out, pipe, examples), lambda: compare(leaves_out, examples, pipe, rounds=1)):
        with pytest.raises(ValueError, match=f"left out 1 of {len(SENTENCES)} documents") as caught:
            run()
        assert "fever" not in str(caught.value)


def test_what_is_answered_comes_back_in_order(leaves_out):
    texts = [text for text in SENTENCES if "fever" not in text]
    assert [doc.text for doc in answer_all_of(leaves_out, texts, 4)] == texts
