"""Dropping whole layers from the top, with the exits on them."""

from typing import Any, Dict, List

from spacy.language import Language

from ..component.pipe import EarlyExitTransformer
from ..exits.rules.config import resolve_rule
from ..heads.base import ExitHeads, head_shim
from ..model import ExitLayers, get_exit_layers
from ..tasks.slot import rule_config
from ..trunk.layers import keep_layers
from ..trunk.verification import make_stepper, probe_text
from .base import Smaller


class Layers(Smaller):
    """The first layers, up to any with an exit: what is above was trained to add to it. All is as if texts left there at the
    latest."""

    decides = "layers"

    def __init__(self, nlp: Language, pipe: EarlyExitTransformer):
        """
        nlp (Language): The pipeline, whose config names the layers with exits.
        pipe (EarlyExitTransformer): The component.
        """
        super().__init__(pipe)
        self.config: Dict[str, Any] = nlp.get_pipe_config(pipe.name)["model"]
        self.exits = get_exit_layers(pipe.model)
        self.setting: ExitLayers = pipe.model.attrs["exit_layers"]
        self.heads = [head_shim(head)._model for head in pipe.model.layers[1:]]
        self.slots = {name: (slot.cfg, slot.exit) for name, slot in pipe.slots.items()}
        self.choices = [*(f"first {layer}" for layer in self.exits[:-1]), "all"]

    def use(self, choice: str) -> None:
        self._exits(self.setting, self.heads)
        for name, (cfg, rule) in self.slots.items():
            self.pipe.slots[name].cfg = cfg
            self.pipe.slots[name].exit = rule
        super().use(choice)

    def change(self, choice: str) -> None:
        depth = int(choice.split()[1])
        ids, mask = probe_text(self.model)
        self.shim.replace(keep_layers(self.model, choice, make_stepper, (ids, mask), mask.bool()))
        kept = [layer for layer in self.exits if layer <= depth]
        self._exits(None if self.setting is None else kept, [_cut(own, len(kept)) for own in self.heads])
        fewer = len(self.exits) - len(kept)
        for name, (cfg, rule) in self.slots.items():
            slot = self.pipe.slots[name]
            # Counts of layers that are not there any more say nothing.
            slot.cfg = {key: value for key, value in cfg.items() if key != "reference"}
            for one in ("temperatures", "salience"):  # a row for each exit
                if one in cfg:
                    slot.cfg[one] = cfg[one][: len(cfg[one]) - fewer]
            slot.exit = _fewer_exits(rule, fewer)
            if slot.exit is not None and not slot.exit.can_fire(slot.exit_layers(self.pipe.model)):
                slot.exit = None  # it would let all texts go to the last of the layers that are left

    def _exits(self, layers: ExitLayers, heads: List[Any]) -> None:
        """Have exits on some layers, in the model and in the config, and their classifiers."""
        self.pipe.model.attrs["exit_layers"] = layers
        self.config["exit_layers"] = layers
        for model, own in zip(self.pipe.model.layers[1:], heads):
            head_shim(model)._model = own


def _cut(heads: ExitHeads, exits: int) -> ExitHeads:
    """Classifiers with the first exits alone."""
    fewer = type(heads)(**{**heads.settings, "exits": exits})
    weights = heads.state_dict()
    # What there is for each exit is a module of its own, or a row.
    kept = {name: weights[name][tuple(map(slice, part.shape))] for name, part in fewer.state_dict().items()}
    fewer.load_state_dict(kept)
    device = next(heads.parameters()).device
    return fewer.to(device).train(heads.training)


def _fewer_exits(rule: Any, fewer: int) -> Any:
    """A rule without the thresholds of exits that are not there any more; None for one that was fitted to the last of these."""
    config = None if rule is None else rule_config(rule)
    if config is not None and _is_fitted(config):
        return None
    cut = None if config is None else _shorter(config, fewer)
    return rule if cut == config else resolve_rule(cut)


def _is_fitted(block: Any) -> bool:
    """Whether a rule, or one in it, names the layers that it was fitted to."""
    return isinstance(block, dict) and ("layers" in block or any(map(_is_fitted, block.values())))


def _shorter(value: Any, fewer: int) -> Any:
    if isinstance(value, dict):
        return {name: _shorter(own, fewer) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        numbers = all(isinstance(own, (int, float)) for own in value)
        return list(value[: len(value) - fewer]) if numbers else [_shorter(own, fewer) for own in value]
    return value


def layers(nlp: Language, pipe: EarlyExitTransformer) -> Layers:
    """RETURNS (Layers): The layers of a component."""
    return Layers(nlp, pipe)
