"""Several tasks where sentences are what relations and events leave by, and documents leave with all of theirs."""

import numpy
import pytest
import spacy
from joint_util import RULES, TEXTS, make_example, make_joint_nlp
from relations_util import tag

from spacy_epee.benchmark.networks import windower_of
from spacy_epee.compress.export import export
from spacy_epee.model import get_settings

NOTES = [TEXTS[0], "", " ".join([*TEXTS] * 2), "Codeine.", TEXTS[5] + " " + TEXTS[1]]
TRUNK = "components.epee.model.trunk"


@pytest.fixture(scope="module")
def nlp(backbone, tmp_path_factory):
    path = tmp_path_factory.mktemp("joint") / "model"
    made = make_joint_nlp(backbone)
    made.add_pipe("sentencizer", first=True)
    made.to_disk(path)
    return spacy.load(path, config={f"{TRUNK}.unit": "sentence", f"{TRUNK}.context": 5})


def docs_of(nlp):
    return [nlp.get_pipe("sentencizer")(tag(nlp.make_doc(note))) for note in NOTES]


@pytest.mark.parametrize("joint", ["all", "any"])
def test_documents_leave_with_all_their_sentences_and_others_by_themselves(nlp, joint):
    pipe = nlp.get_pipe("epee")
    pipe.joint = joint
    docs = docs_of(nlp)
    together, alone = pipe.predict(docs), [pipe.predict([doc]) for doc in docs]
    for task, answers in together.items():
        each = [own[task] for own in alone]
        assert answers.layers.tolist() == [layer for own in each for layer in own.layers.tolist()]
        logits = numpy.concatenate([own.logits for own in each])
        numpy.testing.assert_allclose(answers.logits, logits, rtol=1e-3, atol=1e-3)
    assert together["kind"].items.n_units == len(NOTES) < together["events"].items.n_units
    pipe.joint = "all"


def test_all_that_sentences_have_is_pooled_for_documents(nlp):
    items = nlp.get_pipe("epee").make_instances(docs_of(nlp), "kind")
    assert items.lengths.tolist() == items.windows.doc_lengths().tolist()
    own = items.windows.cores[:, 1] - items.windows.cores[:, 0]
    assert (own < items.windows.lengths - 2).any()


def test_tasks_are_learned_together(nlp):
    examples = [make_example(nlp, text) for text in TEXTS]
    losses = nlp.update(examples, sgd=nlp.resume_training(), annotates=["sentencizer"])
    assert losses["epee"] > 0


def test_what_a_runtime_measures_on_has_the_sentences_of_the_pipeline(nlp):
    pytest.importorskip("onnxruntime")
    pipe = nlp.get_pipe("epee")
    docs = docs_of(nlp)
    before = pipe.predict(docs)
    made = export(nlp, pipe, "onnx", [nlp.make_doc(note) for note in NOTES])
    made.use("fp32")
    assert get_settings(pipe.model).runtime == "onnx"
    after = pipe.predict(docs)
    for task in RULES:
        assert after[task].layers.tolist() == before[task].layers.tolist()
        numpy.testing.assert_allclose(after[task].logits, before[task].logits, rtol=1e-3, atol=1e-3)


def test_texts_alone_have_no_sentences_to_be_compared_by(nlp):
    with pytest.raises(ValueError, match='reads sentences.*model.trunk.unit = "window"'):
        windower_of(nlp.get_pipe("epee"))
