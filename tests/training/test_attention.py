"""Attention in training."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from spacy_epee.training.attention import PlainAttention


def run(plain, mask=None, **kwargs):
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 5, 4, requires_grad=True) for _ in range(3)]
    if plain:
        with PlainAttention():
            output = scaled_dot_product_attention(*inputs, attn_mask=mask, **kwargs)
    else:
        output = scaled_dot_product_attention(*inputs, attn_mask=mask, **kwargs)
    output.square().sum().backward()
    return [output.detach(), *(part.grad for part in inputs)]


MASK = torch.ones(2, 1, 5, 5, dtype=torch.bool)
MASK[1, ..., 3:] = False


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mask": MASK},
        {"mask": torch.zeros(2, 1, 5, 5).masked_fill(~MASK, torch.finfo(torch.float32).min)},
        {"scale": 0.3},
        {"is_causal": True},
    ],
    ids=["alone", "bool mask", "float mask", "scale", "causal"],
)
def test_outputs_and_gradients_are_those_of_torch(settings):
    for ours, theirs in zip(run(True, **settings), run(False, **settings)):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_call_is_taken_over(monkeypatch):
    called = []
    monkeypatch.setattr("spacy_epee.training.attention._attend", lambda *args, **kwargs: called.append(1) or args[2])
    with PlainAttention():
        scaled_dot_product_attention(*(torch.randn(1, 1, 2, 2) for _ in range(3)))
    assert called


def test_dropout_is_left_to_torch(monkeypatch):
    monkeypatch.setattr("spacy_epee.training.attention._attend", None)
    with PlainAttention():
        scaled_dot_product_attention(*(torch.randn(1, 1, 2, 2) for _ in range(3)), dropout_p=0.5)
