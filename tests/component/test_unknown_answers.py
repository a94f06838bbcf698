"""Documents that are given none of exclusive labels, as their best one is not probable enough."""

import json

import pytest
import spacy
from spacy.training import Example
from util import SENTENCES, make_nlp, make_texts

from spacy_epee.cli.tune import check_paths
from spacy_epee.doc_attributes import exits_of
from spacy_epee.evaluation.compare import compare
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.exits.rules import FixedDepth
from spacy_epee.tasks.textcat.builder import TextCatTask
from spacy_epee.tuning.tuner import Tuner, TuningGoal
from spacy_epee.tuning.unknown import find_unknown_threshold

LABELS = ("ACUTE", "STABLE", "HISTORY")


@pytest.fixture
def nlp(backbone):
    return make_nlp(backbone, LABELS, unknown_threshold=0.6)


def unknown(doc):
    return exits_of(doc)["epee_textcat"]["textcat"].get("unknown")


def test_documents_below_the_threshold_are_given_no_label(nlp):
    pipe = nlp.get_pipe("epee_textcat")
    docs = list(nlp.pipe(make_texts(24)))
    best = [max(doc.cats.values()) for doc in docs]
    assert min(best) < 0.6 <= max(best)
    for doc, probability in zip(docs, best):
        assert set(doc.cats) == set(LABELS)
        assert unknown(doc) == (probability < 0.6)
        assert pipe.labels_of(doc) == ([] if probability < 0.6 else [max(doc.cats, key=doc.cats.get)])


def test_scores_say_how_many_and_are_the_same_otherwise(nlp, backbone):
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {"ACUTE": 1.0, "STABLE": 0.0, "HISTORY": 0.0}}) for text in SENTENCES
    ]
    scores, plain = nlp.evaluate(examples), make_nlp(backbone, LABELS).evaluate(examples)
    assert scores["unknown"] == pytest.approx(sum(map(unknown, nlp.pipe(SENTENCES))) / len(SENTENCES))
    assert "unknown" not in plain and scores["cats_score"] == plain["cats_score"]


def test_nothing_is_said_without_a_threshold(backbone):
    assert unknown(make_nlp(backbone)(SENTENCES[0])) is None


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_thresholds_that_are_no_probability_are_refused(threshold):
    with pytest.raises(ValueError, match="unknown_threshold"):
        TextCatTask(None, None, unknown_threshold=threshold)


def test_labels_that_are_not_exclusive_have_none():
    with pytest.raises(ValueError, match="labels are not exclusive"):
        TextCatTask(None, None, exclusive=False, unknown_threshold=0.5)


def test_a_threshold_is_fitted_to_a_precision_and_saved(backbone, tmp_path):
    nlp = make_nlp(backbone, LABELS)
    texts = make_texts(30, seed=3)
    answers = [max(doc.cats, key=doc.cats.get) for doc in nlp.pipe(texts)]
    confidence = {text: max(doc.cats.values()) for text, doc in zip(texts, nlp.pipe(texts))}
    doubtful = set(sorted(texts, key=confidence.get)[:10])
    examples = []
    for text, answer in zip(texts, answers):  # what is right where it is sure, and wrong where it is not
        true = answer if text not in doubtful else next(label for label in LABELS if label != answer)
        examples.append(Example.from_dict(nlp.make_doc(text), {"cats": {label: float(label == true) for label in LABELS}}))
    tuning = Tuner(nlp, nlp.get_pipe("epee_textcat"), examples, calibrate=False, steps=2)
    threshold = tuning.leave_unknown(1.0)
    assert tuning.report["unknown"] == {"precision": 1.0, "threshold": threshold, "given": pytest.approx(2 / 3), "right": 1.0}
    json.dumps(tuning.report["unknown"])
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert [unknown(doc) for doc in loaded.pipe(texts)] == [text in doubtful for text in texts]


def test_labels_that_are_not_exclusive_have_no_such_threshold(backbone):
    nlp = make_nlp(backbone, LABELS, multilabel=True)
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": dict.fromkeys(LABELS, 1.0)}) for text in SENTENCES]
    tuning = Tuner(nlp, nlp.get_pipe("epee_textcat_multilabel"), examples, calibrate=False, thresholds=False, steps=2)
    with pytest.raises(ValueError, match="no setting `unknown_threshold`"):
        tuning.leave_unknown(0.9)


@pytest.mark.parametrize("empty", [[], [0], [0, 5, 11]])
def test_a_threshold_does_not_depend_on_documents_without_a_word(backbone, empty):
    nlp = make_nlp(backbone, spread=4.0)
    pipe = nlp.get_pipe("epee_textcat")
    texts = [*make_texts(30, seed=4)]
    labels = [nlp(text).cats for text in texts]
    truth = [max(own, key=own.get) if number % 3 else "STABLE" for number, own in enumerate(labels)]
    truth[-3:] = ["OTHER", "OTHER", "ACUTE"]  # of the first two any label is wrong
    rows = [*zip(texts, truth)]
    for place in empty:
        rows.insert(place, ("", "ACUTE"))
    known = (*pipe.labels, "OTHER")
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": {one: float(one == own) for one in known}}) for text, own in rows]
    found = find_unknown_threshold(stored := StoredOutputs(pipe, examples), stored.replay().run(None), 0.7)
    assert found == find_unknown_threshold(
        stored := StoredOutputs(pipe, [eg for eg in examples if len(eg.predicted)]), stored.replay().run(None), 0.7
    )
    assert stored.unknown.with_labels == [27, 28]


def share_of_others(nlp, rule, texts):
    """The share of texts that are given another label, or none, by a rule than at full depth."""
    pipe = nlp.get_pipe("epee_textcat")
    given = []
    for pipe.exit in (rule, None):
        given.append([pipe.labels_of(doc) for doc in nlp.pipe(texts)])
    return sum(one != other for one, other in zip(*given)) / len(texts)


def examples_of(nlp, texts):
    best = [max(doc.cats, key=doc.cats.get) for doc in nlp.pipe(texts)]
    true = [LABELS[number % 3] if number % 2 else label for number, label in enumerate(best)]  # of those at full depth
    cats = [{label: float(label == own) for label in LABELS} for own in true]
    return [Example.from_dict(nlp.make_doc(text), {"cats": own}) for text, own in zip(texts, cats)]


def test_a_document_that_is_given_none_has_another_answer(nlp):
    texts = make_texts(40, seed=6)
    others = share_of_others(nlp, FixedDepth(2), texts)
    nlp.get_pipe("epee_textcat").exit = FixedDepth(2)
    found = compare(nlp, examples_of(nlp, texts), nlp.get_pipe("epee_textcat"), [])
    assert found["disagreement"] == pytest.approx(others)
    nlp.get_pipe("epee_textcat").task.unknown_threshold = 0.0
    assert share_of_others(nlp, FixedDepth(2), texts) != others  # of the best labels


@pytest.mark.parametrize("fitted", [False, True])
def test_a_search_counts_documents_that_are_given_none(fitted, nlp):
    texts = make_texts(40, seed=6)
    pipe = nlp.get_pipe("epee_textcat")
    if fitted:
        pipe.task.unknown_threshold = 0.0
    tuning = Tuner(nlp, pipe, examples_of(nlp, texts), wish=TuningGoal(min_speedup=1.5), calibrate=False, steps=2)
    tuning.choose()
    if fitted:
        assert 0 < tuning.leave_unknown(0.5) < 1
    chosen = tuning.rule
    assert tuning.report["chosen"]["disagreement"] == pytest.approx(share_of_others(nlp, chosen, texts))
    assert tuning.try_setting("", FixedDepth(2)).disagreement == pytest.approx(share_of_others(nlp, FixedDepth(2), texts))


def test_what_is_promised_of_answers_is_not_changed_in_the_same_command():
    with pytest.raises(ValueError, match="give --unknown-precision alone"):
        check_paths("model", TuningGoal(max_disagreement=0.05), None, 0.9, None, None, False, None, False)
