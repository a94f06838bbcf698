"""How much parts of a backbone matter to what a component learned: gradient times activation on annotated documents, as if each
part had a mask (Michel et al. 2019)."""

from typing import Any, Callable, List, Sequence

import torch
from spacy.language import Language
from spacy.training import Example
from spacy.util import minibatch
from torch import Tensor, nn

from ..component.pipe import EarlyExitTransformer
from ..component.updating import parameters_of
from ..evaluation.sample import sample
from ..evaluation.timing import prepare

DOCS, BATCH = 256, 16
"""How many documents are looked at at most, and how many of them together."""


def draw_judges(nlp: Language, pipe: EarlyExitTransformer, examples: Sequence[Example]) -> List[Example]:
    """RETURNS (List[Example]): Some annotated documents, drawn from all, as they come to a component."""
    return prepare(nlp, pipe, sample(examples, [slot.task for slot in pipe.slots.values()], DOCS))


def measure_importance(
    pipe: EarlyExitTransformer, examples: Sequence[Example], gates: Sequence[nn.Linear], parts: Sequence[int]
) -> List[Tensor]:
    """Find out how much the loss depends on parts of what goes into linear layers. Nothing is learned.

    pipe (EarlyExitTransformer): The component.
    examples (Sequence[Example]): Annotated documents, as they come to the component.
    gates (Sequence[Linear]): The linear layers.
    parts (Sequence[int]): In how many equal parts what goes into each is.
    RETURNS (List[Tensor]): For each the sums over documents of what the loss would change by without a part, each (parts,).
    RAISES ValueError: Nothing in the documents is annotated.
    """
    totals = [torch.zeros(count) for count in parts]
    hooks = [gate.register_forward_pre_hook(_watch(total)) for gate, total in zip(gates, totals)]
    wordpieces = pipe.wordpieces
    trained = {parameter: parameter.requires_grad for parameter in parameters_of(pipe.model)}
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)  # of dropout
            for batch in minibatch(examples, BATCH):
                pipe.update(batch)
    finally:
        for hook in hooks:
            hook.remove()
        pipe.wordpieces = wordpieces
        for parameter, was_trained in trained.items():
            parameter.grad = None
            parameter.requires_grad_(was_trained)
    if not any(total.any() for total in totals):
        raise ValueError(
            f"None of the {len(examples)} documents is annotated for the component '{pipe.name}', so that it cannot "
            "be told which parts of its transformer matter. Give annotated documents."
        )
    return totals


def _watch(total: Tensor) -> Callable[[nn.Module, Any], Any]:
    """Add up what a part of the input contributes, in each text."""

    def hook(module: nn.Module, inputs: Any) -> Any:
        states = inputs[0]
        if not torch.is_grad_enabled():
            return None
        if not states.requires_grad:  # in a trunk that is not trained
            states = states.detach().requires_grad_()

        def add(gradient: Tensor) -> None:
            product = gradient.float() * states.detach().float()
            each = product.reshape(len(states), -1, len(total), states.shape[-1] // len(total)).sum(dim=(1, 3))
            total.add_(each.abs().sum(dim=0).cpu())

        states.register_hook(add)
        return (states, *inputs[1:])

    return hook
