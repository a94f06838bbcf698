"""Pruning that saves seconds: attention heads, and the width of the layers between."""

import copy
from typing import TYPE_CHECKING, Any, List, Sequence, Set, Tuple, cast

import torch
from spacy.language import Language
from spacy.training import Example
from torch import Tensor, nn
from transformers import AutoModel

from ..component.pipe import EarlyExitTransformer
from ..trunk.quantized import embed_alike
from ..trunk.verification import make_stepper, relative_error
from .base import Smaller
from .importance import draw_judges, measure_importance

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NEAR = 1e-3
"""How far the last states may be from those with zeros in place of what was pruned, as a share of their size."""

BLOCK = 16
"""Widths are multiples of this, as processors take so many numbers at a time."""

WIDTHS = ("intermediate_size", "hidden_dim", "n_inner", "ffn_dim")
"""What families call the width between the two linear layers of a block."""


class Structure(Smaller):
    """Parts of what goes into one linear layer of each layer, of which the least important are pruned."""

    choices: Sequence[str] = ("40 %", "50 %", "60 %", "70 %", "80 %", "90 %", "all")

    def __init__(self, pipe: EarlyExitTransformer, examples: Sequence[Example]):
        """
        pipe (EarlyExitTransformer): The component.
        examples (Sequence[Example]): Annotated documents to tell by what is important.
        RAISES ValueError: The family cannot be pruned, or nothing is annotated.
        """
        super().__init__(pipe)
        self.stepper = make_stepper(self.model)
        self.layers = list(dict.fromkeys(self.stepper.layers))  # some families call one several times
        self.gates = self._find_gates(self.probe())
        self.parts = self.count_parts()
        half = [list(range((count + 1) // 2)) for count in self.parts]
        self._check(half, self.prune(half))  # before anything takes time
        self.importance = measure_importance(pipe, examples, self.gates, self.parts)

    def probe(self) -> "PreTrainedModel":
        """RETURNS (PreTrainedModel): A model like this with less of what is pruned in each layer. Its weights do not matter."""
        raise NotImplementedError

    def count_parts(self) -> List[int]:
        """RETURNS (List[int]): How many parts there are in each layer."""
        raise NotImplementedError

    def prune(self, kept: Sequence[List[int]]) -> "PreTrainedModel":
        """RETURNS (PreTrainedModel): A model with these parts of each layer."""
        raise NotImplementedError

    def choose(self, share: float) -> List[List[int]]:
        """RETURNS (List[List[int]]): The parts of each layer that stay, in order."""
        raise NotImplementedError

    def change(self, choice: str) -> None:
        kept = self.choose(int(choice.split()[0]) / 100)
        if all(len(own) == count for own, count in zip(kept, self.parts)):
            raise ValueError(f"Of so few {self.decides} none would be pruned.")
        model = self.prune(kept)
        self._check(kept, model)
        self.shim.replace(model)

    def _find_gates(self, smaller: "PreTrainedModel") -> List[nn.Linear]:
        """The linear layer in each layer that takes less in the smaller model."""
        names = {id(module): name for name, module in self.model.named_modules()}
        gates: List[nn.Linear] = []
        for layer in self.layers:
            found = []
            for module in layer.modules():
                other = smaller.get_submodule(names[id(module)])
                if isinstance(module, nn.Linear) and module.in_features != other.in_features:
                    found.append(module)
            if len(found) != 1:
                raise self.refusal()
            gates += found
        return gates

    def refusal(self) -> ValueError:
        """RETURNS (ValueError): That a family has other layers than are understood."""
        return ValueError(
            f"The {self.decides} of a model of the family '{self.model.config.model_type}' cannot be pruned. Leave out the step "
            f"'{self.decides}'."
        )

    def _check(self, kept: Sequence[List[int]], model: "PreTrainedModel") -> None:
        """RAISES ValueError: The smaller model gives something else than this one with zeros where parts are missing."""

        def mask(gate: nn.Linear, own: List[int], count: int) -> Any:
            zeros = torch.zeros(count, device=gate.weight.device)
            zeros[own] = 1
            zeros = zeros.repeat_interleave(gate.in_features // count)
            return gate.register_forward_pre_hook(lambda _, inputs: (inputs[0] * zeros, *inputs[1:]))

        hooks = [mask(*each) for each in zip(self.gates, kept, self.parts)]
        try:
            self.model.eval()
            far = relative_error(self.stepper, make_stepper(cast(Any, model).to(self.model.device).eval()))
        except ValueError as error:
            raise self.refusal() from error
        finally:
            for hook in hooks:
                hook.remove()
        if not far <= NEAR:  # not so if it is not a number
            raise self.refusal()


class Heads(Structure):
    """Attention heads, the least important of all layers first; one is left in each."""

    decides = "heads"

    def probe(self) -> "PreTrainedModel":
        if not hasattr(self.model, "prune_heads"):
            raise self.refusal()
        try:
            return self._without([[0]] * len(self.layers))
        except (NotImplementedError, AttributeError, TypeError, LookupError) as error:
            raise self.refusal() from error

    def count_parts(self) -> List[int]:
        config = self.model.config
        return [gate.in_features // (config.hidden_size // config.num_attention_heads) for gate in self.gates]

    def choose(self, share: float) -> List[List[int]]:
        left = list(self.parts)
        dropped: Set[Tuple[int, int]] = set()
        scores = {
            (layer, head): float(value / own.norm().clamp(min=1e-12))  # as layers differ in the size of their gradients
            for layer, own in enumerate(self.importance)
            for head, value in enumerate(own)
        }
        for layer, head in sorted(scores, key=scores.__getitem__):
            if len(dropped) < round((1 - share) * len(scores)) and left[layer] > 1:
                dropped.add((layer, head))
                left[layer] -= 1
        return [[head for head in range(count) if (layer, head) not in dropped] for layer, count in enumerate(self.parts)]

    def prune(self, kept: Sequence[List[int]]) -> "PreTrainedModel":
        return self._without([sorted(set(range(count)) - set(own)) for own, count in zip(kept, self.parts)])

    def _without(self, dropped: Sequence[List[int]]) -> "PreTrainedModel":
        """A copy without some heads, which transformers counts with those that are missing already."""
        model = self.copied()
        config = model.config
        missing = [set(config.pruned_heads.get(layer, ())) for layer in range(len(dropped))]
        numbers = [[head for head in range(config.num_attention_heads) if head not in own] for own in missing]
        model.prune_heads({layer: [numbers[layer][head] for head in own] for layer, own in enumerate(dropped) if own})
        return model


class Width(Structure):
    """What a layer makes of each wordpiece in between. All layers get as narrow, so that any version of transformers can make a
    model of that size."""

    decides = "width"

    @property
    def width(self) -> int:
        """RETURNS (int): How wide they are."""
        return int(getattr(self.model.config, self._setting()))

    def probe(self) -> "PreTrainedModel":
        return self._make(max(self.width // 2, 1))

    def count_parts(self) -> List[int]:
        return [self.width] * len(self.gates)

    def choose(self, share: float) -> List[List[int]]:
        count = min(max(round(share * self.width / BLOCK), 1) * BLOCK, self.width)
        return [sorted(own.topk(count).indices.tolist()) for own in self.importance]

    def prune(self, kept: Sequence[List[int]]) -> "PreTrainedModel":
        smaller = self._make(len(kept[0]))
        names = {id(module): name for name, module in self.model.named_modules()}
        places = {f"{names[id(layer)]}.": torch.tensor(own) for layer, own in zip(self.layers, kept)}
        weights = self.model.state_dict()
        for name, part in smaller.state_dict().items():
            own = weights[name]
            if own.shape != part.shape:
                index = next((index for place, index in places.items() if name.startswith(place)), None)
                if index is None:
                    raise self.refusal()
                weights[name] = self._cut(own, part, index.to(own.device))
        smaller.load_state_dict(weights)
        embed_alike(smaller, self.model)
        return smaller

    def _cut(self, own: Tensor, part: Tensor, index: Tensor) -> Tensor:
        """Keep what stays in each direction in which the smaller model has less. Some families have two layers in one matrix."""
        for dim, (size, smaller) in enumerate(zip(own.shape, part.shape)):
            if size != smaller:
                if smaller * self.width != size * len(index) or size % self.width:
                    raise self.refusal()
                own = own.index_select(dim, torch.cat([index + self.width * n for n in range(size // self.width)]))
        return own

    def _setting(self) -> str:
        config = self.model.config
        setting = next((name for name in WIDTHS if isinstance(getattr(config, name, None), int)), None)
        if setting is None:
            raise self.refusal()
        return setting

    def _make(self, width: int) -> "PreTrainedModel":
        """A model that is as wide, with random weights."""
        config = copy.deepcopy(self.model.config)
        setattr(config, self._setting(), width)
        made = AutoModel.from_config(config, trust_remote_code=False)
        for name in [name for name, _ in made.named_children() if getattr(self.model, name, None) is None]:
            setattr(made, name, None)  # a pooler that was taken away
        return made


def heads(nlp: Language, pipe: EarlyExitTransformer, judged_by: Sequence[Example]) -> Heads:
    """RETURNS (Heads): The attention heads of a component, of which documents tell what matters."""
    return Heads(pipe, draw_judges(nlp, pipe, judged_by))


def width(nlp: Language, pipe: EarlyExitTransformer, judged_by: Sequence[Example]) -> Width:
    """RETURNS (Width): The width of the layers of a component, of which documents tell what matters."""
    return Width(pipe, draw_judges(nlp, pipe, judged_by))
