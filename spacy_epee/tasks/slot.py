"""One task of a component: its settings, its rule, and what it has learned of the data."""

import copy
import json
import warnings
from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

import numpy
import torch
from spacy.errors import Errors
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model

from ..exits.evidence import EvidenceMaker
from ..exits.rules.base import NEEDS_DOUBT, ExitRule, complete
from ..exits.rules.config import check_kept, resolve_rule
from ..exits.rules.structure import NEEDS_GATE, NEEDS_STRUCTURE
from ..exits.scaling import Threshold
from ..heads.base import ExitHeads
from ..inputs.instances import Instances, Lexical
from ..inputs.windows import Windows
from ..model import get_exit_layers, get_heads, is_initialized
from ..settings import check_number
from ..trunk.shims import put
from .base import Targets, Task
from .unknown import unknown_threshold

FITTED_LATER = ("mix", "salience", "temperatures", "label_thresholds", "uncertain", "gate", "reference", "tuned")
"""What of a task's `cfg` is fitted to a trained component, or found out about it."""

LARGEST_MIX = 1e6
"""How many times words can count at the most."""

TEMPERATURES = (1e-3, 1e3)
"""What temperatures can be set to. Logits over others are all alike, or no numbers."""


@dataclass
class TaskSlot:
    """A task of a component.

    task (Task): What is predicted.
    exit (Optional[ExitRule]): When it is settled; None runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    threshold (float): The probability from which a label counts as given, if labels are not exclusive.
    weight (float): How much its loss counts beside that of other tasks.
    priority (int): Of the tasks that ask about a text, those with the highest say when it leaves; the others answer then with
        what they have, unless they are settled before.
    name (str): Its name in the component, which sets it.
    component (str): The name of the component, which sets it.
    number (int): The place of its classifiers among those of the model, which the component sets.
    alone (bool): Whether the component is of this task alone, so that its settings and figures are those of the component.
    cfg (Dict[str, Any]): What is saved of it: its labels, its threshold, and what it has learned of the data. Not a setting.
    configured (Optional[ExitRule]): The rule of the config, while `exit` is the one set since. Not a setting.
    strange (FrozenSet[str]): The labels that it has met in training and that nobody is known to have. Not a setting.
    """

    task: Task
    exit: Optional[ExitRule]
    scorer: Optional[Callable]
    threshold: float = 0.5
    weight: float = 1.0
    priority: int = 0
    name: str = ""
    component: str = ""
    number: int = 0
    alone: bool = False

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, 0, 1)
        check_number("weight", self.weight, 0)
        self.cfg: Dict[str, Any] = {"labels": [], "threshold": self.threshold}
        self.configured = self.exit
        self.strange: FrozenSet[str] = frozenset()

    def twin(self) -> "TaskSlot":
        """RETURNS (TaskSlot): Another one like this, that can be loaded into while this one answers."""
        other = copy.copy(self)
        other.cfg = copy.deepcopy(self.cfg)
        return other

    @property
    def called(self) -> str:
        """RETURNS (str): What to call it in messages."""
        component = f"the component '{self.component}'"
        return component if self.alone else f"the task '{self.name}' of {component}"

    @property
    def title(self) -> str:
        """RETURNS (str): Its name in messages, as short as can be."""
        return self.component if self.alone else f"{self.component}.{self.name}"

    @property
    def block(self) -> str:
        """RETURNS (str): The block of the config that has its settings."""
        return f"components.{self.component}" if self.alone else f"components.{self.component}.tasks.{self.name}"

    @property
    def head_setting(self) -> str:
        """RETURNS (str): The setting that names its classifiers."""
        return "model.head" if self.alone else f"model.heads.{self.name}"

    @property
    def prefix(self) -> str:
        """RETURNS (str): What its figures have before their names."""
        return "" if self.alone else f"{self.name}_"

    @property
    def labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): Its labels."""
        return tuple(self.cfg["labels"])

    @property
    def thresholds(self) -> Threshold:
        """RETURNS (Union[float, ndarray]): From which probability labels, or links, are given: one for all, or one each (T,)."""
        own = self.cfg.get("label_thresholds")
        if own is None:
            return self.cfg["threshold"]
        return numpy.array([own.get(name, self.cfg["threshold"]) for name in self.thresholded])

    @property
    def thresholded(self) -> List[str]:
        """RETURNS (List[str]): What has a threshold of its own, see `Task.threshold_names`."""
        return self.task.threshold_names(self.labels, self.cfg)

    def n_logits(self) -> int:
        """RETURNS (int): Logits per item."""
        return self.task.n_logits(self.cfg["labels"], self.cfg)

    def sizes(self) -> Dict[str, int]:
        """RETURNS (Dict[str, int]): The sizes of its classifiers."""
        return {"labels": self.n_logits(), **self.task.sizes(self.cfg)}

    def heads(self, model: Model) -> ExitHeads:
        """RETURNS (ExitHeads): Its classifiers in a model."""
        return get_heads(model)[self.number]

    def exit_layers(self, model: Model) -> List[int]:
        """RETURNS (List[int]): The layers with an exit: 0 if there is one before the first layer, and those of the model."""
        layers = get_exit_layers(model)
        return layers if self.heads(model).lexical is None else [0, *layers]

    def mix(self, model: Model) -> numpy.ndarray:
        """RETURNS (ndarray): How much words count at each exit behind a layer; none if nothing is said before the first one."""
        lexical = self.heads(model).lexical
        return numpy.zeros(0) if lexical is None else lexical.mix.detach().cpu().numpy().astype("float64")

    def set_mix(self, mix: Sequence[float], model: Model) -> None:
        """Set how much words count. What was found out about other answers is given up.

        mix (Sequence[float]): A factor for each exit behind a layer. Training finds one below 0 where words mislead.
        model (Model): The model.
        """
        lexical = self.heads(model).lexical
        exits = 0 if lexical is None else len(lexical.mix)
        if lexical is None or len(mix) != exits or not (numpy.abs(mix) <= LARGEST_MIX).all():
            raise ValueError(
                f"The factors for words in {self.called} are {list(mix)}; give a number for each of its {exits} exits that add "
                "words to what they say."
            )
        self.drop_fitted(("reference", "tuned"))
        put(lexical.mix, torch.tensor(mix, dtype=torch.float32, device=lexical.mix.device))

    def reading(self, model: Model) -> EvidenceMaker:
        """Say how its logits are to be read: by its thresholds, and by its temperatures if it has any.

        model (Model): The model.
        RETURNS (EvidenceMaker): What makes evidence of logits.
        """
        temperatures = self.cfg.get("temperatures")
        if temperatures is None:
            return self.task.reading(self.thresholds)
        return self.task.reading(self.thresholds, dict(zip(self.exit_layers(model), temperatures)))

    def make_instances(self, docs: Sequence[Doc], windows: Windows, lexical: Optional[Lexical] = None) -> Instances:
        """RETURNS (Instances): What there is to answer about some Docs, by their windows, and what their words say."""
        instances = self.task.make_instances(docs, windows, self.cfg)
        instances.lexical = lexical
        return instances

    def targets(self, examples: Sequence[Example], items: Instances) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray]): What the annotation says about what is asked, see `Task.targets`."""
        return self.task.targets(examples, self.cfg["labels"], items)

    def soft_targets(self, examples: Sequence[Example], items: Instances) -> Optional[Targets]:
        """RETURNS (Optional[Targets]): What teachers say about what is asked, see `Task.soft_targets`."""
        return self.task.soft_targets(examples, self.cfg["labels"], items)

    def set_exit(self, rule: Optional[ExitRule], model: Model) -> None:
        """Set the rule.

        rule (Optional[ExitRule]): The rule; None runs the full depth.
        model (Model): The model.
        """
        if rule is not None and not isinstance(rule, ExitRule):
            raise ValueError(
                f"The setting `exit` of {self.called} is a {type(rule).__name__}, not an exit rule. Give one such as "
                "`{'@misc': 'spacy-epee.EntropyPatience.v1'}`, or null for the full depth."
            )
        if rule is not None:
            check_kept(rule)
        self.check_rule(rule, model)
        self.exit = rule

    def check_rule(self, rule: Optional[ExitRule], model: Model) -> None:
        """Refuse a rule that could never fire, once the depth is known.

        rule (Optional[ExitRule]): The rule.
        model (Model): The model.
        """
        if rule is None or not is_initialized(model):
            return
        layers = self.exit_layers(model)
        if not rule.can_fire(layers):
            raise ValueError(
                f"The exit rule {rule_config(rule) or type(rule).__name__} of {self.called} can never fire before the last of "
                f"the exits, which are after the layers {layers}. Relax `{self.block}.exit`, or set it to null to run the full "
                "depth on purpose."
            )
        if complete(rule).structured and not self.task.has_features:
            raise ValueError(f"The exit rule {type(rule).__name__} of {self.called} {NEEDS_STRUCTURE}")
        if complete(rule).reads_words and self.heads(model).gate is None:
            raise ValueError(f"The exit rule {type(rule).__name__} of {self.called} {NEEDS_GATE}")
        if complete(rule).learned and self.heads(model).doubt is None:
            raise ValueError(f"The exit rule {type(rule).__name__} of {self.called} {NEEDS_DOUBT}")

    def note_configured(self) -> None:
        """Note that the pipeline's config has the rule that it has now."""
        self.configured = self.exit

    def set_temperatures(self, temperatures: Optional[Sequence[float]], model: Model) -> None:
        """Set what the logits of the exits are divided by.

        temperatures (Optional[Sequence[float]]): A number from 0.001 to 1000 for each exit; None for 1.
        model (Model): The model.
        RAISES ValueError: Something else.
        """
        if temperatures is None:
            self.cfg.pop("temperatures", None)
            return
        exits = len(self.exit_layers(model))
        low, high = TEMPERATURES
        if len(temperatures) != exits or not all(low <= number <= high for number in temperatures):
            raise ValueError(
                f"The temperatures of {self.called} are {list(temperatures)}; give a number from {low:g} to {high:g} for "
                f"each of its {exits} exits, or fit them with `calibrate`."
            )
        self.cfg["temperatures"] = [float(f"{number:.6g}") for number in temperatures]

    def set_label_thresholds(self, thresholds: Optional[Mapping[str, float]]) -> None:
        """Set from which probability on each label, or link, counts as given.

        thresholds (Optional[Mapping[str, float]]): A number above 0 and below 1 by the names in `thresholded`; those not named
            have the threshold of the setting. None is that for all.
        RAISES ValueError: Other numbers, names that it does not have, or labels that have no thresholds.
        """
        if thresholds is None:
            self.cfg.pop("label_thresholds", None)
            return
        names = self.thresholded
        if not names:
            why = "they exclude each other, so that the best one is given" if self.task.exclusive else "nothing is linked"
            raise ValueError(f"The labels of {self.called} have no thresholds of their own: {why}.")
        unknown = set(thresholds).difference(names)
        if unknown:  # not shown: they may be anything
            raise ValueError(f"{len(unknown)} of the thresholds are for labels that {self.called} does not have: {names}.")
        for label, threshold in thresholds.items():
            check_number(f"threshold of {label}", threshold, 0, 1, above=True, below=True)
        self.cfg["label_thresholds"] = {label: float(f"{number:.6g}") for label, number in thresholds.items()}

    def set_positive(self, label: str) -> None:
        """Say which of two exclusive labels is the positive one, for scoring.

        label (str): The label.
        """
        if not self.task.exclusive or len(self.labels) != 2:
            raise ValueError(Errors.E919.format(pos_label=label, labels=self.labels))
        if label not in self.labels:
            raise ValueError(Errors.E920.format(pos_label=label, labels=self.labels))
        self.cfg["positive_label"] = label

    def drop_fitted(self, names: Sequence[str] = FITTED_LATER) -> None:
        """Give up what was fitted to weights that are not those any more, or some of it."""
        for name in names:
            self.cfg.pop(name, None)

    def forget(self) -> None:
        """Give up labels, and what was found out about data or fitted to weights. The threshold that was set stays."""
        self.cfg = {"labels": [], "threshold": self.cfg["threshold"]}

    def to_saved(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What to save: its `cfg`, a rule that is set on the pipeline and not in its config, and what
        its config says of the threshold. Rules and the threshold of the config as strings: srsly reads 0.3 back as
        0.30000000000000004."""
        saved = {**self.cfg, "config_threshold": str(self.threshold)}
        rule, configured = rule_config(self.exit), rule_config(self.configured)
        if rule is None and self.exit is not None and self.exit is not self.configured:
            warnings.warn(
                f"The exit rule {type(self.exit).__name__} of {self.called} has no `to_config` and is not saved: the pipeline "
                "will be loaded with the rule of its config. Name the rule there, or give it that method."
            )
        elif rule != configured or (self.exit is None) != (self.configured is None):
            saved["exit"] = json.dumps({"config": configured, "rule": rule})
        return saved

    def take_saved(self, saved: Dict[str, Any], model: Model) -> None:
        """Take over what was saved. What the config says now holds over that, unless it says the same as then.

        saved (Dict[str, Any]): What `to_saved` returned.
        model (Model): The model, loaded.
        """
        self.cfg = {name: value for name, value in saved.items() if name not in ("config_threshold", "exit")}
        if float(saved.get("config_threshold", saved["threshold"])) != self.threshold:
            self.cfg["threshold"] = self.threshold
            self.cfg.pop("label_thresholds", None)
        noted = json.loads(saved.get("exit", "null"))
        if noted is not None and noted["config"] == rule_config(self.configured):
            self.set_exit(resolve_rule(noted["rule"]) if noted["rule"] else None, model)

    def check_loaded(self, model: Model, source: str) -> None:
        """Refuse what does not fit a model that was loaded.

        model (Model): The model.
        source (str): What it was loaded from, in messages.
        RAISES ValueError: Something does not fit.
        """
        if is_initialized(model):
            expected, trained = self.n_logits(), self.heads(model).n_labels
            if trained != expected:
                raise ValueError(
                    f"{self.called.capitalize()} has {len(self.labels)} labels, which need {expected} outputs, and its model in "
                    f"{source} was trained with {trained}: the files are not of one pipeline, or the config says something "
                    "else about exclusive labels. Copy or save it again."
                )
        if "temperatures" in self.cfg:  # srsly reads some numbers back as their neighbours
            self.set_temperatures(self.cfg["temperatures"], model)
        self.set_label_thresholds(self.cfg.get("label_thresholds"))
        self.check_rule(self.exit, model)


def rule_config(rule: Optional[ExitRule]) -> Optional[Dict[str, Any]]:
    """RETURNS (Optional[Dict[str, Any]]): The config block of a rule; None for the full depth, or for a foreign rule that does
    not tell."""
    return None if rule is None else complete(rule).to_config()


def answers_by(slot: TaskSlot) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): What the answers of a task depend on beside its weights, as plain values."""
    fitted = {name: slot.cfg.get(name) for name in ("threshold", "temperatures", "label_thresholds")}
    gate = slot.cfg.get("gate", {}).get("threshold")
    # Named only where there is one: what was noted down before there were any stays so.
    later = {"gate": gate, "salience": slot.cfg.get("salience"), "unknown_threshold": unknown_threshold(slot.task)}
    return {"rule": rule_config(slot.exit), **fitted, **{name: value for name, value in later.items() if value}}
