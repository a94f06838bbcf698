"""Document classification: one label of several, or any number of them. The unit that exits is the document."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, Union

import numpy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from ...doc_attributes import in_place, install_teacher, soft_labels
from ...engine.replay import Replay, Score
from ...engine.results import Predictions
from ...exits.evidence import EvidenceBuilder
from ...exits.scaling import Threshold
from ...inputs.instances import Instances
from ...settings import check_number
from ..base import FlatTask, Targets
from ..checks import check_settings
from ..label_weights import BALANCED, balanced_weights
from ..replay_score import MACRO_AUC, MACRO_F, StoredAnnotation
from .replay_score import choice_score, rank_score, threshold_score


class TextCat(FlatTask):
    """Labels of whole documents, in `doc.cats`."""

    name = "textcat"
    assigns = "doc.cats"
    main, full, per_label = "cats_score", "cats_full", "cats_f_per_type"
    figures: Tuple[str, ...] = (MACRO_F, MACRO_AUC)
    reads_cats = True
    always_answers = True
    """Whether Docs that never run have an answer: the first of exclusive labels."""

    def __init__(
        self, *, exclusive: bool, label_weights: Union[str, Dict[str, float]], reduce: str, unknown_threshold: float = 0.0
    ):
        """
        exclusive (bool): Exactly one label is true, or any number of them.
        label_weights (Union[str, Dict[str, float]]): How much a label counts in the loss; 1 for those not named. "balanced" for
            weights of the training data.
        reduce (str): How the labels' uncertainties are joined, if not exclusive: "mean" or "max".
        unknown_threshold (float): The probability that the best of exclusive labels must have to be given.
        """
        check_number("unknown_threshold", unknown_threshold, 0, 1)
        if unknown_threshold and not exclusive:
            raise ValueError(
                f"The setting `unknown_threshold` is {unknown_threshold}, and labels are not exclusive: each is given from its "
                "threshold on, and a document can have none. Set it to 0."
            )
        self.unknown_threshold = unknown_threshold
        self.balanced = label_weights == BALANCED
        given: Any = {} if self.balanced else label_weights
        check_settings(reduce, given)
        self.label_weights = dict(given)
        self.exclusive = exclusive
        self.reduce = reduce  # type: ignore[assignment]
        install_teacher()

    def reading(self, threshold: Threshold, temperatures: Mapping[int, float] = MappingProxyType({})) -> EvidenceBuilder:
        """RETURNS (EvidenceBuilder): How the logits are to be read."""
        return replace(super().reading(threshold, temperatures), unknown=self.unknown_threshold)

    def infer_labels(self, examples: Iterable[Example]) -> Tuple[List[str], Dict[str, Any]]:
        """RETURNS (Tuple[List[str], Dict[str, Any]]): The labels of some examples, in order of appearance, or those of teachers
        where nothing else is annotated; no more is needed."""
        labels: Dict[str, None] = {}
        taught: Dict[str, None] = {}
        for eg in examples:
            labels.update(dict.fromkeys(eg.reference.cats))
            taught.update(dict.fromkeys(soft_labels(eg.reference)))
        return list(labels or taught), {}

    def learn_facts(self, examples: Iterable[Example], labels: Sequence[str]) -> Dict[str, Any]:
        """Work out how much labels count in the loss, if that is to be balanced.

        examples (Iterable[Example]): All examples.
        labels (Sequence[str]): The labels.
        RETURNS (Dict[str, Any]): The weights, to be saved with the component; nothing if they are settings.
        """
        if not self.balanced:
            return {}
        positives, negatives = numpy.zeros((2, len(labels)), dtype=int)
        for batch in minibatch(examples, size=1000):
            targets, label_mask = self.targets(batch, labels, strict=False)
            positives += ((targets > 0) & (label_mask > 0)).sum(axis=0)
            negatives += ((targets == 0) & (label_mask > 0)).sum(axis=0)
        return {"label_weights": balanced_weights(labels, positives, negatives, exclusive=self.exclusive)}

    def weights(self, labels: Sequence[str], cfg: Dict[str, Any]) -> List[float]:
        """RETURNS (List[float]): How much each label counts in the loss."""
        if not self.balanced:
            return super().weights(labels, cfg)
        if "label_weights" not in cfg:
            raise ValueError(
                "The setting `label_weights` is 'balanced', and this pipeline was initialized without, so that it has no weights "
                "of its training data. Initialize it anew, or give numbers."
            )
        return [cfg["label_weights"].get(label, 1.0) for label in labels]

    def check_labels(self, labels: Sequence[str], name: str) -> None:
        """Refuse labels that there is nothing to learn from.

        labels (Sequence[str]): The labels.
        name (str): The component.
        """
        if self.exclusive and len(labels) == 1:
            raise ValueError(
                f"The component '{name}' has one label, {list(labels)}, and its labels are exclusive, so there is nothing to "
                "tell apart. Give two or more (with data for both), or use the factory 'epee_textcat_multilabel'."
            )
        super().check_labels(labels, name)

    def true_labels(self, doc: Doc) -> Set[str]:
        """RETURNS (Set[str]): The labels that are annotated on a Doc as true, known or not."""
        return {label for label, value in doc.cats.items() if value}

    def strange_labels(self, doc: Doc, labels: Sequence[str]) -> Set[str]:
        """RETURNS (Set[str]): The labels that are annotated on a Doc as true and that neither this task nor others know, if they
        are all that it says."""
        told = (doc.cats.get(label) if self.exclusive else label in doc.cats for label in labels)
        return set() if any(told) else super().strange_labels(doc, labels)

    def answered_labels(self, doc: Doc) -> Set[str]:
        """RETURNS (Set[str]): The labels of which a Doc has answers, of this task and of others."""
        return set(doc.cats)

    def targets(
        self, examples: Sequence[Example], labels: Sequence[str], items: Optional[Instances] = None, strict: bool = True
    ) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """What the annotation says.

        examples (Sequence[Example]): The examples.
        labels (Sequence[str]): The labels.
        items (Optional[Instances]): What was asked; the examples themselves in any case.
        strict (bool): Whether to refuse rows of which only labels are true that are not known. Otherwise they say nothing.
        RETURNS (Tuple[ndarray, ndarray]): 1 for true labels (N, K), and 0 where nothing is known (N, K), both float32.
        RAISES ValueError: Values other than 0 and 1, several true exclusive labels, or only labels that are not known.
        """
        targets = numpy.zeros((len(examples), len(labels)), dtype="float32")
        label_mask = numpy.zeros_like(targets)
        for row, eg in enumerate(examples):
            cats = eg.reference.cats
            for value in cats.values():
                if value not in (0, 1):
                    raise ValueError(f"An example{in_place(eg.reference)} has a label whose value is not 0 or 1 in `doc.cats`.")
            for column, label in enumerate(labels):
                if label in cats:
                    targets[row, column] = cats[label]
                    label_mask[row, column] = 1
            known = targets[row].sum()
            if strict and self.strange_labels(eg.reference, labels):
                raise ValueError(
                    f"An example{in_place(eg.reference)} has unknown labels, and the component knows only {list(labels)}. Add "
                    "the missing labels when initializing (`initialize.components.<name>.labels`, or data that have them), or "
                    "correct the data."
                )
            if self.exclusive:
                if known > 1:
                    raise ValueError(
                        f"An example{in_place(eg.reference)} has several true labels, "
                        f"{[label for label in labels if cats.get(label)]}, and the labels of this component are exclusive. "
                        "Correct the data, or use the factory 'epee_textcat_multilabel'."
                    )
                # With one label true the others are false, named or not; with none, nothing is known.
                label_mask[row] = known
        return targets, label_mask

    def soft_targets(
        self, examples: Sequence[Example], labels: Sequence[str], items: Optional[Instances] = None
    ) -> Optional[Targets]:
        """What teachers say.

        examples (Sequence[Example]): The examples.
        labels (Sequence[str]): The labels.
        items (Optional[Instances]): What was asked; the examples themselves in any case.
        RETURNS (Optional[Targets]): Probabilities (N, K), and 0 where teachers say nothing (N, K), both float32; None if they
            say nothing at all.
        RAISES ValueError: They know only some of exclusive labels.
        """
        soft = numpy.zeros((len(examples), len(labels)), dtype="float32")
        soft_mask = numpy.zeros_like(soft)
        for row, eg in enumerate(examples):
            said = soft_labels(eg.reference)
            for column, label in enumerate(labels) if said else ():
                if label in said:
                    soft[row, column] = said[label]
                    soft_mask[row, column] = 1
            if self.exclusive and soft_mask[row].any():
                if not soft_mask[row].all():
                    raise ValueError(
                        f"The teachers of an example{in_place(eg.reference)} know {int(soft_mask[row].sum())} of the "
                        f"{len(labels)} labels {list(labels)}, which are exclusive: what they say of some depends on the others. "
                        "Ask teachers with the same labels, or initialize with those of the teachers."
                    )
                soft_mask[row] = soft[row].any()  # all zeros say nothing
        return (soft, soft_mask) if soft_mask.any() else None

    def annotate(self, docs: Sequence[Doc], answers: Predictions, labels: Sequence[str]) -> None:
        """Write the answers to the Docs.

        docs (Sequence[Doc]): The Docs.
        answers (Predictions): Their answers.
        labels (Sequence[str]): The labels.
        """
        for doc, row in zip(docs, answers.probabilities.tolist()):
            doc.cats.update(zip(labels, row))

    def given_labels(self, doc: Doc, labels: Sequence[str], threshold: Threshold) -> List[str]:
        """RETURNS (List[str]): The labels that a Doc is given: the best one, or all from their thresholds on. None without
        scores."""
        scores = numpy.array([doc.cats.get(label, 0.0) for label in labels])
        if self.exclusive:
            known = scores.any() and scores.max() >= self.unknown_threshold
            return [labels[int(scores.argmax())]] if known else []
        return [label for label, given in zip(labels, scores >= threshold) if given]

    def is_annotated(self, doc: Doc) -> bool:
        """RETURNS (bool): Whether a Doc says anything about this task: has labels that are not those of others."""
        return not self.others.issuperset(doc.cats)

    def describe(self, scores: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is."""
        return scores.get("cats_score_desc") or "none"

    def describe_main(self, cfg: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is, before there is one."""
        positive = cfg.get("positive_label")
        return (f"F ({positive})" if positive else MACRO_F) if self.exclusive else MACRO_AUC

    def averages_labels(self, cfg: Dict[str, Any]) -> bool:
        """RETURNS (bool): Whether the main figure is a mean over labels."""
        return "positive_label" not in cfg

    def mean_over(self, scores: Dict[str, Any], labels: Sequence[str]) -> Optional[float]:
        """RETURNS (Optional[float]): Macro F or macro AUC of some of the labels; None if there are no labels."""
        if self.exclusive:
            figures = [(scores["cats_f_per_type"].get(label) or {"f": 0.0})["f"] for label in labels]
        else:
            figures = [scores["cats_auc_per_type"].get(label) or 0.0 for label in labels]
        return float(numpy.mean(figures)) if figures else None

    def replay_score(self, stored: StoredAnnotation, replay: Replay) -> Score:
        """RETURNS (Score): The figure of spaCy's scorer."""
        if not self.exclusive:
            return rank_score(stored, exclusive=False)
        return choice_score(stored, always_answers=self.always_answers, positive=stored.cfg.get("positive_label"))

    def figure_score(self, stored: StoredAnnotation, figure: str, refit: bool) -> Score:
        """RETURNS (Score): Macro F or macro AUC."""
        if figure == MACRO_AUC:
            return rank_score(stored, exclusive=self.exclusive)
        if self.exclusive:
            return choice_score(stored, always_answers=self.always_answers)
        return threshold_score(stored, refit=refit)

    def show(self, doc: Doc, labels: Sequence[str]) -> str:
        """RETURNS (str): The labels of a Doc that are the surest, on a line."""
        best = sorted(labels, key=lambda label: -doc.cats[label])[:3]
        return ", ".join(f"{label} {doc.cats[label]:.2f}" for label in best)
