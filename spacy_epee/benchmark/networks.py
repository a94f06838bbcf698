"""A text classifier up to one of its exits as one network, for runtimes that know nothing of exits."""

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, List, Optional, Sequence, Tuple, cast

import numpy
import torch
from torch import Tensor, nn

from ..component.pipe import EarlyExitTransformer
from ..exits.evidence import EvidenceBuilder
from ..exits.scaling import scale
from ..heads.base import ExitHeads
from ..heads.pooled import PooledHeads
from ..inputs.packing import pack
from ..inputs.windows import Windower
from ..model import get_exit_layers, get_heads, get_settings, get_stepper, get_trunk_shim
from ..runtimes.onnx.writing import write
from ..trunk.batch import CALL, CALL_GPU
from ..trunk.saved import ALONE


class Network(nn.Module):
    """A trunk, pooling, and the last classifier with what it standardizes by folded in."""

    def __init__(self, trunk: nn.Module, classifier: nn.Linear, pooling: str):
        """
        trunk (PreTrainedModel): The trunk.
        classifier (nn.Linear): What `fold` made.
        pooling (str): "cls", "mean" or "last".
        """
        super().__init__()
        self.trunk = trunk
        self.classifier = classifier
        self.pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Classify windows.

        input_ids (Tensor): Padded wordpieces, (W, T).
        attention_mask (Tensor): 1 for wordpieces and 0 for padding, (W, T).
        RETURNS (Tensor): Logits, (W, K).
        """
        hidden = self.trunk(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        elif self.pooling == "last":
            place = (attention_mask.sum(dim=1) - 1)[:, None, None].expand(-1, 1, hidden.shape[2])
            pooled = hidden.gather(1, place)[:, 0]
        else:
            mask = attention_mask[:, :, None].to(hidden.dtype)
            pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return self.classifier(pooled)


@dataclass(frozen=True)
class NetworkSettings:
    """All that a runtime must know beside the network.

    size (int): The most wordpieces in a window.
    overlap (int): The fewest wordpieces that neighbouring windows share.
    most (int): The most wordpieces in one call, padding included.
    call (int): What a call costs beside its wordpieces, in wordpieces.
    padding (int): The wordpiece to pad with.
    pooling (str): "cls", "mean" or "last".
    labels (int): The number of labels.
    depth (int): The number of layers.
    reading (EvidenceBuilder): How the logits are to be read.
    device (torch.device): Where the trunk is.
    """

    size: int
    overlap: int
    most: int
    call: int
    padding: int
    pooling: str
    labels: int
    depth: int
    reading: EvidenceBuilder
    device: torch.device


@dataclass(frozen=True)
class Text:
    """What is cut into windows where there is no Doc."""

    text: str


def plan_of(component: EarlyExitTransformer, layer: Optional[int] = None) -> NetworkSettings:
    """Find out how a component cuts texts, puts them together and reads logits.

    component (EarlyExitTransformer): The component.
    layer (Optional[int]): The last layer that is run; None for all.
    RETURNS (NetworkSettings): The settings.
    """
    stepper, settings = get_stepper(component.model), get_settings(component.model)
    windower = windower_of(component)
    heads = pooled_heads(component)
    return NetworkSettings(
        size=windower.room + len(windower.prefix) + len(windower.suffix),
        overlap=windower.overlap,
        most=settings.max_wordpieces,
        call=CALL if stepper.device.type == "cpu" else CALL_GPU,
        padding=getattr(stepper.model.config, "pad_token_id", None) or 0,
        pooling=heads.pooling,
        labels=heads.n_labels,
        depth=stepper.depth if layer is None else layer,
        reading=cast(EvidenceBuilder, component.reading()),
        device=stepper.device,
    )


def windower_of(component: EarlyExitTransformer) -> Windower:
    """RETURNS (Windower): What cuts texts for a component.
    RAISES ValueError: It reads sections or sentences, which texts alone do not have."""
    settings = get_settings(component.model)
    if settings.sections is not None or settings.unit == "sentence":
        what, setting = ("sentences", 'unit = "window"') if settings.sections is None else ("sections", "sections = null")
        raise ValueError(
            f"The component '{component.name}' reads {what}, and texts are compared here, without components that find any. "
            f"Load it without (`model.trunk.{setting}`)."
        )
    return get_trunk_shim(component.model).windower


def pooled_heads(component: EarlyExitTransformer) -> PooledHeads:
    """RETURNS (PooledHeads): The classifiers of a component.
    RAISES ValueError: It is for something else than whole documents, or for several tasks.
    """
    kinds = [slot.task.name for slot in component.slots.values()]
    heads: List[ExitHeads] = get_heads(component.model)
    if len(kinds) != 1 or component.task.reads != "text" or not isinstance(heads[0], PooledHeads):
        raise ValueError(
            f"The component '{component.name}' is for {', '.join(kinds)}, and only text classifiers are compared with other "
            "libraries. Give a pipeline with an `epee_textcat` or `epee_textcat_multilabel`; `evaluate` compares all others with "
            "their full depth"
        )
    return heads[0]


@torch.no_grad()
def fold(heads: PooledHeads, exit: int = -1) -> nn.Linear:
    """Make one layer of what a component does with pooled states at an exit.

    heads (PooledHeads): The classifiers.
    exit (int): The exit; the last one is the full depth.
    RETURNS (nn.Linear): From pooled states to logits.
    """
    last = heads.classifier(exit)
    weight: Tensor = last.weight
    bias: Tensor = last.bias
    if heads.standardize is not None:
        weight, bias = heads.standardize.fold(exit, weight, bias)
    folded = nn.Linear(weight.shape[1], weight.shape[0])
    folded.weight.copy_(weight)
    folded.bias.copy_(bias)
    return folded


def with_temperature(classifier: nn.Linear, reading: EvidenceBuilder, depth: int) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """RETURNS (Tuple[ndarray, ndarray]): Weights (K, H) and biases (K,) that give the logits of probabilities."""
    temperature = reading.temperatures.get(depth, 1.0)
    weight, bias = (part.detach().numpy() for part in (classifier.weight, classifier.bias))
    bias = scale(bias, temperature, exclusive=reading.exclusive, threshold=reading.threshold)
    return weight / temperature, numpy.asarray(bias, dtype="float32")


def exit_at(component: EarlyExitTransformer, layer: Optional[int]) -> int:
    """RETURNS (int): The place of the exit after a layer among all exits; None for the last one."""
    return -1 if layer is None else get_exit_layers(component.model).index(layer)


def save_trunk(component: EarlyExitTransformer, folder: Path, layer: Optional[int] = None) -> None:
    """Save the trunk and its tokenizer as an ordinary Hugging Face folder.

    component (EarlyExitTransformer): The component.
    folder (Path): Where.
    layer (Optional[int]): The last layer to keep; None keeps all.
    """
    model = get_stepper(component.model).model
    if layer is None:
        model.save_pretrained(folder)
    else:
        with TemporaryDirectory() as whole:
            model.save_pretrained(whole)
            config = copy.deepcopy(model.config)
            config.num_hidden_layers = layer
            type(model).from_pretrained(whole, config=config, **ALONE).save_pretrained(folder)
    windower_of(component).tokenizer.save_pretrained(folder)


def load_network(component: EarlyExitTransformer, folder: Path, layer: Optional[int] = None, **settings: Any) -> Network:
    """Load the network of a component.

    component (EarlyExitTransformer): The component.
    folder (Path): What `save_trunk` wrote.
    layer (Optional[int]): The last layer that was kept; None for all.
    settings (Any): Settings of the trunk, such as `attn_implementation`.
    RETURNS (Network): The network, where the component's trunk is.
    """
    trunk = get_stepper(component.model).model
    heads = pooled_heads(component)
    loaded = type(trunk).from_pretrained(folder, **ALONE, **settings)
    if getattr(loaded.config, "use_cache", False):
        loaded.config.use_cache = False
    return Network(loaded, fold(heads, exit_at(component, layer)), heads.pooling).to(trunk.device).eval()


@torch.no_grad()
def export(network: Network, path: Path) -> None:
    """Write a network in ONNX.

    network (Network): The network, on the CPU.
    path (Path): The file.
    """
    ids = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    mask = (ids > 0).long()
    axes = {0: "windows", 1: "wordpieces"}
    inputs = {"input_ids": torch.ones_like(ids), "attention_mask": mask}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about shapes that become constants, and the exporter's age
        write(network, str(path), inputs, ["logits"], {**dict.fromkeys(inputs, axes), "logits": {0: "windows"}})


def classify(texts: Sequence[str], windower: Windower, plan: NetworkSettings, call: Any) -> numpy.ndarray:
    """Classify texts in one batch, as a component does at full depth: windows sorted by length, packed, and averaged.

    texts (Sequence[str]): The texts.
    windower (Windower): What cuts them.
    plan (NetworkSettings): The rest.
    call (Callable): From padded wordpieces (W, T) and their mask (W, T) to logits (W, K).
    RETURNS (ndarray): Probabilities, (N, K). Zeros for a text without wordpieces.
    """
    windows = windower([Text(text) for text in texts])  # type: ignore[misc]
    found = numpy.zeros((len(texts), plan.labels), dtype="float32")
    if not len(windows):
        return found
    shares = windows.lengths if plan.pooling == "mean" else numpy.ones(len(windows))
    shares = shares / numpy.bincount(windows.docs, shares, minlength=len(texts))[windows.docs]
    for rows in pack(windows.lengths, plan.most, plan.call):
        logits = call(*windows.batch(rows, plan.padding))
        numpy.add.at(found, windows.docs[rows], shares[rows, None] * logits)
    there = numpy.unique(windows.docs)
    found[there] = plan.reading.evidence(found[there], layer=plan.depth, units=there).probabilities
    return found
