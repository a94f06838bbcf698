"""The pipeline component: a transformer that stops climbing when its answer is settled."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy
from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import minibatch, to_bytes, to_disk
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer

from ..doc_attributes import EXITS, exits_of, install
from ..engine.joint import Joint
from ..engine.results import ExitOutputs, Predictions
from ..exits.rules.base import complete
from ..exits.rules.budget import within_budget
from ..files import whole_folder
from ..inference.failures import answer_all, check_docs, mark_unanswered
from ..inference.predict import exit_entries
from ..model import is_initialized
from ..sealing import Parts, read_bytes, read_disk
from ..tasks.mix import restore_mix
from ..tasks.slot import TaskSlot
from ..tasks.unknown import given_none, known_names, showable
from ..threads import LOADING
from ..training.losses import JointLoss
from .gate import learn_gates
from .initialization import (
    SAMPLE,
    check_heads,
    check_named,
    check_owners,
    check_sample,
    forget,
    given_labels,
    learn_labels,
    restored,
    standardize,
    warn_of_rate,
    with_sections,
    with_sentences,
)
from .rivals import note_elsewhere, tell_others
from .saving import save_whole
from .scoring import find_unknown_labels, run_scorer, score_tasks, write_answers
from .serialization import load, to_parts
from .tasks import TaskComponent
from .updating import check_gradients, find_loss, learn_mix, plan_lessons, stop_training
from .words import learn_words

PREFETCH_BATCHES, PREFETCH_DOCS = 4, 128
"""How many batches of a stream are answered together, as long as these are no more documents. Four of 32 take a fifth less time
than one after the other (e5-small in int8, short sentences)."""


class EarlyExitTransformer(TaskComponent):
    """A transformer with classifiers on its layers, and a rule that says for each document which one to believe."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "epee",
        *,
        slots: Mapping[str, TaskSlot],
        loss: JointLoss,
        joint: Joint = "all",
        compare_full_depth: bool = True,
    ):
        """Make a component.

        vocab (Vocab): The shared vocabulary.
        model (Model): The early-exiting model.
        name (str): The component's name in the pipeline.
        slots (Mapping[str, TaskSlot]): The tasks, by name.
        loss (JointLoss): How the exits are trained.
        joint (str): With several tasks "all", a text climbs until all are settled that decide (see `TaskSlot.priority`), or
            "any", until one of them is.
        compare_full_depth (bool): Whether scoring also runs the full depth, for `cats_full`, `rel_full` and the like. If not,
            set `training.score_weights.cats_full = null`.
        """
        super().__init__(vocab, model, name, slots, joint)
        self.loss = loss
        self.compare_full_depth = compare_full_depth
        self.stage = "joint"
        self.wordpieces = 0
        """How many wordpieces it has learned from since it was made, windows and special ones included."""
        install("exits", default={})

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Answer a stream of Docs. Some batches are read ahead, so that the few of each that climb high do it together.

        stream (Iterable[Doc]): The Docs.
        batch_size (int): How many are answered together. With 1, or a rule that looks at the time, nothing is read ahead.
        YIELDS (Doc): The Docs in order, without those that the error handler was given.
        RAISES ValueError: The batch size is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"The batch size is {batch_size}, with which no document is answered; give a number from 1 on.")
        alone = batch_size == 1 or any(rule is not None and complete(rule).timed for rule in within_budget(self.exits).values())
        together = batch_size if alone else max(batch_size, min(PREFETCH_BATCHES * batch_size, PREFETCH_DOCS))
        for docs in minibatch(stream, size=together):
            yield from answer_all(docs, self._answer, self._hand_over)

    def __call__(self, doc: Doc) -> Doc:
        """Answer a Doc.

        doc (Doc): The Doc.
        RETURNS (Doc): The same. If it cannot be answered and the error handler goes on, it is flagged as uncertain.
        """
        answer_all([doc], self._answer, self._hand_over)
        return doc

    def _answer(self, docs: List[Doc]) -> None:
        """Answer some Docs."""
        check_docs(docs, self.name)
        self.set_annotations(docs, self.predict(docs))

    def _hand_over(self, docs: List[Doc], error: Exception) -> None:
        """Give Docs to the error handler."""
        self.get_error_handler()(self.name, self, docs, error)
        mark_unanswered(docs, self.name, self.slots)

    def predict(self, docs: Iterable[Doc]) -> Dict[str, Predictions]:
        """Answer some Docs without changing them.

        docs (Iterable[Doc]): The Docs.
        RETURNS (Dict[str, Predictions]): The answers of each task.
        """
        return self.run(list(docs), within_budget(self.exits))

    def set_annotations(self, docs: Iterable[Doc], answers: Mapping[str, Predictions]) -> None:
        """Write answers to Docs: what the tasks write, and in `doc._.exits` where and why each left, whether it is uncertain
        where no rule has found it settled, by the threshold that `epee tune --coverage` sets; whether the Doc has sections that
        are read, if some are; and whether no label is given, if there is a threshold for that.

        docs (Iterable[Doc]): The Docs.
        answers (Mapping[str, Predictions]): The answers of each task.
        """
        docs = list(docs)
        install("exits", default={})
        for task, predictions in answers.items():
            self.slots[task].task.annotate(docs, predictions, self.slots[task].labels)
        for doc, entry in zip(docs, exit_entries(self.model, self.slots, docs, answers)):
            for task, record in entry.items():
                record.update(given_none(self.slots[task].task, doc, self.slots[task].labels))
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

        examples (Iterable[Example]): The examples. Those without an annotation or soft labels for this component are left out.
        drop (float): Not used; dropout is a setting of the model's parts (`model.head.dropout`, and the backbone's own).
        sgd (Optional[Optimizer]): The optimizer.
        losses (Optional[Dict[str, float]]): Where to add the loss, under the component's name.
        RETURNS (Dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "EarlyExitTransformer.update")
        self.require_model()
        with self.shared.training():
            self.model.attrs["stage"] = self.stage
            before = self.wordpieces
            for lesson in plan_lessons(self.model, self.slots, self.loss, examples):
                scores, backprop = self.model.begin_update(lesson.instances)
                loss, gradients = self.get_loss(lesson.examples, scores, lesson.shares.tolist())
                if not numpy.isfinite(loss):
                    stop_training(self.model, self.name, "loss")
                backprop(gradients)
                learn_mix(self.model, self.slots, lesson, scores, self.stage)
                losses[self.name] += loss
                self.wordpieces += lesson.wordpieces
            if sgd is not None and self.wordpieces > before:
                self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Change the weights by the gradients, and drop what was fitted to the weights as they were.

        sgd (Optimizer): The optimizer.
        RAISES ValueError: A gradient is NaN or infinite. The weights are then as they were.
        """
        with self.shared.training():
            check_gradients(self.model, self.name)
            for slot in self.slots.values():
                restore_mix(slot, self.model)
            super().finish_update(sgd)
            for slot in self.slots.values():
                slot.drop_fitted()

    def get_loss(
        self, examples: Iterable[Example], scores: Sequence[ExitOutputs], shares: Optional[Sequence[float]] = None
    ) -> Tuple[float, List[ExitOutputs]]:
        """RETURNS (Tuple[float, List[ExitOutputs]]): The loss of some examples and its gradient, see `find_loss`."""
        return find_loss(self.slots, self.loss, self.stage, list(examples), scores, shares)

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
        check_named(self.slots, self.name)
        warn_of_rate(nlp, self.model, self.name)
        trained = is_initialized(self.model)
        with self.shared.training(), restored(self.model, self.slots):
            if trained:
                forget(self.model, self.slots)
            learn_labels(self.slots, get_examples, given_labels(labels, self.slots, self.name), self.add_label)
            check_owners(self.slots, self.name, nlp)
            note_elsewhere(nlp, self.slots)
            tell_others(self.slots)
            check_heads(self.slots, self.model)
            if positive_label is not None:
                named = positive_label if isinstance(positive_label, dict) else {self.slot().name: positive_label}
                for task, label in named.items():
                    self.slot(task).set_positive(label)
            sample = list(islice(get_examples(), SAMPLE))
            if not sample:
                raise ValueError(Errors.E923.format(name=self.name))
            read_examples = with_sections(nlp, self, get_examples)
            hand_over_words = learn_words(self.slots, self.model, read_examples, bool(self.loss.teacher_share))
            self.model.initialize()
            hand_over_words()
            for slot in self.slots.values():
                slot.check_rule(slot.exit, self.model)
            docs = with_sentences(nlp, self, [eg.predicted for eg in sample])
            enough = check_sample(self.model, self.slots, docs, sample)  # or what is to be asked about, others will predict
            learn_gates(
                self.slots,
                self.model,
                get_examples,
                lambda examples: with_sentences(nlp, self, [eg.predicted if enough else eg.reference for eg in examples]),
            )
            gold = [eg.reference for eg in sample]
            standardize(self.model, self.slots, lambda: docs if enough else with_sentences(nlp, self, gold))
        if trained:
            self.stage = "joint"

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score answers, and the layers they took.

        examples (Iterable[Example]): Examples whose predicted Docs this component has annotated.
        RETURNS (Dict[str, Any]): The scorer's figures with the exit rule; the main one at full depth, such as `cats_full` or
            `rel_full`; and `exit_layer`, the mean layer of the exits taken, by unit. With several tasks each figure has the
            task's name before it, `joint_score` and `joint_full` are the means of the main ones where there are any, and
            `exit_layer` is the mean over the documents of the last layer that ran. Where another early-exiting component has run,
            all figures are there with the name of this one before them, too.
        """
        examples = list(examples)
        validate_examples(examples, "EarlyExitTransformer.score")
        full = None
        if self.compare_full_depth and any(rule is not None for rule in self.exits.values()):
            full = self.run([eg.predicted for eg in examples], dict.fromkeys(self.slots))
        return score_tasks(self.slots, examples, self.name, full, **kwargs)

    def score_answers(
        self, examples: Sequence[Example], answers: Predictions, task: Optional[str] = None, **kwargs: Any
    ) -> Dict[str, Any]:
        """Score answers that are not written on Docs.

        examples (Sequence[Example]): The examples.
        answers (Predictions): An answer for each.
        task (Optional[str]): The task; None if there is only one.
        RETURNS (Dict[str, Any]): The scorer's figures.
        """
        slot = self.slot(task)
        unknown = find_unknown_labels(self.slots, slot.name, examples)
        scores = run_scorer(slot, write_answers(slot, examples, answers), unknown, **kwargs)
        return showable(scores, known_names(slot.cfg))

    def _parts(self) -> Parts:
        """What the files of the component hold."""
        return to_parts(self.model, self.slots, self.joint, self.configured_joint)

    def to_bytes(self, *, exclude: Iterable[str] = tuple()) -> bytes:
        """Serialize the component.

        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (bytes): The component.
        """
        with self.shared.answering(), LOADING:
            writers: Dict[str, Callable[[], bytes]] = {name: partial(bytes, data) for name, data in self._parts().items()}
            return to_bytes({**writers, "vocab": partial(self.vocab.to_bytes, exclude=exclude)}, exclude)

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = tuple()) -> None:
        """Save the component: all of it or nothing.

        path (Union[str, Path]): The folder.
        exclude (Iterable[str]): Names of parts to leave out.
        """
        with self.shared.answering(), LOADING, whole_folder(path, keep=True, key="cfg") as part:
            writers: Dict[str, Callable[[Path], Any]] = {
                name: partial(Path.write_bytes, data=content) for name, content in self._parts().items()
            }
            to_disk(part, {**writers, "vocab": partial(self.vocab.to_disk, exclude=exclude)}, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = tuple()) -> "EarlyExitTransformer":
        """Load the component from bytes: all of it, or nothing changes.

        bytes_data (bytes): What `to_bytes` returned.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (EarlyExitTransformer): The component.
        """
        return self._load(lambda: read_bytes(bytes_data), exclude, "bytes")

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = tuple()) -> "EarlyExitTransformer":
        """Load the component from disk: all of it, or nothing changes.

        path (Union[str, Path]): The folder.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (EarlyExitTransformer): The component.
        """
        path = Path(path)
        return self._load(lambda: {**read_disk(path), "vocab": path / "vocab"}, exclude, f"'{path}'")

    def _load(self, read: Callable[[], Dict[str, Any]], exclude: Iterable[str], source: str) -> "EarlyExitTransformer":
        """Load what files hold."""
        settings = (self.model, self.slots, self.joint, self.configured_joint)
        with self.shared.answering():
            self.slots, self.joint = load(read, *settings, vocab=self.vocab, name=self.name, exclude=exclude, source=source)
        return self


save_whole(EarlyExitTransformer)
