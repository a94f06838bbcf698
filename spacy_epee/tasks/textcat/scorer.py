"""Scoring of labels by how well they order documents, beside what spaCy's own scorer says."""

from functools import partial
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy
from spacy.scorer import Scorer
from spacy.training import Example

from ..rankings import LEFT_OUT, RANKINGS


def make_textcat_scorer(exclusive: bool) -> Callable:
    """Make a scorer of documents' labels: the figures of spaCy's own, and macro AUROC and AUPRC.

    exclusive (bool): Whether one label is true, as for `epee_textcat`, or any number, as for `epee_textcat_multilabel`.
    RETURNS (Callable): The scorer, for a component's `scorer`.
    """
    return partial(score_labels, exclusive=exclusive)


def score_labels(examples: Iterable[Example], *, exclusive: bool, labels: Sequence[str], **cfg: Any) -> Dict[str, Any]:
    """Score labels. A label counts in the means over those documents that say whether they have it; one that none of these has,
    or all, has no place in an order and is left out. Where one label is true, documents without any say nothing.

    examples (Iterable[Example]): The examples.
    exclusive (bool): Whether one label is true.
    labels (Sequence[str]): The labels.
    RETURNS (Dict[str, Any]): The figures of `Scorer.score_cats`; `cats_auroc` and `cats_auprc`, None without any such label, and
        the same of each label; and `cats_ranked_left_out`, the number of labels that are left out.
    """
    examples = list(examples)
    scores = Scorer.score_cats(examples, "cats", labels=labels, multi_label=not exclusive, **cfg)
    told = {label: _tell(examples, label, labels if exclusive else ()) for label in labels}
    ranked = {label: (true, said) for label, (true, said) in told.items() if 0 < sum(true) < len(true)}
    for name, score in RANKINGS.items():
        each: Dict[str, Optional[float]] = {label: float(score(*ranked[label])) if label in ranked else None for label in labels}
        counted = [value for value in each.values() if value is not None]
        scores[name] = float(numpy.mean(counted)) if counted else None
        scores[f"{name}_per_type"] = each
    scores[LEFT_OUT] = float(len(told) - len(ranked))
    return scores


def _tell(examples: Sequence[Example], label: str, exclude_each_other: Sequence[str]) -> Tuple[List[int], List[float]]:
    """What the annotation says of a label, and what the component does, where the annotation says anything."""
    true: List[int] = []
    said: List[float] = []
    for eg in examples:
        cats = eg.reference.cats
        if any(cats.get(other) for other in exclude_each_other) if exclude_each_other else label in cats:
            true.append(int(cats.get(label, 0.0) > 0))
            said.append(eg.predicted.cats.get(label, 0.0))
    return true, said
