"""Rules of other packages that look from a layer on."""

from dataclasses import dataclass

import numpy
import pytest
from spacy.training import Example
from util import make_nlp, make_texts

from spacy_epee.engine.replay import simulate
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.exits.evidence import EvidenceBuilder
from spacy_epee.exits.rules.base import complete
from spacy_epee.exits.rules.composite import AllOf, AnyOf
from spacy_epee.exits.rules.depth import FromLayer
from spacy_epee.exits.rules.patience import Patience

LOGITS = numpy.tile(numpy.array([[5.0, 0.0]]), (6, 3, 1))
"""Six exits that are sure of the same."""

SETTINGS = {"exit_layers": range(1, 7), "reading": EvidenceBuilder(True, 0.5, "max", {})}


@dataclass(frozen=True)
class Late:
    """Leaves when the decision is that of the exit before. It has not seen any below its first layer."""

    first_layer: int = 4
    reasons = ("late",)

    def start(self, units, began):
        return []

    def step(self, evidence, counters):
        counters.append(evidence.layer)
        return evidence.agrees.astype(int)

    def can_fire(self, layers):
        return True


@pytest.mark.parametrize(
    "rule", [Late(), AnyOf({"late": Late()}), AllOf({"late": Late()}), FromLayer(2, Late()), FromLayer(4, Patience(1))]
)
def test_rules_that_look_from_a_layer_on_leave_at_the_one_behind(rule):
    assert simulate(LOGITS, rule, **SETTINGS).layers.tolist() == [5, 5, 5]


def test_rules_of_others_are_not_asked_below_their_first_layer():
    rule = complete(Late(3))
    counters = rule.start(3, 0.0)
    seen = []
    for layer in range(1, 5):

        class Evidence:
            agrees = numpy.zeros(3, dtype=bool)

            def __len__(self):
                return 3

            def remember(self):
                pass

        evidence = Evidence()
        evidence.layer = layer
        assert not rule.step(evidence, counters).any()
        seen = counters["rule"]
    assert seen == [3, 4]


class Some:
    """Leaves when the decision is that of the exit before, of those that it looks at."""

    reasons = ("some",)

    def __init__(self, layers):
        self.layers = layers

    def looks_at(self, layer):
        return layer in self.layers

    def start(self, units, began):
        return None

    def step(self, evidence, counters):
        return (evidence.agrees & (evidence.layer in self.layers)).astype(int)

    def can_fire(self, layers):
        return True


@pytest.mark.parametrize("layers", [[1, 3, 4], [2, 4], [1, 2, 4], [3]], ids=str)
def test_exits_that_a_rule_does_not_look_at_are_none_before_others_whoever_looks_there(backbone, layers):
    nlp = make_nlp(backbone, spread=3.0)
    pipe = nlp.get_pipe("epee_textcat")
    docs = [nlp.make_doc(text) for text in make_texts(40, seed=3)]
    live = pipe.answer(docs, Some(layers)).layers
    replay = StoredOutputs(pipe, [Example(doc, doc.copy()) for doc in docs]).replay()
    assert replay.run(Some(layers)).layers.tolist() == live.tolist()
    assert pipe.answer(docs, AnyOf({"one": Some(layers), "other": Patience(4)})).layers.tolist() == live.tolist()
    assert [int(pipe.answer([doc], Some(layers)).layers[0]) for doc in docs] == live.tolist()
    neighbours = {own for own in layers if own - 1 in layers and own < 4}
    assert set(live.tolist()) - {4} == neighbours
