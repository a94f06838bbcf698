"""Whether layers called one by one give what a model's own forward gives, and what that needs. Nothing is taken for granted: a
family is refused by name if stepping through it is not the same."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, FrozenSet, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from .base import Runner
from .families import HELP, Family, final_norms, find_family
from .forward import Inputs, LayerCall, ModelForward
from .kernels import bound_kernels
from .stepper import LayerPlan, LayerStepper

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Probe = Tuple[Inputs, Tensor]
"""A small input, and where it is not padding, (W, T) or (W, 1) bool."""

KNOWN = "a BERT, RoBERTa, ELECTRA, DistilBERT, MPNet or DeBERTa"

_UNFIT = (TypeError, ValueError, AttributeError, LookupError, RuntimeError, AssertionError)
"""What modules raise that are not made for what they are given."""


class _Misfit(Exception):
    """Why a model cannot be stepped, as the end of a sentence."""


def make_stepper(model: "PreTrainedModel") -> LayerStepper:
    """Make what steps through a model of text.

    model (PreTrainedModel): An encoder, or a decoder used as one. It is checked with a small padded batch that stepping gives
        what its own forward gives.
    RETURNS (LayerStepper): The stepper.
    RAISES ValueError: The model cannot be stepped.
    """
    return LayerStepper(model, find_plan(model, _probe, KNOWN))


@torch.no_grad()
def find_plan(model: "PreTrainedModel", probe: Callable[["PreTrainedModel"], Probe], known: str) -> LayerPlan:
    """Find out how a model calls its layers, and compare stepping, with a row leaving on the way, with its own forward.

    model (PreTrainedModel): The model.
    probe (Callable[[PreTrainedModel], Probe]): Makes a small input for it.
    known (str): Models that can be stepped, for the message of the error.
    RETURNS (LayerPlan): How it calls them.
    RAISES ValueError: The model cannot be stepped.
    """
    bound_kernels()  # before the first one is made
    _settle(model.config)
    family = find_family(model)
    try:
        with as_answering(model):
            return _compare(model, family, *probe(model))
    except _Misfit as error:
        missing = str(error)
    except _UNFIT as error:
        missing = f"stepping through it raises {type(error).__name__}"
    refuse_nan(model)
    raise ValueError(
        f"The model family '{model.config.model_type}' cannot exit early: {missing}. Name another encoder in the setting "
        f"`model.trunk.name`, such as {known}. If wrong modules were taken for its layers or its final norm, {HELP}."
    )


@contextmanager
def as_answering(model: "PreTrainedModel") -> Iterator[None]:
    """A context in which a model computes as it does when it answers, without dropout.

    model (PreTrainedModel): The model.
    """
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@torch.no_grad()
def relative_error(stepper: LayerStepper, other: Runner, padded: bool = True) -> float:
    """How far the last states of a runner are from those of a model of text, on a small input.

    stepper (LayerStepper): The model.
    other (Runner): What runs the same model.
    padded (bool): Whether rows are padded.
    RETURNS (float): The size of the difference as a share of the size of the model's states.
    """
    ids, mask = probe_text(stepper.model)
    mask = mask if padded else torch.ones_like(mask)
    states = []
    for runner in (stepper, other):
        state = runner.embed(ids, mask)
        while state.layer < runner.depth:
            runner.step(state)
        states.append(runner.final_hidden(state)[mask.bool()])
    return float((states[0] - states[1]).norm() / states[0].norm())


def check_runner(stepper: LayerStepper, runner: Runner, limit: float, name: str) -> None:
    """Check that a runner gives what torch gives, in a padded batch and in another one.

    stepper (LayerStepper): The model, as it answers.
    runner (Runner): What runs it.
    limit (float): How far the last states may be off (`relative_error`).
    name (str): The runtime.
    RAISES ValueError: It gives something else, or nothing.
    """
    cause = None
    try:
        near = runner.depth == stepper.depth and all(relative_error(stepper, runner, padded) <= limit for padded in (True, False))
    except Exception as error:  # the runtime's own kinds, and whatever arrays of other shapes and names come to
        near, cause = False, error
    if not near:  # not so either if it is not a number
        raise ValueError(
            f"What was exported of this pipeline for the runtime '{name}' gives something else than its layers. Make it anew "
            "with `python -m spacy epee export`, or set `model.trunk.runtime` to 'torch'."
        ) from cause


def refuse_nan(model: "PreTrainedModel") -> None:
    """Refuse weights that are no numbers: whatever they are multiplied with is none either.

    model (PreTrainedModel): The model.
    RAISES ValueError: A weight is NaN or infinite.
    """
    bad = [name for name, value in model.state_dict().items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise ValueError(
            f"The weights of this backbone hold NaN or infinity ({len(bad)} of its tensors, the first being '{bad[0]}'): it "
            "is damaged, or training went wrong. Load an intact copy, or train again with a lower learning rate."
        )


def probe_text(model: "PreTrainedModel") -> Tuple[Tensor, Tensor]:
    """Make rows of different lengths, without the padding wordpiece inside a row.

    There are as many rows as heads, so that what is meant by head cannot pass for what is meant by row; and they are longer
    than a local attention window, where there is one, so that a layer that looks farther than it should is noticed.

    model (PreTrainedModel): What they are for.
    RETURNS (Tuple[Tensor, Tensor]): Padded wordpieces (W, T), and 1 for wordpieces and 0 for padding (W, T).
    """
    config = model.config
    local = getattr(config, "sliding_window", None) or getattr(config, "local_attention", None) or 0
    rows = max(3, getattr(config, "num_attention_heads", 0) or 0)
    longest = getattr(config, "max_position_embeddings", 0) or 0
    length = min(max(7, local + 8), longest // 2 if longest > 0 else 1024, 1024)
    length -= length > 1 and length % 2 == 0  # odd, so that a model that fills up blocks is noticed
    padding = getattr(config, "pad_token_id", None) or 0
    low, high = (padding + 1, config.vocab_size) if padding + 1 < config.vocab_size else (0, max(padding, 1))
    ids = torch.randint(low, high, (rows, length), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([length if row % 2 else max(length // 2, length - 2 * row - 2) for row in range(rows)])
    mask = (torch.arange(length) < lengths[:, None]).long()
    ids[mask == 0] = padding
    return ids.to(model.device), mask.to(model.device)


def _probe(model: "PreTrainedModel") -> Probe:
    ids, mask = probe_text(model)
    return {"input_ids": ids, "attention_mask": mask}, mask.bool()


def _settle(config: Any) -> None:
    """Change settings that go ill with many batches."""
    if getattr(config, "use_cache", False):
        # Decoders would grow a cache with every batch.
        config.use_cache = False
    padding = getattr(config, "pad_token_id", None)
    if padding is not None and not 0 <= padding < getattr(config, "vocab_size", padding + 1):
        # Such as LLaMA's -1. What is behind the end of a text is masked, so that any wordpiece will do.
        config.pad_token_id = None


def _compare(model: "PreTrainedModel", family: Family, inputs: Inputs, real: Tensor) -> LayerPlan:
    """RAISES _Misfit: Layers called one by one do not give what the model gives."""
    forward = ModelForward(model, list(family.layers))
    calls, last = forward.watch(inputs)
    real = _check_calls(calls, forward.layers, real)
    norms = [norm for norm in final_norms(model, family) if _close(_apply(norm, calls[-1].states), last, real)]
    if not norms:
        raise _Misfit("what comes behind its last layer is not a norm that was found")
    alike = all(_same(call.arguments, calls[0].arguments) for call in calls)
    parts = len(calls[0].output) if isinstance(calls[0].output, tuple) else 0
    fewer = {name: value[1:] if isinstance(value, Tensor) else value for name, value in inputs.items()}
    prepared = [forward.prepare(each, 1 if alike else len(calls), parts) for each in (inputs, fewer)]
    plan = LayerPlan(forward.layers, norms[0], int(last.shape[-1]), alike, parts, _row_args(*prepared))
    _check_steps(LayerStepper(model, plan), inputs, calls, real)
    return plan


def _check_calls(calls: List[LayerCall], layers: Sequence[nn.Module], real: Tensor) -> Tensor:
    """Check that a model calls its layers one after the other on a row for each text.

    RETURNS (Tensor): Where states are not padding, (W, T) bool.
    RAISES _Misfit: It does not.
    """
    if [call.layer for call in calls] != list(layers):
        raise _Misfit(f"its own forward does not call the {len(layers)} layers that were found, one after the other")
    rows, length = real.shape
    if len(calls[0].hidden) != rows or length not in (1, calls[0].hidden.shape[1]):
        raise _Misfit(
            f"its layers are not given a row for each text, but {tuple(calls[0].hidden.shape)}. If its attention works "
            "without padding, set `model.trunk.transformer_config.attn_implementation` to 'sdpa'"
        )
    real = real.expand(calls[0].hidden.shape[:2])
    for number, (below, above) in enumerate(zip(calls, calls[1:]), start=1):
        if not _close(below.states, above.hidden, real):
            raise _Misfit(f"something runs between its layers {number} and {number + 1}")
    return real


def _check_steps(stepper: LayerStepper, inputs: Inputs, calls: List[LayerCall], real: Tensor) -> None:
    """RAISES _Misfit: A layer called on its own, once a row has left, gives something else."""
    state = stepper.embed_inputs(inputs)
    rows = len(real)
    rest = torch.arange(1, rows, device=real.device)
    for call in calls:
        stepper.step(state)
        if len(state.hidden) == rows:
            state.keep(rest)
        if not _close(state.hidden, call.states[1:], real[1:]):
            given = sorted(name for name, value in call.arguments.items() if isinstance(value, Tensor))
            raise _Misfit(
                f"its layer {state.layer} called on its own does not give what it gives in the model's forward, once a row "
                f"has left. It is given {', '.join(given) or 'no tensors'} beside the states, and these may depend on the "
                "layers below, or hold the rows of the batch in a way that is not understood"
            )


def _row_args(calls: Sequence[LayerCall], fewer: Sequence[LayerCall]) -> FrozenSet[str]:
    """Which arguments have an entry for each row: they get shorter with the batch, which no other does by chance."""
    names = set()
    for call, other in zip(calls, fewer):
        for name, value in call.arguments.items():
            if _length(value) == len(call.hidden) and _length(other.arguments.get(name)) == len(other.hidden):
                names.add(name)
    return frozenset(names)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Tensor) and value.dim() else 0


def _same(one: Any, other: Any) -> bool:
    """Whether two layers are given the same. Tensors that happen to be equal may differ in a longer batch."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_same, one, other))
    plain = (bool, int, float, str)
    return one is other or (isinstance(one, plain) and isinstance(other, plain) and one == other)


def _close(states: Any, expected: Tensor, real: Tensor) -> bool:
    """Whether states agree but for padding."""
    if not isinstance(states, Tensor) or states.shape != expected.shape:
        return False
    return states is expected or torch.allclose(states[real], expected[real], rtol=1e-3, atol=1e-3)


def _apply(norm: Optional[nn.Module], states: Tensor) -> Any:
    """What a norm gives; None if it is for something else. Whole models can have "Norm" in their name, too."""
    try:
        return states if norm is None else norm(states)
    except _UNFIT:
        return None
