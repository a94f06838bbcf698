"""A pipeline of ours: every fixed depth, and rules that are chosen on dev."""

from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy
import spacy
from spacy.language import Language
from spacy.training import Example

from ...component.pipe import EarlyExitTransformer
from ...engine.replay import Replay, ReplayResult
from ...evaluation.compare import find_component
from ...evaluation.stored_outputs import StoredOutputs
from ...evaluation.timing import prepare
from ...exits.rules.base import ExitRule, complete
from ...exits.rules.depth import FixedDepth
from ...model import get_runner
from ...tasks.replay_score import MACRO_F
from ...trunk.looks import look_at_once
from ...tuning.annotation import check_component
from ...tuning.names import name_rule
from ...tuning.tuner import Tuner, TuningGoal
from ..pipelines import answer_texts
from .texts import LabelledTexts, choose_thresholds, macro_f, score_both

DROPS, SPEEDUPS = (0.0, 0.3, 1.0, 2.0), (2.0, 4.0, 8.0)
"""What is asked of `tune`: to lose at most so many points, or to run so many times fewer layers."""


@dataclass
class WithRule:
    """A pipeline with a rule, to be timed: nothing but the tokenizer and the component.

    nlp (Language): The pipeline. Others with other rules may share it.
    component (EarlyExitTransformer): Its component.
    rule (Optional[ExitRule]): The rule; None for the full depth.
    """

    nlp: Language
    component: EarlyExitTransformer
    rule: Optional[ExitRule]

    def run(self, texts: Sequence[str], size: int) -> Any:
        """Answer texts in batches. RETURNS (Any): What `read` reads."""
        self.component.set_exit(self.rule)
        return answer_texts(self.nlp, texts, size)

    def read(self, found: Any) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities, (N, K)."""
        return numpy.array([[doc.cats[label] for label in self.component.labels] for doc in found], dtype="float32")


class Measured:
    """A pipeline and what its exits say of dev and test.

    title (str): What it is called.
    nlp (Language): The pipeline, of which the component runs alone.
    component (EarlyExitTransformer): The component.
    layers (List[int]): The layers with an exit.
    """

    def __init__(self, title: str, backbone: str, path: Union[str, Path], component: Optional[str] = None):
        """
        title (str): What it is called.
        backbone (str): What its backbone is called.
        path (Union[str, Path]): The pipeline: a folder or an installed package.
        component (Optional[str]): The component; None if there is only one.
        """
        self.title, self.backbone, self.path = title, backbone, path
        whole = spacy.load(path)
        name = find_component(whole, component).name
        self.nlp = spacy.load(path, enable=[name])
        self.component = find_component(self.nlp, name)
        look_at_once(get_runner(self.component.model))

    @property
    def exclusive(self) -> bool:
        """RETURNS (bool): Whether one label is true of a text."""
        return self.component.task.exclusive

    def measure(self, examples: Mapping[str, Sequence[Example]], texts: Dict[str, LabelledTexts], steps: int = 16) -> None:
        """Run the full depth on dev and test, and try rules on dev where there are exits.

        examples (Mapping[str, Sequence[Example]]): The documents of "dev" and "test".
        texts (Dict[str, LabelledTexts]): The same.
        steps (int): How many values of each threshold are tried.
        """
        self.texts = texts
        self.tuner: Optional[Tuner] = None
        stored = {}
        if self._has_exits():
            figure = None if self.exclusive else MACRO_F  # that of the front
            self.tuner = Tuner(self.nlp, self.component, list(examples["dev"]), missing_labels=True, steps=steps, figure=figure)
            stored["dev"] = self.tuner.stored
        else:
            stored["dev"] = self._store(examples["dev"])
        stored["test"] = self._store(examples["test"])
        self.stored: Dict[str, StoredOutputs] = stored
        self.replays: Dict[str, Replay] = {name: part.replay() for name, part in stored.items()}
        self.layers: List[int] = self.replays["test"].layers.tolist()

    @contextmanager
    def without_words(self) -> Iterator[None]:
        """Let exits speak of the states alone, as a network that is cut there does."""
        slot, model = self.component.slot(), self.component.model
        mix = slot.mix(model)
        if len(mix):
            slot.set_mix([0.0] * len(mix), model)
        try:
            yield
        finally:
            if len(mix):
                slot.set_mix(mix.tolist(), model)

    def _has_exits(self) -> bool:
        try:
            check_component(self.component, None)
        except ValueError:
            return False
        return True

    def _store(self, examples: Sequence[Example]) -> StoredOutputs:
        return StoredOutputs(self.component, prepare(self.nlp, self.component, list(examples)), nlp=self.nlp)

    def score(self, rule: Optional[ExitRule]) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What a rule scores, and by how much fewer layers it runs on test, counted by wordpieces."""
        found = {name: self.replays[name].run(rule) for name in ("dev", "test")}
        said = {name: self._probabilities(name, result) for name, result in found.items()}
        layers, wordpieces = found["test"].layers, self.stored["test"].wordpieces
        run = float(wordpieces @ layers / max(wordpieces.sum(), 1))
        scores = score_both(self.texts["dev"], said["dev"], self.texts["test"], said["test"])
        return {**scores, "layers": run, "layers_saved": 1 - run / self.layers[-1]}

    def scores_alone(self) -> Dict[int, float]:
        """RETURNS (Dict[int, float]): By layer the score on dev of its states alone, without words, as of a network that is
        cut off there."""
        stored = copy(self.stored["dev"])
        stored.logits = stored.logits.copy()
        if len(stored.mix):
            stored.set_mix(numpy.zeros_like(stored.mix))
        replay, dev = stored.replay(), self.texts["dev"]
        said = {layer: self._probabilities("dev", replay.run(rule)) for layer, rule in self.fixed() if layer > 0}
        return {layer: macro_f(dev, own, choose_thresholds(dev, own)) for layer, own in said.items()}

    def fixed(self) -> List[Tuple[int, Optional[ExitRule]]]:
        """RETURNS (List[Tuple[int, Optional[ExitRule]]]): Each depth and the rule that ends there. The last has none."""
        rules: List[Tuple[int, Optional[ExitRule]]] = [(layer, FixedDepth(layer)) for layer in self.layers[:-1]]
        return [*rules, (self.layers[-1], None)]

    def chosen(self) -> List[Tuple[List[str], Optional[ExitRule]]]:
        """Choose rules on dev as `tune` does.

        RETURNS (List[Tuple[List[str], Optional[ExitRule]]]): What was asked for, and the rule: one entry for each rule. None
            without exits.
        """
        if self.tuner is None:
            return []
        wishes = [(f"drop {drop:g}", TuningGoal(max_drop=drop)) for drop in DROPS]
        wishes += [(f"{speedup:g}x fewer layers", TuningGoal(min_speedup=speedup)) for speedup in SPEEDUPS]
        found: Dict[str, Tuple[List[str], Optional[ExitRule]]] = {}
        for name, wish in wishes:
            self.tuner.wish = wish
            try:
                rule = self.tuner.choose()
            except ValueError:  # nothing is as fast as that
                continue
            found.setdefault(describe(rule), ([], rule))[0].append(name)
        self.tuner.reset_thresholds()  # those that the rules were tried with
        return list(found.values())

    def _probabilities(self, split: str, result: ReplayResult) -> numpy.ndarray:
        """Those of all documents; zeros for one that never runs."""
        stored = self.stored[split]
        found = numpy.zeros((stored.n_docs, len(self.component.labels)), dtype="float32")
        found[stored.docs] = result.probabilities
        return found


def describe(rule: Optional[ExitRule]) -> str:
    """RETURNS (str): A rule on a line."""
    return name_rule(None if rule is None else complete(rule).to_config() or type(rule).__name__)
