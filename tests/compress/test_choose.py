"""Compressing a pipeline by any method, as far as its score allows."""

import catalogue
import pytest
import torch
from spacy.training import Example
from util import SENTENCES, make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.compress.choose import compress  # noqa: E402
from spacy_epee.model import get_heads  # noqa: E402
from spacy_epee.registry import compressors  # noqa: E402

LABELS = ["ACUTE", "STABLE", "HISTORY"]


class Shares:
    """Scales the classifiers."""

    decides = "share"
    choices = ["-1", "0.5", "1"]

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
def made(monkeypatch):
    """Registers the method. RETURNS (List[Shares]): Those that are made."""
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
    found = []
    for doc in nlp.pipe(SENTENCES):
        best = max(doc.cats, key=doc.cats.get)
        found.append(Example.from_dict(nlp.make_doc(doc.text), {"cats": {label: float(label == best) for label in LABELS}}))
    return found


def test_the_first_choice_that_keeps_the_score_is_taken(made, nlp, examples):
    report = compress(nlp, nlp.get_pipe("epee_textcat"), "shares", examples=examples)
    assert report["choice"] == "0.5" and made[0].used == ["-1", "0.5"]
    wrong, kept = report["tried"]
    assert min(row["difference"] for row in wrong["rows"]) < -0.003 <= min(row["difference"] for row in kept["rows"])
    assert {row["depth"] for row in kept["rows"]} == {"exits", "full"} and all(
        row["before"] == row["after"] for row in kept["rows"]
    ), kept


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
    with pytest.raises(ValueError, match="no compression method 'prune'; there are export, shares"):
        compress(nlp, pipe, "prune")
    with pytest.raises(ValueError, match="The share '0.7' is none of shares; give 'auto' or one of"):
        compress(nlp, pipe, "shares", "0.7")
