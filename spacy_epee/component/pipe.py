"""The pipeline component: a transformer that stops climbing when its answer is settled."""

import copy
import json
import time
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import combinations, islice
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NoReturn, Optional, Sequence, Tuple, Union

import numpy
import torch
from catalogue import RegistryError
from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import ensure_path, minibatch, to_bytes, to_disk
from spacy.vocab import Vocab
from thinc.api import ConfigValidationError, Model, Optimizer, to_numpy, torch2xp, xp2torch

from ..doc_attributes import EXITS, copy_doc, exits_of, install
from ..engine.loop import CALLS_PER_PASS, Joint, TaskRun, plan_passes, run_exits
from ..engine.results import ExitOutputs, Predictions
from ..exits.coverage import flag
from ..exits.rules.base import NEEDS_DOUBT, ExitRule, complete
from ..exits.rules.config import check_kept, resolve_rule
from ..files import whole_folder
from ..inputs.instances import Instances
from ..inputs.packing import pack
from ..inputs.windows import FailedDocs, NotFinite, Windows
from ..model import (
    get_exit_layers,
    get_heads,
    get_runner,
    get_settings,
    get_trunk_shim,
    get_windows,
    is_initialized,
    set_training,
    trained_settings,
)
from ..runtimes.threads import single_torch_thread
from ..sealing import Parts, Refused, check_seal, collecting, read_bytes, read_cfg, read_disk, seal, take_over, twin
from ..tasks.base import Task, check_trunk
from ..tasks.slot import TaskSlot
from ..tasks.unknown import Unknown, find_unknown, known_names, showable, without_labels
from ..threads import LOADING, no_fork
from ..training.losses import JointLoss, exit_weights, link_gradient
from .rivals import has_rivals, labels_elsewhere
from .saving import save_whole

FORMAT = 1
"""The layout of saved components. Raise it when an older version could not read a newer one."""

SAMPLE, FITTED = 200, 64
"""How many examples are checked when the component is initialized, and how many are run to standardize by."""

FITTED_LATER = ("temperatures", "uncertain")
"""What of a task's `cfg` is fitted to a trained component."""

TEMPERATURES = (1e-3, 1e3)
"""What temperatures can be set to. Logits over others are all alike, or no numbers."""

PREFETCH_BATCHES, PREFETCH_DOCS = 4, 128
"""How many batches of a stream are answered together, as long as these are no more documents. Four of 32 take a fifth less time
than one after the other (e5-small in int8, short sentences)."""

UNREADABLE = (LookupError, TypeError, AttributeError, json.JSONDecodeError, RegistryError, ConfigValidationError)
"""What is raised where a `cfg` holds something else than was saved."""


class EarlyExitTransformer(TrainablePipe):
    """A transformer with classifiers on its layers, and a rule that says for each document which one to believe."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "epee",
        *,
        parts: Dict[str, TaskSlot],
        loss: JointLoss,
        joint: Joint = "all",
        compare_full_depth: bool = True,
    ):
        """Make a component.

        vocab (Vocab): The shared vocabulary.
        model (Model): The early-exiting model.
        name (str): The component's name in the pipeline.
        parts (Dict[str, TaskSlot]): The tasks, by name.
        loss (JointLoss): How the exits are trained.
        joint (str): With several tasks "all", a text climbs until all are settled that decide (see `TaskSlot.priority`), or
            "any", until one of them is.
        compare_full_depth (bool): Whether scoring also runs the full depth, for `cats_full`, `rel_full` and the like. If not,
            set `training.score_weights.cats_full = null`.
        """
        named: Optional[List[str]] = model.attrs["tasks"]
        _check_parts(parts, named, name)
        for part in parts.values():
            check_trunk(part.task, get_trunk_shim(model).reads, name)
        self.vocab = vocab
        self.model = model
        self.model.attrs["make_instances"] = self._make_instances
        self.name = name
        self.parts = {task: parts[task] for task in sorted(parts)}
        self.loss = loss
        self.joint = self._config_joint = joint
        self.compare_full_depth = compare_full_depth
        self.stage = "joint"
        self.wordpieces = 0
        """How many wordpieces it has learned from since it was made, windows and special ones included."""
        own = {task: {"labels": [], "threshold": part.threshold} for task, part in self.parts.items()}
        self.cfg: Dict[str, Any] = {"tasks": own, "format": FORMAT} if named else {**own[self._only()], "format": FORMAT}
        self._config_rules = {task: part.exit for task, part in self.parts.items()}
        for task, part in self.parts.items():
            self.set_exit(part.exit, task)
        install_extensions()

    def _only(self, task: Optional[str] = None) -> str:
        """RETURNS (str): A task's name; of a component with one task, its."""
        if task is None and len(self.parts) == 1:
            return next(iter(self.parts))
        if task not in self.parts:
            raise ValueError(f"The component '{self.name}' has the tasks {list(self.parts)}; name one of them, not {task!r}.")
        return task

    @property
    def joint(self) -> Joint:
        """RETURNS (str): "all" or "any", see `__init__`. It can be set at any time."""
        return self._joint

    @joint.setter
    def joint(self, joint: Joint) -> None:
        if joint not in ("all", "any"):
            raise ValueError(f"The setting `joint` of the component '{self.name}' is '{joint}'; give 'all' or 'any'.")
        self._joint = joint

    @property
    def task(self) -> Task:
        """RETURNS (Task): The task of a component that has one."""
        return self.parts[self._only()].task

    def task_cfg(self, task: Optional[str] = None) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What is saved of a task: its labels, its threshold, and what it has learned of the data."""
        return self.cfg["tasks"][self._only(task)] if "tasks" in self.cfg else self.cfg

    def task_labels(self, task: Optional[str] = None) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels of a task."""
        return tuple(self.task_cfg(task)["labels"])

    @property
    def labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels of all tasks, each once."""
        return tuple(dict.fromkeys(label for task in self.parts for label in self.task_labels(task)))

    @property
    def label_data(self) -> Union[List[str], Dict[str, List[str]]]:
        """RETURNS (Union[List[str], Dict[str, List[str]]]): What `spacy init labels` writes and `initialize` takes: labels, or
        those of each task."""
        if "tasks" in self.cfg:
            return {task: list(self.task_labels(task)) for task in self.parts}
        return list(self.labels)

    @property
    def exits(self) -> Dict[str, Optional[ExitRule]]:
        """RETURNS (Dict[str, Optional[ExitRule]]): The exit rule of each task. See `set_exit`."""
        return {task: part.exit for task, part in self.parts.items()}

    @property
    def exit(self) -> Optional[ExitRule]:
        """RETURNS (Optional[ExitRule]): The exit rule of a component with one task. Another one can be set at any time, for all
        tasks; None runs the full depth."""
        return self.parts[self._only()].exit

    @exit.setter
    def exit(self, rule: Optional[ExitRule]) -> None:
        for task in self.parts:
            self.set_exit(rule, task)

    def set_exit(self, rule: Optional[ExitRule], task: Optional[str] = None) -> None:
        """Set the exit rule of a task.

        rule (Optional[ExitRule]): The rule; None runs the full depth.
        task (Optional[str]): The task; None if there is only one.
        """
        task = self._only(task)
        if rule is not None and not isinstance(rule, ExitRule):
            raise ValueError(
                f"The setting `exit` of {self._called(task)} is a {type(rule).__name__}, not an exit rule. Give one such "
                "as `{'@misc': 'spacy-epee.EntropyPatience.v1'}`, or null for the full depth."
            )
        if rule is not None:
            check_kept(rule)
        self._check_rule(rule, task)
        self.parts[task].exit = rule

    def note_configured(self, task: Optional[str] = None) -> None:
        """Note that the pipeline's config has the rule that a task has now.

        task (Optional[str]): The task; None if there is only one.
        """
        task = self._only(task)
        self._config_rules[task] = self.parts[task].exit

    def _tell_others(self) -> None:
        """Tell tasks which labels belong to others of the same component."""
        for name, part in self.parts.items():
            others = (self.task_labels(other) for other in self.parts if other != name)
            part.task.others = frozenset(label for labels in others for label in labels)

    def _called(self, task: str) -> str:
        """What to call a task in messages."""
        return f"the task '{task}' of the component '{self.name}'" if "tasks" in self.cfg else f"the component '{self.name}'"

    def _check_rule(self, rule: Optional[ExitRule], task: str) -> None:
        """Refuse a rule that could never fire, once the depth is known."""
        if rule is None or not is_initialized(self.model):
            return
        layers = get_exit_layers(self.model)
        if not rule.can_fire(layers):
            block = f"components.{self.name}.tasks.{task}.exit" if "tasks" in self.cfg else f"components.{self.name}.exit"
            raise ValueError(
                f"The exit rule {_rule_config(rule) or type(rule).__name__} of {self._called(task)} can never fire before "
                f"the last of the exits, which are after the layers {layers}. Relax `{block}`, or set it to "
                "null to run the full depth on purpose."
            )
        if complete(rule).learned and get_heads(self.model)[list(self.parts).index(task)].doubt is None:
            raise ValueError(f"The exit rule {type(rule).__name__} of {self._called(task)} {NEEDS_DOUBT}")

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Answer a stream of Docs. Some batches are read ahead, so that the few of each that climb high do it together.

        stream (Iterable[Doc]): The Docs.
        batch_size (int): How many are answered together. With 1, or a rule that looks at the time, nothing is read ahead.
        YIELDS (Doc): The Docs in order, without those that the error handler was given.
        """
        alone = batch_size == 1 or any(rule is not None and complete(rule).timed for rule in self.exits.values())
        together = batch_size if alone else max(batch_size, min(PREFETCH_BATCHES * batch_size, PREFETCH_DOCS))
        for docs in minibatch(stream, size=together):
            yield from self._answer_or_handle(docs)

    def __call__(self, doc: Doc) -> Doc:
        """Answer a Doc.

        doc (Doc): The Doc.
        RETURNS (Doc): The same. If it cannot be answered and the error handler goes on, it is flagged as uncertain.
        """
        self._answer_or_handle([doc])
        return doc

    def _answer_or_handle(self, docs: List[Doc]) -> List[Doc]:
        """Answer some Docs. What is wrong with one of them is found by trying halves, so that it goes to the error handler alone
        and the others are answered.

        docs (List[Doc]): The Docs.
        RETURNS (List[Doc]): Those that are answered.
        """
        try:
            self._refuse_others(docs)
            self.set_annotations(docs, self.predict(docs))
            return docs
        except FailedDocs as error:
            failed = set(error.docs)
            self._hand_over([doc for i, doc in enumerate(docs) if i in failed], error)
            parts = [[doc for i, doc in enumerate(docs) if i not in failed]]
        except Exception as error:
            if len(docs) == 1:
                self._hand_over(docs, error)
            half = len(docs) // 2
            parts = [docs[:half], docs[half:]] if half else []
        return [doc for part in parts if part for doc in self._answer_or_handle(part)]

    def _hand_over(self, docs: List[Doc], error: Exception) -> None:
        """Give Docs to the error handler. If it goes on, those that hold them see that there is no answer."""
        self.get_error_handler()(self.name, self, docs, error)
        for doc in docs:
            theirs = doc.user_data.get(EXITS) if isinstance(doc, Doc) else ()
            if theirs is None or isinstance(theirs, dict):  # it may be what is wrong
                none = {"layer": 0.0, "depth": 0, "uncertain": True, "units": []}
                doc.user_data[EXITS] = {**(theirs or {}), self.name: {task: dict(none) for task in self.parts}}

    def _refuse_others(self, docs: Sequence[Any]) -> None:
        """Refuse what is no Doc. An error about what it lacks would hold it, and it may be a text."""
        other = next((type(doc).__name__ for doc in docs if not isinstance(doc, Doc)), None)
        if other is not None:
            raise ValueError(f"The component '{self.name}' was given a {other}, not a Doc. `nlp.make_doc` makes one of a text.")

    def predict(self, docs: Iterable[Doc]) -> Dict[str, Predictions]:
        """Answer some Docs without changing them.

        docs (Iterable[Doc]): The Docs.
        RETURNS (Dict[str, Predictions]): The answers of each task.
        """
        return self.run(list(docs), self.exits)

    def answer(self, docs: Sequence[Doc], rule: Optional[ExitRule], task: Optional[str] = None) -> Predictions:
        """Answer some Docs for one task alone, by a rule.

        docs (Sequence[Doc]): The Docs.
        rule (Optional[ExitRule]): The rule; None runs the full depth.
        task (Optional[str]): The task; None if there is only one.
        RETURNS (Predictions): The answers, of Docs in order.
        """
        task = self._only(task)
        return self.run(docs, {task: rule})[task]

    @no_fork
    def run(self, docs: Sequence[Doc], rules: Dict[str, Optional[ExitRule]]) -> Dict[str, Predictions]:
        """Answer some Docs for some of the tasks, together.

        docs (Sequence[Doc]): The Docs.
        rules (Dict[str, Optional[ExitRule]]): The tasks and their rules; None runs the full depth.
        RETURNS (Dict[str, Predictions]): The answers of each of these tasks, of Docs in order.
        """
        self._require_model()
        began = time.perf_counter()
        stepper = get_runner(self.model)
        set_training(self.model, False)
        runs: Dict[str, TaskRun] = {}
        for (task, items), heads in zip(self._make_instances(docs).items(), get_heads(self.model)):
            if task in rules:
                part = self.parts[task]
                answers = Predictions.empty(items, heads.n_labels, stepper.depth, self.reading(task))
                runs[task] = TaskRun(heads, answers, rules[task], began, device=stepper.device, priority=part.priority)
        most = get_settings(self.model).max_wordpieces
        layers = get_exit_layers(self.model)
        with single_torch_thread(stepper):
            joint = self.joint  # another thread may set it
            for rows in plan_passes([run.items for run in runs.values()], most * CALLS_PER_PASS):
                run_exits(stepper, list(runs.values()), rows, exit_layers=layers, wordpieces=most, joint=joint)
        answers = {task: run.answers for task, run in runs.items()}
        for task, own in answers.items():
            self._refuse_nan(task, own.items.unit_docs[own.broken], len(docs))
        return answers

    def _refuse_nan(self, task: str, docs: numpy.ndarray, of: int) -> None:
        """Refuse answers that are no numbers: they would read as "none found", or as settled.

        task (str): The task.
        docs (ndarray): The Docs with such answers.
        of (int): How many Docs there are.
        RAISES NotFinite: There are some.
        """
        if len(docs):
            failed = numpy.unique(docs).tolist()
            raise NotFinite(
                f"{self._called(task).capitalize()} gives NaN or infinity for {len(failed)} of {of} documents: its weights are "
                "damaged or were spoilt in training, or numbers get too large in a lower precision. Load an intact copy, train "
                "again with a lower learning rate, or set `model.trunk.precision` to 'fp32'.",
                failed,
            )

    def reading(self, task: Optional[str] = None) -> Any:
        """Say how the logits of a task are to be read: by its threshold, and by its temperatures if it has any.

        task (Optional[str]): The task; None if there is only one.
        RETURNS (EvidenceBuilder): What makes evidence of logits.
        """
        task = self._only(task)
        cfg = self.task_cfg(task)
        return self.parts[task].task.reading(
            cfg["threshold"], dict(zip(get_exit_layers(self.model), cfg.get("temperatures", ())))
        )

    def calibrate(self, examples: Iterable[Example], task: Optional[str] = None) -> List[Dict[str, Any]]:
        """Fit a temperature for each exit to examples that were not trained on, and keep them: entropy, confidence and the like,
        and the probabilities that are written, are then those of the scaled logits. No decision changes by itself. Training
        further drops the temperatures.

        examples (Iterable[Example]): The examples.
        task (Optional[str]): The task; None if there is only one.
        RETURNS (List[Dict[str, Any]]): What it does to each exit, see `exits.calibration.calibration_report`.
        RAISES ValueError: Nothing is annotated.
        """
        from ..evaluation.stored_outputs import StoredOutputs

        stored = StoredOutputs(self, list(examples), task)
        self.set_temperatures(stored.fit(), task)
        return stored.calibration(self.task_cfg(task)["temperatures"])

    def set_temperatures(self, temperatures: Optional[Sequence[float]], task: Optional[str] = None) -> None:
        """Set what the logits of the exits of a task are divided by.

        temperatures (Optional[Sequence[float]]): A number from 0.001 to 1000 for each exit; None for 1.
        task (Optional[str]): The task; None if there is only one.
        RAISES ValueError: Something else.
        """
        task = self._only(task)
        cfg = self.task_cfg(task)
        if temperatures is None:
            cfg.pop("temperatures", None)
        else:
            self._check_temperatures(temperatures, task)
            cfg["temperatures"] = [float(f"{number:.6g}") for number in temperatures]

    def _check_temperatures(self, temperatures: Sequence[float], task: str) -> None:
        exits = len(get_exit_layers(self.model))
        low, high = TEMPERATURES
        if len(temperatures) != exits or not all(low <= number <= high for number in temperatures):
            raise ValueError(
                f"The temperatures of {self._called(task)} are {list(temperatures)}; give a number from {low:g} to {high:g} for "
                f"each of its {exits} exits, or fit them with `calibrate`."
            )

    def make_instances(self, docs: Sequence[Doc], task: Optional[str] = None) -> Instances:
        """Say what there is to answer about some Docs.

        docs (Sequence[Doc]): The Docs.
        task (Optional[str]): The task; None if there is only one.
        RETURNS (Instances): The items and their units.
        """
        return self._make_instances(docs)[self._only(task)]

    def _make_instances(self, docs: Sequence[Doc], windows: Optional[Windows] = None) -> Dict[str, Instances]:
        """What there is to answer for each task, about the same windows."""
        if windows is None:
            windows = self._windows(docs)
        return {task: part.task.make_instances(docs, windows, self.task_cfg(task)) for task, part in self.parts.items()}

    def _windows(self, docs: Sequence[Doc]) -> Windows:
        """Cut those of some Docs into windows that any task wants."""
        wanted = [part.task.has_instances(docs) for part in self.parts.values()]
        every = None if any(own is None for own in wanted) else [any(own) for own in zip(*wanted)]  # type: ignore[misc]
        return get_windows(self.model, docs, every)

    def set_annotations(self, docs: Iterable[Doc], answers: Dict[str, Predictions]) -> None:
        """Write answers to Docs: what the tasks write, and in `doc._.exits` where and why each left, and whether it reached the
        last layer and was still uncertain there, by the threshold that `epee tune --coverage` sets.

        docs (Iterable[Doc]): The Docs.
        answers (Dict[str, Predictions]): The answers of each task.
        """
        docs = list(docs)
        install_extensions()
        entries: List[Dict[str, Any]] = [{} for _ in docs]
        for task, own in answers.items():
            self.parts[task].task.annotate(docs, own, self.task_labels(task))
            flagged = flag(own.entropy, own.layers == own.depth, self.task_cfg(task).get("uncertain", 1.0))
            for entry, units in zip(entries, own.items.by_doc()):
                ran = [unit for unit in units if own.layers[unit]]
                layer = float(own.layers[ran].mean()) if ran else 0.0
                found = [
                    {"layer": int(own.layers[unit]), "reason": own.reasons[unit], "entropy": float(own.entropy[unit])}
                    for unit in ran
                ]
                uncertain = bool(flagged[ran].any())
                entry[task] = {"layer": layer, "depth": own.depth, "uncertain": uncertain, "units": found}
        for doc, entry in zip(docs, entries):
            doc.user_data[EXITS] = {**exits_of(doc), self.name: entry}

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Learn from a batch of examples. Long batches are run in parts whose gradients are summed up.

        examples (Iterable[Example]): The examples. Those without an annotation for this component are left out.
        drop (float): Not used; dropout is a setting of the model's parts (`model.head.dropout`, and the backbone's own).
        sgd (Optional[Optimizer]): The optimizer.
        losses (Optional[Dict[str, float]]): Where to add the loss, under the component's name.
        RETURNS (Dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "EarlyExitTransformer.update")
        self._require_model()
        most = get_settings(self.model).max_wordpieces
        docs = [eg.predicted for eg in examples]
        self._tell_others()
        windows = self._windows(docs).sample(most)
        asked = self._make_instances(docs, windows)
        known = numpy.stack([self._known(task, examples, items) for task, items in asked.items()])
        _leave_out(asked, known)
        climbing = numpy.logical_or.reduce([items.windows_of(items.live) for items in asked.values()])
        lengths = numpy.bincount(windows.docs, windows.lengths * climbing, minlength=len(docs))
        useful = numpy.flatnonzero(known.any(axis=0) & (lengths > 0))
        totals = known[:, useful].sum(axis=1)
        self.wordpieces += int(lengths[useful].sum())
        self.model.attrs["stage"] = self.stage
        sizes = (lengths + known.sum(axis=0))[useful].astype(int)  # an item counts as a wordpiece
        for rows in pack(sizes, most, call=most):  # only the size matters here
            part = useful[rows]
            if len(part) == len(docs):
                part, here = numpy.arange(len(docs)), asked
            else:
                here = self._make_instances([docs[i] for i in part], windows.select(part))
                _leave_out(here, known[:, part])
            taught = [examples[i] for i in part]
            for task, items in here.items():
                self.parts[task].task.add_gold(taught, items)
            scores, backprop = self.model.begin_update(list(here.values()))
            shares = known[:, part].sum(axis=1) / numpy.maximum(totals, 1)
            loss, gradients = self.get_loss(taught, scores, shares)
            if not numpy.isfinite(loss):
                self._stop_training("loss")
            backprop(gradients)
            losses[self.name] += loss
        if sgd is not None and len(useful):
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Change the weights by the gradients, and drop what was fitted to the weights as they were.

        sgd (Optimizer): The optimizer.
        RAISES ValueError: A gradient is NaN or infinite. The weights are then as they were.
        """
        gradients = [parameter.grad for parameter in self._parameters() if parameter.grad is not None]
        if gradients and not torch.isfinite(torch.stack(torch._foreach_norm(gradients))).all():
            self._stop_training("gradient")
        super().finish_update(sgd)
        for task in self.parts:
            for name in FITTED_LATER:
                self.task_cfg(task).pop(name, None)

    def _parameters(self) -> Iterator[torch.nn.Parameter]:
        """The weights of backbone and classifiers."""
        for layer in self.model.layers:
            yield from layer.shims[0]._model.parameters()

    def _stop_training(self, what: str) -> NoReturn:
        """Stop before NaN or infinity gets into the weights."""
        for parameter in self._parameters():
            parameter.grad = None
        raise ValueError(
            f"The {what} of the component '{self.name}' is NaN or infinite, so training stops; the weights are those before this "
            "update. Lower the learning rate (`training.optimizer.learn_rate`) or warm up for longer, keep `grad_clip` at 1.0, "
            "set `model.trunk.mixed_precision` to false, or lower `label_weights` and `weight` if they are far above 1. If this "
            "is the first update, the backbone itself may be damaged."
        )

    def _known(self, task: str, examples: Sequence[Example], items: Instances) -> numpy.ndarray:
        """How many items of a task have an annotation in each example."""
        _, given = self.parts[task].task.targets(examples, self.task_labels(task), items)
        return numpy.bincount(items.unit_docs[items.units[given.any(axis=1)]], minlength=len(examples))

    def get_loss(
        self, examples: Iterable[Example], scores: List[ExitOutputs], shares: Optional[Sequence[float]] = None
    ) -> Tuple[float, List[ExitOutputs]]:
        """Find the loss of some examples and its gradient: the sum of those of the tasks, by their weights.

        examples (Iterable[Example]): The examples.
        scores (List[ExitOutputs]): What the exits say about them, for each task.
        shares (Optional[Sequence[float]]): Which part of the annotation of a batch these are, for each task; None for all.
        RETURNS (Tuple[float, List[ExitOutputs]]): The loss and its gradient.
        """
        examples = list(examples)
        total, gradients = 0.0, []
        for number, (task, found) in enumerate(zip(self.parts, scores)):
            share = self.parts[task].weight * (1.0 if shares is None else float(shares[number]))
            loss, gradient = self._task_loss(task, examples, found)
            links = [replace(part, logits=part.logits * share) for part in gradient.links]
            gradients.append(ExitOutputs(gradient.logits * share, gradient.doubt * share, found.items, links))
            total += share * loss
        return total, gradients

    def _task_loss(self, name: str, examples: Sequence[Example], scores: ExitOutputs) -> Tuple[float, ExitOutputs]:
        """The loss of a task and its gradient."""
        task, cfg = self.parts[name].task, self.task_cfg(name)
        truths, given = task.targets(examples, cfg["labels"], scores.items)
        logits, doubt = xp2torch(scores.logits), xp2torch(scores.doubt)
        weights = task.weights(cfg["labels"], cfg)
        weighting = {"joint": None, "trunk": "last", "exits": "equal"}[self.stage]
        loss, d_logits, d_doubt = self.loss.gradient(
            logits,
            doubt,
            truths=torch.from_numpy(truths).to(logits.device),
            given=torch.from_numpy(given).to(logits.device),
            exclusive=task.exclusive,
            label_weights=torch.tensor(weights, device=logits.device),
            group=task.group,
            threshold=cfg["threshold"],
            weighting=weighting,
        )
        gradient = ExitOutputs(torch2xp(d_logits), torch2xp(d_doubt), scores.items)
        shares = exit_weights(len(logits), weighting or self.loss.weighting).tolist()
        for share, found in zip(shares, scores.links):
            link_truths, possible = task.link_targets(scores.items, found)
            more, d_links = link_gradient(xp2torch(found.logits), link_truths, possible)
            loss += share * more
            gradient.links.append(replace(found, logits=torch2xp(share * d_links)))
        return loss, gradient

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[Union[Dict[str, List[str]], Iterable[str]]] = None,
        positive_label: Optional[Union[Dict[str, str], str]] = None,
    ) -> None:
        """Load the backbone, learn the labels and make the classifiers. What has been trained is made new, as spaCy's own
        components do: labels, weights and all that was fitted to them. Only settings stay: exit rules, `joint` and thresholds.
        If this fails, all is as it was. To train a pipeline further, call `nlp.resume_training`.

        get_examples (Callable[[], Iterable[Example]]): Returns some representative examples.
        nlp (Optional[Language]): The pipeline.
        labels (Optional[Union[Dict[str, List[str]], Iterable[str]]]): The labels, or those of some of the tasks by name; None
            takes those of the examples.
        positive_label (Optional[Union[Dict[str, str], str]]): The positive one of two exclusive labels, for scoring; of several
            tasks that of some of them by name.
        """
        validate_get_examples(get_examples, "EarlyExitTransformer.initialize")
        with self._restored():
            if is_initialized(self.model):
                self._forget()
            self._initialize(get_examples, nlp, labels, positive_label)

    def _initialize(
        self, get_examples: Callable[[], Iterable[Example]], nlp: Optional[Language], labels: Any, positive_label: Any
    ) -> None:
        """As `initialize`, of a component without weights."""
        wanted = self._given_labels(labels)
        for task, part in self.parts.items():
            found, facts = part.task.infer_labels(get_examples())
            self._tell_others()
            self.task_cfg(task).update(facts)
            for label in wanted.get(task, found):
                self.add_label(label, task)
            part.task.check_labels(self.task_labels(task), self._title(task))
        self._check_owners(nlp)
        self._check_heads()
        if positive_label is not None:
            named = positive_label if isinstance(positive_label, dict) else {self._only(): positive_label}
            for task, label in named.items():
                self._set_positive(label, self._only(task))
        sample = list(islice(get_examples(), SAMPLE))
        if not sample:
            raise ValueError(Errors.E923.format(name=self.name))
        self.model.attrs["sizes"] = [
            {"labels": part.task.n_logits(cfg["labels"], cfg), **part.task.sizes(cfg)}
            for part, cfg in ((part, self.task_cfg(task)) for task, part in self.parts.items())
        ]
        self.model.initialize()
        for task, rule in self.exits.items():
            self._check_rule(rule, task)
        docs = _with_sentences(nlp, self, [eg.predicted for eg in sample])
        for task, items in self._make_instances(docs).items():
            _, given = self.parts[task].task.targets(sample, self.task_labels(task), items)
            self.parts[task].task.check_data(sample, items, self._title(task))
        self._standardize(nlp, docs, sample)

    def _forget(self) -> None:
        """Give up weights, labels, and what was found out about data or fitted to the weights."""
        for task in self.parts:
            own = self.task_cfg(task)
            for name in own.keys() - {"labels", "threshold", "format"}:
                del own[name]
            own["labels"] = []
        self.stage = self.model.attrs["stage"] = "joint"
        for layer in self.model.layers:
            layer.shims[0].forget()

    @contextmanager
    def _restored(self) -> Iterator[None]:
        """Undo what is done in this context if it ends with an error."""
        cfg, stage = copy.deepcopy(self.cfg), self.stage
        attrs = {name: self.model.attrs[name] for name in ("sizes", "stage")}
        shims = [(vars(layer.shims[0]), dict(vars(layer.shims[0]))) for layer in self.model.layers]
        outputs = self.model.get_dim("nO") if self.model.has_dim("nO") else None
        try:
            yield
        except BaseException:
            self.cfg.clear()
            self.cfg.update(cfg)
            self.stage = stage
            self.model.attrs.update(attrs)
            for now, before in shims:
                now.clear()
                now.update(before)
            self.model.set_dim("nO", outputs, force=True)
            raise

    def _given_labels(self, labels: Any) -> Dict[str, List[str]]:
        """The labels that `initialize` was given, by task."""
        if labels is None:
            return {}
        if isinstance(labels, str):
            raise ValueError(f"The labels of the component '{self.name}' are one string; give a list.")
        if "tasks" not in self.cfg:
            return {self._only(): list(labels)}
        if not isinstance(labels, dict) or set(labels) - set(self.parts):
            raise ValueError(
                f"Give the labels of the component '{self.name}' by task, in `initialize.components.{self.name}.labels`: "
                f'{{"{next(iter(self.parts))}": [...]}}. The tasks are {list(self.parts)}; those left out take those of the '
                "data."
            )
        return {task: list(own) for task, own in labels.items()}

    def _title(self, task: str) -> str:
        """A task's name in messages, as short as can be."""
        return f"{self.name}.{task}" if "tasks" in self.cfg else self.name

    def _standardize(self, nlp: Optional[Language], docs: List[Doc], sample: Sequence[Example]) -> None:
        """Take the statistics of the pretrained trunk's states."""
        fitted = [heads.standardize for heads in get_heads(self.model) if heads.standardize is not None]
        if not fitted:
            return
        if not all(len(items) for items in self._make_instances(docs).values()):  # what is to be asked about, others will predict
            docs = _with_sentences(nlp, self, [eg.reference for eg in sample])
        with ExitStack() as stack:
            for standardize in fitted:
                stack.enter_context(standardize.fitting())
            for _ in self.all_exits(docs[:FITTED]):
                pass

    def _set_positive(self, label: str, task: str) -> None:
        labels = self.task_labels(task)
        if not self.parts[task].task.exclusive or len(labels) != 2:
            raise ValueError(Errors.E919.format(pos_label=label, labels=labels))
        if label not in labels:
            raise ValueError(Errors.E920.format(pos_label=label, labels=labels))
        self.task_cfg(task)["positive_label"] = label

    def _check_heads(self) -> None:
        """Refuse classifiers made for another task."""
        for (name, part), head in zip(self.parts.items(), self.model.layers[1:]):
            kind = head.shims[0].kind
            if part.task.head_kind != kind.kind:
                block = f"model.heads.{name}" if "tasks" in self.cfg else "model.head"
                raise ValueError(
                    f"The setting `{block}` of the component '{self.name}' names classifiers of the kind '{kind.kind}', and "
                    f"{self._called(name)} takes those of the kind '{part.task.head_kind}'. Name such, or leave the setting "
                    "out where there is a default."
                )

    def _check_owners(self, nlp: Optional[Language]) -> None:
        """Two tasks with the same label would overwrite each other's answers."""
        names = list(self.parts)
        for one, other in combinations(names, 2):
            shared = sorted(set(self.task_labels(one)) & set(self.task_labels(other)))
            place = self.parts[one].task.assigns
            if shared and place == self.parts[other].task.assigns:
                raise ValueError(
                    f"The tasks '{one}' and '{other}' of the component '{self.name}' both have the labels {shared}, or take them "
                    f"from the data, and both write them to `{place}`. Give each its own in "
                    f'`initialize.components.{self.name}.labels`: {{"{one}": [...], "{other}": [...]}}.'
                )
        for name, pipe in [] if nlp is None else nlp.pipeline:
            if pipe is self:
                continue
            settings = nlp.config["initialize"]["components"].get(name, {})  # type: ignore[union-attr]
            for task, part in self.parts.items():
                own = self.task_labels(task)
                if isinstance(pipe, EarlyExitTransformer):
                    rivals = [other for other in pipe.parts if pipe.parts[other].task.assigns == part.task.assigns]
                    theirs: Tuple[str, ...] = tuple(label for other in rivals for label in pipe.task_labels(other))
                else:
                    rivals = [name] if part.task.assigns in nlp.get_pipe_meta(name).assigns else []  # type: ignore[union-attr]
                    theirs = tuple(getattr(pipe, "labels", ()))
                # A component before its own initialization takes the labels it is given, or else all that are in the data.
                if rivals and not theirs and "labels" not in settings:
                    theirs = own
                shared = sorted(set(own) & set(theirs)) if rivals else []
                if shared:
                    raise ValueError(
                        f"The components '{name}' and '{self.name}' both have the labels {shared}, or take them from the data, "
                        f"and both write them to `{part.task.assigns}`. Give each its own with "
                        f"`initialize.components.{self.name}.labels`, or rename them in the data."
                    )

    def add_label(self, label: str, task: Optional[str] = None) -> int:
        """Add a label. Possible until the component is initialized.

        label (str): The label.
        task (Optional[str]): The task; None if there is only one.
        RETURNS (int): 0 if the label is there already, otherwise 1.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if label in self.task_labels(task):
            return 0
        if is_initialized(self.model):
            raise ValueError(Errors.E922.format(name=self.name, nO=self.model.get_dim("nO")))
        self.task_cfg(task)["labels"].append(label)
        self.vocab.strings.add(label)
        return 1

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score answers, and the layers they took.

        examples (Iterable[Example]): Examples whose predicted Docs this component has annotated.
        RETURNS (Dict[str, Any]): The scorer's figures with the exit rule; the main one at full depth, such as `cats_full` or
            `rel_full`; and `exit_layer`, the mean layer of the exits taken, by unit. With several tasks each figure has the
            task's name before it, `joint_score` and `joint_full` are the means of the main ones where there are any, and
            `exit_layer` is the mean over the documents of the last layer that ran.
        """
        examples = list(examples)
        validate_examples(examples, "EarlyExitTransformer.score")
        full: Dict[str, Predictions] = {}
        if self.compare_full_depth and any(rule is not None for rule in self.exits.values()):
            full = self.run([eg.predicted for eg in examples], dict.fromkeys(self.parts))
        found: Dict[str, Dict[str, Any]] = {}
        for task, part in self.parts.items():
            unknown = self.find_unknown(examples, task)
            unknown.warn(self._called(task))
            scores = showable(self._score(task, examples, unknown, **kwargs), known_names(self.task_cfg(task)))
            taken = [exits_of(eg.predicted).get(self.name, {}).get(task) for eg in examples]
            layers = [unit["layer"] for entry in taken if entry for unit in entry["units"]]
            scores["exit_layer"] = float(numpy.mean(layers)) if layers else 0.0
            if full:
                scores[part.task.full] = self.score_answers(examples, full[task], task, unknown, **kwargs).get(part.task.main)
            else:
                scores[part.task.full] = scores.get(part.task.main) if part.exit is None else None
            found[task] = scores
        if "tasks" not in self.cfg:
            return found[self._only()]
        joint: Dict[str, Any] = {f"{task}_{name}": score for task, scores in found.items() for name, score in scores.items()}
        for name, kind in (("joint_score", "main"), ("joint_full", "full")):
            means = [
                scores.get(getattr(self.parts[task].task, kind))
                for task, scores in found.items()
                if scores.get(self.parts[task].task.main) is not None
            ]
            joint[name] = None if not means or None in means else float(numpy.mean(means))  # type: ignore[arg-type]
        entries = [exits_of(eg.predicted).get(self.name, {}).values() for eg in examples]
        deepest = [max((unit["layer"] for entry in own for unit in entry["units"]), default=0) for own in entries]
        joint["exit_layer"] = float(numpy.mean(deepest)) if deepest else 0.0
        return joint

    def find_unknown(self, examples: Sequence[Example], task: Optional[str] = None, nlp: Optional[Language] = None) -> Unknown:
        """Find what is annotated and no answer of a task can be: it is scored as missed. What other components have answered, or
        may, is not among it.

        examples (Sequence[Example]): The examples.
        task (Optional[str]): The task; None if there is only one.
        nlp (Optional[Language]): The pipeline, if its other components have not all run on the predicted Docs.
        RETURNS (Unknown): What cannot be answered.
        """
        task = self._only(task)
        own = self.parts[task].task
        self._tell_others()
        elsewhere = {label for eg in examples for label in own.answered_labels(eg.predicted)}
        elsewhere.update(label for other, part in self.parts.items() if other != task for label in self.task_labels(other))
        if nlp is not None:
            elsewhere.update(labels_elsewhere(nlp, self, task))
        elif own.assigns != "doc.cats" and has_rivals(examples, self.name, own.name):
            elsewhere.update(label for eg in examples for label in own.true_labels(eg.reference))
        return find_unknown(own, self.task_labels(task), examples, elsewhere)

    def _score(self, task: str, examples: Sequence[Example], unknown: Unknown, **kwargs: Any) -> Dict[str, Any]:
        """Run the scorer of a task. Labels that it does not know are scored with its own, as never given."""
        part, cfg = self.parts[task], self.task_cfg(task)
        if part.scorer is None:
            return {}
        labels = (*cfg["labels"], *unknown.labels)
        if part.task.assigns == "doc.cats":
            rows = range(len(examples))
            if "tasks" in self.cfg:  # spaCy takes what is not annotated for wrong
                rows = [row for row in rows if set(examples[row].reference.cats) & set(labels)]  # type: ignore[assignment]
            without = set(unknown.without)
            examples = [without_labels(examples[row], labels) if row in without else examples[row] for row in rows]
        scores = dict(part.scorer(examples, **{**cfg, "labels": labels, **part.task.score_settings(), **kwargs}))
        positive = cfg.get("positive_label")
        if unknown.labels and positive in (scores.get("cats_f_per_type") or {}):  # spaCy asks for it among two labels alone
            scores.update(cats_score=scores["cats_f_per_type"][positive]["f"], cats_score_desc=f"F ({positive})")
        return scores

    def score_answers(
        self,
        examples: Sequence[Example],
        answers: Predictions,
        task: Optional[str] = None,
        unknown: Optional[Unknown] = None,
        **kwargs: Any,
    ) -> Dict[str, Any]:
        """Score answers that are not written on Docs.

        examples (Sequence[Example]): The examples.
        answers (Predictions): An answer for each.
        task (Optional[str]): The task; None if there is only one.
        unknown (Optional[Unknown]): What `find_unknown` found in them; None to look.
        RETURNS (Dict[str, Any]): The scorer's figures.
        """
        task = self._only(task)
        unknown = self.find_unknown(examples, task) if unknown is None else unknown
        scores = self._score(task, self.answered(examples, answers, task), unknown, **kwargs)
        return showable(scores, known_names(self.task_cfg(task)))

    def answered(self, examples: Sequence[Example], answers: Predictions, task: Optional[str] = None) -> List[Example]:
        """Write answers on copies of documents.

        examples (Sequence[Example]): The examples.
        answers (Predictions): An answer for each.
        task (Optional[str]): The task; None if there is only one.
        RETURNS (List[Example]): The examples with the answers.
        """
        task = self._only(task)
        docs = [copy_doc(eg.predicted) for eg in examples]
        self.parts[task].task.annotate(docs, answers, self.task_labels(task))
        return [Example(doc, eg.reference) for doc, eg in zip(docs, examples)]

    def exit_logits(self, docs: Iterable[Doc], batch_size: int = 64, task: Optional[str] = None) -> Iterator[ExitOutputs]:
        """As `all_exits`, for one task.

        docs (Iterable[Doc]): The Docs.
        batch_size (int): How many run together.
        task (Optional[str]): The task; None if there is only one.
        YIELDS (ExitOutputs): The outputs of a batch, in numpy arrays.
        """
        task = self._only(task)
        for found in self.all_exits(docs, batch_size):
            yield found[task]

    def all_exits(self, docs: Iterable[Doc], batch_size: int = 64) -> Iterator[Dict[str, ExitOutputs]]:
        """Run the full depth and keep what every exit says, to try rules without running the model again.

        docs (Iterable[Doc]): The Docs. Items of a Doc without wordpieces get zeros.
        batch_size (int): How many run together.
        YIELDS (Dict[str, ExitOutputs]): The outputs of each task for a batch, in numpy arrays.
        """
        self._require_model()
        docs = list(docs)
        for start in range(0, len(docs), batch_size):
            batch = docs[start : start + batch_size]
            asked = self._make_instances(batch)
            said = {}
            for task, found in zip(asked, self.model.predict(list(asked.values()))):
                self._refuse_nan(task, _not_finite(found), len(batch))
                links = [replace(part, logits=to_numpy(part.logits)) for part in found.links]
                said[task] = ExitOutputs(to_numpy(found.logits), to_numpy(found.doubt), found.items, links)
            yield said

    def _require_model(self) -> None:
        if not is_initialized(self.model):
            raise ValueError(Errors.E109.format(name=self.name))

    @LOADING
    def to_bytes(self, *, exclude: Iterable[str] = tuple()) -> bytes:
        """Serialize the component.

        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (bytes): The component.
        """
        parts = self._parts()
        writers: Dict[str, Callable[[], bytes]] = {name: partial(bytes, own) for name, own in parts.items()}
        return to_bytes({**writers, "vocab": partial(self.vocab.to_bytes, exclude=exclude)}, exclude)

    @LOADING
    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = tuple()) -> None:
        """Save the component: all of it or nothing.

        path (Union[str, Path]): The folder.
        exclude (Iterable[str]): Names of parts to leave out.
        """
        parts = self._parts()
        writers: Dict[str, Callable[[Path], Any]] = {name: partial(_write, content=own) for name, own in parts.items()}
        with whole_folder(path, keep=True, key="cfg") as part:
            to_disk(part, {**writers, "vocab": partial(self.vocab.to_disk, exclude=exclude)}, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = tuple()) -> "EarlyExitTransformer":
        """Load the component from bytes.

        bytes_data (bytes): What `to_bytes` returned.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (EarlyExitTransformer): The component.
        """
        return self._load(lambda: read_bytes(bytes_data), exclude, "bytes")

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = tuple()) -> "EarlyExitTransformer":
        """Load the component from disk.

        path (Union[str, Path]): The folder.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (EarlyExitTransformer): The component.
        """
        path = ensure_path(path)

        def read() -> Dict[str, Any]:
            return {**read_disk(path), "vocab": path / "vocab"}

        return self._load(read, exclude, f"'{path}'")

    def _load(self, read: Callable[[], Dict[str, Any]], exclude: Iterable[str], source: str) -> "EarlyExitTransformer":
        """Load the component. All is loaded beside what is there, which goes on answering until then, and whatever is wrong is
        found before anything changes.

        read (Callable[[], Dict[str, Any]]): Reads the contents of its files.
        exclude (Iterable[str]): Names of parts to leave out.
        source (str): What it is loaded from, in messages.
        RETURNS (EarlyExitTransformer): The component.
        """
        exclude, other = list(exclude), self._twin()
        try:
            with collecting():
                parts = read()
                cfg = read_cfg(parts)
                known = cfg["format"] <= FORMAT
                if known:
                    other._fill(check_seal(cfg, None if "model" in exclude else parts["model"]), parts, exclude)
        except Exception as error:  # whatever msgpack, torch, safetensors or transformers make of a damaged file
            raise self._not_loaded(error, source) from error
        if not known:
            raise ValueError(
                f"The component '{self.name}' was saved by a newer version of spacy_epee (format {cfg['format']}; this version "
                f"reads up to {FORMAT}). Update with `pip install -U spacy_epee`."
            )
        try:
            other._check_loaded(source)
        except UNREADABLE as error:
            raise self._not_loaded(error, source) from error
        if "vocab" not in exclude and "vocab" in parts:
            _load_vocab(self.vocab, parts["vocab"], exclude)
        take_over(self.model, other.model)
        self.cfg, self.parts, self.joint = other.cfg, other.parts, other.joint
        return self

    def _twin(self) -> "EarlyExitTransformer":
        """RETURNS (EarlyExitTransformer): Another one like this, to load into."""
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        other.vocab, other.name, other.model, other.cfg = self.vocab, self.name, twin(self.model), copy.deepcopy(self.cfg)
        other.parts = {task: copy.copy(part) for task, part in self.parts.items()}
        return other

    def _fill(self, cfg: Dict[str, Any], parts: Dict[str, Any], exclude: Sequence[str]) -> None:
        """Load files into a component that nobody uses yet."""
        if "cfg" not in exclude:
            # What the file leaves out must not be taken over from what this component was before.
            self.cfg.pop("joint", None)
            for task in self.parts:
                for name in ("exit", *FITTED_LATER):
                    self.task_cfg(task).pop(name, None)
            self.cfg.update(cfg)
        if "model" not in exclude:
            fresh = not is_initialized(self.model)
            asked = trained_settings(self.model)
            self.model.from_bytes(parts["model"])
            if fresh and is_initialized(self.model):
                self._say_ignored(asked)
        if "vocab" not in exclude and "vocab" in parts:
            _load_vocab(Vocab(), parts["vocab"], exclude)  # that of the pipeline is loaded last

    def _say_ignored(self, asked: Dict[str, Any]) -> None:
        """Say which settings of the config have no effect, as they belong to what was trained.

        asked (Dict[str, Any]): The settings that the config asks for, by their place.
        """
        trained = trained_settings(self.model)
        for place, value in asked.items():
            if value != trained.get(place, value):
                warnings.warn(
                    f"The setting `components.{self.name}.model.{place}` is {value} and has no effect: this pipeline was trained "
                    f"with {trained[place]}. Train anew to change it, or set it to that."
                )

    def _not_loaded(self, error: Exception, source: str) -> ValueError:
        """RETURNS (ValueError): What to raise where something cannot be loaded."""
        if isinstance(error, Refused):
            return ValueError(f"The component '{self.name}' could not be loaded from {source}: {error}. Copy or save it again.")
        return ValueError(
            f"The component '{self.name}' could not be loaded from {source} ({type(error).__name__}): the files are damaged, "
            "incomplete or of another model, or the installed versions of transformers and torch cannot read them. Copy or "
            "save the pipeline again, or install the versions it was saved with."
        )

    def _check_loaded(self, source: str) -> None:
        """Check what was loaded, and set what was set on the pipeline before it was saved."""
        if sorted(self.cfg.get("tasks", self.parts)) != list(self.parts):
            raise ValueError(
                f"The component '{self.name}' was saved with the tasks {sorted(self.cfg['tasks'])}, and its config has "
                f"{list(self.parts)}. Load it with the config it was saved with."
            )
        heads = get_heads(self.model) if is_initialized(self.model) else []
        for (task, part), own in zip(self.parts.items(), heads):
            cfg = self.task_cfg(task)
            expected = part.task.n_logits(cfg["labels"], cfg)
            if own.n_labels != expected:
                raise ValueError(
                    f"{self._called(task).capitalize()} has {len(cfg['labels'])} labels, which need {expected} outputs, and its "
                    f"model in {source} was trained with {own.n_labels}: the files are not of one pipeline, or the config "
                    "says something else about exclusive labels. Copy or save it again."
                )
        noted = self.cfg.pop("joint", None)
        if noted is not None and noted["config"] == self._config_joint:
            self.joint = noted["now"]
        for task, part in self.parts.items():
            cfg = self.task_cfg(task)
            if "temperatures" in cfg:
                # srsly reads some numbers back as their neighbours
                self.set_temperatures(cfg["temperatures"], task)
            # What the config says now holds over what was saved, unless it says the same as then.
            if float(cfg.pop("config_threshold", cfg["threshold"])) != part.threshold:
                cfg["threshold"] = part.threshold
            noted = json.loads(cfg.pop("exit", "null"))
            # A rule set on the pipeline before it was saved holds, unless the config asks for another one now.
            if noted is not None and noted["config"] == _rule_config(self._config_rules[task]):
                self.set_exit(resolve_rule(noted["rule"]) if noted["rule"] else None, task)
            self._check_rule(part.exit, task)

    def _parts(self) -> Parts:
        """RETURNS (Parts): What the files of the component hold."""
        self._note_rules()
        return seal(self.cfg, self.model.to_bytes())

    def _note_rules(self) -> None:
        """Keep what was set on the pipeline and is not in its config: rules, and `joint`; and what its config says of
        thresholds."""
        self.cfg.pop("joint", None)
        if self.joint != self._config_joint:
            self.cfg["joint"] = {"config": self._config_joint, "now": self.joint}
        for task, part in self.parts.items():
            cfg, configured = self.task_cfg(task), self._config_rules[task]
            cfg["config_threshold"] = str(part.threshold)  # srsly reads 0.3 back as 0.30000000000000004
            cfg.pop("exit", None)
            rule = _rule_config(part.exit)
            if rule is None and part.exit is not None and part.exit is not configured:
                warnings.warn(
                    f"The exit rule {type(part.exit).__name__} of {self._called(task)} has no `to_config` and is not saved: "
                    "the pipeline will be loaded with the rule of its config. Name the rule there, or give it that method."
                )
            elif rule != _rule_config(configured) or (part.exit is None) != (configured is None):
                # As a string: srsly reads 0.3 back as 0.30000000000000004.
                cfg["exit"] = json.dumps({"config": _rule_config(configured), "rule": rule})


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _load_vocab(vocab: Vocab, source: Union[bytes, Path], exclude: Sequence[str]) -> None:
    """Load a vocabulary that was saved with a component."""
    if isinstance(source, bytes):
        vocab.from_bytes(source, exclude=exclude)
    else:
        vocab.from_disk(source, exclude=exclude)


save_whole(EarlyExitTransformer)


def _check_parts(parts: Dict[str, Any], named: Optional[List[str]], name: str) -> None:
    """Refuse tasks that a component cannot have.

    parts (Dict[str, Any]): The tasks, by name.
    named (Optional[List[str]]): The tasks that its model has classifiers for; None for a model with those of one task.
    name (str): The component.
    """
    for task, part in parts.items():
        if not isinstance(part, TaskSlot):
            raise ValueError(
                f"The block `components.{name}.tasks.{task}` makes no task. Give it one such as "
                '`@misc = "spacy-epee.TextCatTask.v1"`.'
            )
    if named is None and len(parts) != 1:
        raise ValueError(
            f"The component '{name}' has the tasks {sorted(parts)}, and its model has classifiers for one task. Set "
            f"`components.{name}.model.@architectures` to 'spacy-epee.JointModel.v1', and name classifiers for each task."
        )
    if named is not None and sorted(parts) != named:
        raise ValueError(
            f"The component '{name}' has the tasks {sorted(parts)}, and its model has classifiers for {named}. Give each "
            f"task a block in `components.{name}.tasks` and one of the same name in `components.{name}.model.heads`."
        )
    for one, other in combinations(sorted(parts), 2):
        place = parts[one].task.assigns
        if place == parts[other].task.assigns and place != "doc.cats":
            raise ValueError(
                f"The tasks '{one}' and '{other}' of the component '{name}' both write `{place}`. Make one task of them, with "
                "all their labels, or two components."
            )


def _rule_config(rule: Optional[ExitRule]) -> Optional[Dict[str, Any]]:
    """The config block of a rule; None for the full depth, or for a foreign rule that does not tell."""
    return None if rule is None else complete(rule).to_config()


def _with_sentences(nlp: Optional[Language], component: EarlyExitTransformer, docs: Sequence[Doc]) -> List[Doc]:
    """Copies of Docs, with sentence boundaries where a component before this one sets them and no gold ones are there."""
    docs = [copy_doc(doc) for doc in docs]
    for name, pipe in [] if nlp is None else nlp.pipeline:
        if pipe is component:
            break
        if "token.is_sent_start" in nlp.get_pipe_meta(name).assigns:  # type: ignore[union-attr]
            docs = [doc if doc.has_annotation("SENT_START") else pipe(doc) for doc in docs]
    return docs


def _leave_out(asked: Dict[str, Instances], known: numpy.ndarray) -> None:
    """Do not run for a task what it can learn nothing from.

    asked (Dict[str, Instances]): What each task asks.
    known (ndarray): How many of its items are annotated in each Doc, (tasks, docs).
    """
    for items, own in zip(asked.values(), known):
        items.wanted = own[items.unit_docs] > 0  # type: ignore[assignment]


def _not_finite(found: ExitOutputs) -> numpy.ndarray:
    """The Docs of which an exit says something that is no number."""
    items = found.items
    rows = ~numpy.isfinite(to_numpy(found.logits)).all(axis=(0, 2))
    units = [items.units[rows]]
    units += [links.heads[~numpy.isfinite(to_numpy(links.logits)).all(axis=1), 0] for links in found.links]
    return items.unit_docs[numpy.concatenate(units)]


def install_extensions() -> None:
    """Register `doc._.exits`. Workers call this too."""
    install("exits", default={})
