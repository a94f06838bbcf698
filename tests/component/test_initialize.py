"""`initialize` on a pipeline that is trained: everything is made new, or nothing is changed."""

import pytest
import spacy
from events_util import TEXTS as EVENT_TEXTS
from events_util import make_events_nlp
from events_util import make_example as make_events_example
from images_util import make_image_backbone, make_image_examples, make_image_nlp
from relations_util import TEXTS, make_example, make_relations_nlp
from spacy.training import Example
from thinc.api import Adam
from util import SENTENCES, make_examples, make_nlp

from spacy_epee.exits.rules.depth import FixedDepth
from spacy_epee.exits.rules.patience import EntropyPatience
from spacy_epee.model import get_trunk_shim

EPEE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.5, "patience": 2}
LABELS = ("ACUTE", "STABLE", "HISTORY")


def make(kind, backbone, tmp_path):
    """A pipeline as it is initialized, and its examples."""
    if kind == "relations":
        nlp = make_relations_nlp(backbone, exit=EPEE, spread=False)
        return nlp, lambda: [make_example(nlp, text) for text in TEXTS]
    if kind == "events":
        nlp = make_events_nlp(backbone, exit=EPEE)
        return nlp, lambda: [make_events_example(nlp, text) for text in EVENT_TEXTS]
    if kind == "images":
        nlp = make_image_nlp(make_image_backbone(tmp_path / "vit"), exit=EPEE, spread=None)
        return nlp, lambda: make_image_examples(nlp)
    nlp = make_nlp(backbone, LABELS, exit=EPEE, spread=None)
    return nlp, lambda: make_examples(nlp, LABELS)


@pytest.mark.parametrize("kind", ["textcat", "relations", "events", "images"])
def test_initialize_makes_everything_new(kind, backbone, tmp_path):
    nlp, examples = make(kind, backbone, tmp_path)
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    fresh = pipe.to_bytes()
    optimizer = Adam(0.01)
    for _ in range(2):
        nlp.update(examples(), sgd=optimizer)
    pipe.set_temperatures([2.0] * len(pipe.exit_logits([eg.predicted for eg in examples()]).__next__().logits))
    pipe.cfg["uncertain"] = 0.5
    pipe.stage = "exits"
    trained = pipe.to_bytes()
    spacy.util.fix_random_seed(0)
    nlp.initialize(examples)
    assert trained != fresh and pipe.to_bytes() == fresh
    nlp.update(examples(), sgd=optimizer)  # which knows the moments of the old weights


def test_initialize_learns_other_labels(backbone):
    nlp = make_nlp(backbone, LABELS, exit=EPEE)
    pipe = nlp.get_pipe("epee_textcat")
    pipe.exit = FixedDepth(2)
    pipe.cfg["threshold"] = 0.7
    examples = make_examples(nlp, ("derma", "psych"))
    nlp.initialize(lambda: examples)
    assert pipe.labels == ("derma", "psych") and nlp(SENTENCES[0]).cats.keys() == {"derma", "psych"}
    assert pipe.exit == FixedDepth(2) and pipe.cfg["threshold"] == 0.7  # settings stay


def test_initialize_drops_exported_graphs(backbone):
    pytest.importorskip("onnxruntime")
    nlp = make_nlp(backbone, LABELS, exit=EPEE)
    shim = get_trunk_shim(nlp.get_pipe("epee_textcat").model)
    shim.export("onnx", "fp32")
    nlp(SENTENCES[0])
    examples = make_examples(nlp, LABELS)
    nlp.initialize(lambda: examples)
    assert shim.exported is None and shim.runner is shim.stepper and nlp(SENTENCES[0]).cats


@pytest.mark.parametrize("problem", ["no backbone", "no labels", "one label", "no examples", "bad values"])
def test_initialize_that_fails_changes_nothing(problem, backbone, tmp_path):
    made = make_nlp(backbone, LABELS, exit=EPEE)
    made.get_pipe("epee_textcat").set_temperatures([1.5] * 4)
    made.to_disk(tmp_path)
    missing = {"components.epee_textcat.model.trunk.name": "/there/is/none"} if problem == "no backbone" else {}
    nlp = spacy.load(tmp_path, config=missing)
    before, said = nlp.get_pipe("epee_textcat").to_bytes(), nlp(SENTENCES[0]).cats
    cats = {"no labels": {}, "one label": {"A": 1.0}, "bad values": {"A": 0.5, "B": 0.5}}.get(problem, {"A": 1.0, "B": 0.0})
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": cats}) for text in SENTENCES]
    with pytest.raises((ValueError, TypeError)):
        nlp.initialize(lambda: [] if problem == "no examples" else examples)
    assert nlp.get_pipe("epee_textcat").to_bytes() == before
    assert nlp(SENTENCES[0]).cats == said
    assert nlp.get_pipe("epee_textcat").exit == EntropyPatience(0.5, 2)


def test_initialize_that_failed_can_be_tried_again(backbone):
    nlp = spacy.blank("en")
    trunk = {"name": str(backbone), "window": 32, "overlap": 8}
    pipe = nlp.add_pipe("epee_textcat", config={"model": {"trunk": trunk}, "exit": None})
    pipe.add_label("OTHER")
    with pytest.raises(ValueError):
        nlp.initialize(lambda: [Example.from_dict(nlp.make_doc("a"), {"cats": {"WRONG": 0.5}})])
    assert pipe.labels == ("OTHER",)
    nlp.initialize(lambda: make_examples(nlp, LABELS))
    assert pipe.labels == ("OTHER", *LABELS)


def test_initialize_says_that_labels_are_spelled_in_several_ways(backbone):
    nlp = make_nlp(backbone, LABELS)
    examples = make_examples(nlp, ("URGENT", "urgent ", "Caf\u00e9", "Cafe\u0301", "B"))
    with pytest.warns(UserWarning, match=r"'epee_textcat' are 2 that are there in several spellings, the first \['URGENT', 'urg"):
        nlp.initialize(lambda: examples)
    assert len(nlp.get_pipe("epee_textcat").labels) == 5


@pytest.mark.parametrize("kind, labels", [("textcat", LABELS), ("relations", ["TREATS", "CAUSES"])])
@pytest.mark.parametrize("annotated", [True, False])
def test_initialize_says_that_nothing_is_annotated(kind, labels, annotated, backbone, tmp_path, recwarn):
    nlp, examples = make(kind, backbone, tmp_path)
    docs = [(eg.predicted, eg.reference if annotated else eg.predicted.copy()) for eg in examples()]
    nlp.get_pipe(nlp.pipe_names[0]).initialize(lambda: [Example(*pair) for pair in docs], labels=labels)
    said = [str(warning.message) for warning in recwarn if "annotated for it" in str(warning.message)]
    assert len(said) == (not annotated)


def test_initialize_with_none_of_anything_says_nothing(backbone, tmp_path, recwarn):
    """Documents that are annotated with no relation are annotated."""
    nlp, examples = make("relations", backbone, tmp_path)
    docs = [eg.reference for eg in examples()]
    for doc in docs:
        doc._.relations = []
    nlp.get_pipe("epee_relations").initialize(lambda: [Example(doc.copy(), doc) for doc in docs], labels=["TREATS"])
    assert not any("annotated for it" in str(warning.message) for warning in recwarn)
