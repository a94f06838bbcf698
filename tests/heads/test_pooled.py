"""Classifiers of whole documents."""

import copy
from types import SimpleNamespace

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_epee.heads.pooled import PooledHeads
from spacy_epee.inputs.instances import Instances
from spacy_epee.inputs.windows import Windows
from spacy_epee.trunk.shims import ScaledShim

WIDTH, EXITS = 8, 2


def make_packs(lengths, rng):
    """Windows of the given lengths in two padded packs, and their states."""
    packs, states = [], []
    for rows in filter(len, numpy.array_split(rng.permutation(len(lengths)), 2)):
        own = torch.tensor([lengths[row] for row in rows])
        real = torch.arange(int(own.max())) < own[:, None]
        mask = None if bool(real.all()) else real[:, None].float()
        packs.append(SimpleNamespace(rows=rows, lengths=own, longest=int(own.max()), mask=mask))
        states.append(torch.from_numpy(rng.normal(size=(len(rows), int(own.max()), WIDTH)).astype("float32")))
    return packs, states


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
@given(
    owners=st.lists(st.integers(0, 4), min_size=1, max_size=7).map(sorted),
    learned=st.booleans(),
    standardize=st.booleans(),
    seed=st.integers(0, 99),
)
@torch.inference_mode()
def test_pooled_answers_are_those_of_torch(pooling, owners, learned, standardize, seed):
    rng = numpy.random.default_rng(seed)
    lengths = rng.integers(3, 9, len(owners))
    windows = Windows([numpy.zeros(n, int) for n in lengths], numpy.array(owners), numpy.zeros(len(owners), int), [()] * 5, 1, 1)
    docs = numpy.arange(5)
    items = Instances(windows, windows.docs, docs, docs)
    heads = PooledHeads(
        width=WIDTH, exits=EXITS, labels=3, pooling=pooling, dropout=0.1, learned_exit=learned, standardize=standardize
    ).eval()
    if standardize:
        heads.standardize.mean.normal_()
        heads.standardize.scale.fill_(3.0)
    packs, states = make_packs(lengths, rng)
    units = items.live[: max(1, len(items.live) - 1)]  # windows of another unit are there for another task
    inputs = heads.prepare(items, torch.device("cpu"))
    for exit in range(EXITS):
        for one, other in zip(heads.answer(exit, packs, states, inputs, units), heads(exit, packs, states, inputs, units)):
            numpy.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-5)


def test_pooled_answers_of_halves_go_by_torch():
    heads = PooledHeads(width=WIDTH, exits=1, labels=2, pooling="mean", dropout=0.0, learned_exit=False).eval()
    windows = Windows([numpy.zeros(4, int)], numpy.zeros(1, int), numpy.zeros(1, int), [()], 1, 1)
    items = Instances(windows, windows.docs, numpy.arange(1), numpy.arange(1))
    pack = SimpleNamespace(rows=numpy.arange(1), lengths=torch.tensor([4]), longest=4, mask=None)
    states = torch.randn(1, 4, WIDTH)
    with torch.inference_mode():
        inputs = heads.prepare(items, torch.device("cpu"))
        half, full = (heads.answer(0, [pack], [own], inputs, items.live)[0] for own in (states.bfloat16(), states))
    assert half.dtype == numpy.float32
    numpy.testing.assert_allclose(half, full, atol=0.05)


CHANGES = ["optimizer in place", "optimizer", "averages", "by hand", "another one", "in a copy", "other type"]


@pytest.mark.parametrize("change", CHANGES)
def test_pooled_answers_follow_the_weights(change):
    heads = PooledHeads(width=WIDTH, exits=1, labels=2, pooling="mean", dropout=0.0, learned_exit=False).eval()
    shim = ScaledShim(heads)
    windows = Windows([numpy.zeros(4, int)], numpy.zeros(1, int), numpy.zeros(1, int), [()], 1, 1)
    items = Instances(windows, windows.docs, numpy.arange(1), numpy.arange(1))
    pack = SimpleNamespace(rows=numpy.arange(1), lengths=torch.tensor([4]), longest=4, mask=None)
    states = torch.ones(1, 4, WIDTH)  # so that no two changes cancel out

    def look():
        with torch.inference_mode():
            inputs = heads.prepare(items, torch.device("cpu"))
            return heads.answer(0, [pack], [states], inputs, items.live)[0]

    def step(key, weights, gradient, lr_scale):
        if change == "optimizer in place":
            weights += 1
            return weights, gradient
        return weights + 1, gradient

    before, parameter = look(), heads.classifiers[0].bias
    if change.startswith("optimizer"):
        for own in heads.parameters():
            own.grad = torch.ones_like(own)
        shim.finish_update(step)
    elif change == "averages":
        with shim.use_params({(shim.id, "classifiers.0.bias"): parameter.detach().numpy() + 1}):
            numpy.testing.assert_allclose(look(), before + 1, rtol=1e-5)
        numpy.testing.assert_array_equal(look(), before)
        return
    elif change == "by hand":
        with torch.no_grad():
            parameter += 1
    elif change == "another one":
        heads.classifiers[0].bias = torch.nn.Parameter(parameter.detach() + 1)
    elif change == "in a copy":
        look_at, before = copy.deepcopy(heads), look()
        for _ in range(sum(part._version for part in heads.parameters())):
            with torch.no_grad():
                look_at.classifiers[0].bias += 1
        heads = look_at
    else:
        heads.double().float()
        parameter.data += 1
    assert numpy.abs(look() - before).min() > 0.1
