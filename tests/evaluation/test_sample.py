"""Samples of documents."""

from collections import Counter

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.training import Example

from spacy_epee.data.docs import install_extensions
from spacy_epee.evaluation.sample import sample
from spacy_epee.tasks.relations.task import Relations
from spacy_epee.tasks.textcat.task import TextCat

NLP = spacy.blank("en")
TASK = TextCat(exclusive=False, label_weights={}, reduce="max")


def make(labels):
    """An example for each set of labels, in this order."""
    names = sorted({label for own in labels for label in own})
    docs = [NLP.make_doc(f"note {number}") for number in range(len(labels))]
    for doc, own in zip(docs, labels):
        doc.cats = {name: float(name in own) for name in names}
    return [Example(NLP.make_doc(doc.text), doc) for doc in docs]


def label_of(eg):
    return next((label for label, value in eg.reference.cats.items() if value), None)


SORTED = make([["A"]] * 600 + [["B"]] * 300 + [["C"]] * 90 + [["D"]] * 3 + [[]] * 7)
"""Sorted by label, as many files are."""


def test_sample_has_the_shares_of_all_and_the_rare_ones_too():
    found = Counter(map(label_of, sample(SORTED, [TASK], 100)))
    assert sum(found.values()) == 100
    assert found["A"] == pytest.approx(60, abs=4) and found["B"] == pytest.approx(30, abs=3)
    assert found["C"] == pytest.approx(9, abs=2)
    assert found["D"] >= 1 and found[None] >= 1


def test_sample_is_drawn_by_its_seed():
    first, again, other = (sample(SORTED, [TASK], 50, seed) for seed in (1, 1, 2))
    assert first == again and first != other


@pytest.mark.parametrize("limit", [0, 1000, 2000])
def test_sample_of_all_is_all(limit):
    assert sample(SORTED, [TASK], limit) == SORTED


def test_sample_goes_by_the_labels_of_relations():
    install_extensions()
    examples = make([[]] * 40)
    for number, eg in enumerate(examples):
        eg.reference._.relations = [{"head": [0, 1], "child": [1, 2], "label": "RARE" if number == 39 else "OFTEN", "score": 1.0}]
    task = Relations.__new__(Relations)
    found = sample(examples, [task], 4)
    assert examples[39] in found and len(found) == 4


SETS = st.lists(st.sets(st.sampled_from("ABCDE"), max_size=3).map(sorted), min_size=1, max_size=60)


@settings(max_examples=100)
@given(labels=SETS, limit=st.integers(1, 60), seed=st.integers(0, 3))
def test_sample_is_part_of_a_larger_one_and_in_order(labels, limit, seed):
    examples = make(labels)
    found, more = sample(examples, [TASK], limit, seed), sample(examples, [TASK], limit + 1, seed)
    places = [examples.index(eg) for eg in found]
    assert len(found) == min(limit, len(examples)) and places == sorted(set(places))
    assert set(places) <= {examples.index(eg) for eg in more}


@settings(max_examples=100)
@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=6), limit=st.integers(1, 100))
def test_sample_takes_each_label_once_before_any_more(counts, limit):
    examples = make([[chr(65 + number)] for number, count in enumerate(counts) for _ in range(count)])
    found = Counter(map(label_of, sample(examples, [TASK], limit)))
    assert len(found) == min(len(counts), limit, len(examples))
    for number, count in enumerate(counts):  # no more than its share, rounded up
        assert found[chr(65 + number)] <= -(-count * limit // sum(counts)) or limit >= sum(counts)
