"""What an exit rule may look at where windows have pairs of entities."""

from dataclasses import dataclass
from typing import ClassVar, Type

import numpy
from scipy.special import expit

from ...exits.evidence import Evidence, EvidenceBuilder
from ...exits.features import MOST, Features, bounded, keys_of, log_sum, odds_against
from ...exits.scaling import pivot
from ...inputs.ranges import firsts
from ...threads import cached_property


class PairEvidence(Evidence):
    """The labels of pairs. Of exclusive ones the first is that of "not related"."""

    @cached_property
    def features(self) -> Features:  # type: ignore[override]
        counts = numpy.ones(len(self), dtype="int64") if self.counts is None else self.counts
        starts = firsts(counts)
        if self.exclusive:
            related = self.decision[:, 1:].any(axis=1)
            logs = self.log_probabilities
            ordered = numpy.sort(logs, axis=1)
            margins = ordered[:, -1] - ordered[:, -2] if logs.shape[1] > 1 else numpy.full(len(logs), MOST)
            odds = odds_against(logs[:, 0])
            wrong = -numpy.expm1(ordered[:, -1])
        else:
            related = self.decision.any(axis=1)
            above = self.scaled - pivot(self.threshold)
            margins, odds = numpy.abs(above).min(axis=1), above.max(axis=1)
            wrong = expit(-numpy.abs(above)).sum(axis=1)
        columns = (
            numpy.log1p(numpy.add.reduceat(related.astype("float64"), starts)),
            bounded(numpy.minimum.reduceat(numpy.where(related, margins, MOST), starts)),
            numpy.maximum.reduceat(self.item_entropy, starts),
            bounded(numpy.maximum.reduceat(numpy.where(related, -MOST, odds), starts)),
            log_sum(wrong, counts),
            numpy.log(counts),
        )
        found = numpy.logical_or.reduceat(related, starts)
        return Features(found, numpy.column_stack(columns), keys_of(self.decision, counts), chance=self.chance)


@dataclass(frozen=True)
class PairEvidenceBuilder(EvidenceBuilder):
    """How the logits of pairs are to be read."""

    made: ClassVar[Type[Evidence]] = PairEvidence
