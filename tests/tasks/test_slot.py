"""A task of a component: how it is called, and what is saved of it."""

from dataclasses import replace

import pytest
from util import make_nlp

from spacy_epee.exits.rules.depth import FixedDepth
from spacy_epee.exits.rules.thresholds import Entropy
from spacy_epee.tasks.defaults import TaskDefaults
from spacy_epee.tasks.textcat.builder import TextCatTask


def slot(alone=False, **settings):
    return replace(TextCatTask(None, None, **settings), name="kind", component="epee", alone=alone)


def test_slot_of_several_is_called_by_its_name():
    one = slot()
    assert one.called == "the task 'kind' of the component 'epee'" and one.title == "epee.kind" and one.prefix == "kind_"
    assert one.block == "components.epee.tasks.kind" and one.head_setting == "model.heads.kind"


def test_slot_alone_is_called_by_its_component():
    one = slot(alone=True)
    assert one.called == "the component 'epee'" and one.title == "epee" and one.prefix == ""
    assert one.block == "components.epee" and one.head_setting == "model.head"


def test_slots_share_no_settings_that_one_could_change_for_another():
    weights = {"A": 2.0}
    one, other = slot(label_weights=weights), slot()
    weights["A"] = one.task.reading(0.5).temperatures[3] = 4.0
    assert one.task.label_weights == {"A": 2.0} and other.task.label_weights == {} == TaskDefaults.label_weights
    assert one.task.reading(0.5).temperatures == other.task.reading(0.5).temperatures == {}
    with pytest.raises(TypeError):
        TaskDefaults.label_weights["A"] = 2.0


@pytest.fixture(scope="module")
def model(backbone):
    return make_nlp(backbone, ["A", "B"]).get_pipe("epee_textcat").model


def saved(model, **then):
    """What is saved of a slot with some settings, and set on it a rule, a threshold and temperatures."""
    one = slot(alone=True, **then)
    one.cfg.update(labels=["A", "B"], threshold=0.1 + 0.2)
    one.set_exit(FixedDepth(2), model)
    one.set_temperatures([0.1, 0.3, 1.23456, 1.0], model)
    return one.to_saved()


def load(content, model, **now):
    other = slot(alone=True, **now)
    other.take_saved(content, model)
    other.check_loaded(model, "here")
    return other


def test_slot_that_is_loaded_has_what_was_set(model):
    other = load(saved(model), model)
    assert other.exit == FixedDepth(2) and other.labels == ("A", "B")
    assert other.cfg == {"labels": ["A", "B"], "threshold": 0.1 + 0.2, "temperatures": [0.1, 0.3, 1.23456, 1.0]}


def test_slot_has_what_its_config_says_now_over_what_was_saved(model):
    other = replace(slot(alone=True, threshold=0.7), exit=Entropy(0.5))
    other.take_saved(saved(model), model)
    assert other.exit == Entropy(0.5) and other.cfg["threshold"] == 0.7


def test_slot_keeps_nothing_of_what_it_was_before_it_was_loaded(model):
    other = slot(alone=True)
    other.cfg.update(positive_label="A", uncertain=0.5)
    other.take_saved({"labels": ["A", "B"], "threshold": 0.5}, model)
    assert other.cfg == {"labels": ["A", "B"], "threshold": 0.5}


def test_slot_of_other_labels_than_its_model_is_refused(model):
    with pytest.raises(ValueError, match="has 3 labels.*trained with 2"):
        load({"labels": ["A", "B", "C"], "threshold": 0.5}, model)


def test_slot_changes_nothing_of_its_twin():
    one = slot()
    other = one.twin()
    other.cfg["labels"].append("A")
    other.exit = FixedDepth(1)
    assert one.labels == () and one.exit is None


def test_slot_forgets_all_but_its_settings():
    one = slot(threshold=0.4)
    one.cfg.update(labels=["A"], threshold=0.6, types=["X"], temperatures=[1.0], uncertain=0.1)
    cfg = one.cfg
    one.forget()
    assert one.cfg == {"labels": [], "threshold": 0.6}
    assert cfg["labels"] == ["A"]  # whoever is answering has all of it
