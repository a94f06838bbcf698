"""How much a document is about the concepts of a pair."""

import numpy
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Span
from spacy.training import Example
from thinc.api import Adam

from spacy_epee.compress.depth import Layers
from spacy_epee.evaluation.calibrate import calibrate
from spacy_epee.evaluation.salience import best_salience, better_salience
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.tasks.relations.salience import salience_of
from spacy_epee.tasks.salience import salience_shape, set_salience
from spacy_epee.tuning.fitting import fit_salience

NAMES = {"aspirin": "Drug", "ibuprofen": "Drug", "rash": "Effect", "hives": "Effect", "fever": "Effect"}
TEXTS = (
    "Aspirin and rash. Aspirin again, rash again. Fever. Ibuprofen.",
    "Hives by ibuprofen. Hives, ibuprofen, hives. Aspirin, and fever.",
    "Fever, fever with aspirin, aspirin. A rash and ibuprofen.",
    "Ibuprofen, rash, ibuprofen, rash. Aspirin. Hives.",
)
RELATED = (("aspirin", "rash"), ("ibuprofen", "hives"), ("aspirin", "fever"), ("ibuprofen", "rash"))
"""Those that the texts are about."""


def make_example(nlp, text, pair=None):
    docs = [nlp.make_doc(text), nlp.make_doc(text)]
    for doc in docs:
        doc.set_ents([Span(doc, t.i, t.i + 1, NAMES[t.lower_], kb_id=t.lower_) for t in doc if t.lower_ in NAMES])
    predicted, reference = docs
    reference._.relations = [
        {"head": [head.start, head.end], "child": [child.start, child.end], "label": "CAUSES", "score": 1.0}
        for head in reference.ents
        for child in reference.ents
        if (head.kb_id_, child.kb_id_) == pair
    ]
    return Example(predicted, reference)


def make(backbone, level="concept", exclusive=False, symmetric=False):
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    candidates = {"level": level, "labels": [["Drug", "Effect"]], "symmetric": symmetric}
    model = {"trunk": {"name": str(backbone), "window": 128, "overlap": 8}, "head": {"hidden": 8}, "exit_layers": None}
    pipe = nlp.add_pipe("epee_relations", config={"model": model, "candidates": candidates, "exclusive": exclusive, "exit": None})
    examples = [make_example(nlp, text, pair) for text, pair in zip(TEXTS, RELATED)] * 6
    nlp.initialize(lambda: examples)
    return nlp, pipe, examples


@pytest.fixture(scope="module")
def made(backbone):
    return make(backbone)


@pytest.fixture
def concepts(made):
    nlp, pipe, examples = made
    yield nlp, pipe, examples
    pipe.slot().drop_fitted()


def weights_for(pipe, seed=0):
    return numpy.random.default_rng(seed).normal(size=salience_shape(pipe.slot(), pipe.model))


def logits_of(pipe, docs):
    return next(iter(pipe.exit_logits(docs))).logits


def test_concepts_count_against_those_of_their_label():
    mentions = [("A",), ("A",), ("B",), ("A",), ("X",), ("Y",)]
    found = salience_of(mentions, ["Drug"] * 4 + ["Effect"] * 2)
    assert found == {("A",): 1.0, ("B",): pytest.approx(1 / 3), ("X",): 1.0, ("Y",): 1.0}


def test_mention_of_several_concepts_counts_for_each():
    assert salience_of([("A", "B"), ("A",)], ["Drug", "Drug"]) == {("A", "B"): 0.75, ("A",): 1.0}


@given(st.lists(st.tuples(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=2, unique=True), st.sampled_from("XY"))))
def test_salience_is_a_share_that_somebody_has_in_full(entities):
    mentions, labels = [tuple(concepts) for concepts, _ in entities], [label for _, label in entities]
    found = salience_of(mentions, labels)
    assert list(found) == list(dict.fromkeys(mentions))
    assert all(0 < share <= 1 for share in found.values())
    singles = {own[0] for own in mentions if len(own) == 1}
    if singles >= {concept for own in mentions for concept in own} and found:
        assert max(found.values()) == 1


@pytest.mark.parametrize("symmetric", [False, True])
def test_pairs_of_the_same_concepts_have_the_same_salience(symmetric, backbone):
    nlp, pipe, examples = make(backbone, symmetric=symmetric)
    items = next(iter(pipe.exit_logits([eg.predicted for eg in examples[:4]]))).items
    for group in numpy.unique(items.groups):
        assert len(numpy.unique(items.salience[items.groups == group], axis=0)) == 1
    first = [(pairs[0], tuple(row)) for pairs, row in zip(items.concept_pairs, items.salience.round(3).tolist())]
    shares = {frozenset(pair): row for pair, row in first[: int((items.docs == 0).sum())]}
    assert shares[frozenset(("aspirin", "rash"))] == (1.0, 1.0)
    assert shares[frozenset(("aspirin", "fever"))] == (1.0, 0.5)
    assert shares[frozenset(("ibuprofen", "fever"))] == (0.5, 0.5)


def test_what_is_stored_is_what_exits_say(concepts):
    nlp, pipe, examples = concepts
    stored, weights = StoredOutputs(pipe, examples), weights_for(pipe)
    plain = stored.logits.copy()
    set_salience(pipe.slot(), weights, pipe.model)
    stored.set_salience(weights)
    again = StoredOutputs(pipe, examples)
    assert numpy.allclose(stored.logits, again.logits, atol=1e-4)
    assert not numpy.allclose(plain, again.logits, atol=0.1)
    assert numpy.allclose(again.salience_weights, weights, rtol=1e-5)


def test_each_batch_says_the_same(concepts):
    nlp, pipe, examples = concepts
    set_salience(pipe.slot(), weights_for(pipe), pipe.model)
    docs = [eg.predicted for eg in examples[:4]]
    one_by_one = numpy.concatenate([logits_of(pipe, [doc]) for doc in docs], axis=1)
    assert numpy.allclose(logits_of(pipe, docs), one_by_one, atol=1e-5)


@pytest.mark.parametrize("exclusive", [False, True])
def test_what_texts_are_about_is_found_by_salience(exclusive, backbone):
    nlp, pipe, examples = make(backbone, exclusive=exclusive)
    stored = StoredOutputs(pipe, examples)
    related = stored.targets[:, -1] > 0
    said = numpy.where(related, 0.5, -0.5) + numpy.random.default_rng(0).normal(size=len(related))  # exits that know a little
    stored.logits[:] = numpy.stack((-said, said), axis=1) if exclusive else said[:, None]
    find = numpy.flatnonzero(stored.label_mask[:, -1])

    def right():
        given = stored.logits[-1].argmax(axis=1) if exclusive else stored.logits[-1][:, 0] > 0
        return (given[find] == related[find]).mean()

    before = right()
    stored.set_salience(best_salience(stored))
    assert right() > before + 0.1


def test_salience_counts_where_it_helps_on_other_documents(concepts):
    nlp, pipe, examples = concepts
    stored = StoredOutputs(pipe, examples)
    before = stored.logits.copy()
    found = better_salience(stored)
    assert (numpy.abs(found[:, 1:]) > 0.1).any(axis=(1, 2)).all()
    assert numpy.allclose(stored.logits, before, atol=1e-5)


def test_salience_that_says_nothing_does_not_count(concepts):
    nlp, pipe, examples = concepts
    stored = StoredOutputs(pipe, examples)
    stored.salience = numpy.random.default_rng(0).uniform(size=stored.salience.shape)
    assert not better_salience(stored).all(axis=(1, 2)).all()


def test_second_fit_does_not_start_at_the_first_one(concepts):
    nlp, pipe, examples = concepts
    found = []
    for _ in range(2):
        stored = StoredOutputs(pipe, examples)
        assert fit_salience(pipe, stored, None, None, 0)
        found.append(pipe.cfg["salience"])
    assert numpy.allclose(*found, rtol=1e-3, atol=1e-3)


def test_calibrate_fits_salience(concepts):
    nlp, pipe, examples = concepts
    calibrate(pipe, examples)
    assert numpy.abs(pipe.cfg["salience"]).max() > 0.1


def test_salience_is_left_alone_where_that_is_asked_for(concepts):
    nlp, pipe, examples = concepts
    set_salience(pipe.slot(), weights_for(pipe), pipe.model)
    kept = pipe.cfg["salience"]
    assert fit_salience(pipe, StoredOutputs(pipe, examples), False, None, 0)
    assert pipe.cfg["salience"] is kept


def test_salience_is_saved(concepts, tmp_path):
    nlp, pipe, examples = concepts
    set_salience(pipe.slot(), weights_for(pipe), pipe.model)
    nlp.to_disk(tmp_path)
    docs = [eg.predicted for eg in examples[:4]]
    assert numpy.array_equal(logits_of(spacy.load(tmp_path).get_pipe("epee_relations"), docs), logits_of(pipe, docs))


@pytest.mark.parametrize(
    "wrong",
    [
        "high",
        {"weights": [1]},
        [[[1.0]]],
        [[[1.0], [2.0]], [[1.0]]],
        [[[True]] * 3] * 5,
        [[[1e30]] * 3] * 4,
        [[["a"]] * 3] * 4,
        [[[None]] * 3] * 4,
    ],
)
def test_damaged_weights_are_refused(wrong, concepts):
    nlp, pipe, examples = concepts
    pipe.slot().cfg["salience"] = wrong
    saved = pipe.to_bytes()
    with pytest.raises(ValueError, match="weights of salience"):
        pipe.from_bytes(saved)


def test_weights_for_relations_of_mentions_are_refused(backbone):
    nlp, pipe, examples = make(backbone, level="mention")
    with pytest.raises(ValueError, match="weights of salience"):
        set_salience(pipe.slot(), numpy.zeros((len(pipe.slot().exit_layers(pipe.model)), 1, 1)), pipe.model)


def test_relations_of_mentions_have_none(backbone):
    nlp, pipe, examples = make(backbone, level="mention")
    assert not fit_salience(pipe, StoredOutputs(pipe, examples), None, None, 0)
    assert "salience" not in pipe.cfg


def test_training_goes_on_without(backbone):
    weights = []
    for fitted in (False, True):
        nlp, pipe, examples = make(backbone)
        if fitted:
            set_salience(pipe.slot(), weights_for(pipe), pipe.model)
        numpy.random.seed(0)
        spacy.util.fix_random_seed(0)
        nlp.update(examples[:4], sgd=Adam(0.01))
        assert "salience" not in pipe.cfg
        weights.append(logits_of(pipe, [eg.predicted for eg in examples[:2]]))
    assert numpy.array_equal(*weights)


def test_fewer_layers_keep_their_weights(backbone):
    nlp, pipe, examples = make(backbone)
    set_salience(pipe.slot(), weights_for(pipe), pipe.model)
    docs = [eg.predicted for eg in examples[:2]]
    before = logits_of(pipe, docs)
    Layers(nlp, pipe).use("first 2")
    assert numpy.allclose(logits_of(pipe, docs), before[:2], atol=1e-5)
