"""Writing a backbone as ONNX graphs: one for the states below the layers, one for what layers are given beside states, and one
that runs any of the layers.

Each layer is traced as the stepper calls it, so a family needs nothing of its own here either.
"""

import copy
import io
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, cast

import numpy
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ...trunk.quantized import embed_alike
from ...trunk.stepper import LayerState, LayerStepper
from ...trunk.verification import make_stepper, probe_text, relative_error
from .attention import DOMAIN, WatchedAttention, tidy, without_mask
from .branches import join
from .graphs import OnnxGraphs, require
from .ranges import RangeMeter, Rescaled, quantize_static
from .stepper import OnnxStepper
from .writing import quantize_model, write

if TYPE_CHECKING:
    from onnx import ModelProto
    from transformers import PreTrainedModel

ROWS, LENGTH = 5, 13
"""The shape that is traced: numbers that are no other size of a model."""

ATTENTIONS = ("sdpa", "eager")
"""How attention is traced: as one operation where a family has it in one call, and else written out."""

NEAR = 0.01
"""How far the last states of a probe may be from those of torch, relative to these."""


class _Embedding(nn.Module):
    """What comes before the layers: the states, or what the layers are given beside them."""

    def __init__(self, stepper: LayerStepper, states: bool):
        super().__init__()
        self.model = stepper.model
        self.stepper, self.states = stepper, states
        self.eval()  # which the exporter goes back to

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        if self.states:
            return self.stepper.embed(input_ids, attention_mask).hidden
        with _without_words(self.model):
            return tuple(_tensors(self.stepper.embed(input_ids, attention_mask)))


@contextmanager
def _without_words(model: "PreTrainedModel") -> Iterator[None]:
    """Embed zeros. Some families ask the embeddings for the shape of their masks, and would have them all in a graph for that."""
    words = model.get_input_embeddings()
    width = cast(Tensor, words.weight).shape[1]
    words.forward = lambda ids: torch.zeros_like(ids, dtype=torch.float32)[..., None].expand(*ids.shape, width)
    try:
        yield
    finally:
        del words.forward


class _Layer(nn.Module):
    """One layer, with tensors alone as arguments."""

    def __init__(self, layer: nn.Module, norm: Optional[nn.Module], arguments: Dict[str, Any]):
        super().__init__()
        self.layer, self.norm = layer, norm
        self.values, self.structure = tree_flatten(arguments)
        self.eval()

    def forward(self, hidden: Tensor, *given: Tensor) -> Any:
        left = iter(given)
        values = [next(left) if isinstance(value, Tensor) else value for value in self.values]
        output = self.layer(hidden, **tree_unflatten(values, self.structure))
        output = output[0] if isinstance(output, tuple) else output
        return output if self.norm is None else (output, self.norm(output))


def _tensors(state: LayerState) -> List[Tensor]:
    """What the layers are given, each tensor once."""
    tensors: Dict[int, Tensor] = {}
    for arguments in state.arguments:
        for value in tree_flatten(arguments)[0]:
            if isinstance(value, Tensor):
                tensors.setdefault(id(value), value)
    return list(tensors.values())


def export_trunk(stepper: LayerStepper, precision: str = "fp32", samples: Sequence[numpy.ndarray] = ()) -> OnnxGraphs:
    """Write a backbone as ONNX graphs.

    stepper (LayerStepper): The backbone.
    precision (str): "fp32" or "int8".
    samples (Sequence[ndarray]): The wordpieces of windows, (T,) each, on which the ranges of int8 are measured. Without any they
        are those of each call, so that what a text gets depends a little on what is in its batch.
    RETURNS (OnnxGraphs): The graphs.
    RAISES ValueError: A library is missing, or the family cannot be traced.
    """
    require("onnx", "onnxruntime")
    family = stepper.model.config.model_type
    first: Optional[Exception] = None
    for attention in ATTENTIONS:
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # of tracing: what it gives is compared
                return _trace(_with_attention(stepper, attention), precision, attention, samples)
        except Exception as error:  # torch, transformers and onnxruntime raise dozens of kinds here
            first = first or error
    raise ValueError(
        f"The model family '{family}' cannot be written as ONNX ({type(first).__name__}). Set `model.trunk.runtime` to 'torch', "
        "or use another backbone."
    ) from first


def _with_attention(stepper: LayerStepper, attention: str) -> LayerStepper:
    """A copy whose attention is called in another way."""
    model = copy.deepcopy(stepper.model).cpu().eval()
    if attention != getattr(model.config, "_attn_implementation", attention):
        model.config._attn_implementation = attention
        rebuilt = type(model)(model.config)
        rebuilt.load_state_dict(model.state_dict())
        embed_alike(rebuilt, model)
        model = rebuilt.eval()
    return make_stepper(model)


def _trace(stepper: LayerStepper, precision: str, attention: str, samples: Sequence[numpy.ndarray]) -> OnnxGraphs:
    """Write all parts.

    RAISES ValueError: Attention was to be one operation and is not, or the graphs do not give what torch gives. That is looked
        at in float32: how much score int8 costs only data can say.
    """
    import onnx

    ids = torch.randint(5, max(stepper.model.config.vocab_size, 6), (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(LENGTH) < torch.tensor([LENGTH, 9, 7, LENGTH, 3])[:, None]).long()
    state = stepper.embed(ids, mask)
    tensors = _tensors(state)
    names = {id(value): f"given_{number}" for number, value in enumerate(tensors)}
    inputs = {"input_ids": ids, "attention_mask": mask}
    embedding = _export(_Embedding(stepper, True), inputs, {"hidden": state.hidden})
    beside = {names[id(value)]: value for value in tensors}
    graphs: List[bytes] = []
    order: List[int] = []
    seen: Dict[Tuple[Any, ...], int] = {}
    fused = attention == "sdpa"
    opsets = {"custom_opsets": {DOMAIN: 1}} if fused else {}
    for layer, arguments in zip(stepper.layers, state.arguments):
        given = [value for value in tree_flatten(arguments)[0] if isinstance(value, Tensor)]
        feeds = {"hidden": state.hidden, **{names[id(value)]: value for value in given}}
        key = (id(layer), *feeds)
        if key not in seen:
            seen[key] = len(graphs)
            read = {} if stepper.norm is None else {"read": state.hidden}
            returned = {"hidden_out": state.hidden, **read}
            with WatchedAttention() if fused else nullcontext():
                graphs.append(_export(_Layer(layer, stepper.norm, arguments), feeds, returned, **opsets))
        order.append(seen[key])
    models = [onnx.load_model_from_string(graphs.pop(0)) for _ in range(len(graphs))]
    if fused and not all(map(tidy, models)):
        raise ValueError("The family does not call attention as one operation.")
    clear = fused and _is_clear(stepper)
    layers, masks = _join(models, order, clear)
    exported = OnnxGraphs(
        precision="fp32",
        embedding=embedding,
        layer_inputs=_export(_Embedding(stepper, False), inputs, beside) if beside else b"",
        layers=layers,
        order=order,
        names=[names[id(value)] for value in tensors],
        row_args=[names[id(value)] for value in tensors if _of_rows(value, state)],
        masks=masks,
        made_with=f"torch {version('torch')}, transformers {version('transformers')}",
    )
    runner = OnnxStepper(exported, stepper.padding)
    _compare(stepper, runner)
    if precision == "fp32":
        return exported
    if not samples:
        return replace(exported, precision=precision, layers=_join(map(quantize_model, models), order, clear)[0])
    quantized, rescaled = zip(*_quantize(models, runner, samples))
    named = _named(chain.from_iterable(rescaled), stepper.model.state_dict())
    return replace(exported, precision=precision, layers=_join(quantized, order, clear)[0], rescaled=named)


def _quantize(
    models: Sequence["ModelProto"], runner: OnnxStepper, samples: Sequence[numpy.ndarray]
) -> List[Tuple["ModelProto", List[Rescaled]]]:
    """Layers in int8, whose ranges are measured on windows.

    models (Sequence[ModelProto]): The layers in float32.
    runner (OnnxStepper): What was exported in float32.
    samples (Sequence[ndarray]): The windows.
    RETURNS (List[Tuple[ModelProto, List[Tuple[ndarray, ndarray]]]]): What `quantize_static` makes of each.
    """
    meter = RangeMeter(models)
    for ids in samples:
        inputs = torch.from_numpy(ids)[None]
        meter.climb(runner.exported.order, *runner.below(inputs, torch.ones_like(inputs)))
    return [quantize_static(model, ranges) for model, ranges in zip(models, meter.ranges)]


def _named(rescaled: Iterable[Rescaled], state: Dict[str, Tensor]) -> List[List[Any]]:
    """What is saved of weights that were rescaled: those that are the backbone's own, by their names."""
    weights_of = {name: own for name, own in state.items() if own.dim() == 2 and own.dtype == torch.float32}
    sides = [(name, turned, own.T if turned else own) for name, own in weights_of.items() for turned in (True, False)]
    found: List[List[Any]] = []
    for array, factors in rescaled:
        weights = torch.from_numpy(array.copy())
        for name, turned, own in sides:
            if own.shape == weights.shape and torch.equal(own[0], weights[0]) and torch.equal(own, weights):
                found.append([name, turned, factors.astype("<f4").tobytes()])
                break
    return found


def _join(models: Iterable["ModelProto"], order: Sequence[int], clear: bool) -> Tuple[bytes, List[str]]:
    """Put layers into one graph, and find the masks that only padded batches need. There are some if attention is clear of
    others."""
    models = [copy.deepcopy(model) for model in models] if clear else list(models)
    masks = [without_mask(model) if clear else set() for model in models]
    return join(models, order), sorted(set.intersection(*masks))


def _is_clear(stepper: LayerStepper) -> bool:
    """Whether attention leaves nothing out where there is no padding, unlike that of causal or local families."""
    ids, mask = probe_text(stepper.model)
    state = stepper.embed(ids, torch.ones_like(mask))
    with WatchedAttention() as attention:
        while state.layer < stepper.depth:
            stepper.step(state)
    return attention.clear


def _compare(stepper: LayerStepper, runner: OnnxStepper) -> None:
    """RAISES ValueError: The graphs do not give what torch gives, in a padded batch or in another one."""
    if not all(relative_error(stepper, runner, padded) <= NEAR for padded in (True, False)):  # not so if it is not a number
        raise ValueError("The graphs give something else than the layers.")


def _of_rows(value: Tensor, state: LayerState) -> bool:
    """Whether a tensor is an argument with an entry for each row."""
    return any(arguments.get(name) is value for arguments in state.arguments for name in state.row_args)


def _export(module: nn.Module, inputs: Dict[str, Tensor], outputs: Dict[str, Tensor], **settings: Any) -> bytes:
    """Trace a module."""
    axes = {
        name: {axis: {ROWS: "rows", LENGTH: "length"}[size] for axis, size in enumerate(value.shape) if size in (ROWS, LENGTH)}
        for name, value in {**inputs, **outputs}.items()
    }
    with io.BytesIO() as file:
        write(module, file, inputs, list(outputs), axes, **settings)
        return file.getvalue()
