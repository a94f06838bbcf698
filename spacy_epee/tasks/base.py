"""What the component asks of a task."""

from typing import Any, Dict, Iterable, List, Optional, Protocol, Sequence, Set, Tuple

import numpy
from spacy.tokens import Doc
from spacy.training import Example

from ..engine.results import LinkLogits, Predictions
from ..exits.evidence import EvidenceBuilder, Reduction
from ..inputs.instances import Instances
from ..inputs.windows import Windows
from ..settings import check_number


def check_settings(reduce: str, label_weights: Dict[str, float]) -> None:
    """Refuse settings that every task has.

    reduce (str): How uncertainties are joined.
    label_weights (Dict[str, float]): How much a label counts in the loss.
    RAISES ValueError: A value that means nothing.
    """
    if reduce not in ("mean", "max"):
        raise ValueError(f"The setting `reduce` is '{reduce}'; give 'mean' or 'max'.")
    for label, weight in label_weights.items():
        check_number(f"label_weights.{label}", weight, 0)


def check_weighted(label_weights: Dict[str, float], labels: Sequence[str], name: str) -> None:
    """Refuse weights of labels that are not there.

    label_weights (Dict[str, float]): How much a label counts in the loss.
    labels (Sequence[str]): The labels.
    name (str): The component.
    RAISES ValueError: A weight of another label.
    """
    unknown = sorted(set(label_weights) - set(labels))
    if unknown:
        raise ValueError(
            f"The setting `label_weights` of the component '{name}' names {unknown}, which are not among its labels "
            f"{list(labels)}."
        )


def check_trunk(task: "Task", reads: str, name: str) -> None:
    """Refuse a trunk for something else.

    task (Task): The task.
    reads (str): What the trunk reads, "text" or "images".
    name (str): The component.
    RAISES ValueError: The task needs something else.
    """
    if reads == task.reads:
        return
    other = {"text": "TransformerTrunk", "images": "ImageTrunk"}[task.reads]
    also = ", or use the factory 'epee_imagecat' to classify images" if task.reads == "text" else ""
    raise ValueError(
        f"The component '{name}' needs {task.reads} (task '{task.name}'), and the trunk in its setting `model.trunk` reads "
        f"{reads}. Set `components.{name}.model.trunk.@architectures` to 'spacy-epee.{other}.v1'{also}."
    )


class FlatTask:
    """What tasks share whose answers are rows of logits, with nothing to link."""

    reads = "text"
    group = None
    spans_key: Optional[str] = None
    exclusive: bool
    reduce: Reduction

    def reading(self, threshold: float, temperatures: Dict[int, float] = {}) -> EvidenceBuilder:
        """RETURNS (EvidenceBuilder): How the logits are to be read."""
        return EvidenceBuilder(self.exclusive, threshold, self.reduce, temperatures)

    def add_gold(self, examples: Sequence[Example], items: Instances) -> None:
        """Nothing but the targets is learned."""

    def link_targets(self, items: Instances, links: LinkLogits) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """There are no links."""
        raise NotImplementedError


class Task(Protocol):
    """What is predicted."""

    name: str
    """Its name in `doc._.exits`."""
    reads: str
    """What of a Doc it needs a trunk for: "text" or "images"."""
    assigns: str
    """Where the answers go. Two components must not write the same labels there."""
    unit: str
    """What leaves together: "document" or "window"."""
    main: str
    """The figure that the scorer returns and that matters most."""
    full: str
    """The name of that figure at full depth."""
    per_label: str
    """The name of the scorer's figures by label."""
    exclusive: bool
    """Whether one of the logits of an item is true, or any number of them."""
    group: Optional[int]
    """If one of each so many logits in a row is true, how many."""
    label_weights: Dict[str, float]
    """How much a label counts in the loss."""
    reads_entities: bool
    """Whether it looks at entities of the Doc."""
    spans_key: Optional[str]
    """The span group of the entities that it looks at; None for `doc.ents`, or if it looks at none."""

    def reading(self, threshold: float, temperatures: Dict[int, float] = {}) -> EvidenceBuilder:
        """Say how the logits are to be read.

        threshold (float): The probability from which a label counts as given, if labels are not exclusive.
        temperatures (Dict[int, float]): What the logits of the exit after a layer are divided by; 1 for those not named.
        RETURNS (EvidenceBuilder): What makes evidence of them.
        """

    def infer_labels(self, examples: Iterable[Example]) -> Tuple[List[str], Dict[str, Any]]:
        """Find the labels in the data, and what else `make_instances` needs to know of them.

        examples (Iterable[Example]): All examples.
        RETURNS (Tuple[List[str], Dict[str, Any]]): The labels, and plain values to be saved with the component.
        """

    def check_labels(self, labels: Sequence[str], name: str) -> None:
        """Refuse labels that there is nothing to learn from.

        labels (Sequence[str]): The labels.
        name (str): The component.
        """

    def n_logits(self, labels: Sequence[str], cfg: Dict[str, Any]) -> int:
        """RETURNS (int): Logits per item."""

    def weights(self, labels: Sequence[str], cfg: Dict[str, Any]) -> List[float]:
        """RETURNS (List[float]): How much each logit counts in the loss."""

    def sizes(self, cfg: Dict[str, Any]) -> Dict[str, int]:
        """RETURNS (Dict[str, int]): Sizes of the classifiers that depend on the data."""

    def has_instances(self, docs: Sequence[Doc]) -> Optional[List[bool]]:
        """RETURNS (Optional[List[bool]]): Which of the Docs there is anything to ask about; None for all."""

    def make_instances(self, docs: Sequence[Doc], windows: Windows, cfg: Dict[str, Any]) -> Instances:
        """Say what is to be answered.

        docs (Sequence[Doc]): The Docs.
        windows (Windows): Their windows.
        cfg (Dict[str, Any]): What `infer_labels` found out.
        RETURNS (Instances): The items and their units.
        """

    def check_data(self, examples: Sequence[Example], items: Any, name: str) -> None:
        """Say what cannot be learned from the data.

        examples (Sequence[Example]): Some examples.
        items (Instances): What was asked about them.
        name (str): The component.
        """

    def true_labels(self, doc: Doc) -> Set[str]:
        """RETURNS (Set[str]): The labels that are annotated on a Doc as true, known or not."""

    def answered_labels(self, doc: Doc) -> Set[str]:
        """RETURNS (Set[str]): The labels of which a Doc has answers, of this task and of others."""

    def targets(
        self, examples: Sequence[Example], labels: Sequence[str], items: Any, strict: bool = True
    ) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """What the annotation says.

        examples (Sequence[Example]): The examples.
        labels (Sequence[str]): The labels.
        items (Instances): What was asked.
        strict (bool): Whether to refuse what is not known. Otherwise it says nothing.
        RETURNS (Tuple[ndarray, ndarray]): 1 for true logits (N, K), and 0 where nothing is known (N, K), both float32.
        """

    def add_gold(self, examples: Sequence[Example], items: Any) -> None:
        """Note in what is asked what must be seen of the annotation in training.

        examples (Sequence[Example]): The examples.
        items (Instances): What was asked about them.
        """

    def link_targets(self, items: Any, links: LinkLogits) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """What the annotation says about links.

        items (Instances): What was asked.
        links (LinkLogits): What an exit looked at.
        RETURNS (Tuple[ndarray, ndarray]): 1 for true outputs (P, outputs), and which are possible (P, outputs) bool.
        """

    def annotate(self, docs: Sequence[Doc], answers: Predictions, labels: Sequence[str]) -> None:
        """Write the answers to the Docs.

        docs (Sequence[Doc]): The Docs.
        answers (Predictions): Their answers.
        labels (Sequence[str]): The labels.
        """

    def describe(self, scores: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is."""

    def score_settings(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What the scorer must know."""
