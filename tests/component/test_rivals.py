"""Components that answer in the same place are told by what they left on Docs."""

import events_util
import pytest
import spacy
import srsly
from relations_util import TEXTS, make_example
from spacy.training import Example
from util import SENTENCES, make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.component.rivals import has_rivals, kinds_of  # noqa: E402
from spacy_epee.doc_attributes import EXITS  # noqa: E402
from spacy_epee.scale.version import load_pipeline  # noqa: E402
from spacy_epee.tasks.base import FlatTask  # noqa: E402
from spacy_epee.tasks.imagecat.task import ImageCat  # noqa: E402
from spacy_epee.tasks.relations.task import Relations  # noqa: E402


def rivals(nlp, task, **entries):
    doc = nlp.make_doc("fever")
    doc.user_data[EXITS] = {"mine": {task: {}}, **{name: dict.fromkeys(tasks, {}) for name, tasks in entries.items()}}
    return has_rivals([Example(doc, nlp.make_doc("fever"))], "mine", task)


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


def test_components_with_another_task_alone_are_no_rivals(nlp):
    assert not rivals(nlp, "events")
    assert not rivals(nlp, "events", other=[Relations.name]) and not rivals(nlp, "relations", other=[ImageCat.name])


def test_components_with_the_same_task_are_rivals(nlp):
    assert rivals(nlp, "relations", other=["relations"]) and rivals(nlp, "relations", other=["textcat", "relations"])


def test_tasks_with_names_that_say_no_kind_may_be_rivals(nlp):
    assert rivals(nlp, "relations", other=["drug and effect"]) and rivals(nlp, "relations", other=["textcat", "drug and effect"])


def test_a_task_of_another_package_is_told_by_its_name(nlp):
    assert rivals(nlp, "relations", other=["test-severity"])

    class Severity(FlatTask):
        name = "test-severity"

    assert "test-severity" in kinds_of() and not rivals(nlp, "relations", other=["test-severity"])


def two_components(backbone, factory, labels):
    nlp = spacy.blank("en")
    for name, own in labels.items():
        trunk = {"name": str(backbone), "window": 48, "overlap": 8}
        nlp.add_pipe(factory, name=name, config={"model": {"trunk": trunk}, "exit": None})
        nlp.config["initialize"]["components"][name] = {"labels": own}
    return nlp


def test_two_components_learn_labels_of_documents_that_have_those_of_one(backbone, tmp_path):
    srsly.write_json(tmp_path / "labels.json", ["X", "Y"])
    read = {"@readers": "spacy.read_labels.v1", "path": str(tmp_path / "labels.json")}
    nlp = two_components(backbone, "epee_textcat", {"one": ["A", "B"], "two": read})
    kinds = [{"A": 1.0, "B": 0.0}, {"X": 1.0, "Y": 0.0}, {"A": 0.0, "B": 1.0}, {"X": 0.0, "Y": 1.0}]
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": cats}) for text, cats in zip(SENTENCES, kinds)]
    optimizer = nlp.initialize(lambda: examples)
    losses = nlp.update(examples, sgd=optimizer)
    assert losses["one"] > 0 and losses["two"] > 0
    nlp.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    assert again.update(examples, sgd=again.resume_training())["one"] > 0
    strange = Example.from_dict(nlp.make_doc(SENTENCES[0]), {"cats": {"STRANGE": 1.0}})
    with pytest.warns(UserWarning, match="does not know"):
        again.update([strange], sgd=optimizer)


def test_two_components_learn_relations_of_their_own(backbone):
    nlp = two_components(backbone, "epee_relations", {"one": ["CAUSES"], "two": ["TREATS"]})
    examples = [make_example(nlp, text) for text in TEXTS]
    optimizer = nlp.initialize(lambda: examples)
    losses = nlp.update(examples, sgd=optimizer)
    assert losses["one"] > 0 and losses["two"] > 0
    pipe = nlp.get_pipe("one")
    targets, known = pipe.slot().targets(examples, pipe.make_instances([eg.predicted for eg in examples]))
    causes = sum(label == "CAUSES" for eg in examples for label in [found["label"] for found in eg.reference._.relations])
    assert targets[:, 1].sum() == causes and known.all()  # what is TREATS there is no CAUSES


@pytest.mark.filterwarnings("ignore:Events with")
def test_two_components_learn_events_of_their_own_and_are_scored_by_them(backbone):
    nlp = two_components(backbone, "epee_events", {"one": ["Harm"], "two": ["Change"]})
    examples = [events_util.make_example(nlp, text) for text in events_util.TEXTS]
    optimizer = nlp.initialize(lambda: examples)
    losses = nlp.update(examples, sgd=optimizer)
    assert losses["one"] > 0 and losses["two"] > 0
    roles = {"one": {"Dose", "Drug", "Effect", "Subject"}, "two": {"Dose", "Drug"}}  # "Reason" is an event of the other one
    for name, found in nlp.evaluate(examples, per_component=True).items():
        if name in roles:
            slot = nlp.get_pipe(name).slot()
            outputs = {role for what, role, _ in slot.cfg["schema"]["outputs"] if what == "role"}
            assert outputs == roles[name] and found["ev_trigger_per_type"].keys() == {*slot.labels}


@pytest.mark.parametrize("labels,lost", [(("X", "Y"), False), (("ACUTE", "Y"), True)])
def test_a_pipeline_of_which_answers_would_be_lost_annotates_nothing(backbone, tmp_path, labels, lost):
    nlp = make_nlp(backbone)
    other = make_nlp(backbone, labels)
    other.rename_pipe("epee_textcat", "other")
    nlp.add_pipe("other", source=other)
    nlp.to_disk(tmp_path)
    if not lost:
        assert load_pipeline(str(tmp_path)).nlp.pipe_names == ["epee_textcat", "other"]
        return
    with pytest.raises(ValueError, match="'epee_textcat' and 'other' both have the labels .'ACUTE'., and both write"):
        load_pipeline(str(tmp_path))
    config = spacy.util.load_config(tmp_path / "config.cfg")
    config["nlp"]["disabled"] = ["other"]
    config.to_disk(tmp_path / "config.cfg")
    assert load_pipeline(str(tmp_path)).nlp.pipe_names == ["epee_textcat"]
