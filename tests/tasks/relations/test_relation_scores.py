"""Scores of relations."""

import pytest
import spacy
from spacy.training import Example

from spacy_epee.tasks.relations.scorer import KEYS, score_relations
from spacy_epee.tasks.relations.task import install_extensions

NLP = spacy.blank("en")
TEXT = "one two three four five six"


def make(found, gold, text=TEXT):
    install_extensions()
    docs = []
    for relations in (found, gold):
        doc = NLP.make_doc(text)
        doc._.relations = [
            {"head": [head, head + 1], "child": [child, child + 1], "label": label, "score": 1.0}
            for head, child, label in relations
        ]
        docs.append(doc)
    return Example(*docs)


@pytest.mark.parametrize(
    "found,gold,p,r",
    [
        ([(0, 1, "A")], [(0, 1, "A")], 1, 1),
        ([(0, 1, "A")], [(0, 1, "B")], 0, 0),
        ([(0, 1, "A")], [(1, 0, "A")], 0, 0),
        ([(0, 1, "A"), (2, 3, "A")], [(0, 1, "A")], 0.5, 1),
        ([(0, 1, "A")], [(0, 1, "A"), (4, 5, "B")], 1, 0.5),
        ([(0, 1, "A"), (0, 1, "A")], [(0, 1, "A")], 1, 1),
        ([], [(0, 1, "A")], 0, 0),
        ([(0, 1, "A")], [], 0, 0),
    ],
)
def test_relations_score_is_by_ends_and_label(found, gold, p, r):
    scores = score_relations([make(found, gold)])
    assert (scores["rel_micro_p"], scores["rel_micro_r"]) == (p, r)


def test_relations_score_without_direction():
    scores = score_relations([make([(0, 1, "A")], [(1, 0, "A")])], symmetric=True)
    assert scores["rel_micro_f"] == 1


def test_relations_score_by_label_and_their_mean():
    found = [(0, 1, "A"), (2, 3, "A"), (4, 5, "B")]
    gold = [(0, 1, "A"), (2, 3, "B"), (4, 5, "B"), (1, 2, "B")]
    scores = score_relations([make(found, gold)])
    assert scores["rel_f_per_type"]["A"] == pytest.approx({"p": 0.5, "r": 1.0, "f": 2 / 3})
    assert scores["rel_f_per_type"]["B"] == pytest.approx({"p": 1.0, "r": 1 / 3, "f": 0.5})
    assert scores["rel_macro_f"] == pytest.approx((2 / 3 + 0.5) / 2)
    assert scores["rel_micro_p"] == pytest.approx(2 / 3) and scores["rel_micro_r"] == pytest.approx(0.5)


def test_relations_score_of_some_labels_leaves_the_others_out():
    scores = score_relations([make([(0, 1, "A"), (2, 3, "OTHER")], [(0, 1, "A")])], labels=["A", "B"])
    assert scores["rel_micro_f"] == 1
    assert scores["rel_f_per_type"]["B"]["f"] == 0


def test_relations_score_compares_characters_and_not_tokens():
    eg = make([], [(1, 2, "A")], "a-b c")
    predicted = spacy.tokens.Doc(NLP.vocab, words=["a", "-", "b", "c"], spaces=[False, False, True, False])
    reference = spacy.tokens.Doc(NLP.vocab, words=["a-b", "c"], spaces=[True, False])
    reference._.relations = [{"head": [0, 1], "child": [1, 2], "label": "A"}]
    predicted._.relations = [{"head": [0, 3], "child": [3, 4], "label": "A"}]
    eg = Example(predicted, reference)
    assert score_relations([eg])["rel_micro_f"] == 1


def test_relations_score_of_nothing_is_none():
    assert score_relations([make([], [])]) == dict.fromkeys([*KEYS, "rel_f_per_type"])
