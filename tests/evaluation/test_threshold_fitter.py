"""Which thresholds are fitted."""

from types import SimpleNamespace

import numpy
import pytest

from spacy_epee.evaluation.threshold_fitter import ThresholdFitter


def stored_of(logits, true, parts):
    """What the last exit says of links, as far as it is needed."""
    docs = numpy.arange(len(logits))
    rows = logits, true.astype(float), numpy.ones(logits.shape), docs
    task = SimpleNamespace(has_links=True, threshold_rows=lambda *_: rows, threshold_parts=lambda cfg: parts)
    names = [f"L{number}" for number in range(logits.shape[1])]
    slot = SimpleNamespace(thresholded=names)
    outputs = SimpleNamespace(links=[None])
    return SimpleNamespace(
        slot=slot, cfg={"threshold": 0.5}, task=task, n_docs=len(logits), examples=[], items=None, outputs=outputs, name="events"
    )


def links(shift, seed):
    """Links of one kind, half of them true, with logits around a value."""
    chance = numpy.random.default_rng(seed)
    true = chance.random((600, 1)) < 0.5
    return numpy.where(true, 2.0, -2.0) + chance.normal(size=true.shape) + shift, true


@pytest.mark.parametrize("shifts, helped", [((0.0, -3.0), ["L1"]), ((-3.0, 0.0), ["L0"]), ((0.0, 0.0), [])])
def test_roles_and_attributes_get_thresholds_where_these_help_each(shifts, helped):
    parts = [links(shift, seed) for seed, shift in enumerate(shifts)]
    logits, true = (numpy.hstack([part[place] for part in parts]) for place in (0, 1))
    fitter = ThresholdFitter(stored_of(logits, true, [numpy.array([True, False]), numpy.array([False, True])]))
    found = fitter.fit_helpful()
    assert [name for name in found if found[name] < 0.4] == helped


def test_roles_are_judged_together():
    """What a rare role gains, and the frequent ones lose by it, is no gain of all links."""
    often, rarely = links(0.0, 0), links(-3.0, 1)
    rare_true = rarely[1] & (numpy.arange(600) < 30)[:, None]
    logits = numpy.hstack([often[0], numpy.where(rare_true, rarely[0], -8.0)])
    true = numpy.hstack([often[1], rare_true])
    together = ThresholdFitter(stored_of(logits, true, [numpy.array([True, True]), numpy.zeros(2, dtype=bool)]))
    found = together.fit_helpful()
    given = logits >= 0
    held = logits >= numpy.array([numpy.log(found.get(name, 0.5) / (1 - found.get(name, 0.5))) for name in ("L0", "L1")])
    micro = [2 * (answers & true).sum() / (answers.sum() + true.sum()) for answers in (given, held)]
    assert micro[1] >= micro[0] - 0.005


def test_without_anything_that_has_a_threshold_none_are_fitted():
    stored = stored_of(numpy.zeros((4, 0)), numpy.zeros((4, 0), dtype=bool), [])
    assert ThresholdFitter(stored).fit_helpful() == {}
    with pytest.raises(ValueError, match="no thresholds of their own"):
        ThresholdFitter(stored).fit()
