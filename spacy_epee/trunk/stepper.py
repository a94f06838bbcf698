"""Any Hugging Face encoder, one layer at a time, with rows leaving the batch at any depth.

The model's own forward prepares embeddings, masks and position terms; a hook on the first layer keeps what that layer is
called with and stops there. The layers are then called one by one on the rows that are still in the batch. No modelling
code is copied, so a family needs no class of its own, only to pass `verify`.
"""

import inspect
import threading
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

# Layer arguments with one entry per row of the batch. All others (flags, relative positions) are shared by the rows and
# must not be cut, whatever their first dimension is.
ROW_ARGS = frozenset({"attention_mask", "attn_mask", "position_bias", "sliding_window_mask"})

# The hook sits on the shared module while a batch is embedded: one thread at a time. It leaves other threads' steps alone.
_EMBEDDING = threading.Lock()


class StopForward(Exception):
    """Leaves a model's forward before its first layer."""


class LayerState:
    """A batch of windows somewhere on its way up.

    hidden (Tensor): The states after the layers run so far, (W, T, H).
    arguments (Dict[str, Any]): What every layer is called with beside them.
    """

    def __init__(self, hidden: Tensor, arguments: Dict[str, Any]):
        self.hidden = hidden
        self.arguments = arguments
        self.layer = 0

    def keep(self, rows: Tensor) -> None:
        """Drop all but some rows.

        rows (Tensor): Their indices, (W',).
        """
        size = len(self.hidden)
        for name in ROW_ARGS & self.arguments.keys():
            value = self.arguments[name]
            if value is None or len(value) != size:  # length 1: broadcast over the batch
                continue
            if name == "position_bias" and value.dim() != 4:  # by head and not by row (MPT)
                continue
            self.arguments[name] = value[rows]
        self.hidden = self.hidden[rows]


class LayerStepper:
    """Steps a Hugging Face model layer by layer."""

    known = "a BERT, RoBERTa, ELECTRA, DistilBERT, MPNet or DeBERTa"
    """What to name instead of a model that is refused."""

    def __init__(self, model: nn.Module):
        """
        model (PreTrainedModel): An encoder, or a decoder used as one. It is checked once, with a small padded batch, that
            stepping gives what the model's own forward gives.
        RAISES ValueError: The model cannot be stepped.
        """
        self.model = model
        self.layers = _find_layers(model)
        names = list(inspect.signature(self.layers[0].forward).parameters)
        self._argument_names = names
        self.norm: Optional[nn.Module] = None
        self._verify()

    @property
    def depth(self) -> int:
        """RETURNS (int): The number of layers."""
        return len(self.layers)

    @property
    def width(self) -> int:
        """RETURNS (int): The size of a hidden state."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): Where the model is."""
        return self.model.device

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> LayerState:
        """Run everything that comes before the first layer.

        input_ids (Tensor): Padded wordpieces, (W, T).
        attention_mask (Tensor): 1 for wordpieces and 0 for padding, (W, T).
        RETURNS (LayerState): The batch below layer 1.
        """
        return self._embed(input_ids=input_ids, attention_mask=attention_mask)

    def _embed(self, **inputs: Any) -> LayerState:
        """As `embed`, with whatever the model takes."""
        call: Dict[str, Any] = {}
        own = threading.get_ident()

        def record(layer, args, kwargs=None):  # torch may call it without, in a thread that sees it half registered
            if threading.get_ident() != own:
                return
            call.update(zip(self._argument_names, args))
            call.update(kwargs)
            raise StopForward

        with _EMBEDDING:
            hook = self.layers[0].register_forward_pre_hook(record, with_kwargs=True)
            try:
                self.model(**inputs, output_hidden_states=False, output_attentions=False)
            except StopForward:
                pass
            finally:
                hook.remove()
        bias = call.get("position_bias")
        if bias is not None and bias.dim() == 4 and len(bias) > 1 and torch.equal(bias, bias[:1].expand_as(bias)):
            # MPNet repeats it for each row, which can be more memory than all hidden states. The layers broadcast it.
            call["position_bias"] = bias[:1]
        return LayerState(call.pop(self._argument_names[0]), call)

    def step(self, state: LayerState) -> None:
        """Run the next layer on a batch.

        state (LayerState): The batch, moved up in place.
        """
        # Positional hidden states: reentrant gradient checkpointing needs them.
        output = self.layers[state.layer](state.hidden, **state.arguments)
        state.hidden = output[0] if isinstance(output, tuple) else output
        state.layer += 1

    def read(self, state: LayerState) -> Tensor:
        """The states as a head should see them.

        state (LayerState): The batch.
        RETURNS (Tensor): Its states behind the model's final norm, if it has one, (W, T, H).
        """
        return state.hidden if self.norm is None else self.norm(state.hidden)

    @torch.no_grad()
    def _verify(self) -> None:
        """Compare stepping, with a row leaving on the way, with the model's own forward."""
        training = self.model.training
        self.model.eval()
        try:
            inputs, real = self._probe()
            rows = len(real)
            try:
                expected = self.model(**inputs).last_hidden_state[1:]
                state = self._embed(**inputs)
                for _ in self.layers:
                    self.step(state)
                    if state.layer == 1:
                        state.keep(torch.arange(1, rows, device=real.device))
            except (TypeError, AttributeError, KeyError, RuntimeError, IndexError) as error:
                raise self._refusal(f"{type(error).__name__} while stepping through it") from None
            real = real[1:].expand(expected.shape[:2])
            for norm in (None, *_norms(self.model, self.layers)):
                self.norm = norm
                found = self.read(state)
                if found.shape == expected.shape and torch.allclose(found[real], expected[real], rtol=1e-3, atol=1e-3):
                    return
            raise self._refusal("calling its layers one by one does not give what its own forward gives")
        finally:
            self.model.train(training)

    def _probe(self) -> Tuple[Dict[str, Tensor], Tensor]:
        """RETURNS (Tuple[Dict[str, Tensor], Tensor]): Small inputs, and where they are not padding, (W, T) or (W, 1) bool."""
        ids, mask = _probe(self.model)
        return {"input_ids": ids, "attention_mask": mask}, mask.bool()

    def _refusal(self, reason: str) -> ValueError:
        family = self.model.config.model_type
        return ValueError(
            f"The model family '{family}' cannot exit early: {reason}. Its layers may need arguments that differ from layer "
            "to layer, or something may run between them. Name another encoder in the setting `model.trunk.name`, such as "
            f"{self.known}."
        )


def _find_layers(model: nn.Module) -> List[nn.Module]:
    """List the layers in call order. ALBERT calls a few groups repeatedly, the others have one module a layer."""
    config = model.config
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"A model of the family '{config.model_type}' is an encoder-decoder, and early exit needs an encoder alone. Name "
            "one in the setting `model.trunk.name`, such as a BERT or a RoBERTa."
        )
    depth = getattr(config, "num_hidden_layers", 0)
    size = getattr(config, "num_hidden_groups", depth)
    stack = next((m for m in model.modules() if depth and isinstance(m, nn.ModuleList) and len(m) == size), None)
    if stack is None:
        raise ValueError(
            f"A model of the family '{config.model_type}' has no stack of {depth} layers that could be stepped through. Name a "
            "transformer encoder in the setting `model.trunk.name`."
        )
    return [stack[i * size // depth] for i in range(depth)]


def _norms(model: nn.Module, layers: List[nn.Module]) -> List[nn.Module]:
    """Norms outside the layers: one of them may be the final norm of a pre-norm family (GPT-2, ModernBERT)."""
    inside = {id(module) for layer in layers for module in layer.modules()}
    norms = [m for m in model.modules() if "Norm" in type(m).__name__ and id(m) not in inside]
    return norms[::-1]


def _probe(model: nn.Module):
    """Rows of different lengths, without the padding wordpiece inside a row.

    There are as many rows as heads, so that what is meant by head cannot pass for what is meant by row; and they are longer
    than a local attention window, where there is one, so that a layer that looks farther than it should is noticed.
    """
    config = model.config
    local = getattr(config, "sliding_window", None) or getattr(config, "local_attention", None) or 0
    rows = max(3, getattr(config, "num_attention_heads", 0) or 0)
    longest = getattr(config, "max_position_embeddings", 0) or 0
    length = min(max(7, local + 8), longest // 2 if longest > 0 else 1024, 1024)
    padding = getattr(config, "pad_token_id", None) or 0
    low, high = (padding + 1, config.vocab_size) if padding + 1 < config.vocab_size else (0, max(padding, 1))
    ids = torch.randint(low, high, (rows, length), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([length if row % 2 else max(length // 2, length - 2 * row - 2) for row in range(rows)])
    mask = (torch.arange(length) < lengths[:, None]).long()
    ids[mask == 0] = padding
    return ids.to(model.device), mask.to(model.device)
