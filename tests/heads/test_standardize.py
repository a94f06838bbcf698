"""Vectors from the trunk, brought to one size."""

import spacy
import torch
from util import SENTENCES, make_nlp

from spacy_epee.heads.standardize import Standardize
from spacy_epee.model import get_heads


def test_standardize_does_nothing_before_it_is_fitted():
    vectors = torch.randn(5, 3)
    assert torch.equal(Standardize(2, 3)(1, vectors), vectors)


def test_standardize_brings_vectors_to_mean_0_and_size_1():
    part, vectors = Standardize(2, 3), [torch.randn(40, 3) * 0.04 + 0.2, torch.randn(40, 3) * 100]
    with part.fitting():
        for exit in (0, 1):
            part(exit, vectors[exit][:30])
            part(exit, vectors[exit][30:])
    for exit in (0, 1):
        found = part(exit, vectors[exit])
        assert torch.allclose(found.mean(dim=0), torch.zeros(3), atol=1e-3)
        assert torch.isclose(found.square().mean(), torch.ones(()), atol=1e-2)


def test_standardize_keeps_what_it_was_fitted_to():
    part = Standardize(1, 3)
    with part.fitting():
        part(0, torch.randn(10, 3))
    mean = part.mean.clone()
    part.train()
    part(0, torch.randn(10, 3) + 9)
    assert torch.equal(part.mean, mean)


def test_standardize_of_equal_or_single_vectors_is_finite():
    for vectors in (torch.ones(4, 3), torch.ones(1, 3), torch.zeros(0, 3)):
        part = Standardize(1, 3)
        with part.fitting():
            part(0, vectors)
        assert torch.isfinite(part(0, vectors)).all()


def test_standardize_does_not_blow_up_texts_that_are_alike():
    part, vectors = Standardize(1, 3), torch.ones(5, 3) * 2
    with part.fitting():
        part(0, vectors)
    assert part(0, vectors + 1).abs().max() < 20


def test_standardize_leaves_empty_vectors_alone():
    part, vectors, empty = Standardize(1, 3), torch.randn(6, 3) + 3, torch.tensor([False, True] * 3)
    vectors[empty] = 0
    with part.fitting():
        part(0, vectors, empty)
    found = part(0, vectors, empty)
    assert (found[empty] == 0).all() and torch.allclose(found[~empty].mean(dim=0), torch.zeros(3), atol=1e-5)


def test_standardize_is_fitted_when_a_component_is_initialized(backbone):
    nlp = make_nlp(backbone, spread=None)
    pipe = nlp.get_pipe("epee_textcat")
    heads = get_heads(pipe.model)[0]
    assert (heads.standardize.scale != 1).all()
    seen = []
    forward = heads.standardize.forward
    heads.standardize.forward = lambda exit, vectors: seen.append(forward(exit, vectors)) or seen[-1]
    list(pipe.exit_logits([nlp.make_doc(text) for text in SENTENCES]))
    assert all(torch.isclose(found.square().mean(), torch.ones(()), atol=1e-3) for found in seen)


def test_standardize_can_be_left_out_and_is_saved(backbone, tmp_path):
    plain = make_nlp(backbone, model={"head": {"standardize": False}})
    assert get_heads(plain.get_pipe("epee_textcat").model)[0].standardize is None
    nlp = make_nlp(backbone)
    nlp.to_disk(tmp_path)
    before, after = (get_heads(one.get_pipe("epee_textcat").model)[0].standardize for one in (nlp, spacy.load(tmp_path)))
    assert torch.equal(before.mean, after.mean) and torch.equal(before.scale, after.scale)
