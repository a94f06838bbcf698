"""Components that were trained apart and then come together in one pipeline, each with labels of its own."""

import re
import warnings

import events_util
import joint_util
import pytest
import relations_util
import spacy
from images_util import make_image_backbone, make_image_docs
from spacy.training import Example
from util import SENTENCES

from spacy_epee.doc_attributes import annotation
from spacy_epee.exits.rules import FixedDepth

KINDS = {"one": ("A", "B"), "two": ("X", "Y")}
TRIGGERS = {"one": ("Harm",), "two": ("Change",)}
CAUSES = {"one": ("CAUSES",), "two": ("TREATS",)}
STRANGE = "has labels that the (component|task).*does not know"


def kinds_example(doc, labels):
    """An example with one label of a document, of two to begin with."""
    reference = doc.copy()
    reference.cats = {label: float(label == labels[0]) for label in labels}
    return Example(doc, reference)


def text_examples(nlp, labels):
    return [kinds_example(nlp.make_doc(text), order) for text in SENTENCES[:2] for order in (labels, labels[::-1])]


def image_examples(nlp, labels):
    orders = [labels, labels[::-1]] * 2
    return [kinds_example(doc, order) for doc, order in zip(make_image_docs(nlp, 4), orders)]


def with_labels(examples, name, labels):
    """Leave out relations or events with other labels, and events as arguments."""
    for eg in examples:
        entries = [entry for entry in annotation(eg.reference, name) if entry["label"] in labels]
        for entry in entries:
            entry["arguments"] = [argument for argument in entry.get("arguments", ()) if argument.get("event") is None]
        setattr(eg.reference._, name, entries)
    return examples


def relation_examples(nlp, labels):
    return with_labels([relations_util.make_example(nlp, text) for text in relations_util.TEXTS], "relations", labels)


def event_examples(nlp, labels):
    return with_labels([events_util.make_example(nlp, text) for text in events_util.TEXTS], "events", labels)


def joint_examples(nlp, labels):
    examples = [joint_util.make_example(nlp, text, ("relations",)) for text in joint_util.TEXTS]
    return with_labels(examples, "relations", labels)


JOINT = {
    "tasks": {
        "related": {
            "@misc": "spacy-epee.RelationsTask.v1",
            "candidates": {"@misc": "spacy-epee.EntityPairs.v1"},
            "scorer": {"@scorers": "spacy-epee.relations_scorer.v1"},
            "exit": None,
        }
    },
    "model": {"heads": {"related": {"@architectures": "spacy-epee.PairHead.v1", "hidden": 8}}},
}
CASES = {
    "epee_textcat": (text_examples, KINDS, {}),
    "epee_textcat_multilabel": (text_examples, KINDS, {}),
    "epee_imagecat": (image_examples, KINDS, {}),
    "epee_relations": (relation_examples, CAUSES, {}),
    "epee_events": (event_examples, TRIGGERS, {}),
    "epee": (joint_examples, CAUSES, JOINT),
}


@pytest.fixture(scope="module")
def make(backbone, tmp_path_factory):
    """From a factory to two pipelines that were initialized apart, and examples of both."""
    image_backbone = make_image_backbone(tmp_path_factory.mktemp("vit"))

    def get(factory):
        make_examples, labels, settings = CASES[factory]
        found, examples = [], []
        for own in labels.values():
            nlp = spacy.blank("en")
            trunk = {"name": str(image_backbone if factory == "epee_imagecat" else backbone)}
            model = {**settings.get("model", {}), "trunk": trunk}
            exit = {} if factory == "epee" else {"exit": None}
            nlp.add_pipe(factory, config={**settings, **exit, "model": model})
            examples += make_examples(nlp, own)
            nlp.initialize(lambda: make_examples(nlp, own))
            found.append(nlp)
        return (*found, examples)

    return get


def together(one, two, factory):
    """Two components in a pipeline that neither was made for."""
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, source=one, name="one")
    nlp.add_pipe(factory, source=two, name="two")
    return nlp


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("factory", CASES)
def test_sourced_components_learn_together_and_each_is_scored_by_its_own(make, factory):
    one, two, examples = make(factory)
    nlp = together(one, two, factory)
    before = [pipe.labels for _, pipe in nlp.pipeline]
    optimizer = nlp.resume_training()
    losses = nlp.update(examples, sgd=optimizer)
    assert losses["one"] > 0 and losses["two"] > 0
    scores = nlp.evaluate(examples, per_component=True)
    for (name, pipe), labels in zip(nlp.pipeline, before):
        assert pipe.labels == labels
        slot = next(iter(pipe.slots.values()))
        assert scores[name][f"{slot.prefix}{slot.task.per_label}"].keys() <= {*labels}
    nlp.rename_pipe("one", "first")
    with nlp.select_pipes(disable="two"):
        assert nlp.update(examples, sgd=optimizer).keys() == {"first"}
    nlp.remove_pipe("two")
    assert nlp.update(examples, sgd=optimizer)["first"] > 0
    assert nlp.evaluate(examples)


@pytest.mark.parametrize("factory", ["epee_textcat", "epee_relations", "epee_events"])
def test_labels_that_nobody_is_known_to_have_are_named_once_in_training(make, factory):
    one, two, examples = make(factory)
    with pytest.warns(UserWarning, match=STRANGE) as found:
        one.update(examples)
        one.update(examples)
    texts = [str(warning.message) for warning in found if re.search(STRANGE, str(warning.message))]
    assert len(texts) == 1 and not any(label in texts[0] for label in two.get_pipe(factory).labels)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pairs_with_a_label_that_is_nobodys_for_sure_are_not_learned_as_unrelated(make):
    one, _, examples = make("epee_relations")
    [slot] = one.get_pipe("epee_relations").slots.values()
    one.update(examples)
    answers = one.get_pipe("epee_relations").answer([eg.predicted for eg in examples], None)
    gold = [slot.task.gold(eg.reference) for eg in examples]
    rows = slot.task._rows(examples, answers.items)
    places = [(doc, *place) for doc, own in enumerate(gold) for place, given in own.items() if given == {"TREATS"}]
    strange = [row for place in places for row in rows[place]]
    known = slot.task.targets(examples, slot.labels, answers.items)[1]
    assert strange and not known[strange].any() and known.any()
    slot.task.doubted = frozenset()  # as if another component was known to have them
    assert slot.task.targets(examples, slot.labels, answers.items)[1][strange].all()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_figures_of_two_components_are_told_apart_by_their_names(make):
    one, two, examples = make("epee_textcat")
    nlp = together(one, two, "epee_textcat")
    nlp.get_pipe("one").exit = FixedDepth(1)
    scores, apart = nlp.evaluate(examples), nlp.evaluate(examples, per_component=True)
    assert scores["one_exit_layer"] == 1.0 and scores["two_exit_layer"] == scores["exit_layer"] > 1.0
    for name in ("one", "two"):
        assert scores[f"{name}_cats_f_per_type"] == apart[name]["cats_f_per_type"]
        assert scores[f"{name}_cats_full"] == apart[name]["cats_full"]
    nlp.remove_pipe("two")
    assert not any(figure.startswith("one_") for figure in nlp.evaluate(examples))


def test_components_that_are_initialized_beside_others_know_them(make):
    """As `spacy train` does with sourced components, which are disabled while others are initialized."""
    one, two, examples = make("epee_textcat")
    nlp = together(one, two, "epee_textcat")
    nlp.config["initialize"]["components"]["two"] = {"labels": list(KINDS["two"])}
    with nlp.select_pipes(disable="one"):
        nlp.initialize(lambda: examples)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=f".*{STRANGE}")
        nlp.update(examples, exclude=["one"])


def test_components_from_the_sources_of_a_config_learn_together(make, tmp_path):
    one, two, examples = make("epee_textcat")
    for name, nlp in {"one": one, "two": two}.items():
        nlp.to_disk(tmp_path / name)
    sources = {name: {"source": str(tmp_path / name), "component": "epee_textcat"} for name in KINDS}
    nlp = spacy.util.load_model_from_config({"nlp": {"lang": "en", "pipeline": [*KINDS]}, "components": sources}, auto_fill=True)
    with pytest.warns(UserWarning, match=STRANGE):
        losses = nlp.update(examples, sgd=nlp.resume_training())
    assert losses["one"] > 0 and losses["two"] > 0
