"""A component's tasks: their labels, their rules, and their answers."""

from dataclasses import replace
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy
from spacy.errors import Errors
from spacy.pipeline import Pipe, TrainablePipe
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model

from ..engine.joint import Joint
from ..engine.results import ExitOutputs, Predictions
from ..exits.evidence import EvidenceMaker
from ..exits.rules.base import ExitRule
from ..inference.predict import all_exits, make_instances, predict
from ..inputs.instances import Instances
from ..model import is_initialized
from ..tasks.base import Task
from ..tasks.gate import set_gate
from ..tasks.slot import TaskSlot
from ..threads import Shared
from .initialization import check_joint, check_slots

_NAME: Any = vars(Pipe)["name"]
"""Where spaCy's own code keeps and finds the name of a component."""


class TaskComponent(TrainablePipe):
    """A component with some tasks over one model. A component of one task is the case of one."""

    def __init__(self, vocab: Vocab, model: Model, name: str, slots: Mapping[str, TaskSlot], joint: Joint):
        """Make a component.

        vocab (Vocab): The shared vocabulary.
        model (Model): The early-exiting model.
        name (str): The component's name in the pipeline.
        slots (Mapping[str, TaskSlot]): The tasks, by name.
        joint (str): "all" or "any", see `EarlyExitTransformer`.
        """
        check_slots(slots, model, name)
        self.shared = Shared()
        self.vocab = vocab
        self.model = model
        self.model.attrs["make_instances"] = self._make_instances
        self.name = name
        alone = model.attrs["tasks"] is None
        self.slots = {
            task: replace(slots[task], name=task, component=name, number=number, alone=alone)
            for number, task in enumerate(sorted(slots))
        }
        self.joint = self.configured_joint = joint
        for task, rule in self.exits.items():
            self.set_exit(rule, task)

    @property
    def name(self) -> str:
        """RETURNS (str): Its name in the pipeline. spaCy sets another where it is renamed, or taken from another pipeline."""
        return _NAME.__get__(self)

    @name.setter
    def name(self, name: str) -> None:
        _NAME.__set__(self, name)
        for slot in getattr(self, "slots", {}).values():
            slot.component = name

    def slot(self, task: Optional[str] = None) -> TaskSlot:
        """RETURNS (TaskSlot): A task by its name; of a component with one task, that one."""
        if task is None and len(self.slots) == 1:
            return next(iter(self.slots.values()))
        if task not in self.slots:
            raise ValueError(f"The component '{self.name}' has the tasks {list(self.slots)}; name one of them, not {task!r}.")
        return self.slots[task]

    @property
    def task(self) -> Task:
        """RETURNS (Task): What a component with one task predicts."""
        return self.slot().task

    @property
    def cfg(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The labels, the threshold and what else is saved of its task; of several under "tasks", by
        name. It can be set, as `spacy find-threshold` does: then labels have that threshold, and none of their own."""
        first, *others = self.slots.values()
        return first.cfg if first.alone else {"tasks": {slot.name: slot.cfg for slot in (first, *others)}}

    @cfg.setter
    def cfg(self, cfg: Dict[str, Any]) -> None:
        for task, slot in self.slots.items():
            own = cfg if slot.alone else cfg["tasks"][task]
            slot.cfg = {name: value for name, value in own.items() if name != "label_thresholds"}

    @property
    def joint(self) -> Joint:
        """RETURNS (str): "all" or "any", see `__init__`. It can be set at any time."""
        return self._joint

    @joint.setter
    def joint(self, joint: Joint) -> None:
        check_joint(joint, self.name)
        self._joint = joint

    @property
    def labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels of all tasks, each once."""
        return tuple(dict.fromkeys(label for slot in self.slots.values() for label in slot.labels))

    @property
    def label_data(self) -> Union[List[str], Dict[str, List[str]]]:
        """RETURNS (Union[List[str], Dict[str, List[str]]]): What `spacy init labels` writes and `initialize` takes: labels, or
        those of each task."""
        first, *others = self.slots.values()
        return list(first.labels) if first.alone else {slot.name: list(slot.labels) for slot in (first, *others)}

    @property
    def exits(self) -> Dict[str, Optional[ExitRule]]:
        """RETURNS (Dict[str, Optional[ExitRule]]): The exit rule of each task. See `set_exit`."""
        return {task: slot.exit for task, slot in self.slots.items()}

    @property
    def exit(self) -> Optional[ExitRule]:
        """RETURNS (Optional[ExitRule]): The exit rule of a component with one task. Another one can be set at any time, for all
        tasks; None runs the full depth."""
        return self.slot().exit

    @exit.setter
    def exit(self, rule: Optional[ExitRule]) -> None:
        before = self.exits
        try:
            for task in self.slots:
                self.set_exit(rule, task)
        except ValueError:
            for task, rule_before in before.items():
                self.slots[task].exit = rule_before
            raise

    def set_exit(self, rule: Optional[ExitRule], task: Optional[str] = None) -> None:
        """Set the exit rule of a task.

        rule (Optional[ExitRule]): The rule; None runs the full depth.
        task (Optional[str]): The task; None if there is only one.
        """
        self.slot(task).set_exit(rule, self.model)

    def set_temperatures(self, temperatures: Optional[Sequence[float]], task: Optional[str] = None) -> None:
        """Set what the logits of the exits of a task are divided by.

        temperatures (Optional[Sequence[float]]): A number from 0.001 to 1000 for each exit; None for 1.
        task (Optional[str]): The task; None if there is only one.
        """
        self.slot(task).set_temperatures(temperatures, self.model)

    def set_label_thresholds(self, thresholds: Optional[Mapping[str, float]], task: Optional[str] = None) -> None:
        """Set from which probability on each label of a task counts as given, where labels do not exclude each other; of events,
        each role and attribute.

        thresholds (Optional[Mapping[str, float]]): A number above 0 and below 1 by label; those not named have the threshold of
            the setting. None is that for all.
        task (Optional[str]): The task; None if there is only one.
        """
        self.slot(task).set_label_thresholds(thresholds)

    def set_gate(self, threshold: Optional[float], task: Optional[str] = None) -> None:
        """Set the probability below which windows without a trigger, or pairs without a relation, leave before the first layer.

        threshold (Optional[float]): The probability, see `tasks.gate.find_chances`; None has all climb.
        task (Optional[str]): The task; None if there is only one.
        """
        set_gate(self.slot(task), threshold, self.model)

    def label_thresholds(self, task: Optional[str] = None) -> Dict[str, float]:
        """RETURNS (Dict[str, float]): From which probability on each label of a task counts as given, where labels do not exclude
        each other, or of events each role and attribute: by thresholds of their own, or by the one of the setting."""
        slot = self.slot(task)
        names = slot.thresholded or slot.labels
        return dict(zip(names, numpy.broadcast_to(slot.thresholds, len(names)).tolist()))

    def labels_of(self, doc: Doc, task: Optional[str] = None) -> List[str]:
        """Find the labels that a Doc is given: of exclusive ones the best, of others all from their thresholds on, of relations
        and events those that it has.

        doc (Doc): The Doc, answered.
        task (Optional[str]): The task; None if there is only one.
        RETURNS (List[str]): The labels, in the order of the component's.
        """
        slot = self.slot(task)
        return slot.task.given_labels(doc, slot.labels, slot.thresholds)

    def reading(self, task: Optional[str] = None) -> EvidenceMaker:
        """RETURNS (EvidenceMaker): How the logits of a task are to be read: by its thresholds and its temperatures."""
        return self.slot(task).reading(self.model)

    def add_label(self, label: str, task: Optional[str] = None) -> int:
        """Add a label. Possible until the component is initialized.

        label (str): The label.
        task (Optional[str]): The task; None if there is only one.
        RETURNS (int): 0 if the label is there already, otherwise 1.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if label in self.slot(task).labels:
            return 0
        if is_initialized(self.model):
            raise ValueError(Errors.E922.format(name=self.name, nO=self.model.get_dim("nO")))
        self.slot(task).cfg["labels"].append(label)
        self.vocab.strings.add(label)
        return 1

    def answer(self, docs: Sequence[Doc], rule: Optional[ExitRule], task: Optional[str] = None) -> Predictions:
        """Answer some Docs for one task alone, by a rule.

        docs (Sequence[Doc]): The Docs.
        rule (Optional[ExitRule]): The rule; None runs the full depth.
        task (Optional[str]): The task; None if there is only one.
        RETURNS (Predictions): The answers, of Docs in order.
        """
        task = self.slot(task).name
        return self.run(docs, {task: rule})[task]

    def run(self, docs: Sequence[Doc], rules: Mapping[str, Optional[ExitRule]]) -> Dict[str, Predictions]:
        """Answer some Docs for some of the tasks, together.

        docs (Sequence[Doc]): The Docs.
        rules (Mapping[str, Optional[ExitRule]]): The tasks and their rules; None runs the full depth.
        RETURNS (Dict[str, Predictions]): The answers of each of these tasks, of Docs in order.
        """
        self.require_model()
        with self.shared.answering():
            return predict(self.model, self.slots, docs, rules, self.joint)

    def make_instances(self, docs: Sequence[Doc], task: Optional[str] = None) -> Instances:
        """Say what there is to answer about some Docs.

        docs (Sequence[Doc]): The Docs.
        task (Optional[str]): The task; None if there is only one.
        RETURNS (Instances): The items and their units.
        """
        return self._make_instances(docs)[self.slot(task).name]

    def _make_instances(self, docs: Sequence[Doc]) -> Dict[str, Instances]:
        """What there is to answer for each task."""
        return make_instances(self.model, self.slots, docs)

    def exit_logits(self, docs: Iterable[Doc], batch_size: int = 64, task: Optional[str] = None) -> Iterator[ExitOutputs]:
        """As `all_exits`, for one task.

        docs (Iterable[Doc]): The Docs.
        batch_size (int): How many run together.
        task (Optional[str]): The task; None if there is only one.
        YIELDS (ExitOutputs): The outputs of a batch, in numpy arrays.
        """
        task = self.slot(task).name
        for outputs in self.all_exits(docs, batch_size):
            yield outputs[task]

    def all_exits(self, docs: Iterable[Doc], batch_size: int = 64) -> Iterator[Dict[str, ExitOutputs]]:
        """Run the full depth and keep what every exit says, to try rules without running the model again.

        docs (Iterable[Doc]): The Docs. Items of a Doc without wordpieces get zeros.
        batch_size (int): How many run together.
        YIELDS (Dict[str, ExitOutputs]): The outputs of each task for a batch, in numpy arrays.
        """
        self.require_model()
        yield from all_exits(self.model, self.slots, list(docs), batch_size)

    def require_model(self) -> None:
        """Refuse to run what has no weights yet."""
        if not is_initialized(self.model):
            raise ValueError(Errors.E109.format(name=self.name))
