"""Compressing in steps towards a goal"""

import numpy
import pytest
from spacy.training import Example
from spacy.vectors import Vectors
from util import SENTENCES, answered_examples, make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.compress import sequence  # noqa: E402
from spacy_epee.compress.measure import Size, measure_folder  # noqa: E402
from spacy_epee.compress.sequence import Goal, shrink  # noqa: E402

LABELS = ["ACUTE", "STABLE", "HISTORY"]


@pytest.fixture
def nlp(backbone):
    return make_nlp(backbone, LABELS, spread=4.0)


def run(nlp, steps, goal, **settings):
    examples = answered_examples(nlp, LABELS)
    return shrink(nlp, nlp.get_pipe("epee_textcat"), examples, examples[:4], steps, goal, "onnx", **settings)


def test_steps_are_taken_until_the_goal_is_reached(nlp):
    size = len(nlp.to_bytes())
    report = run(nlp, ["embeddings", "weights", "sparsity"], Goal(100, target_size=0.95 * size))
    assert [step.name for step in report.steps] == ["", "embeddings"] and report.missing == []
    assert report.steps[1].size.disk <= 0.95 * size < report.steps[0].size.disk


def test_a_goal_that_is_not_reached_is_told_with_what_was_found(nlp):
    before = len(nlp.to_bytes())
    report = run(nlp, ["embeddings", "weights"], Goal(100, target_size=1000, speedup=1000))
    assert [step.kept for step in report.steps] == [True] * 3 and len(nlp.to_bytes()) < before
    assert len(report.missing) == 2 and "MB and not 0.001 MB" in report.missing[0] and "1000 times" in report.missing[1]


def test_each_step_may_lose_its_share_and_what_those_before_left(nlp, monkeypatch):
    allowed = []

    def compress(nlp, pipe, name, choice, max_drop, reference, **settings):
        allowed.append(max_drop)
        raise ValueError("not here")

    monkeypatch.setattr(sequence, "compress", compress)
    report = run(nlp, ["embeddings", "weights", "sparsity", "layers"], Goal(2.0))
    assert allowed == [0.5, 1.0, 1.5, 2.0]
    assert not any(step.kept for step in report.steps[1:]) and report.steps[1].why == "not here"


def test_what_is_neither_smaller_nor_faster_is_undone(nlp, monkeypatch):
    before = nlp.to_bytes()
    monkeypatch.setattr(sequence, "measure", lambda *args: Size(1000, 10, 0.0, 10, {"1": 1.0, "32": 1.0}))
    report = run(nlp, ["weights"], Goal(100))
    assert report.steps[1].why == "is neither smaller nor faster" and not report.steps[1].kept
    assert nlp.to_bytes() == before


def test_training_documents_say_which_wordpieces_stay_and_the_others_how_many_are_missing(nlp):
    train = answered_examples(nlp, LABELS)[:6]
    report = run(nlp, ["vocabulary"], Goal(100), train=train)
    assert report.steps[1].kept and report.pieces["texts"] == len(SENTENCES) and report.pieces["dropped"] > 0
    other = run(nlp, ["vocabulary"], Goal(100))
    assert [step.name for step in other.steps] == [""] and other.pieces is None


def test_training_documents_without_annotation_leave_it_to_the_others_what_matters(nlp):
    train = [Example.from_dict(nlp.make_doc(text), {}) for text in SENTENCES]
    report = run(nlp, ["width"], Goal(100), train=train)
    assert report.steps[1].why == "" and report.steps[1].kept


def test_vectors_of_words_count_as_part_of_the_folder(nlp):
    before = measure_folder(nlp)
    nlp.vocab.vectors = Vectors(data=numpy.ones((1000, 50), dtype="float32"), keys=range(1000))
    assert measure_folder(nlp) > before + 200_000


def test_documents_without_annotation_are_refused(nlp):
    empty = [Example.from_dict(nlp.make_doc(text), {}) for text in SENTENCES]
    with pytest.raises(ValueError, match="no score can be kept"):
        shrink(nlp, nlp.get_pipe("epee_textcat"), empty, empty, ["weights"], Goal(), "onnx")
