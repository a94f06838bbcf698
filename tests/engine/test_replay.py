"""Simulation from stored logits gives what the loop does."""

import numpy
import pytest
from scipy.special import expit
from spacy.training import Example
from util import make_nlp, make_texts

from spacy_epee.engine.replay import simulate
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.exits import rules
from spacy_epee.model import get_exit_layers

RULES = [
    rules.Entropy(0.5),
    rules.Entropy([0.2, 0.7, 0.4, 0.0]),
    rules.Confidence(0.7),
    rules.Confidence([0.9, 0.6, 0.8, 1.0]),
    rules.Margin(0.5),
    rules.Energy(0.1),
    rules.Patience(1),
    rules.FlexiblePatience(0.05, 1, "JSKD"),
    rules.FlexiblePatience(0.3, 1, "KD"),
    rules.ConfidentPatience(0.6, 2),
    rules.EntropyPatience(0.4, 1),
    rules.Voting(2.0),
    rules.Learned(0.4),
    rules.FixedDepth(3),
    rules.FromLayer(2, rules.EntropyPatience(0.4, 1)),
    rules.AnyOf({"a": rules.FromLayer(2, rules.Patience(1)), "b": rules.Entropy(0.3)}),
    rules.AnyOf({"a": rules.Entropy([0.0, 0.5, 0.3, 0.0]), "b": rules.Patience(1)}),
    rules.AllOf({"a": rules.Entropy(0.6), "b": rules.Patience(1)}),
    None,
]


@pytest.fixture(scope="module", params=[False, True], ids=["exclusive", "multilabel"])
def stored(request, backbone):
    nlp = make_nlp(backbone, multilabel=request.param, model={"head": {"learned_exit": True}})
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    docs = [nlp.make_doc(text) for text in make_texts(40, seed=5)]
    outputs = list(pipe.exit_logits(docs, batch_size=16))
    logits = numpy.concatenate([out.logits for out in outputs], axis=1)
    doubt = expit(numpy.concatenate([out.doubt for out in outputs], axis=1))
    return pipe, docs, logits, doubt


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_simulate_equals_the_loop(stored, rule):
    pipe, docs, logits, doubt = stored
    live = pipe.answer(docs, rule)
    reading = pipe.task.reading(pipe.cfg["threshold"])
    found = simulate(logits, rule, exit_layers=get_exit_layers(pipe.model), reading=reading, doubt=doubt)
    assert found.layers.tolist() == live.layers.tolist()
    assert numpy.allclose(found.logits, live.logits, atol=1e-4)
    reasons = ["depth" if code == 0 else rule.reasons[code - 1] for code in found.codes]
    assert reasons == live.reasons


@pytest.mark.parametrize("multilabel", [False, True])
def test_what_stands_for_doubt_before_the_first_layer_goes_by_the_temperatures_of_now(backbone, multilabel):
    nlp = make_nlp(backbone, multilabel=multilabel, lexical=200, model={"head": {"learned_exit": True}})
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    docs = [nlp.make_doc(text) for text in make_texts(40, seed=5)]
    stored = StoredOutputs(pipe, [Example(doc, doc.copy()) for doc in docs])
    pipe.set_temperatures([3.0] + [1.0] * (len(stored.layers) - 1))
    replay = stored.replay()
    left = []
    for doubt in (0.3, 0.4, 0.45, 0.49, 0.55, 0.6, 0.64):
        live = pipe.answer(docs, rules.Learned(doubt))
        assert replay.run(rules.Learned(doubt)).layers.tolist() == live.layers.tolist()
        left.append((live.layers == 0).mean())
    assert min(left) == 0 < max(left)
