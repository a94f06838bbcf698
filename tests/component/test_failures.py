"""Documents that cannot be answered, answers that are no numbers, and training that gets out of hand."""

import random
from dataclasses import replace

import numpy
import pytest
import spacy
import torch
from events_util import TEXTS as EVENT_TEXTS
from events_util import make_events_nlp
from events_util import make_example as make_events_example
from images_util import make_image_backbone, make_image_docs, make_image_nlp
from relations_util import TEXTS, make_example, make_relations_nlp
from spacy.tokens import Doc
from thinc.api import Adam
from util import SENTENCES, make_examples, make_nlp, make_texts

from spacy_epee.component.updating import parameters_of
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.inputs.windows import NotFinite
from spacy_epee.model import get_heads, get_stepper, get_trunk_shim

EPEE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.5, "patience": 2}


def watch(nlp):
    """Keep what the error handler is given, and go on."""
    failed = []
    nlp.set_error_handler(lambda name, proc, docs, error: failed.append((docs, error)))
    return failed


def make_strict_nlp(backbone):
    """A pipeline that finds too many pairs in the third text."""
    nlp = make_relations_nlp(backbone)
    task = nlp.get_pipe("epee_relations").slots["relations"].task
    task.candidates = replace(task.candidates, max_pairs=4)
    return nlp


@pytest.mark.parametrize("size", [1, 3, 16, 64, 128])
def test_one_bad_document_costs_none_of_its_neighbours(backbone, size):
    nlp = make_strict_nlp(backbone)
    docs = [make_example(nlp, TEXTS[1]).predicted for _ in range(64)]
    docs[13] = make_example(nlp, TEXTS[2]).predicted  # too many pairs
    docs[14] = make_example(nlp, TEXTS[2]).predicted
    failed = watch(nlp)
    found = list(nlp.pipe(docs, batch_size=size))
    assert found == [doc for number, doc in enumerate(docs) if number not in (13, 14)]
    assert [batch for batch, _ in failed] == [[docs[13]], [docs[14]]]
    assert all("max_pairs" in str(error) for _, error in failed)
    assert all(doc._.exits["epee_relations"]["relations"]["layer"] > 0 for doc in found)
    assert docs[13]._.exits["epee_relations"]["relations"]["uncertain"]


def test_bad_documents_anywhere_go_to_the_handler_alone(backbone, monkeypatch):
    nlp = make_nlp(backbone, exit=EPEE)
    pipe, chance = nlp.get_pipe("epee_textcat"), random.Random(0)
    predict = pipe.predict
    bad = set()

    def refuse(docs):
        if any(id(doc) in bad for doc in docs):
            raise RuntimeError
        return predict(docs)

    monkeypatch.setattr(pipe, "predict", refuse)
    for count in (0, 1, 2, 5, 20):
        docs = [nlp.make_doc(text) for text in make_texts(20)]
        bad.clear()
        bad.update(id(doc) for doc in chance.sample(docs, count))
        failed = watch(nlp)
        found = list(nlp.pipe(docs, batch_size=chance.choice([2, 7, 32])))
        assert found == [doc for doc in docs if id(doc) not in bad]
        assert [batch for batch, _ in failed] == [[doc] for doc in docs if id(doc) in bad]


def test_what_is_no_document_goes_to_the_handler_alone(backbone):
    nlp = make_nlp(backbone)
    pipe, failed = nlp.get_pipe("epee_textcat"), watch(nlp)
    docs = [nlp.make_doc(SENTENCES[0]), None, 3, nlp.make_doc(SENTENCES[1])]
    assert list(pipe.pipe(docs)) == [docs[0], docs[3]]
    assert [batch for batch, _ in failed] == [[None], [3]]


def test_documents_of_over_a_million_characters_are_answered(backbone):
    nlp = make_nlp(backbone, exit={"@misc": "spacy-epee.FixedDepth.v1", "layer": 1})
    long = Doc(nlp.vocab, words=["fever" * 20_001] * 10, spaces=[True] * 10)
    assert len(long.text) > 1_000_000
    assert all(doc.cats for doc in nlp.get_pipe("epee_textcat").pipe([nlp.make_doc("rash"), long]))


def test_default_handler_raises_for_the_one_document(backbone):
    nlp = make_strict_nlp(backbone)
    docs = [make_example(nlp, text).predicted for text in TEXTS]
    with pytest.raises(ValueError, match="max_pairs") as caught:
        list(nlp.pipe(docs))
    assert caught.value.__context__ is None and caught.value.__cause__ is None


def test_alone_a_document_without_an_answer_comes_back_flagged(backbone):
    nlp = make_strict_nlp(backbone)
    watch(nlp)
    doc = nlp(make_example(nlp, TEXTS[2]).predicted)
    assert doc._.exits["epee_relations"]["relations"] == {"layer": 0.0, "depth": 0, "uncertain": True, "units": []}


@torch.no_grad()
def spoil(nlp, what, value):
    """Put NaN or infinity where it shows in the answers alone."""
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    if what == "trunk":
        get_stepper(pipe.model).layers[0].output.dense.bias[0] = value
    elif what == "links":
        for layer in get_heads(pipe.model)[0].links:
            layer.bias.fill_(value)
    else:
        for classifier in get_heads(pipe.model)[0].classifiers:
            classifier.bias.fill_(value)


def make(kind, backbone, tmp_path):
    if kind == "relations":
        nlp = make_relations_nlp(backbone, exit=EPEE)
        return nlp, lambda: [make_example(nlp, text).predicted for text in TEXTS]
    if kind in ("events", "links"):
        nlp = make_events_nlp(backbone, exit=EPEE, steps=110 if kind == "links" else 0)
        return nlp, lambda: [nlp.make_doc(text) for text in EVENT_TEXTS]
    if kind == "images":
        nlp = make_image_nlp(make_image_backbone(tmp_path / "vit"), exit=EPEE)
        return nlp, lambda: make_image_docs(nlp)
    nlp = make_nlp(backbone, multilabel=kind == "multilabel", exit=EPEE)
    return nlp, lambda: [nlp.make_doc(text) for text in SENTENCES]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "kind", ["exclusive", "multilabel", "relations", "events", pytest.param("links", marks=pytest.mark.hard), "images"]
)
def test_answers_that_are_no_numbers_are_refused(kind, value, backbone, tmp_path):
    nlp, docs = make(kind, backbone, tmp_path)
    name = nlp.pipe_names[0]
    spoil(nlp, kind, value)
    with numpy.errstate(all="ignore"):
        with pytest.raises(NotFinite, match=f"(?i)the component '{name}' gives NaN or infinity for [1-9]"):
            list(nlp.pipe(docs()))
        with pytest.raises(NotFinite, match=name):
            list(nlp.get_pipe(name).all_exits(docs()))
        failed, given = watch(nlp), docs()
        found = list(nlp.pipe(given))
    lost = [doc for batch, _ in failed for doc in batch]
    assert lost and len(found) + len(lost) == len(given)
    for doc in lost:
        [entry] = doc._.exits[name].values()
        assert entry["uncertain"] and not doc.cats
    for doc in found:  # such as one without entities, of which nothing is asked
        [entry] = doc._.exits[name].values()
        assert not entry["uncertain"]


def test_answers_that_are_no_numbers_are_refused_in_onnx(backbone):
    pytest.importorskip("onnxruntime")
    nlp = make_nlp(backbone, exit=EPEE)
    shim = get_trunk_shim(nlp.get_pipe("epee_textcat").model)
    shim.export("onnx", "fp32")
    spoil(nlp, "heads", float("nan"))
    with pytest.raises(NotFinite, match="epee_textcat"), numpy.errstate(all="ignore"):
        nlp(SENTENCES[0])


def test_answers_that_are_no_numbers_are_refused_by_what_tunes(backbone):
    nlp = make_nlp(backbone, exit=EPEE)
    examples = make_examples(nlp, nlp.get_pipe("epee_textcat").labels)
    spoil(nlp, "heads", float("nan"))
    with pytest.raises(NotFinite, match="epee_textcat"):
        StoredOutputs(nlp.get_pipe("epee_textcat"), examples)
    with pytest.raises(NotFinite, match="epee_textcat"), numpy.errstate(all="ignore"):
        nlp.evaluate(examples)


def test_a_pipeline_with_weights_that_are_no_numbers_says_so_when_it_is_loaded(backbone, tmp_path):
    nlp = make_nlp(backbone, exit=EPEE)
    spoil(nlp, "trunk", float("nan"))
    nlp.to_disk(tmp_path)
    with pytest.raises(ValueError, match="weights of this backbone hold NaN or infinity .*output.dense.bias") as caught:
        spacy.load(tmp_path)(SENTENCES[0])
    assert "family" not in str(caught.value)


@pytest.mark.parametrize("kind", ["exclusive", "relations", "events"])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_training_stops_at_the_first_bad_update(kind, what, backbone, tmp_path, monkeypatch):
    nlp, _ = make(kind, backbone, tmp_path)
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    examples = {
        "relations": lambda: [make_example(nlp, text) for text in TEXTS],
        "events": lambda: [make_events_example(nlp, text) for text in EVENT_TEXTS],
    }.get(kind, lambda: make_examples(nlp, pipe.labels))()
    optimizer = Adam(0.001)
    nlp.update(examples, sgd=optimizer)
    before = nlp.to_bytes()
    if what == "loss":
        monkeypatch.setattr(pipe, "get_loss", lambda *args: (float("inf"), None))
    else:
        get_loss = pipe.get_loss

        def spoilt(*args):
            loss, gradients = get_loss(*args)
            gradients[0].logits[0, 0, 0] = numpy.nan
            return loss, gradients

        monkeypatch.setattr(pipe, "get_loss", spoilt)
    with pytest.raises(ValueError, match=f"The {what} of the component '{pipe.name}' is NaN or infinite.*learn_rate"):
        nlp.update(examples, sgd=optimizer)
    assert nlp.to_bytes() == before
    monkeypatch.undo()
    nlp.update(examples, sgd=optimizer)
    assert all(numpy.isfinite(value).all() for value in (p.detach().numpy() for p in parameters_of(pipe.model)))


def test_training_with_a_rate_that_is_far_too_high_ends_with_advice(backbone):
    nlp = make_nlp(backbone)
    examples = make_examples(nlp, nlp.get_pipe("epee_textcat").labels)
    optimizer = Adam(1e30)
    with pytest.raises(ValueError, match="Lower the learning rate"):
        for _ in range(20):
            nlp.update(examples, sgd=optimizer)
