"""What is annotated and cannot be an answer counts as missed or wrong, in every task and in every way of scoring."""

import warnings

import numpy
import pytest
from events_util import TEXTS as EVENT_TEXTS
from events_util import make_events_nlp
from events_util import make_example as make_events_example
from relations_util import TEXTS as RELATION_TEXTS
from relations_util import make_example as make_relations_example
from relations_util import make_relations_nlp
from spacy.training import Example
from util import SENTENCES, make_nlp

from spacy_epee.evaluation.compare import compare
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.evaluation.timing import prepare
from spacy_epee.tasks.unknown import UNKNOWN

RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.5, "patience": 2}
LABELS = ("ACUTE", "STABLE", "HISTORY")


def answers_as_truths(nlp, count, extra=None):
    """Examples that are all right, and then some with another annotation."""
    examples = []
    for number, sentence in enumerate(SENTENCES):
        said = nlp(sentence).cats
        best = max(said, key=said.get)
        cats = {label: float(label == best if "multilabel" not in nlp.pipe_names[0] else said[label] >= 0.5) for label in said}
        if number >= count:
            cats = {**dict.fromkeys(said, 0.0), **extra}
        examples.append(Example.from_dict(nlp.make_doc(sentence), {"cats": cats}))
    return examples


def tuned_score(nlp, examples):
    """The main score at full depth, as `tune` has it."""
    pipe = nlp.get_pipe(nlp.pipe_names[-1])
    stored = StoredOutputs(pipe, prepare(nlp, pipe, examples), nlp=nlp)
    replay = stored.replay()
    return stored.scorer(replay)(replay.run(None))


@pytest.fixture(scope="module")
def nlp(backbone):
    return make_nlp(backbone, LABELS)


def test_unknown_labels_count_as_missed(nlp):
    examples = answers_as_truths(nlp, 3, {"derma": 1.0})
    with pytest.warns(UserWarning, match=r"9 of 12 documents .* \(1, the first in document 4\). They count as missed") as caught:
        scores = nlp.evaluate(examples)
    assert len([one for one in caught if "does not know" in str(one.message)]) == 1
    assert scores["cats_f_per_type"][UNKNOWN] == {"p": 0.0, "r": 0.0, "f": 0.0}
    assert scores["cats_micro_r"] == pytest.approx(3 / 12) and scores["cats_micro_p"] == pytest.approx(3 / 12)
    assert scores["cats_score"] < 0.6
    with pytest.warns(UserWarning, match="labels that .* does not know"):
        assert tuned_score(nlp, examples) == pytest.approx(scores["cats_score"])
    with pytest.warns(UserWarning, match="labels that .* does not know"):
        found = compare(nlp, examples, nlp.get_pipe("epee_textcat"), batch_sizes=(), rounds=1)
    assert found["full"]["score"] == pytest.approx(scores["cats_score"])


def test_unknown_rows_without_a_true_label_count_as_wrong(nlp):
    examples = answers_as_truths(nlp, 8, {})
    with pytest.warns(UserWarning, match="In 4 of 12 documents none of the exclusive labels"):
        scores = nlp.evaluate(examples)
    assert scores["cats_micro_r"] == 1.0 and scores["cats_micro_p"] == pytest.approx(8 / 12)
    with pytest.warns(UserWarning, match="none of the exclusive labels"):
        assert tuned_score(nlp, examples) == pytest.approx(scores["cats_score"])


def test_unknown_labels_count_as_missed_by_the_f_of_a_positive_label(backbone):
    nlp = make_nlp(backbone, ("ACUTE", "STABLE"))
    pipe = nlp.get_pipe("epee_textcat")
    pipe.cfg["positive_label"] = "ACUTE"
    examples = answers_as_truths(nlp, 3, {"derma": 1.0})
    with pytest.warns(UserWarning, match="labels that .* does not know"):
        scores = nlp.evaluate(examples)
    assert scores["cats_score_desc"] == "F (ACUTE)"
    assert scores["cats_score"] == scores["cats_f_per_type"]["ACUTE"]["f"] < 1.0
    with pytest.warns(UserWarning, match="labels that .* does not know"):
        assert tuned_score(nlp, examples) == pytest.approx(scores["cats_score"])


def test_unknown_labels_of_several_count_as_missed(backbone):
    nlp = make_nlp(backbone, LABELS, multilabel=True)
    examples = answers_as_truths(nlp, 12)
    known = nlp.evaluate(examples)
    for eg in examples:
        eg.reference.cats["derma"] = float(eg.reference.cats["ACUTE"])
    with pytest.warns(UserWarning, match="labels that .* does not know"):
        scores = nlp.evaluate(examples)
    assert scores["cats_f_per_type"][UNKNOWN]["r"] == 0.0
    assert scores["cats_macro_f"] == pytest.approx(known["cats_macro_f"] * 3 / 4)
    assert scores["cats_score"] == pytest.approx((known["cats_score"] * 3 + 0.5) / 4)
    with pytest.warns(UserWarning, match="labels that .* does not know"):
        assert tuned_score(nlp, examples) == pytest.approx(scores["cats_score"])


@pytest.mark.parametrize("note", ["the patient said\nthat it hurts", "Smith", "derma"])
def test_unknown_labels_may_be_text_and_are_not_shown(nlp, note):
    examples = answers_as_truths(nlp, 3, {note: 1.0})
    with pytest.warns(UserWarning, match="does not know") as caught:
        scores = nlp.evaluate(examples)
    assert note not in str([str(one.message) for one in caught]) and note not in str(scores)
    assert scores["cats_score"] < 0.6


def test_labels_of_another_component_are_not_unknown(backbone):
    nlp = make_nlp(backbone, LABELS, multilabel=True)
    other = make_nlp(backbone, ("derma", "psych"))
    nlp.add_pipe("epee_textcat", source=other)
    examples = answers_as_truths(nlp, 12)
    for eg in examples:
        eg.reference.cats.update(derma=1.0, psych=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert nlp.evaluate(examples)["cats_f_per_type"].keys() == {"derma", "psych"}
        report = compare(nlp, examples, nlp.get_pipe("epee_textcat_multilabel"), batch_sizes=(), rounds=1)
    assert report["full"]["per_label"].keys() == set(LABELS)


def test_unknown_labels_of_relations_count_as_missed(backbone):
    nlp = make_relations_nlp(backbone)
    examples = [make_relations_example(nlp, text) for text in RELATION_TEXTS]
    before = nlp.evaluate(examples)
    examples = [make_relations_example(nlp, text) for text in RELATION_TEXTS]
    examples[0].reference._.relations[0]["label"] = "derma"
    with pytest.warns(UserWarning, match=r"1 of 6 documents .* \(1, the first in document [13]\)"):
        scores = nlp.evaluate(examples)
    assert scores["rel_f_per_type"][UNKNOWN] == {"p": 0.0, "r": 0.0, "f": 0.0}
    gold = sum(len(eg.reference._.relations) for eg in examples)
    right = round(before["rel_micro_r"] * gold)
    assert right - 1 <= round(scores["rel_micro_r"] * gold) <= right
    with pytest.warns(UserWarning, match="labels that .* does not know"):
        assert tuned_score(nlp, examples) == pytest.approx(scores["rel_micro_f"])


def test_unknown_labels_of_events_count_as_missed(backbone):
    nlp = make_events_nlp(backbone, steps=40)
    examples = [make_events_example(nlp, text) for text in EVENT_TEXTS]
    before = nlp.evaluate(examples)
    examples = [make_events_example(nlp, text) for text in EVENT_TEXTS]
    examples[2].reference._.events[2]["label"] = "derma"
    with pytest.warns(UserWarning, match=r"1 of 6 documents .* \(1, the first in document [13]\)"):
        scores = nlp.evaluate(examples)
    assert scores["ev_trigger_per_type"][UNKNOWN]["r"] == 0.0
    assert scores["ev_trigger_r"] <= before["ev_trigger_r"]
    with pytest.warns(UserWarning, match="labels that .* does not know"):
        assert tuned_score(nlp, examples) == pytest.approx(scores["ev_f"])


def test_unknown_labels_say_nothing_to_temperatures(nlp):
    examples = answers_as_truths(nlp, 6, {"derma": 1.0})
    pipe = nlp.get_pipe("epee_textcat")
    with pytest.warns(UserWarning, match="labels that .* does not know"):
        found = StoredOutputs(pipe, [Example(nlp(eg.text), eg.reference) for eg in examples])
    assert found.label_mask[:6].all() and not found.label_mask[6:].any() and numpy.isfinite(found.fit()).all()
