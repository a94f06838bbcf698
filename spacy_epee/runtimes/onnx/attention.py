"""Attention as one operation of ONNX Runtime, where it would be traced as a dozen (a tenth less time for short sentences in
int8, a quarter less for windows of 256 wordpieces)."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Set, Tuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

DOMAIN, OPERATION = "com.microsoft", "MultiHeadAttention"

PADDED = "padded"
"""The input of a layer that says whether any row of the batch is padded."""

_NAMES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")

_QUERY, _MASK = 0, 5
"""Places among the inputs of the operation."""


class _Attention(torch.autograd.Function):
    """What is written as the operation."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Optional[Tensor], scale: float, *sizes: int) -> Tensor:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)

    @staticmethod
    def symbolic(graph: Any, query: Any, key: Any, value: Any, mask: Any, scale: float, heads: int, size: int) -> Any:
        inputs = [_reshape(graph, _swap(graph, part), [0, -1, heads * size]) for part in (query, key, value)]
        if mask is not None:
            inputs += [_nothing(graph), _nothing(graph), mask]
        found = graph.op(f"{DOMAIN}::{OPERATION}", *inputs, num_heads_i=heads, scale_f=scale)
        return _swap(graph, _reshape(graph, found, [0, -1, heads, size]))


def _swap(graph: Any, value: Any) -> Any:
    return graph.op("Transpose", value, perm_i=[0, 2, 1, 3])


def _reshape(graph: Any, value: Any, shape: List[int]) -> Any:
    return graph.op("Reshape", value, graph.op("Constant", value_t=torch.tensor(shape)))


def _nothing(graph: Any) -> Any:
    """An input that is not given."""
    value = graph.op("prim::Constant")
    value.setType(torch._C.OptionalType.ofTensor())
    return value


class WatchedAttention(TorchFunctionMode):
    """In this context attention can be traced as one operation, and it is known what it is given.

    clear (bool): Whether no call so far, tracing aside, was told to leave anything out: no mask, or one that lets all pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clear = True

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Tuple[Any, ...] = (), kwargs: Optional[Dict[str, Any]] = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not scaled_dot_product_attention:
            return func(*args, **kwargs)
        given = {**dict(zip(_NAMES, args)), **kwargs}
        query, key, value = (given[name] for name in _NAMES[:3])
        mask = given.get(_NAMES[3])
        bias = None if mask is None else _as_bias(mask, query)
        if not torch.jit.is_tracing():
            self.clear &= not given.get("is_causal") and (bias is None or not bias.any())
        more = any(given.get(name) for name in ("dropout_p", "is_causal", "enable_gqa"))
        if more or not query.shape[1:] == key.shape[1:] == value.shape[1:] or not _fits(bias, query):
            return func(*args, **kwargs)
        heads, size = int(query.shape[1]), int(query.shape[3])
        scale = given.get("scale")
        return _Attention.apply(query, key, value, bias, size**-0.5 if scale is None else float(scale), heads, size)


def _as_bias(mask: Tensor, query: Tensor) -> Tensor:
    """What is added to the scores, for each query: the operation broadcasts it over rows and heads alone."""
    bias = torch.where(mask, 0.0, torch.finfo(query.dtype).min) if mask.dtype == torch.bool else mask
    return bias.expand(-1, -1, query.shape[2], -1) if bias.dim() == 4 and bias.shape[2] == 1 else bias


def _fits(bias: Optional[Tensor], query: Tensor) -> bool:
    return bias is None or (bias.dim() == 4 and bias.shape[2] == query.shape[2] and bias.shape[3] == query.shape[2])


def tidy(model: "ModelProto") -> int:
    """Let attention read and write what is around it, without splitting the heads for what joins them again.

    model (ModelProto): A layer, which is changed.
    RETURNS (int): How often there is attention in it.
    """
    graph = model.graph
    del graph.value_info[:]  # of the operation nothing is known, which others do not take for an answer
    made = {name: node for node in graph.node for name in node.output}
    readers: Dict[str, List["NodeProto"]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    found = [node for node in graph.node if node.op_type == OPERATION]
    for node in found:
        for place in range(_QUERY, _QUERY + 3):
            whole = _before(_before(node.input[place], made), made)
            node.input[place] = whole or node.input[place]
        joined = _behind(_behind(node.output[0], readers), readers)
        for reader in readers[joined] if joined else ():
            _rename(reader, joined, node.output[0])
    _drop_unread(graph)
    return len(found)


def _before(name: str, made: Dict[str, "NodeProto"]) -> str:
    """What was reshaped; empty if nothing was."""
    node = made.get(name)
    return node.input[0] if node is not None and node.op_type == "Reshape" else ""


def _behind(name: str, readers: Dict[str, List["NodeProto"]]) -> str:
    """What it is reshaped to; empty if something else is done with it, or more than that."""
    own = readers.get(name, [])
    return own[0].output[0] if len(own) == 1 and own[0].op_type == "Reshape" else ""


def _rename(node: "NodeProto", old: str, new: str) -> None:
    node.input[:] = [new if name == old else name for name in node.input]


def _drop_unread(graph: "GraphProto") -> None:
    """Take out nodes and constants that nobody reads."""
    while True:
        read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        kept = [node for node in graph.node if any(name in read for name in node.output)]
        if len(kept) == len(graph.node):
            break
        _replace(graph.node, kept)
    _replace(graph.initializer, [constant for constant in graph.initializer if constant.name in read])


def _replace(field: Any, kept: Sequence[Any]) -> None:
    kept = list(kept)
    del field[:]
    field.extend(kept)


def without_mask(model: "ModelProto") -> Set[str]:
    """Let attention do without its mask in a batch without padding, which is a tenth faster for windows of 256 wordpieces.

    model (ModelProto): A layer that needs masks for padding alone. It is changed, and gets the input `PADDED`.
    RETURNS (Set[str]): The inputs of the layer that are not read in such a batch.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    masks: Set[str] = set()
    nodes: List["NodeProto"] = []
    for number, node in enumerate(graph.node):
        if node.op_type != OPERATION or len(node.input) <= _MASK:
            nodes.append(node)
            continue
        masks.add(node.input[_MASK])
        branches = {}
        for name, inputs in (("then_branch", node.input), ("else_branch", node.input[: _QUERY + 3])):
            output = f"{node.output[0]}/{name}"
            attention = helper.make_node(OPERATION, inputs, [output], f"{node.name}/{name}", domain=DOMAIN)
            attention.attribute.extend(node.attribute)
            value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
            branches[name] = helper.make_graph([attention], f"{name}/{number}", [], [value])
        nodes.append(helper.make_node("If", [PADDED], list(node.output), f"{node.name}/if", **branches))
    if masks:
        _replace(graph.node, nodes)
        graph.input.append(helper.make_tensor_value_info(PADDED, TensorProto.BOOL, []))
    elsewhere = {name for node in nodes for name in node.input} | {output.name for output in graph.output}
    return {part.name for part in graph.input} & masks - elsewhere
