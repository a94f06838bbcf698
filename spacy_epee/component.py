"""The pipeline component: a transformer that stops climbing when its answer is settled."""

import json
import os
import time
import warnings
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy
import srsly
import torch
from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import ensure_path, minibatch, registry
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, to_numpy, torch2xp, xp2torch

from .exits.rules import ExitRule
from .items import Items
from .loop import Answers, run_exits
from .model import (
    ExitOutputs,
    get_exit_layers,
    get_heads,
    get_settings,
    get_stepper,
    get_windows,
    is_initialized,
    set_training,
)
from .tasks.base import Task, check_trunk
from .training.losses import JointLoss, exit_weights, link_gradient
from .windows import UnreadableDocs, pack

FORMAT = 1
"""The layout of saved components. Raise it when an older version could not read a newer one."""

SAMPLE, FITTED = 200, 64
"""How many examples are checked when the component is initialized, and how many are run to standardize by."""

CLIMB = 8
"""How many calls' worth of wordpieces climb together. More share exits better, fewer hold less memory."""

# A forked worker inherits torch's thread pool without its threads and would wait for them forever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class EarlyExitTransformer(TrainablePipe):
    """A transformer with classifiers on its layers, and a rule that says for each document which one to believe."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "epee",
        *,
        task: Task,
        exit: Optional[ExitRule],
        loss: JointLoss,
        threshold: float = 0.5,
        scorer: Optional[Callable] = None,
        compare_full_depth: bool = True,
    ):
        """Make a component.

        vocab (Vocab): The shared vocabulary.
        model (Model): The early-exiting model.
        name (str): The component's name in the pipeline.
        task (Task): What is predicted.
        exit (Optional[ExitRule]): When to leave; None runs the full depth.
        loss (JointLoss): How the exits are trained.
        threshold (float): The probability from which a label counts as given, if labels are not exclusive.
        scorer (Optional[Callable]): The scoring method.
        compare_full_depth (bool): Whether scoring also runs the full depth, for `cats_full` or `rel_full`. If not, set
            `training.score_weights.cats_full = null`.
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f"The setting `threshold` of the component '{name}' is {threshold}; give a number from 0 to 1.")
        check_trunk(task, model.get_ref("trunk").shims[0].reads, name)
        self.vocab = vocab
        self.model = model
        self.name = name
        self.task = task
        self.loss = loss
        self.scorer = scorer
        self.compare_full_depth = compare_full_depth
        self.stage = "joint"
        self.cfg: Dict[str, Any] = {"labels": [], "threshold": threshold, "format": FORMAT}
        self._config_threshold = threshold
        self._exit: Optional[ExitRule] = None
        self.exit = exit
        self._config_rule = exit
        install_extensions()

    @property
    def labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels of the component."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> List[str]:
        """RETURNS (List[str]): What `spacy init labels` writes and `initialize` takes."""
        return list(self.labels)

    @property
    def exit(self) -> Optional[ExitRule]:
        """RETURNS (Optional[ExitRule]): The exit rule. Another one can be set at any time; None runs the full depth."""
        return self._exit

    @exit.setter
    def exit(self, rule: Optional[ExitRule]) -> None:
        if rule is not None and not isinstance(rule, ExitRule):
            raise ValueError(
                f"The setting `exit` of the component '{self.name}' is a {type(rule).__name__}, not an exit rule. Give one such "
                "as `{'@misc': 'spacy-epee.EntropyPatience.v1'}`, or null for the full depth."
            )
        self._check_rule(rule)
        self._exit = rule

    def _check_rule(self, rule: Optional[ExitRule]) -> None:
        """Refuse a rule that could never fire, once the depth is known."""
        if rule is None or not is_initialized(self.model):
            return
        layers = get_exit_layers(self.model)
        if not rule.can_fire(layers):
            raise ValueError(
                f"The exit rule {_rule_config(rule) or type(rule).__name__} of the component '{self.name}' can never fire before "
                f"the last of the exits, which are after the layers {layers}. Relax `components.{self.name}.exit`, or set it to "
                "null to run the full depth on purpose."
            )

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Answer a stream of Docs.

        stream (Iterable[Doc]): The Docs.
        batch_size (int): How many are answered together.
        YIELDS (Doc): The Docs in order, without those that the error handler was given.
        """
        for docs in minibatch(stream, size=batch_size):
            yield from self._answer_or_handle(docs)

    def _answer_or_handle(self, docs: List[Doc]) -> List[Doc]:
        """Answer a batch. As with spaCy's own components all of it goes to the error handler if something is wrong, but what
        cannot be read goes there alone."""
        handler = self.get_error_handler()
        try:
            self.set_annotations(docs, self.predict(docs))
            return docs
        except UnreadableDocs as error:
            handler(self.name, self, [docs[i] for i in error.docs], error)
            rest = [doc for i, doc in enumerate(docs) if i not in error.docs]
        except Exception as error:
            handler(self.name, self, docs, error)
            rest = []
        return self._answer_or_handle(rest) if rest else []

    def predict(self, docs: Iterable[Doc]) -> Answers:
        """Answer some Docs without changing them.

        docs (Iterable[Doc]): The Docs.
        RETURNS (Answers): The answers.
        """
        return self.answer(list(docs), self.exit)

    def answer(self, docs: Sequence[Doc], rule: Optional[ExitRule]) -> Answers:
        """Answer some Docs by a rule.

        docs (Sequence[Doc]): The Docs.
        rule (Optional[ExitRule]): The rule; None runs the full depth.
        RETURNS (Answers): The answers, of Docs in order.
        """
        self._require_model()
        began = time.perf_counter()
        stepper, heads = get_stepper(self.model), get_heads(self.model)
        items = self.ask(docs)
        answers = Answers.empty(items, heads.n_labels, stepper.depth, self.task.reading(self.cfg["threshold"]))
        counters = None if rule is None else rule.start(items.n_units, began)
        set_training(self.model, False)
        most = get_settings(self.model).max_wordpieces
        layers = get_exit_layers(self.model)
        for units in _climbs(items, most * CLIMB):
            run_exits(
                stepper,
                heads,
                answers,
                units,
                exit_layers=layers,
                rule=rule,
                counters=counters,
                wordpieces=most,
            )
        return answers

    def ask(self, docs: Sequence[Doc]) -> Items:
        """Say what there is to answer about some Docs.

        docs (Sequence[Doc]): The Docs.
        RETURNS (Items): The items and their units.
        """
        return self.task.ask(docs, get_windows(self.model, docs, self.task.wanted(docs)), self.cfg)

    def set_annotations(self, docs: Iterable[Doc], answers: Answers) -> None:
        """Write answers to Docs: what the task writes, and where and why each left, in `doc._.exits`.

        docs (Iterable[Doc]): The Docs.
        answers (Answers): Their answers.
        """
        docs = list(docs)
        install_extensions()
        self.task.annotate(docs, answers, self.labels)
        for doc, own in zip(docs, answers.items.by_doc()):
            ran = [unit for unit in own if answers.layers[unit]]
            units = [
                {"layer": int(answers.layers[unit]), "reason": answers.reasons[unit], "entropy": float(answers.entropy[unit])}
                for unit in ran
            ]
            layer = float(answers.layers[ran].mean()) if ran else 0.0
            entry = {"layer": layer, "depth": answers.depth, "units": units}
            doc._.exits = {**doc._.exits, self.name: {self.task.name: entry}}

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
        windows = get_windows(self.model, docs, self.task.wanted(docs)).sample(most)
        items = self.task.ask(docs, windows, self.cfg)
        _, given = self.task.targets(examples, self.labels, items)
        answered = given.any(axis=1)
        known = numpy.bincount(items.unit_docs[items.units[answered]], minlength=len(docs))
        lengths = numpy.bincount(items.unit_docs, items.lengths, minlength=len(docs))
        useful = numpy.flatnonzero((known > 0) & (lengths > 0))
        self.model.attrs["stage"] = self.stage
        sizes = (lengths + known)[useful].astype(int)  # an item counts as a wordpiece
        for rows in pack(sizes, most, call=most):  # only the size matters here
            part = useful[rows]
            if len(part) == len(docs):
                part, asked = numpy.arange(len(docs)), items
            else:
                asked = self.task.ask([docs[i] for i in part], windows.select(part), self.cfg)
            taught = [examples[i] for i in part]
            self.task.teach(taught, asked)
            scores, backprop = self.model.begin_update(asked)
            loss, gradient = self.get_loss(taught, scores)
            share = float(known[part].sum() / known[useful].sum())
            links = [replace(found, logits=found.logits * share) for found in gradient.links]
            backprop(ExitOutputs(gradient.logits * share, gradient.doubt * share, asked, links))
            losses[self.name] += loss * share
        if sgd is not None and len(useful):
            self.finish_update(sgd)
        return losses

    def get_loss(self, examples: Iterable[Example], scores: ExitOutputs) -> Tuple[float, ExitOutputs]:
        """Find the loss of some examples and its gradient.

        examples (Iterable[Example]): The examples.
        scores (ExitOutputs): What the exits say about them.
        RETURNS (Tuple[float, ExitOutputs]): The loss and its gradient.
        """
        truths, given = self.task.targets(list(examples), self.labels, scores.items)
        logits, doubt = xp2torch(scores.logits), xp2torch(scores.doubt)
        weights = self.task.weights(self.labels, self.cfg)
        weighting = {"joint": None, "trunk": "last", "exits": "equal"}[self.stage]
        loss, d_logits, d_doubt = self.loss.gradient(
            logits,
            doubt,
            truths=torch.from_numpy(truths).to(logits.device),
            given=torch.from_numpy(given).to(logits.device),
            exclusive=self.task.exclusive,
            label_weights=torch.tensor(weights, device=logits.device),
            group=self.task.group,
            threshold=self.cfg["threshold"],
            weighting=weighting,
        )
        gradient = ExitOutputs(torch2xp(d_logits), torch2xp(d_doubt), scores.items)
        for exit, found in enumerate(scores.links):
            link_truths, possible = self.task.link_targets(scores.items, found)
            share = float(exit_weights(len(scores.links), weighting or self.loss.weighting)[exit])
            more, d_links = link_gradient(xp2torch(found.logits), link_truths, possible)
            loss += share * more
            gradient.links.append(replace(found, logits=torch2xp(share * d_links)))
        return loss, gradient

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[Iterable[str]] = None,
        positive_label: Optional[str] = None,
    ) -> None:
        """Load the backbone, learn the labels and make the classifiers.

        get_examples (Callable[[], Iterable[Example]]): Returns some representative examples.
        nlp (Optional[Language]): The pipeline.
        labels (Optional[Iterable[str]]): The labels; None takes those of the examples.
        positive_label (Optional[str]): The positive one of two exclusive labels, for scoring.
        """
        validate_get_examples(get_examples, "EarlyExitTransformer.initialize")
        if isinstance(labels, str):
            raise ValueError(f"The labels of the component '{self.name}' are one string; give a list.")
        found, facts = self.task.learn(get_examples())
        if not is_initialized(self.model):  # classifiers that are there already were made for what was found then
            self.cfg.update(facts)
        for label in found if labels is None else labels:
            self.add_label(label)
        self.task.check_labels(self.labels, self.name)
        self._check_owners(nlp)
        self._check_head()
        if positive_label is not None:
            if not self.task.exclusive or len(self.labels) != 2:
                raise ValueError(Errors.E919.format(pos_label=positive_label, labels=self.labels))
            if positive_label not in self.labels:
                raise ValueError(Errors.E920.format(pos_label=positive_label, labels=self.labels))
            self.cfg["positive_label"] = positive_label
        sample = list(islice(get_examples(), SAMPLE))
        if not sample:
            raise ValueError(Errors.E923.format(name=self.name))
        self.model.attrs["sizes"] = self.task.sizes(self.cfg)
        self.model.set_dim("nO", self.task.n_logits(self.labels, self.cfg))
        self.model.initialize()
        self._check_rule(self.exit)
        docs = _with_sentences(nlp, self, [eg.predicted for eg in sample])
        items = self.ask(docs)
        self.task.targets(sample, self.labels, items)
        self.task.check_data(sample, items, self.name)
        standardize = get_heads(self.model).standardize
        if standardize is not None:
            if not len(items):  # what there is to ask about will be predicted by other components
                docs = _with_sentences(nlp, self, [eg.reference for eg in sample])
            with standardize.fitting():
                for _ in self.exit_logits(docs[:FITTED]):
                    pass

    def _check_head(self) -> None:
        """Refuse classifiers made for another task."""
        kind = self.model.get_ref("head").shims[0].kind
        if self.task.name not in (kind.task, *kind.also):
            raise ValueError(
                f"The setting `model.head` of the component '{self.name}' names classifiers for the task '{kind.task}', and this "
                f"component's is '{self.task.name}'. Leave the setting out to take the default."
            )

    def _check_owners(self, nlp: Optional[Language]) -> None:
        """Two components with the same label would overwrite each other's answers."""
        for name, pipe in [] if nlp is None else nlp.pipeline:
            if pipe is self or self.task.assigns not in nlp.get_pipe_meta(name).assigns:  # type: ignore[union-attr]
                continue
            settings = nlp.config["initialize"]["components"].get(name, {})  # type: ignore[union-attr]
            # A component before its own initialization takes the labels it is given, or else all that are in the data.
            theirs = getattr(pipe, "labels", ()) or (() if "labels" in settings else self.labels)
            shared = sorted(set(self.labels) & set(theirs))
            if shared:
                raise ValueError(
                    f"The components '{name}' and '{self.name}' both have the labels {shared}, or take them from the data, "
                    f"and both write them to `{self.task.assigns}`. Give each its own with "
                    f"`initialize.components.{self.name}.labels`, or rename them in the data."
                )

    def add_label(self, label: str) -> int:
        """Add a label. Possible until the component is initialized.

        label (str): The label.
        RETURNS (int): 0 if the label is there already, otherwise 1.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if label in self.labels:
            return 0
        if is_initialized(self.model):
            raise ValueError(Errors.E922.format(name=self.name, nO=self.model.get_dim("nO")))
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        return 1

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score answers, and the layers they took.

        examples (Iterable[Example]): Examples whose predicted Docs this component has annotated.
        RETURNS (Dict[str, Any]): The scorer's figures with the exit rule; the main one at full depth, `cats_full` or
            `rel_full`; and `exit_layer`, the mean layer of the exits taken, by unit.
        """
        examples = list(examples)
        validate_examples(examples, "EarlyExitTransformer.score")
        scores = dict(super().score(examples, **self.task.score_settings(), **kwargs))
        taken = [eg.predicted._.exits.get(self.name, {}).get(self.task.name) for eg in examples]
        layers = [unit["layer"] for entry in taken if entry for unit in entry["units"]]
        scores["exit_layer"] = float(numpy.mean(layers)) if layers else 0.0
        if self.exit is None or not self.compare_full_depth:
            scores[self.task.full] = scores.get(self.task.main) if self.exit is None else None
            return scores
        answers = self.answer([eg.predicted for eg in examples], None)
        scores[self.task.full] = self.score_answers(examples, answers, **kwargs).get(self.task.main)
        return scores

    def score_answers(self, examples: Sequence[Example], answers: Answers, **kwargs: Any) -> Dict[str, Any]:
        """Score answers that are not written on Docs.

        examples (Sequence[Example]): The examples.
        answers (Answers): An answer for each.
        RETURNS (Dict[str, Any]): The scorer's figures.
        """
        docs = [eg.predicted.copy() for eg in examples]
        self.task.annotate(docs, answers, self.labels)
        copies = [Example(doc, eg.reference) for doc, eg in zip(docs, examples)]
        return super().score(copies, **self.task.score_settings(), **kwargs)

    def exit_logits(self, docs: Iterable[Doc], batch_size: int = 64) -> Iterator[ExitOutputs]:
        """Run the full depth and keep what every exit says, to try rules without running the model again.

        docs (Iterable[Doc]): The Docs. Items of a Doc without wordpieces get zeros.
        batch_size (int): How many run together.
        YIELDS (ExitOutputs): The outputs of a batch, in numpy arrays.
        """
        self._require_model()
        docs = list(docs)
        for start in range(0, len(docs), batch_size):
            part = docs[start : start + batch_size]
            found = self.model.predict(self.ask(part))
            links = [replace(part, logits=to_numpy(part.logits)) for part in found.links]
            yield ExitOutputs(to_numpy(found.logits), to_numpy(found.doubt), found.items, links)

    def _require_model(self) -> None:
        if not is_initialized(self.model):
            raise ValueError(Errors.E109.format(name=self.name))

    def to_bytes(self, *, exclude: Iterable[str] = tuple()) -> bytes:
        """Serialize the component.

        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (bytes): The component.
        """
        self._note_rule()
        return super().to_bytes(exclude=exclude)

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = tuple()) -> None:
        """Save the component.

        path (Union[str, Path]): The folder.
        exclude (Iterable[str]): Names of parts to leave out.
        """
        self._note_rule()
        super().to_disk(path, exclude=exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = tuple()) -> "EarlyExitTransformer":
        """Load the component from bytes.

        bytes_data (bytes): What `to_bytes` returned.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (EarlyExitTransformer): The component.
        """

        def read_cfg():
            return srsly.json_loads(srsly.msgpack_loads(bytes_data)["cfg"])

        return self._load(read_cfg, lambda: super(EarlyExitTransformer, self).from_bytes(bytes_data, exclude=exclude), "bytes")

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = tuple()) -> "EarlyExitTransformer":
        """Load the component from disk.

        path (Union[str, Path]): The folder.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (EarlyExitTransformer): The component.
        """
        path = ensure_path(path)

        def read_cfg():
            return srsly.read_json(path / "cfg")

        return self._load(read_cfg, lambda: super(EarlyExitTransformer, self).from_disk(path, exclude=exclude), f"'{path}'")

    def _load(self, read_cfg: Callable[[], Dict], load: Callable[[], Any], source: str) -> "EarlyExitTransformer":
        # What the file leaves out must not be taken over from what this component was before.
        self.cfg.pop("exit", None)
        try:
            saved_format = read_cfg()["format"]
            if saved_format <= FORMAT:
                load()
        except Exception as error:  # whatever msgpack, torch, safetensors or transformers make of a damaged file
            raise ValueError(
                f"The component '{self.name}' could not be loaded from {source} ({type(error).__name__}): the files are damaged, "
                "incomplete or of another model, or the installed versions of transformers and torch cannot read them. Copy or "
                "save the pipeline again, or install the versions it was saved with."
            ) from error
        if saved_format > FORMAT:
            raise ValueError(
                f"The component '{self.name}' was saved by a newer version of spacy_epee (format {saved_format}; this version "
                f"reads up to {FORMAT}). Update with `pip install -U spacy_epee`."
            )
        expected = self.task.n_logits(self.labels, self.cfg)
        if is_initialized(self.model) and get_heads(self.model).n_labels != expected:
            raise ValueError(
                f"The component '{self.name}' has {len(self.labels)} labels, which need {expected} outputs, and its model in "
                f"{source} was trained with {get_heads(self.model).n_labels}: the files are not of one pipeline, or the config "
                "says something else about exclusive labels. Copy or save it again."
            )
        # What the config says now holds over what was saved, unless it says the same as then.
        if self.cfg.pop("config_threshold", self.cfg["threshold"]) != self._config_threshold:
            self.cfg["threshold"] = self._config_threshold
        saved = json.loads(self.cfg.pop("exit", "null"))
        # A rule set on the pipeline before it was saved holds, unless the config asks for another one now.
        if saved is not None and saved["config"] == _rule_config(self._config_rule):
            self.exit = registry.resolve({"exit": saved["rule"]})["exit"] if saved["rule"] else None
        self._check_rule(self.exit)
        return self

    def _note_rule(self) -> None:
        """Keep a rule that was set on the pipeline and is not in its config, and what its config says of the threshold."""
        self.cfg["config_threshold"] = self._config_threshold
        self.cfg.pop("exit", None)
        rule = _rule_config(self.exit)
        if rule is None and self.exit is not None and self.exit is not self._config_rule:
            warnings.warn(
                f"The exit rule {type(self.exit).__name__} of the component '{self.name}' has no `to_config` and is not saved: "
                "the pipeline will be loaded with the rule of its config. Name the rule in the config, or give it that method."
            )
        elif rule != _rule_config(self._config_rule) or (self.exit is None) != (self._config_rule is None):
            # As a string: srsly reads 0.3 back as 0.30000000000000004.
            self.cfg["exit"] = json.dumps({"config": _rule_config(self._config_rule), "rule": rule})


def _rule_config(rule: Optional[ExitRule]) -> Optional[Dict[str, Any]]:
    """The config block of a rule; None for the full depth, or for a foreign rule that does not tell."""
    return rule.to_config() if hasattr(rule, "to_config") else None  # type: ignore[union-attr]


def _with_sentences(nlp: Optional[Language], component: EarlyExitTransformer, docs: Sequence[Doc]) -> List[Doc]:
    """Copies of Docs, with sentence boundaries where a component before this one sets them and no gold ones are there."""
    docs = [doc.copy() for doc in docs]
    for name, pipe in [] if nlp is None else nlp.pipeline:
        if pipe is component:
            break
        if "token.is_sent_start" in nlp.get_pipe_meta(name).assigns:  # type: ignore[union-attr]
            docs = [doc if doc.has_annotation("SENT_START") else pipe(doc) for doc in docs]
    return docs


def _climbs(items: Items, most: int) -> Iterator[numpy.ndarray]:
    """Group units, sorted by length, by the wordpieces that may climb together; an item counts as a wordpiece."""
    costs = (items.lengths + items.counts)[items.live]
    order = items.live[numpy.argsort(costs, kind="stable")]
    group: List[int] = []
    filled = 0
    for unit, cost in zip(order.tolist(), numpy.sort(costs).tolist()):
        if group and filled + cost > most:
            yield numpy.sort(group)
            group, filled = [], 0
        group.append(unit)
        filled += cost
    if group:
        yield numpy.sort(group)


def install_extensions() -> None:
    """Register `doc._.exits`. Workers call this too."""
    if not Doc.has_extension("exits"):
        Doc.set_extension("exits", default={})
