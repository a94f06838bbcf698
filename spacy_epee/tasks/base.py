"""What the component asks of a task."""

from types import MappingProxyType
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Protocol, Sequence, Set, Tuple

import numpy
from spacy.tokens import Doc
from spacy.training import Example

from ..engine.replay import Judge, Replay, Score
from ..engine.results import LinkLogits, Predictions
from ..exits.evidence import EvidenceBuilder, EvidenceMaker, Reduction
from ..exits.scaling import Threshold
from ..inputs.instances import Instances, whole_docs
from ..inputs.ngrams import Bags
from ..inputs.windows import Windows
from .defaults import Targets, TaskDefaults
from .replay_score import Places, StoredAnnotation, micro_score


class FlatTask(TaskDefaults):
    """What tasks share whose answers are rows of logits, with nothing to link: one row a document, unless a task says otherwise,
    and one logit a label."""

    reduce: Reduction = "mean"

    def reading(self, threshold: Threshold, temperatures: Mapping[int, float] = MappingProxyType({})) -> EvidenceBuilder:
        """RETURNS (EvidenceBuilder): How the logits are to be read."""
        return EvidenceBuilder(self.exclusive, threshold, self.reduce, dict(temperatures))

    def make_instances(self, docs: Sequence[Doc], windows: Windows, cfg: Dict[str, Any]) -> Instances:
        """Say what is to be answered.

        docs (Sequence[Doc]): The Docs.
        windows (Windows): Their windows.
        cfg (Dict[str, Any]): Not used.
        RETURNS (Instances): One item a Doc.
        """
        return whole_docs(windows)

    def add_gold(self, examples: Sequence[Example], items: Any) -> None:
        """Nothing but the targets is learned."""

    def link_targets(self, items: Instances, links: LinkLogits) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """There are no links."""
        raise NotImplementedError

    def replay_score(self, stored: StoredAnnotation, replay: Replay) -> Score:
        """RETURNS (Score): Micro F of the logits."""
        return micro_score(stored)


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
    head_kind: str
    """Which classifiers it takes, by their `kind`: ours are "document", "pairs" and "tokens"."""
    main: str
    """The figure that the scorer returns and that matters most."""
    full: str
    """The name of that figure at full depth."""
    figures: Tuple[str, ...]
    """What answers can be tuned by in its place, see `figure_score`."""
    per_label: str
    """The name of the scorer's figures by label."""
    parts: Mapping[str, str]
    """What else is told of the answers, with precision, recall and F: titles by how the names of the scorer's figures begin."""
    exclusive: bool
    """Whether one of the logits of an item is true, or any number of them."""
    group: Optional[int]
    """If one of each so many logits in a row is true, how many."""
    label_weights: Mapping[str, float]
    """How much a label counts in the loss."""
    reads_entities: bool
    """Whether it looks at entities of the Doc."""
    reads_cats: bool
    """Whether it learns from `doc.cats`, so that rows of labels are data for it."""
    has_triggers: bool
    """Whether it looks for triggers, which may be given instead: see `take_triggers`."""
    has_links: bool
    """Whether what is found is linked. Links are known within a batch alone, so that what is stored must be of one batch."""
    n_salience: int
    """How many numbers say how much a Doc is about an item, see `Instances.salience`; 0 if none do."""
    has_features: bool
    """Whether its evidence has `features`, so that it can take rules for structures."""
    others: FrozenSet[str]
    """Labels of other tasks of the component, or of other components, which may be answered in the same place. The component
    sets it."""
    doubted: FrozenSet[str]
    """Those of them in what is being learned that nobody is known to have. The component sets it."""
    spans_key: Optional[str]
    """The span group of the entities that it looks at; None for `doc.ents`, or if it looks at none."""

    def reading(self, threshold: Threshold, temperatures: Mapping[int, float] = MappingProxyType({})) -> EvidenceMaker:
        """Say how the logits are to be read.

        threshold (Union[float, ndarray]): The probability from which a label counts as given, or one for each label (K,), if
            labels are not exclusive.
        temperatures (Mapping[int, float]): What the logits of the exit after a layer are divided by; 1 for those not named.
        RETURNS (EvidenceMaker): What makes evidence of them.
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

    def learn_facts(self, examples: Iterable[Example], labels: Sequence[str]) -> Dict[str, Any]:
        """Work out from the data what else must be known of the labels, if anything, such as what `weights` needs.

        examples (Iterable[Example]): All examples.
        labels (Sequence[str]): The labels.
        RETURNS (Dict[str, Any]): Plain values to be saved with the component.
        """

    def n_logits(self, labels: Sequence[str], cfg: Dict[str, Any]) -> int:
        """RETURNS (int): Logits per item."""

    def threshold_names(self, labels: Sequence[str], cfg: Dict[str, Any]) -> List[str]:
        """RETURNS (List[str]): What has a threshold of its own, T of them: labels that do not exclude each other, or what links
        say. None if nothing has."""

    def threshold_parts(self, cfg: Dict[str, Any]) -> List[numpy.ndarray]:
        """RETURNS (List[ndarray]): Where the task has links, which thresholds are scored together, (T,) bool each."""

    def threshold_rows(self, examples: Sequence[Example], items: Any, links: LinkLogits) -> Tuple[numpy.ndarray, ...]:
        """Lay out links to fit thresholds to, where the task has links.

        examples (Sequence[Example]): The examples.
        items (Instances): What was asked about them.
        links (LinkLogits): What an exit says about links.
        RETURNS (Tuple[ndarray, ...]): Logits, -infinity for what is annotated and was not looked at; 1 for what is true; 0 where
            nothing is known, (N, T) each; and the document of each row, (N,).
        """

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

    def gate_bags(self, docs: Sequence[Doc], items: Any) -> Optional[Bags]:
        """List what can be told before the first layer of whether there is anything to find.

        docs (Sequence[Doc]): The Docs.
        items (Instances): What is asked about them.
        RETURNS (Optional[Bags]): The n-grams of what the items are about: a window, or a pair. None if all must climb.
        """

    def check_data(self, examples: Sequence[Example], items: Any, name: str) -> None:
        """Say what cannot be learned from the data.

        examples (Sequence[Example]): Some examples.
        items (Instances): What was asked about them.
        name (str): The component.
        """

    def true_labels(self, doc: Doc) -> Set[str]:
        """RETURNS (Set[str]): The labels that are annotated on a Doc as true, known or not."""

    def strange_labels(self, doc: Doc, labels: Sequence[str]) -> Set[str]:
        """RETURNS (Set[str]): The labels that are annotated on a Doc as true and that neither this task nor others know, where it
        cannot learn from the Doc in spite of them."""

    def answered_labels(self, doc: Doc) -> Set[str]:
        """RETURNS (Set[str]): The labels of which a Doc has answers, of this task and of others."""

    def is_annotated(self, doc: Doc) -> bool:
        """RETURNS (bool): Whether a Doc says anything about this task, be it that nothing is true."""

    def take_triggers(self, key: str) -> str:
        """Take triggers from Docs from now on, and look for none.

        key (str): The span group for them, if the task has none of its own.
        RETURNS (str): The span group.
        """

    def targets(self, examples: Sequence[Example], labels: Sequence[str], items: Any, strict: bool = True) -> Targets:
        """What the annotation says.

        examples (Sequence[Example]): The examples.
        labels (Sequence[str]): The labels.
        items (Instances): What was asked.
        strict (bool): Whether to refuse what is not known. Otherwise it says nothing.
        RETURNS (Targets): 1 for true logits (N, K), and 0 where nothing is known (N, K), both float32.
        """

    def soft_targets(self, examples: Sequence[Example], labels: Sequence[str], items: Any) -> Optional[Targets]:
        """RETURNS (Optional[Targets]): As `targets`, the probabilities that teachers give; None if they say nothing at all."""

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

    def given_labels(self, doc: Doc, labels: Sequence[str], threshold: Threshold) -> List[str]:
        """RETURNS (List[str]): The labels that a Doc is given, in order, by the threshold of the task, see `reading`."""

    def describe(self, scores: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is."""

    def describe_main(self, cfg: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is, before there is one, by what is saved of the task."""

    def score_settings(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What the scorer must know."""

    def averages_labels(self, cfg: Dict[str, Any]) -> bool:
        """RETURNS (bool): Whether the main figure is a mean over labels, of which those can be left out that are too rare."""

    def mean_over(self, scores: Dict[str, Any], labels: Sequence[str]) -> Optional[float]:
        """Find the main figure of some of the labels, where it is a mean over labels.

        scores (Dict[str, Any]): The figures of the scorer.
        labels (Sequence[str]): The labels that count.
        RETURNS (Optional[float]): The figure; None if there are no labels.
        """

    def item_places(self, items: Any) -> Optional[Places]:
        """Say where items are in their Docs, if `replay_score` needs to know. One can be at several places, or at none.

        items (Instances): What was asked.
        RETURNS (Optional[Places]): Some numbers for each place (P, columns), and which item is there (P,); None if they are not
            needed.
        """

    def replay_score(self, stored: StoredAnnotation, replay: Replay) -> Score:
        """Make what finds the main figure of the answers that a rule gives, without writing them to Docs.

        stored (StoredAnnotation): The documents.
        replay (Replay): Where rules are run on them.
        RETURNS (Score): From what a rule does to the figure.
        """

    def figure_score(self, stored: StoredAnnotation, figure: str, refit: bool) -> Score:
        """Make what finds another figure than the main one.

        stored (StoredAnnotation): The documents.
        figure (str): One of `figures`.
        refit (bool): Whether labels may get thresholds of their own for what is answered: then the figure is that by such
            thresholds on documents that they were not fitted to, where it is the better one.
        RETURNS (Score): From what a rule does to the figure.
        """

    def judge(self, stored: StoredAnnotation) -> Optional[Judge]:
        """RETURNS (Optional[Judge]): What tells by annotation where an exit is worse than the last one, see `Replay.worse`."""

    def show(self, doc: Doc, labels: Sequence[str]) -> str:
        """RETURNS (str): The answers on a Doc, on a line, for reports that are to show them."""
