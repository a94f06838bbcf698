"""What most tasks have in common."""

from types import MappingProxyType
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

import numpy
from spacy.errors import Errors
from spacy.tokens import Doc
from spacy.training import Example

from ..engine.replay import Judge, Score
from ..engine.results import LinkLogits
from ..exits.scaling import Threshold
from ..inputs.ngrams import Bags
from .checks import check_weighted
from .replay_score import Places, StoredAnnotation

Targets = Tuple[numpy.ndarray, numpy.ndarray]
"""What logits should be, and where that is known."""


class TaskDefaults:
    """What most tasks have in common."""

    reads = "text"
    unit = "document"
    head_kind = "document"
    group: Optional[int] = None
    reads_entities = reads_cats = has_triggers = has_links = has_features = False
    n_salience = 0
    spans_key: Optional[str] = None
    exclusive: bool
    others: FrozenSet[str] = frozenset()
    doubted: FrozenSet[str] = frozenset()
    label_weights: Mapping[str, float] = MappingProxyType({})
    parts: Mapping[str, str] = MappingProxyType({})
    main: str
    figures: Tuple[str, ...] = ()

    def check_labels(self, labels: Sequence[str], name: str) -> None:
        """Refuse labels that there is nothing to learn from.

        labels (Sequence[str]): The labels.
        name (str): The component.
        """
        if not labels:
            raise ValueError(Errors.E143.format(name=name))
        check_weighted(self.label_weights, labels, name)

    def n_logits(self, labels: Sequence[str], cfg: Dict[str, Any]) -> int:
        """RETURNS (int): Logits per item."""
        return len(labels)

    def threshold_names(self, labels: Sequence[str], cfg: Dict[str, Any]) -> List[str]:
        """RETURNS (List[str]): The labels, if they do not exclude each other."""
        return [] if self.exclusive or self.group else list(labels)

    def threshold_parts(self, cfg: Dict[str, Any]) -> List[numpy.ndarray]:
        """There are no links."""
        raise NotImplementedError

    def threshold_rows(self, examples: Sequence[Example], items: Any, links: LinkLogits) -> Tuple[numpy.ndarray, ...]:
        """There are no links."""
        raise NotImplementedError

    def weights(self, labels: Sequence[str], cfg: Dict[str, Any]) -> List[float]:
        """RETURNS (List[float]): How much each logit counts in the loss."""
        return [self.label_weights.get(label, 1.0) for label in labels]

    def learn_facts(self, examples: Iterable[Example], labels: Sequence[str]) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): Nothing: the weights are settings."""
        return {}

    def sizes(self, cfg: Dict[str, Any]) -> Dict[str, int]:
        """RETURNS (Dict[str, int]): No size but that of the labels depends on the data."""
        return {}

    def has_instances(self, docs: Sequence[Doc]) -> Optional[List[bool]]:
        """RETURNS (Optional[List[bool]]): There is something to ask about all Docs."""
        return None

    def gate_bags(self, docs: Sequence[Doc], items: Any) -> Optional[Bags]:
        """RETURNS (Optional[Bags]): None: everything climbs."""
        return None

    def check_data(self, examples: Sequence[Example], items: Any, name: str) -> None:
        """Nothing that `targets` does not refuse."""

    def soft_targets(self, examples: Sequence[Example], labels: Sequence[str], items: Any) -> Optional[Targets]:
        """RETURNS (Optional[Targets]): None: no teacher says anything."""
        return None

    def true_labels(self, doc: Doc) -> Set[str]:
        """RETURNS (Set[str]): The labels that are annotated on a Doc as true, known or not."""
        raise NotImplementedError

    def strange_labels(self, doc: Doc, labels: Sequence[str]) -> Set[str]:
        """RETURNS (Set[str]): The labels that are annotated on a Doc as true and that neither this task nor others know."""
        return self.true_labels(doc).difference(labels, self.others)

    def answered_labels(self, doc: Doc) -> Set[str]:
        """RETURNS (Set[str]): The labels of which a Doc has answers, of this task and of others."""
        return self.true_labels(doc)

    def is_annotated(self, doc: Doc) -> bool:
        """RETURNS (bool): Whether a Doc says anything about this task."""
        return bool(self.true_labels(doc))

    def take_triggers(self, key: str) -> str:
        """There are no triggers."""
        raise NotImplementedError

    def describe(self, scores: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is."""
        return self.main

    def describe_main(self, cfg: Dict[str, Any]) -> str:
        """RETURNS (str): What the figure of `replay_score` is."""
        return "micro F"

    def score_settings(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What the scorer must know."""
        return {}

    def averages_labels(self, cfg: Dict[str, Any]) -> bool:
        """RETURNS (bool): Whether the main figure is a mean over labels."""
        return False

    def mean_over(self, scores: Dict[str, Any], labels: Sequence[str]) -> Optional[float]:
        """It is no mean over labels."""
        raise NotImplementedError

    def item_places(self, items: Any) -> Optional[Places]:
        """RETURNS (Optional[Places]): `replay_score` needs no places."""
        return None

    def figure_score(self, stored: StoredAnnotation, figure: str, refit: bool) -> Score:
        """There are no figures beside the main one."""
        raise NotImplementedError

    def judge(self, stored: StoredAnnotation) -> Optional[Judge]:
        """RETURNS (Optional[Judge]): None: what is not the answer of the last exit counts as worse."""
        return None

    def given_labels(self, doc: Doc, labels: Sequence[str], threshold: Threshold) -> List[str]:
        """RETURNS (List[str]): The labels that a Doc is given, in order."""
        true = self.true_labels(doc)
        return [label for label in labels if label in true]

    def show(self, doc: Doc, labels: Sequence[str]) -> str:
        """RETURNS (str): The answers on a Doc, on a line."""
        return ", ".join(sorted(self.true_labels(doc).intersection(labels)))
