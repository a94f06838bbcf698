"""Compressing a pipeline by any method, as far as its score allows."""

from dataclasses import replace

import catalogue
import pytest
import torch
from spacy.training import Example
from util import SENTENCES, answered_examples, make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.compress.choose import compress  # noqa: E402
from spacy_epee.model import get_heads, get_trunk_shim  # noqa: E402
from spacy_epee.registry import compressors  # noqa: E402

LABELS = ["ACUTE", "STABLE", "HISTORY"]


class Shares:
    """Scales the classifiers."""

    decides = "share"
    choices = ("-1", "0.5", "1")

    def __init__(self, modules, refused):
        self.used, self.refused = [], refused
        self.weights = [(module, module.weight.detach().clone(), module.bias.detach().clone()) for module in modules]

    @torch.no_grad()
    def use(self, choice):
        self.used.append(choice)
        if choice in self.refused:
            raise ValueError(f"not {choice} here")
        for module, weight, bias in self.weights:
            module.weight.copy_(weight * float(choice))
            module.bias.copy_(bias * float(choice))


@pytest.fixture
def made(monkeypatch, nlp):
    """Registers the method, when spaCy has registered what it takes. RETURNS (List[Shares]): Those that are made."""
    monkeypatch.setattr(catalogue, "REGISTRY", dict(catalogue.REGISTRY))
    made = []

    @compressors("shares")
    def shares(nlp, pipe, refused=()):
        made.append(Shares(get_heads(pipe.model)[0].classifiers, refused))
        return made[-1]

    return made


@pytest.fixture
def nlp(backbone):
    return make_nlp(backbone, LABELS, spread=4.0)


@pytest.fixture
def examples(nlp):
    """Documents with the answers of the pipeline as labels."""
    return answered_examples(nlp, LABELS)


def test_the_first_choice_that_keeps_the_score_is_taken(made, nlp, examples):
    report = compress(nlp, nlp.get_pipe("epee_textcat"), "shares", examples=examples)
    assert report["choice"] == "0.5" and made[0].used == ["-1", "0.5"]
    wrong, kept = report["tried"]
    assert min(row["difference"] for row in wrong["rows"]) < -0.003 <= min(row["difference"] for row in kept["rows"])
    assert {row["depth"] for row in kept["rows"]} == {"exits", "full"} and all(
        row["before"] == row["after"] for row in kept["rows"]
    ), kept


def test_what_was_found_out_and_promised_is_of_what_it_was_before(made, nlp, examples):
    pipe, found = nlp.get_pipe("epee_textcat"), {"promise": {"kept": True}}
    pipe.slot().cfg.update(tuned=found, temperatures=[1.0] * len(pipe.slot().exit_layers(pipe.model)))
    compress(nlp, pipe, "shares", "1")
    with pytest.raises(ValueError, match="falls by"):
        compress(nlp, pipe, "shares", "-1", examples=examples)
    assert pipe.slot().cfg["tuned"] == found
    compress(nlp, pipe, "shares", "0.5")
    assert "tuned" not in pipe.slot().cfg and "temperatures" in pipe.slot().cfg


def test_choices_that_are_refused_are_passed_over(made, nlp, examples):
    report = compress(nlp, nlp.get_pipe("epee_textcat"), "shares", examples=examples, refused=["0.5"])
    assert report["choice"] == "1" and report["tried"][1]["refused"] == "not 0.5 here"
    with pytest.raises(ValueError, match="not 1 here"):
        compress(nlp, nlp.get_pipe("epee_textcat"), "shares", examples=examples, refused=["-1", "0.5", "1"])


def test_a_choice_that_is_named_must_keep_the_score(made, nlp, examples):
    pipe = nlp.get_pipe("epee_textcat")
    with pytest.raises(ValueError, match="The score falls by .* points in -1, more than the 0.3 that are allowed.*another share"):
        compress(nlp, pipe, "shares", "-1", examples)
    made[-1].use("1")
    assert compress(nlp, pipe, "shares", "-1", examples, max_drop=100)["choice"] == "-1"


def test_nothing_is_compared_without_documents(made, nlp):
    report = compress(nlp, nlp.get_pipe("epee_textcat"), "shares")
    assert report["choice"] == "-1" and report["tried"] == [{"choice": "-1", "rows": []}]


def test_methods_and_choices_that_are_not_there(made, nlp):
    pipe = nlp.get_pipe("epee_textcat")
    with pytest.raises(ValueError, match="no compression method 'prune'; there are .*export, .*shares"):
        compress(nlp, pipe, "prune")
    with pytest.raises(ValueError, match="The share '0.7' is none of shares; give 'auto' or one of"):
        compress(nlp, pipe, "shares", "0.7")


class Spoils(Shares):
    """Changes all of a component that can be changed, in the objects and in place of them."""

    def __init__(self, nlp, pipe, refused):
        super().__init__(get_heads(pipe.model)[0].classifiers, refused)
        trunk = get_trunk_shim(pipe.model)
        modules = [module for module in trunk._model.modules() if isinstance(module, torch.nn.Linear)]
        with torch.no_grad():
            modules[0].weight.mul_(2)
        modules[1].weight = torch.nn.Parameter(modules[1].weight[: len(modules[1].weight) // 2].detach().clone())
        modules[2].weight.data = modules[2].weight.data[:1]
        trunk._model.encoder.layer[0].output.dense = torch.nn.Identity()
        del trunk._model.encoder.layer[-1]
        trunk._model.requires_grad_(False)
        trunk._model.config.num_hidden_layers -= 1
        trunk.settings = replace(trunk.settings, precision="bf16")
        trunk.exported, trunk.exported_for = object(), "nothing"
        pipe.model.attrs["exit_layers"] = [1]
        slot = pipe.slot()
        slot.exit = None
        slot.cfg["labels"].append("more")
        slot.cfg.update(temperatures=[2.0], uncertain=0.5)
        nlp.get_pipe_config(pipe.name)["model"]["trunk"].update(precision="bf16")
        nlp.get_pipe_config(pipe.name)["exit"] = None

    def use(self, choice):
        if choice in self.refused:
            raise RuntimeError(f"not {choice} here")


@pytest.fixture
def spoils(made):
    @compressors("spoils")
    def spoils(nlp, pipe, fails=False, refused=()):
        compression = Spoils(nlp, pipe, refused)
        if fails:
            raise ValueError("not at all")
        return compression


def state_of(nlp):
    """All of a pipeline that is saved, and what is not."""
    pipe = nlp.get_pipe("epee_textcat")
    trunk = get_trunk_shim(pipe.model)
    tensors = {name: (id(part), part.requires_grad) for name, part in trunk._model.named_parameters()}
    answers = [(doc.cats, doc._.exits) for doc in nlp.pipe(SENTENCES)]
    return nlp.to_bytes(), nlp.config.to_str(), trunk.settings, tensors, id(trunk.stepper), pipe.exit, answers


REFUSED = {
    "no such method": dict(match="no compression method 'prune'", method="prune"),
    "the method": dict(match="not at all", method="spoils", fails=True),
    "no such choice": dict(match="The share '0.7' is none of", method="spoils", choice="0.7"),
    "what is before it fails": dict(match="division by zero", method="spoils", broken=True),
    "the model runs no more": dict(match="", method="spoils", choice="1"),
    "no error of ours": dict(match="not 0.5 here", method="spoils", choice="0.5", annotated=None, refused=["0.5"]),
    "nothing to choose by": dict(match="no score to choose the share by", method="shares", annotated=False),
    "the choice": dict(match="not 0.5 here", method="shares", choice="0.5", refused=["0.5"]),
    "the last choice": dict(match="not 1 here", method="shares", annotated=None, refused=["-1", "0.5", "1"]),
    "the score of the choice": dict(match="The score falls by", method="shares", choice="-1"),
    "the score of all": dict(match="The score falls by", method="shares", max_drop=-100.0),
    "the score of an export": dict(match="The score falls by", method="export", runtime="torch", choice="int8", max_drop=-100.0),
    "no such runtime": dict(match="'abacus' is not installed", method="export", runtime="abacus"),
}


@pytest.mark.parametrize("settings", REFUSED.values(), ids=REFUSED)
def test_a_component_is_as_before_whatever_is_refused(spoils, nlp, examples, settings):
    settings = dict(settings)
    match = settings.pop("match")
    annotated = settings.pop("annotated", True)
    before = state_of(nlp)
    if annotated is not True:
        examples = None if annotated is None else [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in SENTENCES]
    with pytest.MonkeyPatch.context() as patch:
        if settings.pop("broken", False):
            patch.setattr(nlp, "tokenizer", lambda text: 1 / 0)
        with pytest.raises(Exception, match=match):
            compress(nlp, nlp.get_pipe("epee_textcat"), **settings, examples=examples)
    assert state_of(nlp) == before
