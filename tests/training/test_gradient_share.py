"""How much of the gradient from above reaches the layers below an exit."""

import numpy
import pytest
import torch
from util import make_examples, make_nlp

from spacy_epee.model import get_stepper

STILL = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}


def train(backbone, share, multilabel=False):
    """RETURNS (Tuple[List[Tensor], float]): The gradient of each layer after an update that changes nothing, and the loss."""
    trunk = {"gradient_share": share, "mixed_precision": False, "transformer_config": STILL}
    nlp = make_nlp(backbone, multilabel=multilabel, model={"exit_layers": [2, 4], "trunk": trunk, "head": {"dropout": 0.0}})
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    losses = pipe.update(make_examples(nlp, pipe.labels, multilabel), sgd=None)
    gradients = [layer.output.dense.weight.grad for layer in get_stepper(pipe.model).layers]
    return [torch.zeros(1) if gradient is None else gradient.clone() for gradient in gradients], losses[pipe.name]


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_share_of_the_gradient_reaches_the_layers_below_an_exit(backbone, multilabel):
    none, half, whole = (train(backbone, share, multilabel)[0] for share in (0.0, 0.5, 1.0))
    for layer in (0, 1):
        assert not torch.allclose(none[layer], whole[layer], rtol=1e-3)
        assert torch.allclose(half[layer], (none[layer] + whole[layer]) / 2, rtol=1e-3, atol=1e-6)
    for layer in (2, 3):
        assert torch.allclose(none[layer], whole[layer], rtol=1e-3, atol=1e-6)


def test_the_loss_does_not_depend_on_it(backbone):
    assert numpy.allclose(train(backbone, 0.0)[1], train(backbone, 1.0)[1], rtol=1e-6)


def test_without_any_the_last_exit_teaches_the_layers_below_the_first_nothing(backbone, monkeypatch):
    from spacy_epee.component import updating
    from spacy_epee.training import losses

    expected = train(backbone, 0.0)[0]
    weights = losses.exit_weights

    def first_alone(exits, weighting):
        return weights(exits, weighting) * torch.tensor([1.0, 0.0])

    for module in (losses, updating):
        monkeypatch.setattr(module, "exit_weights", first_alone)
    found = train(backbone, 1.0)[0]
    for layer in (0, 1):
        assert torch.allclose(found[layer], expected[layer], rtol=1e-3, atol=1e-6)
    assert not found[3].any()
