"""Rules for answers that are structures: events, or the relations of a window."""

from dataclasses import dataclass
from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple

import numpy
from scipy.special import expit, logit

from ..evidence import Evidence
from ..features import FEATURES, LINK_FEATURES, Features
from .base import Grid, Levels, Rule, check_within

NEEDS_STRUCTURE = (
    "is for windows with events or with pairs of entities. For labels of documents or images take "
    "`spacy-epee.EntropyPatience.v1` or `spacy-epee.Entropy.v1`, or have `tune` choose."
)

SAME = len(FEATURES)
"""The column behind the features: whether the same was found at the rule's last look. Behind it may be `Features.chance`."""

NEEDS_GATE = (
    "was fitted with what words say before the first layer, and nothing does. Run `tune` again, or train with `model.head.gate`."
)

TRIED = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998)
"""Thresholds to try: the estimates are probabilities already."""

SOONER = (None, 0.75, 0.5)
"""Thresholds to try where something is found. That one of its links still changes does less harm than an event that is lost."""

MISSED = (0.003, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
"""Those on the probability of what is not given."""


def features_of(rule: Rule, evidence: Evidence) -> Features:
    """RETURNS (Features): What an exit says in numbers.
    RAISES ValueError: The answer is no structure."""
    features = evidence.features
    if features is None:
        raise ValueError(f"The exit rule {rule.registered} {NEEDS_STRUCTURE}")
    return features


@dataclass(frozen=True)
class NothingFound(Rule):
    """Leave when a window has no event, or no related pair, and none is near: what would be arguments is not looked at.

    missed (float): The threshold on the probability of the nearest trigger, or relation, that is not given, from 0 to 1.
    """

    missed: float = 0.05
    registered: ClassVar[str] = "spacy-epee.NothingFound.v1"
    reason: ClassVar[str] = "nothing"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_within(self, "missed", 0.0, 1.0)

    @property
    def structured(self) -> bool:
        return True

    def step(self, evidence: Evidence, counters: Any) -> numpy.ndarray:
        features = features_of(self, evidence)
        return (~features.found & (expit(features.missed) < self.missed)).astype(int)

    def can_fire(self, layers: Sequence[int]) -> bool:
        return self.missed > 0 and len(layers) > 1

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        return {"nothing found": [cls(missed) for missed in MISSED]} if levels.structures() else {}


@dataclass(frozen=True)
class SettledStructure(Rule):
    """Leave when the answer is as likely as asked for that of the last exit, or no worse (learning to exit, as in BERxiT, Xin et
    al. 2021, by logistic regressions over what exits say and not over states; `epee tune` fits them).

    A window without an event, or a related pair, leaves by `nothing`, and none of its arguments is looked at. Another one needs
    `found` to say half of what is asked for by its spans, and only then are these linked, and `links` decides.

    threshold (float): The probability from which on units leave, from 0 to 1.
    layers (List[int]): The layers at which the rule looks. Others cost nothing.
    nothing (List[List[float]]): For each of these the weights of `exits.features.FEATURES`, of finding the same as at the look
        before, of the log-odds that there is anything by words alone (not in rules fitted without a gate), and the bias.
    found (List[List[float]]): The same, where something is found.
    links (List[List[float]]): The weights of the log-odds of `found`, of `exits.features.LINK_FEATURES`, and the bias. Empty for
        relations, which have no links between spans.
    found_threshold (Optional[float]): The probability from which on windows leave in which something is found; None for
        `threshold`.
    """

    threshold: float
    layers: List[int]
    nothing: List[List[float]]
    found: List[List[float]]
    links: List[List[float]]
    found_threshold: Optional[float] = None
    registered: ClassVar[str] = "spacy-epee.SettledStructure.v1"

    def __post_init__(self) -> None:
        layers = list(self.layers)
        if not layers or not numpy.isfinite(layers).all() or layers != sorted(set(layers)) or layers[0] < 1:
            raise ValueError(f"The exit rule {self.registered} has layers = {layers}; give layers from 1 on in rising order.")
        object.__setattr__(self, "layers", tuple(map(int, layers)))
        words = max((len(row) for row in self.nothing), default=0) == SAME + 3
        size_of = SAME + 2 + words
        for name, size in (("nothing", size_of), ("found", size_of), ("links", len(LINK_FEATURES) + 2)):
            rows = tuple(tuple(map(float, row)) for row in getattr(self, name))
            object.__setattr__(self, name, rows)
            wanted = {0, len(self.layers)} if name == "links" else {len(self.layers)}
            if len(rows) not in wanted or any(len(row) != size or not numpy.isfinite(row).all() for row in rows):
                raise ValueError(
                    f"The exit rule {self.registered} needs {size} numbers in {name} for each of its layers {list(self.layers)}; "
                    "they are fitted, so have `tune` make the rule."
                )
        super().__post_init__()
        check_within(self, "threshold", 0.0, 1.0)
        if self.found_threshold is not None:
            check_within(self, "found_threshold", 0.0, 1.0)

    @property
    def first_layer(self) -> int:
        return self.layers[0]

    def looks_at(self, layer: int) -> bool:
        return layer in self.layers

    @property
    def structured(self) -> bool:
        return True

    @property
    def reads_words(self) -> bool:
        return len(self.nothing[0]) == SAME + 3

    @property
    def reasons(self) -> Tuple[str, ...]:
        return ("nothing", "settled")

    def start(self, units: int, began: float) -> numpy.ndarray:
        """RETURNS (ndarray): What each unit said at the last look, 0 before the first."""
        return numpy.zeros(units, dtype="int64")

    def step(self, evidence: Evidence, counters: numpy.ndarray) -> numpy.ndarray:
        codes: numpy.ndarray = numpy.zeros(len(evidence), dtype=int)
        if evidence.layer not in self.layers:
            return codes
        features, exit = features_of(self, evidence), self.layers.index(evidence.layer)
        inputs = with_same(features, counters[evidence.units], self.reads_words)
        counters[evidence.units] = features.keys
        odds, found = weigh(self.nothing[exit], inputs), features.found
        codes[~found & (odds > logit(self.threshold))] = 1
        if found.any():
            asked = self.threshold if self.found_threshold is None else self.found_threshold
            odds = weigh(self.found[exit], inputs)
            if self.links and features.links is not None:
                found = found & (odds > logit(asked / 2))
                if found.any():
                    odds[found] = weigh(self.links[exit], with_odds(odds[found], features.links(found)))
            codes[found & (odds > logit(asked))] = 2
        return codes

    def can_fire(self, layers: Sequence[int]) -> bool:
        missing = [layer for layer in self.layers if layer not in layers]
        if missing:
            raise ValueError(
                f"The exit rule {self.registered} was fitted to exits after the layers {list(self.layers)}, and there are none "
                f"after {missing} any more. Run `tune` again."
            )
        least = self.threshold if self.found_threshold is None else min(self.threshold, self.found_threshold)
        return least < 1 and self.layers[0] < layers[-1]

    def to_config(self) -> Optional[Dict[str, Any]]:
        block: Dict[str, Any] = {"@misc": self.registered, "threshold": self.threshold, "layers": list(self.layers)}
        block.update({name: [list(row) for row in getattr(self, name)] for name in ("nothing", "found", "links")})
        if self.found_threshold is not None:  # older versions do not know it
            block["found_threshold"] = self.found_threshold
        return block

    @classmethod
    def grid(cls, levels: Levels) -> Grid:
        return {
            name: [
                cls(threshold, layers, **weights, found_threshold=sooner)
                for sooner in SOONER
                for threshold in TRIED
                if sooner is None or sooner < threshold
            ]
            for name, (layers, weights) in levels.structures().items()
        }


def with_same(features: Features, before: numpy.ndarray, words: bool) -> numpy.ndarray:
    """Put side by side what is weighed.

    features (Features): What an exit says.
    before (ndarray): The number of what was found before, 0 for never, (U,).
    words (bool): Whether to add what words alone say.
    RETURNS (ndarray): Features, whether the same was found before, and what words say, (U, F + 1 or 2).
    RAISES ValueError: They say nothing.
    """
    columns = [features.values, features.keys == before]
    if words:
        if features.chance is None:
            raise ValueError(f"The exit rule {SettledStructure.registered} {NEEDS_GATE}")
        columns.append(features.chance)
    return numpy.column_stack(columns)


def with_odds(odds: numpy.ndarray, links: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): What spans say as log-odds (U,), and what links say (U, G), side by side."""
    return numpy.column_stack((odds, links))


def weigh(weights: Sequence[float], inputs: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): Log-odds by weights, the last of which is the bias, (U,)."""
    return inputs @ numpy.array(weights[:-1]) + weights[-1]
