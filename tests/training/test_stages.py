"""Training in stages."""

import pytest
import torch
from spacy.util import registry
from util import make_examples, make_nlp

from spacy_epee.model import get_heads, get_stepper
from spacy_epee.training.callbacks import two_stage


def parameters(pipe):
    named = {**dict(get_stepper(pipe.model).model.named_parameters()), **dict(get_heads(pipe.model)[0].named_parameters())}
    return {name: value.detach().clone() for name, value in named.items()}


def moved(pipe, before):
    return {name for name, value in parameters(pipe).items() if not torch.equal(value, before[name])}


def test_stages_second_stage_leaves_the_full_depth_exactly_as_it_is(backbone):
    nlp = make_nlp(backbone)
    pipe, optimizer = nlp.get_pipe("epee_textcat"), nlp.resume_training()
    callback = two_stage("epee_textcat", exits_from_step=3)
    examples = make_examples(nlp, pipe.labels)
    docs = [eg.reference for eg in examples]
    start = parameters(pipe)
    for step in range(3):
        callback(nlp, {"step": step, "epoch": 0})
        pipe.update(examples, sgd=optimizer)
    first = moved(pipe, start)
    assert any("attention" in name for name in first)
    assert {name for name in first if name.startswith("classifiers")} == {"classifiers.3.weight", "classifiers.3.bias"}
    answers, middle = pipe.answer(docs, None), parameters(pipe)
    for step in range(3, 6):
        callback(nlp, {"step": step, "epoch": 0})
        pipe.update(examples, sgd=optimizer)
    assert moved(pipe, middle) == {f"classifiers.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")}
    assert (pipe.answer(docs, None).logits == answers.logits).all()


@pytest.mark.parametrize("stage", ["joint", "trunk", "exits"])
def test_stages_with_a_learned_exit(backbone, stage):
    nlp = make_nlp(backbone, model={"head": {"learned_exit": True}})
    pipe = nlp.get_pipe("epee_textcat")
    pipe.stage = stage
    before = get_heads(pipe.model)[0].doubt.weight.detach().clone()
    pipe.update(make_examples(nlp, pipe.labels), sgd=nlp.resume_training())
    assert torch.equal(get_heads(pipe.model)[0].doubt.weight, before) == (stage == "trunk")


def test_stages_by_epoch(backbone):
    nlp = make_nlp(backbone)
    block = {"@callbacks": "spacy-epee.two_stage.v1", "pipe": "epee_textcat", "exits_from_epoch": 2}
    callback = registry.resolve({"callback": block})["callback"]
    stages = []
    for epoch in range(4):
        callback(nlp, {"step": 10 * epoch, "epoch": epoch})
        stages.append(nlp.get_pipe("epee_textcat").stage)
    assert stages == ["trunk", "trunk", "exits", "exits"]


def test_stages_bad_settings(backbone):
    with pytest.raises(ValueError, match="exits_from_step"):
        two_stage("epee_textcat")
    with pytest.raises(ValueError, match="training.before_update.pipe"):
        two_stage("other", exits_from_step=1)(make_nlp(backbone), {"step": 0, "epoch": 0})


def test_stages_do_not_outlive_a_saved_pipeline(backbone):
    nlp = make_nlp(backbone)
    pipe = nlp.get_pipe("epee_textcat")
    pipe.stage = "exits"
    pipe.update(make_examples(nlp, pipe.labels))
    other = make_nlp(backbone, seed=1).get_pipe("epee_textcat").from_bytes(pipe.to_bytes())
    assert other.stage == "joint"
