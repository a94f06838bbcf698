"""The threshold of the gate, by what may be lost."""

from types import SimpleNamespace

import numpy
import pytest
from scipy.stats import binom

from spacy_epee.exits.risk_control import documents_needed, tolerance_threshold
from spacy_epee.tuning.gate import fit_gate

HAS_GATE = SimpleNamespace(heads=lambda model: SimpleNamespace(gate=True))


def stored_of(chances, gold, units=None, links=False):
    """What is stored of items, one a document if no units are given."""
    owners = numpy.arange(len(chances)) if units is None else numpy.array(units)
    docs = numpy.arange(owners.max() + 1)
    return SimpleNamespace(
        chances=numpy.array(chances, dtype="float64"),
        targets=numpy.array(gold, dtype="float32")[:, None],
        label_mask=numpy.ones((len(chances), 1)),
        labels=["A"],
        slot=HAS_GATE,
        component=SimpleNamespace(model=None),
        n_docs=len(docs),
        docs=docs,
        items_docs=owners,
        owners=owners,
        task=SimpleNamespace(has_links=links, group=None),
        scoring=SimpleNamespace(unit="window"),
        cfg={},
    )


def drawn(seed, count, positive):
    """Chances that tell a little, and what they are of."""
    random = numpy.random.default_rng(seed)
    gold = random.random(count) < positive
    return random.beta(1 + 4 * gold, 3), gold


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_what_is_promised_is_kept_as_often_as_was_said(confidence):
    kept = []
    for seed in range(400):
        values = numpy.random.default_rng(seed).random(320)  # so that the threshold is the share below it
        limit = tolerance_threshold(values, 0.02, confidence)
        kept.append(limit <= 0.02)
    assert binom.cdf(sum(kept), 400, confidence) > 1e-3


def test_no_higher_threshold_would_be_sure_enough():
    values = numpy.random.default_rng(0).random(700)
    limit = tolerance_threshold(values, 0.01, 0.95)
    lost = int((values < limit).sum())
    assert binom.cdf(lost, 700, 0.01) <= 0.05 < binom.cdf(lost + 1, 700, 0.01)


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_it_takes_as_many_as_for_any_promise(alpha):
    needed = documents_needed(alpha, 0.95)
    assert tolerance_threshold(numpy.ones(needed), alpha, 0.95) == 1
    assert tolerance_threshold(numpy.ones(needed - 1), alpha, 0.95) is None


def test_the_threshold_loses_no_more_than_it_says_and_lets_others_go():
    chances, gold = drawn(0, 5000, 0.2)
    stored = stored_of(chances, gold)
    report = fit_gate(stored, 0.98, 0.95)
    threshold = report["threshold"]
    assert stored.cfg["gate"]["threshold"] == threshold and report["something"] == gold.sum()
    assert report["lost"] == (chances[gold] < threshold).sum() < 0.02 * gold.sum()
    assert report["units"] == report["items"] == (chances < threshold).mean() > 0.05
    others, truth = drawn(1, 50_000, 0.2)
    assert (others[truth] < threshold).mean() < 0.02


def test_triggers_of_one_window_are_no_draws_of_their_own():
    chances, gold = drawn(0, 40, 1.0)
    owners = numpy.repeat(numpy.arange(40), 20)
    report = fit_gate(stored_of(numpy.repeat(chances, 20), numpy.repeat(gold, 20), owners, links=True), 0.99, 0.95)
    assert report["something"] == 800 and report["apart"] == 40 and report["threshold"] is None


@pytest.mark.parametrize("gold", [0, 1, 298])
def test_too_few_give_no_gate(gold):
    stored = stored_of(numpy.linspace(0, 1, 600), numpy.arange(600) >= 600 - gold)
    stored.cfg["gate"] = {"threshold": 0.9}
    assert fit_gate(stored, 0.99, 0.95)["threshold"] is None
    assert "gate" not in stored.cfg


def test_a_promise_of_other_documents_does_not_rest_on_these():
    chances, gold = drawn(0, 4000, 0.3)
    half = numpy.arange(4000) % 2 == 0
    stored = stored_of(chances, gold)
    threshold = fit_gate(stored, 0.98, 0.95, half)["threshold"]
    assert threshold == fit_gate(stored_of(chances[half], gold[half]), 0.98, 0.95)["threshold"]
